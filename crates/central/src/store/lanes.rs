//! Reading a lane for a site (rules 5.12, 5.15 and 5.16).

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use domain::json;
use domain::scope::Scope;
use protocol::exchange::{ReadRows, Rows};
use protocol::ids::{JournalId, Position, RecordId, ScopeId, SiteId};
use protocol::limits;
use protocol::message::{Cursor, ScopeCursor};
use protocol::page::PageRow;
use sql::{Param, Row, SqlError, SqlExt};

use super::error::StoreError;
use super::limits::{CURSOR_AGE_MAX, LOOKED_AT_MAX};
use super::reading::Reading;
use super::records::{check_record, damaged_record};
use super::visibility::{is_of_earlier_sharing, keys_of_lane};
use super::{state, text, time_line, unsigned};

/// Bytes of a row on a page beside its id and columns, at most: flags, position, table.
const ROW_ENVELOPE_BYTES: usize = 24;

/// Who reads a lane.
struct Reader {
    site: SiteId,
    /// Number of its journal.
    own: Option<i64>,
    /// Rows of that one above it need not come.
    began: u64,
}

/// One row of the lane with its record.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) position: u64,
    number: i64,
    pub(super) table: String,
    pub(super) id: RecordId,
    /// `None` for a tombstone.
    data: Option<String>,
    parent: Option<(String, String)>,
}

/// A row that is ready for a page.
pub(super) struct Ready {
    pub(super) row: PageRow,
    pub(super) bytes: usize,
    parent: Option<(String, String)>,
}

