//! Why a record is where it is: its lanes, who reads them, and who has not come so far.

use std::ops::ControlFlow;

use domain::catalogue::DataType;
use domain::json;
use domain::message::{Parties, Status};
use domain::procurement::Purchaser;
use domain::scope::Scope;
use domain::store::NAME_TABLE;
use domain::visibility::{VisibleKey, is_join, joined_column};
use protocol::ids::{OwnershipNumber, Position, RecordId, SiteId};
use sql::{Param, SqlExt};

use super::error::StoreError;
use super::kept::KeptEntries;
use super::merging::MergedRecord;
use super::reading::{Reading, RecordRow};
use super::records::damaged_record;
use super::sights::Sight;
use super::visibility::keys_of_lane;
use super::{text, unsigned};

/// Sites that are named of those that receive a record, and of those that have not read a lane as far as it; the others are counted.
pub const SITES_NAMED_MAX: usize = 20;

/// What is known of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The record, also a deleted one; `None` if it never came to central.
    pub record: Option<RecordRow>,
    /// Which site holds its store, and under which number; `None` if it belongs to none, or to one that never left central.
    pub holder: Option<(SiteId, OwnershipNumber)>,
    /// Between whom it goes, if it is a message that is here.
    pub message: Option<MessageStanding>,
    /// What it stands for, if it was merged.
    pub merged: Option<MergedRecord>,
    /// Whether it is the visibility of a patient.
    pub is_of_patient: bool,
    /// Its home, if it is a patient, a prescriber or hangs on a patient.
    pub home: Option<HomeStanding>,
    /// Who writes it, if it is a purchase order or a line of one.
    pub purchaser: Option<Purchaser>,
    /// The lanes that it stands in.
    pub lanes: Vec<LaneStanding>,
    /// Entries for it that are not part of the records.
    pub kept: KeptEntries,
}

/// Where what has a home store is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeStanding {
    /// The home store.
    pub store: RecordId,
    /// The site where it is active.
    pub site: SiteId,
    /// Whether a dispensary is active there too; without one nobody may write it (rule 5.13).
    pub has_dispensary: bool,
}

/// Between whom a message goes, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageStanding {
    /// Who sends it.
    pub sender: MessageEnd,
    /// Who receives it, and alone sets it to processed.
    pub receiver: MessageEnd,
    /// Whether the receiver has dealt with it.
    pub is_processed: bool,
}

/// One end of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageEnd {
    /// The store; `None`: central.
    pub store: Option<RecordId>,
    /// The site that holds it, and under which number. A store that was never given away is central's own.
    pub holder: (SiteId, OwnershipNumber),
}

/// A lane that a record stands in, and who reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneStanding {
    /// Who receives it.
    pub scope: Scope,
    /// What a site has to see to be given it out of that lane.
    pub visible_key: Option<VisibleKey>,
    /// Where.
    pub position: Position,
    /// Whether it says that the record is gone from the scope.
    pub is_tombstone: bool,
    /// Sites that receive the scope.
    pub sites: u64,
    /// Those of them that have not read so far.
    pub sites_behind: u64,
    /// The first of these, at most [`SITES_NAMED_MAX`].
    pub behind: Vec<(SiteId, String)>,
    /// The first of those that receive the scope, at most as many.
    pub receivers: Vec<Receiver>,
}

/// A site that receives a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// The site.
    pub site: SiteId,
    /// Its name.
    pub name: String,
    /// Whether it has read as far as the record, or wrote it.
    pub has_read: bool,
    /// Why it receives it, where that differs from site to site.
    pub sights: Vec<Sight>,
    /// Whether there are more reasons than these.
    pub has_more_sights: bool,
}

