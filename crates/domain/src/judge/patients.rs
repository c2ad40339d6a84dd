//! Patients and what hangs on them: written where the home store is active, by a site with an active dispensary (rule 5.13; seed 000,
//! "Patients").
//!
//! A patient is a record of the names; its home store stands in the record. What hangs on a patient has it as its header: it is of the
//! same home store, and never goes to another patient. Prescribers have home stores like patients; nothing hangs on them.

use protocol::entry::Operation;
use protocol::ids::{OwnershipNumber, RecordId, SiteId, TableRef};
use protocol::row::Row;

use super::store_data::key_words;
use super::{Applied, Case, Effect, Found, Header, Holding, Refusal, RefusalCode, Side, Verdict, View};
use crate::authority::Authority;
use crate::catalogue::{DataType, KeyError, Table};
use crate::home_transfer::PatientHome;
use crate::scope::Scope;
use crate::store::NAME_TABLE;
use crate::visibility::{Join, VisibleKey, is_join, joined_column};

/// Either a part of the answer, or the answer.
pub(super) type Step<T, E> = Result<Result<T, Verdict>, E>;

/// The home store that the author may write for, and the number under which.
struct Home {
    store: RecordId,
    ownership: OwnershipNumber,
}

impl Case<'_> {
    /// `found` and `after` have the columns' numbers; a patch or delete of what is not here does not come this far.
    pub(super) fn judge_patient_data<V: View>(
        &self,
        view: &mut V,
        found: &Found,
        after: Option<Row>,
    ) -> Result<Verdict, V::Error> {
        if let Some(merged) = self.table.merges() {
            self.judge_home_merge(view, merged, found, after)
        } else if self.table.has_home_stores() {
            self.judge_patient(view, found, after)
        } else {
            self.judge_patients_record(view, found, after)
        }
    }

    /// Visibility that a site makes: of a patient or prescriber (`joined`, the table) that it owns, in a store that it holds, once. The
    /// rest is central's.
    pub(super) fn judge_own_join<V: View>(
        &self,
        view: &mut V,
        joined: &str,
        found: &Found,
        after: Option<Row>,
    ) -> Result<Verdict, V::Error> {
        let central = || {
            let what = "is visibility, which is central's; a site makes only new visibility of its own patients and prescribers";
            Ok(self.refused(RefusalCode::CentralData, what))
        };
        let is_new = matches!((&self.entry.operation, found), (Operation::Put(_), Found::Unknown));
        let Some(row) = after.filter(|_| is_new) else { return central() };
        let names = self.catalogue.table_by_name(joined).ok();
        let (Some(names), Some(join)) = (names, Join::of(self.table, &row)) else { return central() };
        // Asked before the patient, so that who does not hold the store cannot make central wait.
        if view.holding(&join.store)?.is_none_or(|holding| holding.site != self.author) {
            let what = format!(
                "makes a {joined} visible in store {}, which site {} does not hold; central makes it visible there",
                join.store, self.author
            );
            let is_patient = matches!(view.header(names.reference(), &join.name)?, Header::Here { store: Some(_) });
            return if is_patient { Ok(self.refused(RefusalCode::NotStoreHolder, &what)) } else { central() };
        }
        let home = match self.home_of(view, names, &join.name)? {
            Ok(Some(home)) => home,
            Ok(None) => return central(),
            Err(verdict) => return Ok(verdict),
        };
        let home = match self.at_home(view, home)? {
            Ok(home) => home,
            Err(verdict) => return Ok(verdict),
        };
        Ok(Verdict::Accept(Applied {
            store: None,
            ..home.written(Some(row), Some(VisibleKey::Store(join.store)), None)
        }))
    }

    /// Whether central writes the record also in a mirrored system: the visibility of names, but not of those that are patients.
    pub(super) fn stays_with_central<V: View>(
        &self,
        view: &mut V,
        found: &Found,
        after: Option<&Row>,
    ) -> Result<bool, V::Error> {
        if !self.table.stays_with_central() || !is_join(self.table) || view.authority()? == Authority::Central {
            return Ok(self.table.stays_with_central());
        }
        let Some(names) = self.names() else { return Ok(true) };
        let before = match found {
            Found::Here { row, .. } => Some(row),
            Found::Unknown | Found::Deleted { .. } => None,
        };
        let mut is_of_patient = false;
        for row in before.into_iter().chain(after) {
            let name = self.table.id_in(row, joined_column(self.table));
            is_of_patient = match name.map(|name| view.record(names.reference(), &name)).ok().transpose()? {
                Some(Found::Here { row, .. }) => names.data_type_of(&names.canonical(row)) == DataType::Patient,
                // Of the names that are gone patients alone have a store.
                Some(Found::Deleted { store }) => store.is_some(),
                Some(Found::Unknown) | None => false,
            };
            if !is_of_patient {
                break;
            }
        }
        Ok(!is_of_patient)
    }

    fn judge_patient<V: View>(&self, view: &mut V, found: &Found, after: Option<Row>) -> Result<Verdict, V::Error> {
        let stored = match self.stored_home(found) {
            None => None,
            Some(home) => match self.at_home(view, home)? {
                Ok(home) => Some(home),
                Err(refused) => return Ok(refused),
            },
        };
        let key = VisibleKey::of_home(self.table, &self.entry.record);
        let is_homeless = stored.is_none() && matches!(found, Found::Here { .. });
        if is_homeless && self.author != SiteId::CENTRAL {
            let what = "has no home store yet, and is central's to write until the dispensary of its first prescription is that, or \
                        central says which (set-home-store)";
            return Ok(self.refused(RefusalCode::HomeStoreMissing, what));
        }
        let Some(row) = after else {
            return Ok(Verdict::Accept(match stored {
                Some(home) => home.written(None, Some(key), None),
                None => homeless(None, key),
            }));
        };
        let incoming = match self.table.store_of(&self.entry.record, &row).unwrap_or(Err(KeyError::Missing)) {
            Ok(store) if is_homeless => {
                let what = format!("has no home store yet; give it store {store} by `{} set-home-store`", self.noun());
                return Ok(self.refused(RefusalCode::OwnerChange, &what));
            }
            Ok(store) => store,
            // Of a list that central takes over it may not be known; who comes first for a prescription has it then.
            Err(KeyError::Missing) if self.author == SiteId::CENTRAL && stored.is_none() => {
                let refused = if is_homeless { None } else { self.cannot_be_patient(view, found)? };
                return Ok(refused.map_or_else(|| Verdict::Accept(homeless(Some(row), key)), Verdict::Refuse));
            }
            Err(error) => {
                let column = self.table.store_column().unwrap_or_default();
                let what = format!(
                    "is a {} without a home store: {column} {}; name there the store of this site that it belongs to",
                    self.noun(),
                    key_words(&error)
                );
                return Ok(self.refused(RefusalCode::HomeStoreMissing, &what));
            }
        };
        let home = match stored {
            Some(home) if home.store != incoming => {
                let what = format!(
                    "has the home store {} and would get {incoming}; only central gives a {} another home store",
                    home.store,
                    self.noun()
                );
                return Ok(self.refused(RefusalCode::OwnerChange, &what));
            }
            Some(home) => home,
            None => {
                if let Some(refused) = self.cannot_be_patient(view, found)? {
                    return Ok(Verdict::Refuse(refused));
                }
                match self.at_home(view, PatientHome::of(&row, incoming))? {
                    Ok(home) => home,
                    Err(refused) => return Ok(refused),
                }
            }
        };
        Ok(Verdict::Accept(home.written(Some(row), Some(key), None)))
    }

    /// Why an id cannot be a new patient's: what hangs on it is not for whoever would make one.
    fn cannot_be_patient<V: View>(&self, view: &mut V, found: &Found) -> Result<Option<Refusal>, V::Error> {
        if self.table.name() != NAME_TABLE {
            return Ok(None);
        }
        if matches!(found, Found::Deleted { .. }) && self.author != SiteId::CENTRAL {
            let what = "was a name of central's and was deleted; give the patient an id of its own";
            return Ok(Some(self.refuse(RefusalCode::CentralData, what)));
        }
        if self.author == SiteId::CENTRAL
            && let Some(refused) = self.merged_as_other_kind(view, DataType::Patient)?
        {
            return Ok(Some(refused));
        }
        Ok(view.store_of_name(&self.entry.record)?.map(|store| {
            let what = format!("is the name of store {store}, and no patient is; give the patient an id of its own");
            self.refuse(RefusalCode::PatientOfStore, &what)
        }))
    }

    /// What hangs on a patient.
    fn judge_patients_record<V: View>(
        &self,
        view: &mut V,
        found: &Found,
        after: Option<Row>,
    ) -> Result<Verdict, V::Error> {
        let Some(names) = self.names() else {
            return Ok(self.refused(RefusalCode::NotSupported, "hangs on a patient, and this catalogue has no names"));
        };
        let patient_in = |row| self.table.housed_of(&self.entry.record, row).unwrap_or(Err(KeyError::Missing));
        let before = match found {
            Found::Here { row, .. } => patient_in(row).ok(),
            Found::Unknown | Found::Deleted { .. } => None,
        };
        let stored = match home_of_stored(view, names, found, before.as_ref())? {
            None => None,
            Some(home) => match self.at_home(view, home)? {
                Ok(home) => Some(home),
                Err(refused) => return Ok(refused),
            },
        };
        let Some(row) = after else {
            let Some(home) = stored else {
                return Ok(self.refused(RefusalCode::HomeStoreMissing, "is here without a home store"));
            };
            return Ok(Verdict::Accept(home.written(None, before.map(VisibleKey::Name), None)));
        };
        let patient = match patient_in(&row) {
            Ok(patient) => patient,
            Err(error) => {
                let column = self.table.hangs_on().map_or("", |(_, column)| column);
                let what = format!("names no patient: {column} {}", key_words(&error));
                return Ok(self.refused(RefusalCode::HeaderMissing, &what));
            }
        };
        if let Some(before) = before.filter(|before| *before != patient) {
            let what =
                format!("belongs to patient {before} and would go to {patient}; make a new record for {patient}");
            return Ok(self.refused(RefusalCode::OwnerChange, &what));
        }
        let incoming = match self.home_of(view, names, &patient)? {
            Ok(Some(home)) => home,
            Ok(None) => {
                let what = format!(
                    "hangs on name {patient}, which is no patient, or one without a home store; name a patient that has one"
                );
                return Ok(self.refused(RefusalCode::NotAPatient, &what));
            }
            Err(verdict) => return Ok(verdict),
        };
        let home = match stored {
            Some(home) if home.store != incoming.store => {
                let what = format!(
                    "was of a patient of store {} and would be of one of store {}; make a new record for patient {patient}",
                    home.store, incoming.store
                );
                return Ok(self.refused(RefusalCode::OwnerChange, &what));
            }
            Some(home) => home,
            None => match self.at_home(view, incoming)? {
                Ok(home) => home,
                Err(refused) => return Ok(refused),
            },
        };
        let parent = (names.reference().clone(), patient.clone());
        Ok(Verdict::Accept(home.written(Some(row), Some(VisibleKey::Name(patient)), Some(parent))))
    }

    /// Whose a patient is; `None` for a name that is no patient.
    pub(super) fn home_of<V: View>(
        &self,
        view: &mut V,
        names: &Table,
        patient: &RecordId,
    ) -> Step<Option<PatientHome>, V::Error> {
        let (table, noun) = (names.reference(), noun_of(names));
        let wait = || Ok(Err(Verdict::Wait { table: table.clone(), record: patient.clone() }));
        let refused = |code, what: &str| Ok(Err(self.refused(code, what)));
        match (view.record(table, patient)?, self.side) {
            (Found::Here { row, store }, _) => Ok(Ok(store.map(|store| PatientHome::of(&row, store)))),
            (Found::Unknown, Side::Central) => wait(),
            (Found::Unknown, Side::Device) => refused(
                RefusalCode::HeaderMissing,
                &format!("needs its {noun} {patient}, which is not here; record the {noun} first"),
            ),
            (Found::Deleted { .. }, Side::Central) if view.is_waiting(self.author, table, patient)? => wait(),
            (Found::Deleted { .. }, _) => {
                refused(RefusalCode::HeaderDeleted, &format!("needs its {noun} {patient}, which was deleted"))
            }
        }
    }

    /// A patient's home as it is stored; of one that was deleted it is kept with the tombstone.
    fn stored_home(&self, found: &Found) -> Option<PatientHome> {
        let store = self.stored_store(found)?;
        Some(match found {
            Found::Here { row, .. } => PatientHome::of(row, store),
            Found::Unknown | Found::Deleted { .. } => PatientHome::plain(store),
        })
    }

    /// That the author holds a home store and a dispensary, and under which number it writes.
    fn at_home<V: View>(&self, view: &mut V, home: PatientHome) -> Step<Home, V::Error> {
        let store = &home.store;
        let refused = |code, what: &str| Ok(Err(self.refused(code, what)));
        let author = self.author;
        let rule = format!("is written where the home store {store} is active");
        let holding = match view.holding(store)? {
            None if self.side == Side::Central || author == SiteId::CENTRAL => {
                let what = format!("{rule}, and central has no such store; name one that it has");
                return refused(RefusalCode::NotHomeSite, &what);
            }
            None => {
                let holder = self.holder_words(view, store)?;
                let what = format!("{rule}: by {holder} not site {author}");
                return refused(RefusalCode::NotHomeSite, &what);
            }
            Some(holding) if holding.site != author => {
                let what = format!("{rule}: by site {}, not site {author}", holding.site);
                return refused(RefusalCode::NotHomeSite, &what);
            }
            Some(holding) => holding,
        };
        let ownership = match self.number_at_home(&home, holding) {
            Ok(ownership) => ownership,
            Err(refusal) => return Ok(Err(Verdict::Refuse(refusal))),
        };
        if !view.has_dispensary(author)? {
            let what = format!(
                "{rule}, if a dispensary is active there too, and site {author} has none; central makes a store one (store_mode)"
            );
            return refused(RefusalCode::NoDispensary, &what);
        }
        Ok(Ok(Home { store: home.store, ownership }))
    }

    /// The number under which whoever holds a home store writes what is of it.
    pub(super) fn number_at_home(&self, home: &PatientHome, holding: Holding) -> Result<OwnershipNumber, Refusal> {
        let (store, ownership) = (&home.store, home.number(holding.ownership));
        if self.side == Side::Central && home.had_another_count(self.entry.ownership, holding.ownership) {
            let what = format!(
                "was recorded before central had last given it another home, which is store {store}; what it says may be older than what \
                 is here"
            );
            return Err(self.refuse(RefusalCode::OwnershipNumber, &what));
        }
        if let Some(refusal) = self.wrong_number("the home store", store.as_str(), Holding { ownership, ..holding }) {
            return Err(refusal);
        }
        if let Some(goes_to) = home.goes_to.as_ref().filter(|_| self.side == Side::Device) {
            let what = format!(
                "goes with its home to store {goes_to}, and is not edited until it is there; the site that holds that store edits it then"
            );
            return Err(self.refuse(RefusalCode::HomeTransfer, &what));
        }
        Ok(ownership)
    }

    fn noun(&self) -> &'static str {
        noun_of(self.table)
    }

    fn names(&self) -> Option<&Table> {
        self.catalogue.table_by_name(NAME_TABLE).ok()
    }

    pub(super) fn refused(&self, code: RefusalCode, what: &str) -> Verdict {
        Verdict::Refuse(self.refuse(code, what))
    }
}