/// The last column: whether the row is for the site ?3. Of one that is not, nothing else is to be read.
pub(super) const LANE_COLUMNS: &str = concat!(
    "SELECT lane.position, record.number, record.table_name, record.id, lane.is_tombstone, record.data,
        record.parent_table, record.parent_id, lane.echo_journal, record.store, record.position, record.checksum,
        record.number IS NOT NULL
    FROM lane LEFT JOIN record ON record.number = lane.record AND (lane.visible_key IS NULL OR EXISTS (
        SELECT 1 FROM site_sees WHERE site_sees.site = ?3 AND site_sees.visible_key IN ",
    keys_of_lane!(),
    ") AND NOT (",
    is_of_earlier_sharing!(),
    "))"
);

/// The same as a condition of a query on lanes, in which the site is ?5.
const IS_SEEN: &str = concat!(
    "(lane.visible_key IS NULL OR EXISTS (
        SELECT 1 FROM site_sees WHERE site_sees.site = ?5 AND site_sees.visible_key IN ",
    keys_of_lane!(),
    ") AND NOT (",
    is_of_earlier_sharing!(),
    "))"
);

impl Reading<'_> {
    /// The next rows of a lane for a site: a page's worth behind a cursor, each row after its header if that is above the
    /// cursor too. Rows that the site wrote itself are passed over where rule 5.15 allows it.
    ///
    /// # Errors
    /// Refused with `central_set_back` for a cursor that this store never gave. Whether the site holds
    /// the scope is the caller's to know: scopes come out of [`super::Batch::conclude`].
    pub fn read_rows(&mut self, site: SiteId, journal: JournalId, ask: &ReadRows) -> Result<Rows, StoreError> {
        self.at_once(|reading| reading.read_lane(site, journal, ask))
    }

    fn read_lane(&mut self, site: SiteId, journal: JournalId, ask: &ReadRows) -> Result<Rows, StoreError> {
        let from = ask.from.cursor;
        let head = state::position(self.sql)?;
        if !state::contains(self.sql, &from, head)? {
            return Err(time_line::other_time_line(&from));
        }
        let is_first = from == Cursor::default();
        let began = if is_first { head } else { from.began.0 };
        let cursor = |number| Cursor { epoch: from.epoch, number: Position(number), began: Position(began) };
        let epoch = state::epoch(self.sql)?;
        let own = self.journal_number(site, journal)?;
        let Some(scope) = self.scope_number(&ask.from.scope)? else {
            // Nothing was ever written into this lane.
            return Ok(drained(Vec::new(), from, Cursor { epoch, ..cursor(head) }, 0));
        };
        let bytes_max = ask.plain_bytes_max;
        let numbers = BTreeSet::new();
        let mut page = Page {
            site,
            scope,
            after: from.number.0,
            bytes_max,
            bytes: 0,
            rows: Vec::new(),
            numbers,
            headers: BTreeSet::new(),
        };
        let reader = Reader { site, own, began };
        let (found, looked_through) = self.find_rows(scope, from.number.0, &reader, ask)?;
        for row in &found {
            if !self.add(&mut page, row)? {
                // Up to the row before: what was passed over in between is the site's own.
                let number = row.position - 1;
                return Ok(Rows { rows: page.rows, cursor: Cursor { epoch, ..cursor(number) }, is_drained: false });
            }
        }
        let Some(last) = looked_through else {
            let floor = self.floor_of(&ask.from.scope)?;
            return Ok(drained(page.rows, from, Cursor { epoch, ..cursor(head) }, floor));
        };
        Ok(Rows { rows: page.rows, cursor: Cursor { epoch, ..cursor(last) }, is_drained: false })
    }

    /// Reads lane rows of one page's size at most, looking through a bounded number of them; up to which position it came, or `None` if
    /// that was the end.
    fn find_rows(
        &mut self,
        scope: i64,
        after: u64,
        reader: &Reader,
        ask: &ReadRows,
    ) -> Result<(Vec<Found>, Option<u64>), StoreError> {
        // JSON with its names is never smaller than the packed row, so no row too many is turned away here.
        let rows_max = ask.rows_max.clamp(1, limits::PAGE_ROWS_MAX);
        let json_bytes_max = ask.plain_bytes_max.saturating_mul(JSON_PER_PACKED);
        let (mut found, mut json_bytes): (Vec<Found>, usize) = (Vec::new(), 0);
        let (mut looked_at, mut last, mut is_end) = (0, after, true);
        let sql = format!(
            "{LANE_COLUMNS} WHERE lane.scope = ?1 AND lane.position > ?2 ORDER BY lane.position LIMIT {}",
            LOOKED_AT_MAX + 1
        );
        self.sql.query(&sql, &[scope.into(), unsigned(after), reader.site.0.into()], &mut |row| {
            looked_at += 1;
            if found.len() >= rows_max || json_bytes > json_bytes_max || looked_at > LOOKED_AT_MAX {
                is_end = false;
                return Ok(ControlFlow::Break(()));
            }
            last = row.unsigned(0)?;
            let echo = row.optional_integer(8)?;
            if echo.is_some() && echo == reader.own && last > reader.began || row.integer(12)? == 0 {
                return Ok(ControlFlow::Continue(()));
            }
            let row = read_found(row)?;
            json_bytes += row.data.as_ref().map_or(0, String::len);
            found.push(row);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok((found, (!is_end).then_some(last)))
    }

    /// Up to where rows of a lane are gone.
    fn floor_of(&mut self, scope: &ScopeId) -> Result<u64, StoreError> {
        let Scope::Gained(site) = Scope::from_id(scope) else { return Ok(0) };
        let sql = "SELECT gained_floor FROM site WHERE id = ?1";
        Ok(self.sql.query_one(sql, &[site.0.into()], |row| row.unsigned(0))?.unwrap_or(0))
    }

    /// Puts a row on the page behind its headers; false if it is for the next page.
    fn add(&mut self, page: &mut Page, found: &Found) -> Result<bool, StoreError> {
        if page.has(found.number) {
            return Ok(true);
        }
        let mut above = Vec::new();
        let mut numbers = vec![found.number];
        let first = self.ready(found)?;
        let mut parent = first.parent.clone();
        let mut bytes = first.bytes;
        above.push(first.row);
        for _ in 0..limits::PARENT_DEPTH_MAX {
            let Some((table, id)) = parent.take() else { break };
            // Lines of one header stand together, so most of them ask for one that was looked up for the line before.
            let header = (table, id);
            if !page.headers.insert(header.clone()) {
                break;
            }
            let Some(header) = self.header_above(page, &header.0, &header.1)? else { break };
            if page.has(header.number) || numbers.contains(&header.number) {
                break;
            }
            let ready = self.ready(&header)?;
            if bytes + ready.bytes > limits::PAGE_PLAIN_BYTES_MAX - limits::DICTIONARY_BYTES_MAX / 2 {
                // Together they would not fit any page. The header comes at its own place.
                break;
            }
            bytes += ready.bytes;
            parent = ready.parent;
            numbers.push(header.number);
            above.push(ready.row);
        }
        if !page.rows.is_empty() && page.bytes + bytes > page.bytes_max {
            return Ok(false);
        }
        page.bytes += bytes;
        page.numbers.extend(numbers);
        page.rows.extend(above.into_iter().rev());
        Ok(true)
    }

    /// A header whose row in this lane is above the cursor. Which image the site has of it is not known: one that had entered
    /// below may have moved up before the site came to it, so it is sent with its lines whatever the position it entered at.
    fn header_above(&mut self, page: &Page, table: &str, id: &str) -> Result<Option<Found>, StoreError> {
        let sql = format!(
            "{LANE_COLUMNS} WHERE record.table_name = ?1 AND record.id = ?2 AND lane.scope = ?4 AND lane.position > ?5
                AND lane.is_tombstone = 0"
        );
        let key: [Param<'_>; 5] =
            [table.into(), id.into(), page.site.0.into(), page.scope.into(), unsigned(page.after)];
        Ok(self.sql.query_one(&sql, &key, read_found)?)
    }

    pub(super) fn ready(&self, found: &Found) -> Result<Ready, StoreError> {
        let table = text::table(self.catalogue, &found.table);
        let row = match &found.data {
            Some(data) => Some(
                json::row_from_json(&table, &found.id, data)
                    .map_err(|error| damaged_record(&table, &found.id, &error))?,
            ),
            None => None,
        };
        let columns = row.as_ref().map_or(0, |row| row.to_bytes().len());
        let bytes = columns + found.id.as_str().len() + found.table.len() + ROW_ENVELOPE_BYTES;
        let row = PageRow {
            table: table.reference().clone(),
            record: found.id.clone(),
            position: Position(found.position),
            row,
        };
        Ok(Ready { row, bytes, parent: found.parent.clone() })
    }

    /// How many rows wait for a site in its lanes.
    pub(super) fn rows_waiting(
        &mut self,
        site: SiteId,
        journal: i64,
        scopes: &[ScopeCursor],
    ) -> Result<u64, StoreError> {
        let mut count = self.backfill_rows(site)?;
        for from in scopes {
            if let Some(scope) = self.scope_number(&from.scope)? {
                let sql = format!(
                    "SELECT count(*) FROM lane WHERE scope = ?1 AND position > ?2
                        AND (echo_journal IS NULL OR echo_journal <> ?3 OR position <= ?4) AND {IS_SEEN}"
                );
                let key = lane_key(site, scope, journal, &from.cursor)?;
                let found = self.sql.query_one(&sql, &key, |row| row.unsigned(0))?;
                count += found.unwrap_or(0);
            }
        }
        Ok(count)
    }

    /// Whether nothing waits for a site in its lanes.
    pub(super) fn is_drained(
        &mut self,
        site: SiteId,
        journal: i64,
        scopes: &[ScopeCursor],
    ) -> Result<bool, StoreError> {
        for from in scopes {
            let Some(scope) = self.scope_number(&from.scope)? else { continue };
            if self.has_row_above(site, scope, journal, &from.cursor)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a lane has a row above a cursor for a site that writes in this journal.
    pub(super) fn has_row_above(
        &mut self,
        site: SiteId,
        scope: i64,
        journal: i64,
        cursor: &Cursor,
    ) -> Result<bool, StoreError> {
        let sql = format!(
            "SELECT 1 FROM lane WHERE scope = ?1 AND position > ?2
                AND (echo_journal IS NULL OR echo_journal <> ?3 OR position <= ?4) AND {IS_SEEN} LIMIT 1"
        );
        Ok(self.sql.query_integer(&sql, &lane_key(site, scope, journal, cursor)?)?.is_some())
    }

    pub(super) fn scope_number(&mut self, scope: &ScopeId) -> Result<Option<i64>, StoreError> {
        Ok(self.sql.query_integer("SELECT number FROM scope WHERE id = ?1", &[scope.as_bytes().into()])?)
    }

    pub(super) fn journal_number(&mut self, site: SiteId, journal: JournalId) -> Result<Option<i64>, StoreError> {
        let key: [Param<'_>; 2] = [site.0.into(), (&journal.0).into()];
        Ok(self.sql.query_integer("SELECT number FROM journal WHERE site = ?1 AND id = ?2", &key)?)
    }
}

/// How many times its packed size a record's JSON may be before rows are read that the page has no room for. A guess that
/// costs only rows read twice.
pub(super) const JSON_PER_PACKED: usize = 3;

/// A page that is being filled.
struct Page {
    site: SiteId,
    scope: i64,
    after: u64,
    bytes_max: usize,
    bytes: usize,
    rows: Vec<PageRow>,
    numbers: BTreeSet<i64>,
    /// Headers that were looked up: they are on the page, or need not be.
    headers: BTreeSet<(String, String)>,
}

impl Page {
    fn has(&self, number: i64) -> bool {
        self.numbers.contains(&number)
    }
}

/// The end of a lane. A cursor that would only move a little, with no row, stays as it is, unless it is below the lane's floor.
fn drained(rows: Vec<PageRow>, from: Cursor, to: Cursor, floor: u64) -> Rows {
    let is_old = from == Cursor::default() || from.number.0 < floor || to.number.0 - from.number.0 > CURSOR_AGE_MAX;
    let is_quiet = rows.is_empty() && !is_old;
    Rows { rows, cursor: if is_quiet { from } else { to }, is_drained: true }
}

fn lane_key(site: SiteId, scope: i64, journal: i64, cursor: &Cursor) -> Result<[Param<'static>; 5], SqlError> {
    // Numbers from the wire may be of any size.
    let (number, began) = (Param::unsigned(cursor.number.0)?, Param::unsigned(cursor.began.0)?);
    Ok([scope.into(), number, journal.into(), began, site.0.into()])
}

pub(super) fn read_found(row: &dyn Row) -> Result<Found, SqlError> {
    let is_tombstone = row.integer(4)? != 0;
    let content = (row.optional_text(9)?, row.optional_text(5)?, row.unsigned(10)?);
    check_record(row.optional_integer(11)?, row.text(2)?, row.text(3)?, content)?;
    let data = row.optional_text(5)?.filter(|_| !is_tombstone);
    let parent = match (row.optional_text(6)?, row.optional_text(7)?) {
        (Some(table), Some(id)) if !is_tombstone => Some((table.to_owned(), id.to_owned())),
        _ => None,
    };
    Ok(Found {
        position: row.unsigned(0)?,
        number: row.integer(1)?,
        table: row.text(2)?.to_owned(),
        id: text::record_id(row, 3)?,
        data: data.map(str::to_owned),
        parent,
    })
}