impl Reading<'_> {
    /// What is known of a record. `table` is the catalogue's name.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn explain(&mut self, table: &str, id: &RecordId) -> Result<Explained, StoreError> {
        let record = self.record(table, id)?;
        // A store's own record belongs to central; who holds the store is what people want to know of it.
        let store = match &record {
            Some(row) => row.store.clone().or_else(|| (table == domain::store::STORE_TABLE).then(|| id.clone())),
            None => None,
        };
        let key: [Param<'_>; 2] = [table.into(), id.as_str().into()];
        let holder = match &store {
            Some(store) => self.holder_of(store)?,
            None => None,
        };
        let message = match record.as_ref().and_then(|row| row.data.as_deref()) {
            Some(data) => self.message_standing(table, id, data)?,
            None => None,
        };
        let lanes = self.lanes_of_record(table, id)?;
        let merged = self.merged(table, id)?;
        let kept = self.kept_entries(
            &key,
            "waiting.table_name = ?1 AND waiting.record = ?2",
            "entry.table_name = ?1 AND entry.record = ?2",
        )?;
        let is_of_patient = self.is_join_of_patient(table, record.as_ref())?;
        let purchaser = match &record {
            Some(record) => self.purchaser_of(table, record)?,
            None => None,
        };
        let home = match record.as_ref().and_then(|record| self.home_of_record(table, record)) {
            Some(store) => {
                let site = self.holder_of(&store)?.map_or(SiteId::CENTRAL, |(site, _)| site);
                Some(HomeStanding { store, site, has_dispensary: self.has_dispensary(site)? })
            }
            None => None,
        };
        Ok(Explained { record, holder, message, merged, is_of_patient, home, purchaser, lanes, kept })
    }

    /// The home store of a record, which is the store beside what is of a patient or prescriber, but for merges, that are of two.
    fn home_of_record(&self, table: &str, record: &RecordRow) -> Option<RecordId> {
        let table = self.catalogue.table_by_name(table).ok().filter(|table| table.merges().is_none())?;
        let row = record.data.as_deref().and_then(|data| json::row_from_json(table, &record.id, data).ok());
        let data_type = row.map_or(table.data_type(), |row| table.data_type_of(&row));
        // Of the names that were deleted patients alone have a store.
        let is_housed = data_type == DataType::Patient || table.name() == NAME_TABLE;
        record.store.clone().filter(|_| is_housed)
    }

    fn is_join_of_patient(&mut self, table: &str, record: Option<&RecordRow>) -> Result<bool, StoreError> {
        let joins = self.catalogue.table_by_name(table).ok().filter(|table| is_join(table));
        let (Some(joins), Some(RecordRow { id, data: Some(data), .. })) = (joins, record) else { return Ok(false) };
        let row = json::row_from_json(joins, id, data).map_err(|error| damaged_record(joins, id, &error))?;
        let Ok(name) = joins.id_in(&row, joined_column(joins)) else { return Ok(false) };
        self.is_patient(&name)
    }

    fn message_standing(
        &mut self,
        table: &str,
        id: &RecordId,
        data: &str,
    ) -> Result<Option<MessageStanding>, StoreError> {
        let Ok(table) = self.catalogue.table_by_name(table) else { return Ok(None) };
        if table.data_type() != DataType::Message {
            return Ok(None);
        }
        let row = json::row_from_json(table, id, data).map_err(|error| damaged_record(table, id, &error))?;
        let Ok(Parties { sender, receiver }) = Parties::of(table, &row) else { return Ok(None) };
        let is_processed = Status::of(table, &row) == Some(Status::Processed);
        Ok(Some(MessageStanding {
            sender: self.message_end(sender)?,
            receiver: self.message_end(receiver)?,
            is_processed,
        }))
    }

    fn message_end(&mut self, store: Option<RecordId>) -> Result<MessageEnd, StoreError> {
        let holder = match &store {
            Some(store) => self.holder_of(store)?,
            None => None,
        };
        Ok(MessageEnd { store, holder: holder.unwrap_or((SiteId::CENTRAL, OwnershipNumber(0))) })
    }

    pub(super) fn holder_of(&mut self, store: &RecordId) -> Result<Option<(SiteId, OwnershipNumber)>, StoreError> {
        let sql = "SELECT site, ownership FROM store_site WHERE store = ?1";
        let read = |row: &dyn sql::Row| Ok((text::site(row, 0)?, OwnershipNumber(text::small(row, 1)?)));
        Ok(self.sql.query_one(sql, &[store.as_str().into()], read)?)
    }

    fn lanes_of_record(&mut self, table: &str, id: &RecordId) -> Result<Vec<LaneStanding>, StoreError> {
        let mut lanes = Vec::new();
        self.sql.query(
            "SELECT scope.id, lane.position, lane.is_tombstone, coalesce(journal.site, 0), lane.visible_key
             FROM record JOIN lane ON lane.record = record.number JOIN scope ON scope.number = lane.scope
                LEFT JOIN journal ON journal.number = lane.echo_journal
             WHERE record.table_name = ?1 AND record.id = ?2 ORDER BY scope.number",
            &[table.into(), id.as_str().into()],
            &mut |row| {
                let position = row.unsigned(1)?;
                let key = row.optional_text(4)?.and_then(VisibleKey::from_text);
                lanes.push((text::scope(row, 0)?, position, row.integer(2)? != 0, row.integer(3)?, key));
                Ok(ControlFlow::Continue(()))
            },
        )?;
        let mut standings = Vec::with_capacity(lanes.len());
        for (scope_id, position, is_tombstone, author, visible_key) in lanes {
            let mut standing = LaneStanding {
                scope: Scope::from_id(&scope_id),
                visible_key,
                position: Position(position),
                is_tombstone,
                sites: 0,
                sites_behind: 0,
                behind: Vec::new(),
                receivers: Vec::new(),
            };
            self.read_receivers(&mut standing, scope_id.as_bytes(), author)?;
            self.read_sights(&mut standing)?;
            standings.push(standing);
        }
        Ok(standings)
    }

    /// Counts and names who receives a scope, and who has not read as far as the record. Whoever wrote it has it.
    fn read_receivers(&mut self, standing: &mut LaneStanding, scope: &[u8], author: i64) -> Result<(), StoreError> {
        let receives = match &standing.scope {
            Scope::AllSites => "?2 = ?2",
            Scope::DispensarySites => {
                "?2 = ?2 AND site.id IN (SELECT store_site.site FROM store_site JOIN dispensary ON dispensary.store = store_site.store
                    UNION SELECT site FROM site_sees WHERE visible_key = '*')"
            }
            Scope::Store(_) => {
                "site.id IN (SELECT site FROM store_site WHERE store = ?2
                    UNION SELECT site FROM store_role WHERE store = ?2 AND is_in_force = 1)"
            }
            Scope::Visible => {
                concat!(
                    "site.id IN (SELECT site_sees.site FROM site_sees JOIN lane ON site_sees.visible_key IN ",
                    keys_of_lane!(),
                    " JOIN scope ON scope.number = lane.scope
                    WHERE scope.id = ?1 AND lane.position = ?4) AND ?2 = ?2"
                )
            }
            Scope::StorePartners(_) => "site.id IN (SELECT site FROM store_site WHERE store = ?2)",
            // Of these only the site knows whose it is.
            Scope::Gained(_) | Scope::Unknown(_) => return Ok(()),
        };
        let store = match &standing.scope {
            Scope::Store(store) | Scope::StorePartners(store) => store.as_str(),
            _ => "",
        };
        let sql = format!(
            "SELECT site.id, site.name, coalesce(site_cursor.number, 0)
             FROM site LEFT JOIN site_cursor ON site_cursor.site = site.id AND site_cursor.scope = ?1
             WHERE site.id > ?3 AND site.deleted_ms IS NULL AND ?4 = ?4 AND {receives} ORDER BY site.id"
        );
        let params: [Param<'_>; 4] =
            [scope.into(), store.into(), unsigned(u64::from(SiteId::CENTRAL.0)), unsigned(standing.position.0)];
        let position = standing.position.0;
        self.sql.query(&sql, &params, &mut |row| {
            standing.sites += 1;
            let has_read = row.unsigned(2)? >= position || row.integer(0)? == author;
            if !has_read {
                standing.sites_behind += 1;
                if standing.behind.len() < SITES_NAMED_MAX {
                    standing.behind.push((text::site(row, 0)?, row.text(1)?.to_owned()));
                }
            }
            if standing.receivers.len() < SITES_NAMED_MAX {
                let (site, name) = (text::site(row, 0)?, row.text(1)?.to_owned());
                standing.receivers.push(Receiver { site, name, has_read, sights: Vec::new(), has_more_sights: false });
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(())
    }

    /// Why each of the named sites receives a scope that is not for all alike.
    fn read_sights(&mut self, standing: &mut LaneStanding) -> Result<(), StoreError> {
        for receiver in &mut standing.receivers {
            match (&standing.scope, &standing.visible_key) {
                (Scope::Store(store), _) => receiver.sights = self.sights_of_data(receiver.site, store)?,
                (Scope::Visible, Some(key)) => {
                    (receiver.sights, receiver.has_more_sights) = self.sights(receiver.site, key)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
