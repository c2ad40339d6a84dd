//! What the writer keeps in memory: the head, who holds which store, scopes by number, and the sites that were busy lately.
//! All of it is in the database too; after a failure it is read again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use domain::judge::Holding;
use domain::scope::Scope;
use protocol::chain;
use protocol::ids::{
    CredentialGeneration, Epoch, Hash, JournalId, OwnershipNumber, Position, RecordId, ScopeId, Sequence, SiteId,
};
use protocol::message::Cursor;
use sql::{Row, Sql, SqlExt};

use super::error::StoreError;
use super::holdings::Holdings;
use super::mirror::Mirror;
use super::moves::StoreMove;
use super::news::Concerned;
use super::pausing::Pause;
use super::prescriptions::{ARE_SHARED, SHARED_BEHIND};
use super::rehearsal::Rehearsal;
use super::tombstones::load_floors;
use super::transfers::Following;
use super::{StartEntropy, text, unsigned};

/// See the module.
#[derive(Debug)]
pub(super) struct State {
    pub(super) epoch: Epoch,
    /// Central's head, with what the open batch gave.
    pub(super) position: u64,
    pub(super) position_stored: u64,
    pub(super) holdings: Holdings,
    /// Stores on their way between sites.
    pub(super) moves: BTreeMap<RecordId, StoreMove>,
    pub(super) mirror: Mirror,
    /// Stores that serve patients.
    pub(super) dispensaries: BTreeSet<RecordId>,
    /// Whether prescriptions go where their patient is visible.
    pub(super) are_prescriptions_shared: bool,
    /// Central's head when prescriptions came to be shared, as long as some of before are not in the common lane.
    pub(super) prescriptions_shared_behind: Option<u64>,
    /// Collector copies in force.
    collectors: BTreeMap<SiteId, BTreeSet<RecordId>>,
    /// Set while central makes or takes back a join that answers another.
    pub(super) makes_reverse: bool,
    pub(super) scopes: BTreeMap<ScopeId, i64>,
    /// Position of the last tombstone that went out of each lane, where one did.
    pub(super) floors: BTreeMap<ScopeId, u64>,
    /// Numbers of the scopes that are a site's own, with the site.
    pub(super) gained: BTreeMap<i64, SiteId>,
    pub(super) sites: BTreeMap<SiteId, SiteState>,
    /// Those of them that the open job was given, and so may have changed.
    pub(super) touched: BTreeSet<SiteId>,
    /// Numbers of the scopes of stores as their partners see them, with the store.
    pub(super) partners: BTreeMap<i64, RecordId>,
    /// What transfers have to follow.
    pub(super) transfers: Following,
    /// Set by the first change of holdings, dispensaries or scopes that is not committed.
    pub(super) has_new_layout: bool,
    /// Entries that wait for headers, of all sites.
    pub(super) waiting: u64,
    /// Set while entries are judged once more, because something that could not be read undid the first try: each group for itself.
    pub(super) is_careful: bool,
    /// What has changed, while a change is only rehearsed.
    pub(super) rehearsal: Option<Rehearsal>,
    /// Sites that have not reported since central was set back; `None` where it has to be counted.
    pub(super) unreported_sites: Option<u64>,
    /// Whom what is not told yet may have given something.
    pub(super) concerned: Concerned,
}

