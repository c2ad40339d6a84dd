//! Merges of patients and of prescribers: written where both home stores are active, else by whoever writes central data (`domain.md`,
//! "Merging"; seed 000, "Patients"). No dispensary is asked for: nothing is said of a patient but that it is another one.

use protocol::ids::{OwnershipNumber, RecordId, TableRef};
use protocol::row::Row;

use super::patients::{Step, noun_of};
use super::{Applied, Case, Found, Holding, RefusalCode, Verdict, View};
use crate::authority::Authority;
use crate::catalogue::Table;
use crate::home_transfer::PatientHome;
use crate::merge;
use crate::scope::Scope;
use crate::visibility::VisibleKey;

/// The homes of the record that goes and of the one that stays; `None` only where a merge is undone whose record is gone.
struct Homes {
    from: Option<PatientHome>,
    into: Option<PatientHome>,
}

impl Case<'_> {
    /// `merged`: the table of the records. `found` and `after` have the columns' numbers.
    pub(super) fn judge_home_merge<V: View>(
        &self,
        view: &mut V,
        merged: &TableRef,
        found: &Found,
        after: Option<Row>,
    ) -> Result<Verdict, V::Error> {
        let Some(names) = self.catalogue.table(merged) else {
            return Ok(self.refused(RefusalCode::NotSupported, "merges records of a table that this catalogue has not"));
        };
        let homes = match self.homes(view, names, found, after.as_ref())? {
            Ok(homes) => homes,
            Err(verdict) => return Ok(verdict),
        };
        let ownership = match self.right_to_merge(view, names, &homes)? {
            Ok(ownership) => ownership,
            Err(verdict) => return Ok(verdict),
        };
        let effect = match self.judge_merge(view, merged, found, after.as_ref(), None)? {
            Ok(effect) => effect,
            Err(refusal) => return Ok(Verdict::Refuse(refusal)),
        };
        let from = self.entry.record.clone();
        Ok(Verdict::Accept(Applied {
            effect,
            parent: after.as_ref().map(|_| (merged.clone(), from.clone())),
            row: after,
            scopes: vec![Scope::Visible],
            visible_key: Some(VisibleKey::of_home(names, &from)),
            store: homes.from.map(|home| home.store),
            ownership,
            is_private: false,
            cancels_waiting: false,
        }))
    }

    /// Who goes and who stays must be there to be merged. A merge is undone also where one of them was deleted: of the one that goes the
    /// store is kept with the merge, of the one that stays a device knows nothing any more, and it does not count.
    fn homes<V: View>(&self, view: &mut V, names: &Table, found: &Found, after: Option<&Row>) -> Step<Homes, V::Error> {
        let from = &self.entry.record;
        let Some(row) = after else {
            let (into, kept) = match found {
                Found::Here { row, store } => (merge::into_of(self.table, row).ok(), store.clone()),
                Found::Unknown | Found::Deleted { .. } => (None, None),
            };
            let into = into.map(|into| home_here(view, names, &into)).transpose()?.flatten();
            let from = home_here(view, names, from)?.or_else(|| kept.map(PatientHome::plain));
            return Ok(Ok(Homes { from, into }));
        };
        let mut homes = Homes { from: None, into: None };
        let into = merge::into_of(self.table, row).ok();
        for (home, id) in [(&mut homes.from, Some(from)), (&mut homes.into, into.as_ref())] {
            // A row that names none is refused for that.
            let Some(id) = id else { continue };
            match self.home_of(view, names, id)? {
                Ok(Some(found)) => *home = Some(found),
                Ok(None) => return Ok(Err(self.without_home(names, id))),
                Err(Verdict::Refuse(refusal)) => return Ok(Err(self.not_there(names, id, refusal.code))),
                Err(verdict) => return Ok(Err(verdict)),
            }
        }
        Ok(Ok(homes))
    }

    fn not_there(&self, names: &Table, id: &RecordId, code: RefusalCode) -> Verdict {
        let state = if code == RefusalCode::HeaderDeleted { "was deleted" } else { "is not here" };
        let what = format!("needs {} {id}, which {state}; both records must be there to be merged", names.name());
        self.refused(RefusalCode::MergeRecordMissing, &what)
    }

    fn without_home(&self, names: &Table, id: &RecordId) -> Verdict {
        let what = format!("would merge {} {id}, which is no {}: it has no home store", names.name(), noun_of(names));
        self.refused(RefusalCode::NotAPatient, &what)
    }

    /// The number under which the author may write the merge.
    fn right_to_merge<V: View>(&self, view: &mut V, names: &Table, homes: &Homes) -> Step<OwnershipNumber, V::Error> {
        let mut held = |home: &Option<PatientHome>| -> Result<Option<Holding>, V::Error> {
            home.as_ref().map_or(Ok(None), |home| view.holding(&home.store))
        };
        let (from, into) = (held(&homes.from)?, held(&homes.into)?);
        let noun = noun_of(names);
        // A device knows only what it holds itself.
        if let (Some(home), Some(holding)) = (&homes.from, from)
            && (homes.into.is_none() || into.is_some_and(|into| into.site == holding.site))
        {
            if holding.site == self.author {
                return Ok(self.number_at_home(home, holding).map_err(Verdict::Refuse));
            }
            let what = format!(
                "merges two {noun}s whose home stores are active at site {}, which merges them itself",
                holding.site
            );
            return Ok(Err(self.refused(RefusalCode::NotHomeSite, &what)));
        }
        let authority = view.authority()?;
        Ok(self.by_authority(authority).map_err(|refusal| {
            let writer = match authority {
                Authority::Frozen(_) => return Verdict::Refuse(refusal),
                Authority::Primary(holding) => format!("the primary, site {}, merges them", holding.site),
                Authority::Central => "central merges them, or the primary of a mirrored system".to_owned(),
            };
            let store = |home: &Option<PatientHome>| match home {
                Some(home) => format!("store {}", home.store),
                None => "none".to_owned(),
            };
            let what = format!(
                "merges {noun}s whose home stores, {} and {}, are not both active at site {}; {writer}",
                store(&homes.from),
                store(&homes.into),
                self.author
            );
            self.refused(RefusalCode::NotHomeSite, &what)
        }))
    }
}

/// The home of a record that is here.
fn home_here<V: View>(view: &mut V, names: &Table, id: &RecordId) -> Result<Option<PatientHome>, V::Error> {
    Ok(match view.record(names.reference(), id)? {
        Found::Here { row, store: Some(store) } => Some(PatientHome::of(&row, store)),
        Found::Here { .. } | Found::Deleted { .. } | Found::Unknown => None,
    })
}
