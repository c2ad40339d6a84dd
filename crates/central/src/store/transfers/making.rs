//! Making a responding half, or noting what it waits for.

use std::collections::BTreeSet;

use domain::judge::{Applied, Found, Side, Verdict, View, judge};
use domain::scope::Scope;
use domain::transfers::half::{Due, Half, due};
use domain::transfers::kinds::Initiating;
use domain::transfers::records::{INDICATOR_VALUES, Moment};
use domain::withholding::Withheld;
use protocol::entry::{Entry, Operation};
use protocol::ids::{OwnershipNumber, RecordId, Sequence, SiteId};
use sql::SqlExt;

use super::view::TransferView;
use super::{Transfer, awaited_place};
use crate::clock::date_text;
use crate::store::batch::Batch;
use crate::store::error::StoreError;
use crate::store::judging::{Reason, found_after};
use crate::store::records::Key;
use crate::store::view::{GroupPlace, GroupView};

/// The records of a half, to be written.
type JudgedHalf = Vec<(Key, Entry, Applied)>;

impl Batch<'_> {
    /// What central's clock says, for people.
    pub(super) fn moment(&self) -> Moment {
        let date = date_text(self.now_ms).chars().take(10).collect();
        let second_of_day = u32::try_from(self.now_ms / 1000 % 86_400).unwrap_or_default();
        Moment { date, second_of_day }
    }

    /// A record has come to start a transfer: its row is noted, and the half made if it can be.
    pub(super) fn begin_transfer(&mut self, initiating: &Initiating) -> Result<(), StoreError> {
        let key = &initiating.key;
        let transfer = if let Some(transfer) = self.transfer_by_key(key)? {
            transfer
        } else if self.stays_on_its_site(initiating)? {
            return Ok(());
        } else {
            let is_routed_only = self.makes_own_halves(self.state.holdings.holder(&key.receiver))?;
            let source = (key.kind.source_table(), &key.source);
            self.insert_transfer(Some(key), source, &initiating.sender, is_routed_only)?
        };
        // Once there was a half there is never another one.
        if transfer.half.is_none() { self.make_half(&transfer, initiating) } else { Ok(()) }
    }

    /// Whether the receiving half is none of central's business: its site, which has both stores, has made it, and keeps it (seed 001, "Store
    /// F": "this data is not synced anywhere"). Made here under the same id, it would take its number from it.
    fn stays_on_its_site(&mut self, initiating: &Initiating) -> Result<bool, StoreError> {
        Ok(self.site_of_both(initiating).is_some()
            && self.reading().withheld(&initiating.key.receiver)? == Withheld::Data)
    }

    /// The remote site that has both stores of a transfer, if that makes the half alone: a store of its that ever kept its data may have it
    /// there still, or may have had it deleted there, and central cannot tell when its site heard that the store keeps nothing.
    fn made_by(&mut self, initiating: &Initiating) -> Result<Option<SiteId>, StoreError> {
        let Some(site) = self.site_of_both(initiating) else { return Ok(None) };
        let has_withheld = self.reading().has_withheld_data(&initiating.key.receiver)?;
        Ok(Some(site).filter(|_| has_withheld))
    }

    fn site_of_both(&self, initiating: &Initiating) -> Option<SiteId> {
        let [sender, receiver] =
            [&initiating.sender, &initiating.key.receiver].map(|store| self.state.holdings.holder(store));
        Some(receiver).filter(|site| *site == sender && *site != SiteId::CENTRAL)
    }

    pub(super) fn make_half(&mut self, transfer: &Transfer, initiating: &Initiating) -> Result<(), StoreError> {
        let (catalogue, moment, number) = (self.catalogue, self.moment(), transfer.number);
        let holder = self.state.holdings.holder(&initiating.key.receiver);
        let waits_because = |batch: &mut Self, reason: &str| {
            let source = (transfer.source_table.as_str(), &transfer.source);
            batch.set_transfer_waits(number, Some(source), Some(reason))
        };
        if !transfer.is_routed_only && holder != SiteId::CENTRAL && self.is_awaited(holder)? {
            // The site may have the half, with its number, and is about to hand it back.
            let reason = format!("central was set back, and site {holder} has not reported since");
            return waits_because(self, &reason);
        }
        let half = match due(catalogue, &mut TransferView(self), initiating, &moment)? {
            Due::Exists(half) => return self.set_transfer_half(number, &half),
            Due::Waits(awaited) => return self.set_transfer_waits(number, Some(awaited_place(&awaited)), None),
            Due::Make(_) if transfer.is_routed_only => return self.set_transfer_waits(number, None, None),
            Due::Make(half) => half,
        };
        if let Some(site) = self.made_by(initiating)? {
            let reason = format!("site {site} has both stores and makes it; a store that kept its data sends it later");
            return waits_because(self, &reason);
        }
        match self.judge_half(&half, holder)? {
            Ok(judged) => {
                self.set_transfer_half(number, &half.id)?;
                self.write_half(judged, &initiating.sender)
            }
            Err(reason) => {
                tracing::warn!(code = reason.code, half = half.id.as_str(), "a half cannot be made: {}", reason.text);
                waits_because(self, &reason.text)
            }
        }
    }

    /// What is to be written of a half: that whose id was never known here (rule 5.14), judged as if its store's site had recorded it.
    fn judge_half(&mut self, half: &Half, holder: SiteId) -> Result<Result<JudgedHalf, Reason>, StoreError> {
        let (catalogue, gone) = (self.catalogue, BTreeSet::new());
        let place = GroupPlace { journal: i64::MAX, first: Sequence(0) };
        let mut view = GroupView::new(self, place, &gone).with_stores_on_their_way();
        let mut judged = Vec::with_capacity(half.records.len());
        for made in &half.records {
            if view.record(&made.table, &made.id)? != Found::Unknown {
                continue;
            }
            let key: Key = (made.table.clone(), made.id.clone());
            let (table, record, operation) = (key.0.clone(), key.1.clone(), Operation::Put(made.row.clone()));
            let mut entry = Entry { is_group_end: false, ownership: OwnershipNumber(0), table, record, operation };
            match judge(catalogue, &mut view, Side::Device, holder, &entry)? {
                Verdict::Accept(applied) => {
                    view.put(key.clone(), found_after(&applied));
                    entry.ownership = applied.ownership;
                    // What stays on its site is for the site to say, not for a half that is made here.
                    judged.push((key, entry, Applied { is_private: false, ..applied }));
                }
                Verdict::Refuse(refusal) => return Ok(Err(Reason::new(refusal.code.as_str(), &refusal.reason))),
                Verdict::Wait { .. } => return Ok(Err(Reason::new("header_missing", "its header is not here"))),
            }
        }
        if let Some((_, last, _)) = judged.last_mut() {
            last.is_group_end = true;
        }
        Ok(Ok(judged))
    }

    fn write_half(&mut self, judged: JudgedHalf, sender: &RecordId) -> Result<(), StoreError> {
        let partners = Scope::StorePartners(sender.clone());
        for (key, entry, applied) in judged {
            self.write_judged(key.clone(), &entry, &applied, None)?;
            let table = self.catalogue.table_name(&key.0);
            if table == INDICATOR_VALUES
                && let Some(stored) = self.read_record(&key)?
            {
                self.put_in_partner_lane(stored.number, &partners, true)?;
            }
        }
        Ok(())
    }

    /// Whether a site makes the halves of its stores itself.
    pub(in crate::store) fn makes_own_halves(&mut self, site: SiteId) -> Result<bool, StoreError> {
        let sql = "SELECT makes_own_halves FROM site WHERE id = ?1";
        Ok(self.sql.query_integer(sql, &[site.0.into()])? == Some(1))
    }
}