/// One site, as the writer needs it at hand.
#[derive(Debug, Clone)]
pub(super) struct SiteState {
    /// Whether a device speaks for it.
    pub(super) is_enrolled: bool,
    /// When it was deleted, in milliseconds since 1970.
    pub(super) deleted_ms: Option<u64>,
    /// Why it does not sync although nothing is wrong with it; one that is over may stand here still.
    pub(super) pause: Option<Pause>,
    /// Of the name and password that count.
    pub(super) generation: CredentialGeneration,
    /// Last control row that was given.
    pub(super) control_last: u64,
    pub(super) control_stored: u64,
    /// See the module `claims`.
    pub(super) grants_told: Option<u64>,
    /// Its entries that wait for headers.
    pub(super) waiting: u64,
    pub(super) journal: Option<Journal>,
    /// Set while an older journal has entries without a verdict.
    pub(super) has_unjudged_journal: bool,
    /// As the site last reported them.
    pub(super) cursors: BTreeMap<ScopeId, Cursor>,
    /// What it receives.
    pub(super) scopes: Vec<ScopeId>,
    /// Up to here rows of its own lane are gone.
    pub(super) gained_floor: u64,
    /// Whether changes of what it sees wait to be carried out for it.
    pub(super) has_backfill: bool,
    /// Whether patients of its stores may be on their way to other home stores.
    pub(super) has_home_transfers: bool,
    /// What it does not receive any more, or receives anew, and the control row that says so.
    pub(super) drops: BTreeMap<ScopeId, u64>,
}

/// One journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Journal {
    pub(super) number: i64,
    pub(super) id: JournalId,
    pub(super) is_active: bool,
    pub(super) genesis: Hash,
    pub(super) received: Sequence,
    pub(super) received_hash: Hash,
    pub(super) judged: Sequence,
    /// The log begins above it.
    pub(super) floor: Sequence,
    /// Set while a group that is too large goes on.
    pub(super) is_refusing_group: bool,
    /// Entries up to here the device may not have any more (rule 5.15).
    pub(super) echo_after: Sequence,
    /// The receipt of the last reply.
    pub(super) told: Sequence,
    /// The receipt that the device is known to have heard: what is above it may come again.
    pub(super) heard: Sequence,
    /// How far it was received when another took its place; what came since is in set-aside. `None` while it is in use.
    pub(super) closed_at: Option<Sequence>,
    /// No entry above it came with a verdict of before central was set back.
    pub(super) refused_before: Sequence,
    pub(super) is_changed: bool,
}

/// What [`Journal::read`] reads.
pub(super) const JOURNAL_COLUMNS: &str = "number, id, is_active, genesis, received, received_hash, judged, floor, is_refusing_group, echo_after, told, heard, closed_at, refused_before";

