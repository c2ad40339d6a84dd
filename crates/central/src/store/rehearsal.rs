//! What a change would bring to which site, without the change: it is carried out as ever, looked at, and undone.
//!
//! What a site comes to receive stands in lanes already, so that counting the rows of those that it gains, and of the names and stores that
//! it comes to see, says how much would come. Bytes are those of the records' data as central keeps it; what travels is packed, and takes a
//! fraction of it. What a site loses goes from it unless it has it by something else still.

use std::collections::BTreeMap;

use domain::scope::Scope;
use protocol::ids::{ScopeId, SiteId};
use sql::SqlExt;

use super::batch::Batch;
use super::error::StoreError;

/// Names and stores of which one forecast counts the records at most: the look-ups of a second or so, while nobody else writes.
pub const SIGHTS_COUNTED_MAX: usize = 20_000;

/// What would come to sites, and go from them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forecast {
    /// Sites that receive something else than before, by id.
    pub sites: Vec<SiteForecast>,
    /// Whether there are more names and stores than [`SIGHTS_COUNTED_MAX`], so that not all is counted.
    pub is_cut: bool,
}

/// The same of one site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteForecast {
    /// The site.
    pub site: SiteId,
    /// Its name.
    pub name: String,
    /// What it would receive.
    pub comes: Vec<Flow>,
    /// What it would receive no more.
    pub goes: Vec<Flow>,
}

/// Records that go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// A scope as people read it, or how many names and stores are seen.
    pub what: String,
    /// Records.
    pub records: u64,
    /// Bytes of their data, before packing.
    pub bytes: u64,
}

/// What has changed since a rehearsal began.
#[derive(Debug, Default)]
pub(super) struct Rehearsal {
    /// What sites received before, of those that receive something else.
    scopes_before: BTreeMap<SiteId, Vec<ScopeId>>,
    /// Names and stores that a site sees now and did not, or the other way round.
    sights: BTreeMap<SiteId, BTreeMap<String, bool>>,
}

impl Rehearsal {
    pub(super) fn note_scopes(&mut self, site: SiteId, before: &[ScopeId]) {
        self.scopes_before.entry(site).or_insert_with(|| before.to_vec());
    }

    pub(super) fn note_sight(&mut self, site: SiteId, key: &str, sees: bool) {
        let sights = self.sights.entry(site).or_default();
        // What is as it was before is no news.
        if sights.remove(key).is_none() {
            sights.insert(key.to_owned(), sees);
        }
    }
}

impl Batch<'_> {
    /// Carries out a change, says what it would bring, and undoes it.
    ///
    /// # Errors
    /// Those of the change.
    pub fn rehearse<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<(T, Forecast), StoreError> {
        self.sql.savepoint("rehearsal")?;
        self.state.rehearsal = Some(Rehearsal::default());
        let outcome = work(self).and_then(|value| Ok((value, self.forecast()?)));
        self.sql.rollback_to("rehearsal").and_then(|()| self.sql.release("rehearsal"))?;
        // Whatever was changed meanwhile is in memory too.
        self.state.has_new_layout = true;
        self.state.undo(self.sql)?;
        self.state.rehearsal = None;
        outcome
    }

    fn forecast(&mut self) -> Result<Forecast, StoreError> {
        let Rehearsal { scopes_before, mut sights } = self.state.rehearsal.take().unwrap_or_default();
        let mut forecast = Forecast::default();
        let mut counted = 0;
        let sites: std::collections::BTreeSet<SiteId> =
            scopes_before.keys().chain(sights.keys()).copied().filter(|site| *site != SiteId::CENTRAL).collect();
        for site in sites {
            let Some(row) = self.reading().site(site)?.filter(|row| row.deleted_ms.is_none()) else { continue };
            let (mut comes, mut goes) = (Vec::new(), Vec::new());
            if let Some(before) = scopes_before.get(&site) {
                let after = self.state.scopes_of(site);
                for scope in after.iter().filter(|scope| !before.contains(scope)) {
                    comes.extend(self.flow_of_scope(scope)?);
                }
                for scope in before.iter().filter(|scope| !after.contains(scope)) {
                    goes.extend(self.flow_of_scope(scope)?);
                }
            }
            let (mut seen, mut unseen) = (Sum::default(), Sum::default());
            for (key, sees) in sights.remove(&site).unwrap_or_default() {
                counted += 1;
                if counted > SIGHTS_COUNTED_MAX {
                    forecast.is_cut = true;
                    break;
                }
                self.add_key(&key, if sees { &mut seen } else { &mut unseen })?;
            }
            comes.extend(seen.flow("comes to see"));
            goes.extend(unseen.flow("sees no more"));
            if !comes.is_empty() || !goes.is_empty() {
                forecast.sites.push(SiteForecast { site, name: row.name, comes, goes });
            }
        }
        Ok(forecast)
    }

    /// All records of a scope; none of the lanes of which a site is given what it sees.
    fn flow_of_scope(&mut self, scope: &ScopeId) -> Result<Option<Flow>, StoreError> {
        let known = Scope::from_id(scope);
        if matches!(known, Scope::Visible | Scope::Gained(_)) {
            return Ok(None);
        }
        let mut flow = Flow { what: known.to_string(), records: 0, bytes: 0 };
        if let Some(number) = self.state.scopes.get(scope).copied() {
            let sql = "SELECT count(*), CAST(coalesce(sum(octet_length(record.data)), 0) AS bigint)
                 FROM lane JOIN record ON record.number = lane.record WHERE lane.scope = ?1 AND lane.is_tombstone = 0";
            let found = self.sql.query_one(sql, &[number.into()], |row| Ok((row.unsigned(0)?, row.unsigned(1)?)))?;
            (flow.records, flow.bytes) = found.unwrap_or_default();
        }
        Ok(Some(flow))
    }

    fn add_key(&mut self, key: &str, sum: &mut Sum) -> Result<(), StoreError> {
        let Some(number) = self.state.scopes.get(&Scope::Visible.to_id()).copied() else { return Ok(()) };
        let sql = "SELECT count(*), CAST(coalesce(sum(octet_length(record.data)), 0) AS bigint)
             FROM lane JOIN record ON record.number = lane.record
             WHERE lane.visible_key = ?1 AND lane.scope = ?2 AND lane.is_tombstone = 0";
        let found =
            self.sql.query_one(sql, &[key.into(), number.into()], |row| Ok((row.unsigned(0)?, row.unsigned(1)?)))?;
        let (records, bytes) = found.unwrap_or_default();
        sum.keys += 1;
        sum.records += records;
        sum.bytes += bytes;
        Ok(())
    }
}

/// Records by the names and stores that they hang on.
#[derive(Default)]
struct Sum {
    keys: u64,
    records: u64,
    bytes: u64,
}

impl Sum {
    fn flow(self, verb: &str) -> Option<Flow> {
        let keys = crate::wording::count(self.keys, "name, store or other key", "names, stores and other keys");
        let flow = Flow { what: format!("{keys} that it {verb}"), records: self.records, bytes: self.bytes };
        (self.records > 0).then_some(flow)
    }
}
