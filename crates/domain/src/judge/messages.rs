//! Messages: who may send one, and who may say that it is processed (rule 5.13).
//!
//! Two sites have a message and neither owns it alone, so nobody edits or deletes it; the one change goes to the receiver. Central
//! alone deletes: it sees both sides, and takes the message from both.

use protocol::ids::{OwnershipNumber, RecordId, SiteId};
use protocol::row::Row;

use super::store_data::key_words;
use super::{Applied, Case, Effect, Found, Refusal, RefusalCode, Side, Verdict, View};
use crate::message::{Parties, Status, says_the_same};

/// A part of the answer, or why the entry is refused.
type Step<T, E> = Result<Result<T, Refusal>, E>;

/// One end of a message that the author must be.
struct End<'a> {
    /// Blank: central.
    store: Option<&'a RecordId>,
    /// The rule that is broken if it is not.
    code: RefusalCode,
    /// That rule in words: "is sent by".
    rule: &'static str,
}

impl Case<'_> {
    /// `found` and `after` have the columns' numbers; a patch or delete of what is not here does not come this far.
    pub(super) fn judge_message<V: View>(
        &self,
        view: &mut V,
        found: &Found,
        after: Option<Row>,
    ) -> Result<Verdict, V::Error> {
        let stored = match found {
            Found::Here { row, .. } => match self.parties(row) {
                Ok(parties) => Some((row, parties)),
                Err(refused) => return Ok(Verdict::Refuse(refused)),
            },
            Found::Unknown | Found::Deleted { .. } => None,
        };
        let incoming = match &after {
            Some(row) => match self.parties(row) {
                Ok(parties) => Some((row, parties)),
                Err(refused) => return Ok(Verdict::Refuse(refused)),
            },
            None => None,
        };
        let judged = match (&stored, &incoming) {
            (None, Some((row, parties))) => self.judge_sending(view, found, row, parties)?,
            (Some(stored), Some(incoming)) => self.judge_change(view, stored, incoming)?,
            (_, None) => self.judge_end(),
        };
        let ownership = match judged {
            Ok(ownership) => ownership,
            Err(refused) => return Ok(Verdict::Refuse(refused)),
        };
        let parties = incoming.or(stored).map(|(_, parties)| parties);
        Ok(Verdict::Accept(Applied {
            effect: Effect::Write,
            scopes: parties.as_ref().map(Parties::scopes).unwrap_or_default(),
            visible_key: None,
            store: parties.and_then(|parties| parties.sender),
            row: after,
            parent: None,
            ownership,
            is_private: false,
            cancels_waiting: false,
        }))
    }

    /// A message is made by its sender. It may be made as processed: so it is handed back to a central that was set back, and so
    /// central imports old ones.
    fn judge_sending<V: View>(
        &self,
        view: &mut V,
        found: &Found,
        row: &Row,
        parties: &Parties,
    ) -> Step<OwnershipNumber, V::Error> {
        if matches!(found, Found::Deleted { .. }) && self.author != SiteId::CENTRAL {
            return Ok(Err(self.refuse(
                RefusalCode::MessageFixed,
                "was deleted, and only central makes it again; send a new message with an id of its own",
            )));
        }
        if Status::of(self.table, row).is_none() {
            let what = "has neither the status new nor processed; send it with the status new";
            return Ok(Err(self.refuse(RefusalCode::MessageStatus, what)));
        }
        let ownership = match self.hold_sender(view, parties)? {
            Ok(ownership) => ownership,
            Err(refused) => return Ok(Err(refused)),
        };
        // A device knows its own stores alone; whether the receiver is there central says.
        let knows_stores = self.side == Side::Central || self.author == SiteId::CENTRAL;
        if let Some(receiver) = parties.receiver.as_ref().filter(|_| knows_stores)
            && view.holding(receiver)?.is_none()
        {
            let what = format!(
                "goes to store {receiver}, which central does not have; send it to a store that central has, or to central with a \
                 blank receiver"
            );
            return Ok(Err(self.refuse(RefusalCode::ReceiverUnknown, &what)));
        }
        Ok(Ok(ownership))
    }

    fn judge_change<V: View>(
        &self,
        view: &mut V,
        (before, stored): &(&Row, Parties),
        (after, incoming): &(&Row, Parties),
    ) -> Step<OwnershipNumber, V::Error> {
        if stored != incoming {
            let (is, not) = (way(stored), way(incoming));
            let what = format!("goes {is} and not {not}; nobody takes a message over: send a new one");
            return Ok(Err(self.refuse(RefusalCode::OwnerChange, &what)));
        }
        if !says_the_same(self.table, before, after) {
            let what = format!(
                "is edited nowhere; {} may set its status from new to processed. Send a new message",
                holder_words(view, stored.receiver.as_ref())?
            );
            return Ok(Err(self.refuse(RefusalCode::MessageFixed, &what)));
        }
        let status = |row| Status::of(self.table, row);
        match (status(before), status(after)) {
            // Said once more by one of the two whom it concerns.
            (from, to) if from == to => match self.hold_receiver(view, stored)? {
                Ok(ownership) => Ok(Ok(ownership)),
                Err(_) => self.hold_sender(view, stored),
            },
            (Some(Status::New), Some(Status::Processed)) => self.hold_receiver(view, stored),
            _ => {
                let what = format!(
                    "has a status that goes from new to processed and no other way; {} sets it",
                    holder_words(view, stored.receiver.as_ref())?
                );
                Ok(Err(self.refuse(RefusalCode::MessageStatus, &what)))
            }
        }
    }

    fn judge_end(&self) -> Result<OwnershipNumber, Refusal> {
        if self.author == SiteId::CENTRAL {
            return Ok(OwnershipNumber(0));
        }
        let what = "is deleted by central alone, because two sites may have it";
        Err(self.refuse(RefusalCode::MessageFixed, what))
    }

    fn hold_sender<V: View>(&self, view: &mut V, parties: &Parties) -> Step<OwnershipNumber, V::Error> {
        let (code, rule) = match &parties.sender {
            Some(_) => (RefusalCode::NotStoreHolder, "is sent by the site that holds its sender"),
            None => (RefusalCode::SenderBlank, "has a blank sender"),
        };
        self.hold(view, &End { store: parties.sender.as_ref(), code, rule })
    }

    fn hold_receiver<V: View>(&self, view: &mut V, parties: &Parties) -> Step<OwnershipNumber, V::Error> {
        let rule = "is set to processed by its receiver alone";
        self.hold(view, &End { store: parties.receiver.as_ref(), code: RefusalCode::NotReceiver, rule })
    }

    /// That the author is one end of the message, and the number under which it writes.
    fn hold<V: View>(&self, view: &mut V, end: &End<'_>) -> Step<OwnershipNumber, V::Error> {
        let Some(store) = end.store else {
            if self.author == SiteId::CENTRAL {
                return Ok(Ok(OwnershipNumber(0)));
            }
            let what = match end.code {
                RefusalCode::SenderBlank => {
                    "which stands for central; name a store that this site holds in fromStoreID"
                }
                _ => "and its blank receiver stands for central, which sets it",
            };
            return Ok(Err(self.refuse(end.code, &format!("{}, {what}", end.rule))));
        };
        match view.holding(store)? {
            Some(holding) if holding.site != self.author => {}
            Some(holding) => {
                return Ok(self.wrong_number("store", store.as_str(), holding).map_or(Ok(holding.ownership), Err));
            }
            None => {}
        }
        let what = format!("{}: {}, not site {}", end.rule, holder_words(view, Some(store))?, self.author);
        Ok(Err(self.refuse(end.code, &what)))
    }

    fn parties(&self, row: &Row) -> Result<Parties, Refusal> {
        Parties::of(self.table, row).map_err(|(column, error)| {
            let what = format!("names no store: {column} {}", key_words(&error));
            self.refuse(RefusalCode::BadValue, &what)
        })
    }
}

/// A message's way, for people.
fn way(parties: &Parties) -> String {
    let end = |store: &Option<RecordId>| store.as_ref().map_or("central".to_owned(), |store| format!("store {store}"));
    format!("from {} to {}", end(&parties.sender), end(&parties.receiver))
}

/// Who stands at an end of a message, for people; a device does not know which site holds another one's store.
fn holder_words<V: View>(view: &mut V, store: Option<&RecordId>) -> Result<String, V::Error> {
    let Some(store) = store else { return Ok("central".to_owned()) };
    Ok(match view.holding(store)? {
        Some(holding) => format!("site {} with store {store}", holding.site),
        None => format!("the site with store {store}"),
    })
}