/// Begins an epoch, and central's own site and journal if the database is new.
pub(super) fn start(sql: &mut (dyn Sql + '_), entropy: StartEntropy, now_ms: u64) -> Result<(), StoreError> {
    let first = position(sql)? + 1;
    // Epoch 0 stands for "never read" in a cursor.
    let epoch = entropy.epoch.0.max(1);
    let last = sql.query_integer("SELECT max(number) FROM epoch", &[])?.unwrap_or(0);
    sql.execute(
        "INSERT INTO epoch (number, epoch, first_number, started_ms) VALUES (?1, ?2, ?3, ?4)",
        &[(last + 1).into(), epoch.cast_signed().into(), unsigned(first), unsigned(now_ms)],
    )?;
    let central = SiteId::CENTRAL;
    sql.execute(
        "INSERT INTO site (id, name, code, kind, password_hash, generation, control_last)
         VALUES (?1, 'central', '', 'central', '', 0, 0) ON CONFLICT (id) DO NOTHING",
        &[central.0.into()],
    )?;
    give_salts(sql, entropy)?;
    let own = sql.query_integer("SELECT number FROM journal WHERE site = ?1 AND is_active = 1", &[central.0.into()])?;
    if own.is_none() {
        let genesis = chain::genesis(central, entropy.journal, None);
        insert_journal(sql, central, entropy.journal, genesis, None)?;
    }
    Ok(())
}

/// A site of an older store has no salt yet. Central's own is the secret behind the salts of names that it does not know: it lies
/// here and comes from no key, so that a copy of central for tests, which has another key, tells the same of known names and of
/// others.
fn give_salts(sql: &mut (dyn Sql + '_), entropy: StartEntropy) -> Result<(), StoreError> {
    let secret = chain::hash_of(&[&entropy.token_secret[..], &entropy.journal.0].concat());
    sql.execute(
        "UPDATE site SET salt = ?2 WHERE id = ?1 AND salt IS NULL",
        &[SiteId::CENTRAL.0.into(), secret.0.first_chunk::<16>().expect("a hash has 32 bytes").into()],
    )?;
    let mut without = Vec::new();
    sql.query("SELECT id FROM site WHERE salt IS NULL AND id > ?1", &[SiteId::CENTRAL.0.into()], &mut |row| {
        without.push(text::small(row, 0)?);
        Ok(ControlFlow::Continue(()))
    })?;
    for site in without {
        let hash = chain::genesis(SiteId(site), entropy.journal, None);
        let salt = hash.0.first_chunk::<16>().expect("a hash has 32 bytes");
        sql.execute("UPDATE site SET salt = ?2 WHERE id = ?1", &[site.into(), salt.into()])?;
    }
    Ok(())
}

/// Whether entries of a closed journal of a site lack a verdict.
pub(super) fn has_unjudged_journal(sql: &mut (dyn Sql + '_), site: SiteId) -> Result<bool, StoreError> {
    let found = sql.query_integer(
        "SELECT 1 FROM journal WHERE site = ?1 AND is_active = 0 AND judged < closed_at LIMIT 1",
        &[site.0.into()],
    )?;
    Ok(found.is_some())
}

/// Adds a journal that has nothing yet.
pub(super) fn insert_journal(
    sql: &mut (dyn Sql + '_),
    site: SiteId,
    id: JournalId,
    genesis: Hash,
    predecessor: Option<&[u8]>,
) -> Result<Journal, StoreError> {
    let number = sql.query_integer("SELECT max(number) FROM journal", &[])?.unwrap_or(0) + 1;
    sql.execute(
        "INSERT INTO journal
            (number, site, id, is_active, genesis, received, received_hash, judged, floor, is_refusing_group, predecessor)
         VALUES (?1, ?2, ?3, 1, ?4, 0, ?4, 0, 0, 0, ?5)",
        &[number.into(), site.0.into(), (&id.0).into(), (&genesis.0).into(), predecessor.into()],
    )?;
    Ok(Journal {
        number,
        id,
        is_active: true,
        genesis,
        received: Sequence::ZERO,
        received_hash: genesis,
        judged: Sequence::ZERO,
        floor: Sequence::ZERO,
        is_refusing_group: false,
        echo_after: Sequence::ZERO,
        told: Sequence::ZERO,
        heard: Sequence::ZERO,
        closed_at: None,
        refused_before: Sequence::ZERO,
        is_changed: false,
    })
}

/// Central's head as it is stored.
pub(super) fn position(sql: &mut (dyn Sql + '_)) -> Result<u64, StoreError> {
    let position = sql.query_one("SELECT value FROM counter WHERE name = 'position'", &[], |row| row.unsigned(0))?;
    position.ok_or_else(|| StoreError::Damaged("the counter of positions is gone".to_owned()))
}

/// The epoch of the last start.
pub(super) fn epoch(sql: &mut (dyn Sql + '_)) -> Result<Epoch, StoreError> {
    let epoch = sql.query_integer("SELECT epoch FROM epoch ORDER BY number DESC LIMIT 1", &[])?;
    epoch.map(|epoch| Epoch(epoch.cast_unsigned())).ok_or_else(|| StoreError::Damaged("there is no epoch".to_owned()))
}

fn count_waiting(sql: &mut (dyn Sql + '_)) -> Result<u64, StoreError> {
    Ok(sql.query_one("SELECT count(*) FROM waiting", &[], |row| row.unsigned(0))?.unwrap_or(0))
}

/// Whether a cursor lies within what this store's epochs gave (rule 5.12).
pub(super) fn contains(sql: &mut (dyn Sql + '_), cursor: &Cursor, head: u64) -> Result<bool, StoreError> {
    if *cursor == Cursor::default() {
        return Ok(true);
    }
    let range = sql.query_one(
        "SELECT (SELECT min(later.first_number) FROM epoch later WHERE later.number > this.number)
         FROM epoch this WHERE this.epoch = ?1",
        &[cursor.epoch.0.cast_signed().into()],
        |row| row.optional_unsigned(0),
    )?;
    let Some(next) = range else { return Ok(false) };
    // From below there is no bound: a lane that is read in an epoch begins with rows of earlier ones.
    let last = next.map_or(head, |next| next - 1);
    Ok(cursor.number.0 <= last && cursor.began.0 <= last)
}

impl State {
    /// Reads everything but the sites, which are read when they are needed.
    pub(super) fn load(sql: &mut (dyn Sql + '_)) -> Result<Self, StoreError> {
        let position = position(sql)?;
        let mut holdings = Holdings::default();
        sql.query("SELECT store, site, ownership FROM store_site", &[], &mut |row| {
            let holding = Holding { site: text::site(row, 1)?, ownership: OwnershipNumber(text::small(row, 2)?) };
            holdings.insert(text::record_id(row, 0)?, holding);
            Ok(ControlFlow::Continue(()))
        })?;
        let mut dispensaries = BTreeSet::new();
        sql.query("SELECT store FROM dispensary", &[], &mut |row| {
            dispensaries.insert(text::record_id(row, 0)?);
            Ok(ControlFlow::Continue(()))
        })?;
        let mut collectors: BTreeMap<SiteId, BTreeSet<RecordId>> = BTreeMap::new();
        sql.query("SELECT site, store FROM store_role WHERE is_in_force = 1", &[], &mut |row| {
            collectors.entry(text::site(row, 0)?).or_default().insert(text::record_id(row, 1)?);
            Ok(ControlFlow::Continue(()))
        })?;
        let mut scopes = BTreeMap::new();
        sql.query("SELECT id, number FROM scope", &[], &mut |row| {
            scopes.insert(text::scope(row, 0)?, row.integer(1)?);
            Ok(ControlFlow::Continue(()))
        })?;
        let own = |(scope, number): (&ScopeId, &i64)| match Scope::from_id(scope) {
            Scope::Gained(site) => Some((*number, site)),
            _ => None,
        };
        let gained = scopes.iter().filter_map(own).collect();
        let of_partners = |(scope, number): (&ScopeId, &i64)| match Scope::from_id(scope) {
            Scope::StorePartners(store) => Some((*number, store)),
            _ => None,
        };
        let partners = scopes.iter().filter_map(of_partners).collect();
        let waiting = count_waiting(sql)?;
        let counter = "SELECT value FROM counter WHERE name = ?1";
        let are_shared = sql.query_integer(counter, &[ARE_SHARED.into()])?;
        let shared_behind = sql.query_integer(counter, &[SHARED_BEHIND.into()])?;
        Ok(Self {
            epoch: epoch(sql)?,
            position,
            position_stored: position,
            holdings,
            moves: StoreMove::load_all(sql)?.into_iter().map(|moving| (moving.store.clone(), moving)).collect(),
            mirror: Mirror::load(sql)?,
            dispensaries,
            are_prescriptions_shared: are_shared == Some(1),
            prescriptions_shared_behind: shared_behind.map(i64::cast_unsigned),
            collectors,
            makes_reverse: false,
            scopes,
            floors: load_floors(sql)?,
            gained,
            partners,
            transfers: Following::load(sql)?,
            sites: BTreeMap::new(),
            touched: BTreeSet::new(),
            has_new_layout: false,
            waiting,
            is_careful: false,
            rehearsal: None,
            unreported_sites: None,
            concerned: Concerned::default(),
        })
    }

    /// Reads anew what a job that was undone may have changed. Refusals are common, so that does not take longer for every site that
    /// there is, unless something changed that rarely does.
    pub(super) fn undo(&mut self, sql: &mut (dyn Sql + '_)) -> Result<(), StoreError> {
        if self.has_new_layout {
            let loaded = Self::load(sql)?;
            let concerned = std::mem::take(&mut self.concerned);
            // What earlier jobs of the batch changed may still be undone with it.
            *self = Self { has_new_layout: true, is_careful: self.is_careful, concerned, ..loaded };
            return Ok(());
        }
        self.position = position(sql)?;
        self.position_stored = self.position;
        self.waiting = count_waiting(sql)?;
        self.transfers = Following::load(sql)?;
        self.unreported_sites = None;
        self.sites.clear();
        self.touched.clear();
        Ok(())
    }

    /// The next position (rule 5.12: one counter, one writer).
    pub(super) fn next_position(&mut self) -> Position {
        self.position += 1;
        Position(self.position)
    }

    /// What a site receives, as [`Scope::of_site`] says.
    pub(super) fn scopes_of(&self, site: SiteId) -> Vec<ScopeId> {
        let has_dispensary = self.has_dispensary(site) || self.mirror.fills(site);
        let gained = self.scopes.contains_key(&Scope::Gained(site).to_id()).then_some(site);
        Scope::of_site(self.stores_of(site).cloned(), self.collected_by(site).cloned(), has_dispensary, gained)
            .map(|scope| scope.to_id())
            .collect()
    }

    /// Stores that are active at a site.
    pub(super) fn stores_of(&self, site: SiteId) -> impl Iterator<Item = &RecordId> {
        self.holdings.of_site(site).map(|(store, _)| store)
    }

    /// Whether a dispensary is active at a site.
    pub(super) fn has_dispensary(&self, site: SiteId) -> bool {
        if site == SiteId::CENTRAL {
            return self.dispensaries.iter().any(|store| self.holdings.holder(store) == site);
        }
        self.stores_of(site).any(|store| self.dispensaries.contains(store))
    }

    /// Stores of which a site has all.
    pub(super) fn stores_on(&self, site: SiteId) -> impl Iterator<Item = &RecordId> {
        self.stores_of(site).chain(self.collected_by(site))
    }

    /// Stores of which a site has a collector copy.
    fn collected_by(&self, site: SiteId) -> impl Iterator<Item = &RecordId> {
        self.collectors.get(&site).into_iter().flatten()
    }

    /// Whether a site has a collector copy of a store.
    pub(super) fn collects(&self, site: SiteId, store: &RecordId) -> bool {
        self.collectors.get(&site).is_some_and(|stores| stores.contains(store))
    }

    pub(super) fn set_collects(&mut self, site: SiteId, store: &RecordId, collects: bool) {
        let stores = self.collectors.entry(site).or_default();
        if collects {
            stores.insert(store.clone());
        } else {
            stores.remove(store);
        }
        self.has_new_layout = true;
    }
}

impl SiteState {
    /// Reads a site; `None` if there is none of this id.
    pub(super) fn load(sql: &mut (dyn Sql + '_), state: &State, site: SiteId) -> Result<Option<Self>, StoreError> {
        let id = site.0.into();
        let found = sql.query_one(
            "SELECT control_last, public_key IS NOT NULL, generation, grants_told, gained_floor, deleted_ms, site_pause.since_ms,
                site_pause.until_ms
             FROM site LEFT JOIN site_pause ON site_pause.site = site.id WHERE id = ?1",
            &[id],
            |row| {
                let site = (row.unsigned(0)?, row.integer(1)? != 0, CredentialGeneration(text::small(row, 2)?));
                let lane = (row.optional_unsigned(3)?, row.unsigned(4)?);
                Ok((site, lane, row.optional_unsigned(5)?, Pause::read(row, 6)?))
            },
        )?;
        let Some((site_columns, (grants_told, gained_floor), deleted_ms, pause)) = found else { return Ok(None) };
        let (control_last, is_enrolled, generation) = site_columns;
        let waiting = sql.query_one("SELECT count(*) FROM waiting WHERE site = ?1", &[id], |row| row.unsigned(0))?;
        let sql_active = format!("SELECT {JOURNAL_COLUMNS} FROM journal WHERE site = ?1 AND is_active = 1");
        let journal = sql.query_one(&sql_active, &[id], Journal::read)?;
        let mut cursors = BTreeMap::new();
        sql.query("SELECT scope, epoch, number, began FROM site_cursor WHERE site = ?1", &[id], &mut |row| {
            let cursor = Cursor {
                epoch: Epoch(row.integer(1)?.cast_unsigned()),
                number: Position(row.unsigned(2)?),
                began: Position(row.unsigned(3)?),
            };
            cursors.insert(text::scope(row, 0)?, cursor);
            Ok(ControlFlow::Continue(()))
        })?;
        let mut drops = BTreeMap::new();
        sql.query("SELECT scope, control FROM scope_drop WHERE site = ?1", &[id], &mut |row| {
            drops.insert(text::scope(row, 0)?, row.unsigned(1)?);
            Ok(ControlFlow::Continue(()))
        })?;
        let backfill = sql.query_integer("SELECT 1 FROM backfill WHERE site = ?1 LIMIT 1", &[id])?;
        let home_transfer = sql.query_integer("SELECT 1 FROM home_transfer WHERE site = ?1 LIMIT 1", &[id])?;
        Ok(Some(Self {
            has_backfill: backfill.is_some(),
            has_home_transfers: home_transfer.is_some(),
            is_enrolled,
            deleted_ms,
            pause,
            generation,
            control_last,
            control_stored: control_last,
            grants_told,
            gained_floor,
            waiting: waiting.unwrap_or(0),
            journal,
            has_unjudged_journal: has_unjudged_journal(sql, site)?,
            cursors,
            scopes: state.scopes_of(site),
            drops,
        }))
    }
}

impl Journal {
    /// Reads [`JOURNAL_COLUMNS`].
    pub(super) fn read(row: &dyn Row) -> Result<Self, sql::SqlError> {
        Ok(Self {
            number: row.integer(0)?,
            id: text::journal_id(row, 1)?,
            is_active: row.integer(2)? != 0,
            genesis: text::hash(row, 3)?,
            received: Sequence(row.unsigned(4)?),
            received_hash: text::hash(row, 5)?,
            judged: Sequence(row.unsigned(6)?),
            floor: Sequence(row.unsigned(7)?),
            is_refusing_group: row.integer(8)? != 0,
            echo_after: Sequence(row.unsigned(9)?),
            told: Sequence(row.unsigned(10)?),
            heard: Sequence(row.unsigned(11)?),
            closed_at: row.optional_unsigned(12)?.map(Sequence),
            refused_before: Sequence(row.unsigned(13)?),
            is_changed: false,
        })
    }

    /// The last entry that is judged: all that was received before another journal took its place.
    pub(super) fn end(&self) -> Sequence {
        self.closed_at.unwrap_or(self.received)
    }

    /// Writes what changes as entries come and are judged.
    pub(super) fn write(&self, sql: &mut (dyn Sql + '_)) -> Result<(), StoreError> {
        sql.execute(
            "UPDATE journal SET received = ?2, received_hash = ?3, judged = ?4, floor = ?5, is_refusing_group = ?6,
                echo_after = ?7, told = ?8, heard = ?9, refused_before = ?10
             WHERE number = ?1",
            &[
                self.number.into(),
                unsigned(self.received.0),
                (&self.received_hash.0).into(),
                unsigned(self.judged.0),
                unsigned(self.floor.0),
                i64::from(self.is_refusing_group).into(),
                unsigned(self.echo_after.0),
                unsigned(self.told.0),
                unsigned(self.heard.0),
                unsigned(self.refused_before.0),
            ],
        )?;
        Ok(())
    }
}