impl Home {
    fn written(self, row: Option<Row>, key: Option<VisibleKey>, parent: Option<(TableRef, RecordId)>) -> Applied {
        Applied {
            effect: Effect::Write,
            row,
            scopes: vec![Scope::Visible],
            visible_key: key,
            store: Some(self.store),
            parent,
            ownership: self.ownership,
            is_private: false,
            cancels_waiting: false,
        }
    }
}

/// A patient or prescriber without a home store, as central writes it.
fn homeless(row: Option<Row>, key: VisibleKey) -> Applied {
    Applied {
        effect: Effect::Write,
        row,
        scopes: vec![Scope::Visible],
        visible_key: Some(key),
        store: None,
        parent: None,
        ownership: OwnershipNumber(0),
        is_private: false,
        cancels_waiting: false,
    }
}

pub(super) fn noun_of(table: &Table) -> &'static str {
    if table.name() == NAME_TABLE { "patient" } else { "prescriber" }
}

/// The home of a record that is or was here: its patient's, or by the store that is kept beside it if the patient is gone.
fn home_of_stored<V: View>(
    view: &mut V,
    names: &Table,
    found: &Found,
    patient: Option<&RecordId>,
) -> Result<Option<PatientHome>, V::Error> {
    // Its own store column is where it was made, and no home store.
    let kept = match found {
        Found::Here { store, .. } | Found::Deleted { store } => store.clone(),
        Found::Unknown => None,
    };
    let Some(patient) = patient else { return Ok(kept.map(PatientHome::plain)) };
    Ok(match view.record(names.reference(), patient)? {
        Found::Here { row, store: Some(store) } => Some(PatientHome::of(&row, store)),
        // It may have had another home store than when the record was written.
        Found::Deleted { store: Some(store) } => Some(PatientHome::plain(store)),
        _ => kept.map(PatientHome::plain),
    })
}
