//! During and after a session: what leaves a device, what it stores, what it lets go of (invariants 2, 4, 5, 6 and 10, rule 5.16).

use std::collections::BTreeSet;

use domain::json::row_from_json;
use domain::merge::Merged;
use outpost::sync_runner::SessionFailure;
use protocol::frame;
use protocol::history::History;
use protocol::ids::RecordId;
use protocol::message::{self, RequestHead};
use protocol::section::{Kind as SectionKind, SectionReader};

use crate::device::Role;
use crate::happenings::late_store;
use crate::mix::Fault;
use crate::model::{Key, Version, Violation, violation};
use crate::moves::{is_moved_store, moved_store_of};
use crate::procurement::Orders;
use crate::transfers::{is_of_transfer, is_sent_by};
use crate::work::is_shared_by_other;
use crate::world::World;

impl World {
    /// Invariants 2 and 6 on everything that leaves a device.
    pub(crate) fn check_request(&mut self, index: usize, request: &[u8]) -> Result<(), Violation> {
        self.note_handed_back(index)?;
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let state = device.live().recorder.core().local.session_state();
        let state = state.or_else(|error| violation("6", format!("device {index}: {error}")))?;
        let mut reader = SectionReader::default();
        let mut history = History::default();
        reader.feed(request);
        while let Ok(Some(sealed)) = reader.next_section() {
            match sealed.kind() {
                SectionKind::RequestHead => {
                    let head: Result<RequestHead, _> = message::decode(sealed.unchecked_body());
                    let Ok(head) = head else { return violation("7", "a device sent a head that does not decode") };
                    for shown in &head.cursors {
                        let durable = state.cursors.iter().find(|cursor| cursor.scope == shown.scope);
                        if durable.is_none_or(|durable| durable.cursor.number < shown.cursor.number) {
                            return violation("6", format!("device {index} reports {shown:?}, durable is {durable:?}"));
                        }
                        self.model.device(index).reported.insert(shown.scope.clone(), shown.cursor);
                    }
                    let log = self.model.device(index).log();
                    let hash = log.entry(head.head.0).map(|entry| entry.hash);
                    if head.head.0 > log.head() || hash.is_some_and(|hash| hash != head.head_hash) {
                        return violation(
                            "2",
                            format!("device {index} speaks of entry {} that is not durable", head.head),
                        );
                    }
                }
                SectionKind::Frame => {
                    let frame = frame::unpack(sealed.unchecked_body(), &mut history, &mut self.codec);
                    let Ok(frame) = frame else { return violation("7", "a device sent a frame that does not unpack") };
                    let log = self.model.device(index).log();
                    for (sequence, (_, hash)) in (frame.first.0..).zip(&frame.entries) {
                        if log.entry(sequence).map(|entry| entry.hash) != Some(*hash) {
                            let what = format!("device {index} sends entry {sequence} that is not what it has on disk");
                            return violation("2", what);
                        }
                    }
                }
                SectionKind::FramePart
                | SectionKind::ReplyHead
                | SectionKind::Page
                | SectionKind::Refusal
                | SectionKind::CheckHead
                | SectionKind::CheckAnswer
                | SectionKind::VerifyQuestion
                | SectionKind::VerifyAnswer
                | SectionKind::ExportHead
                | SectionKind::ExportPage
                | SectionKind::NewsQuestion
                | SectionKind::NewsAnswer => {}
            }
        }
        Ok(())
    }

    /// Invariant 5, when a page was stored.
    pub(crate) fn check_pushed_before_pulled(&mut self, index: usize) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let Some(underway) = device.live.as_ref().and_then(|live| live.session.as_ref()) else { return Ok(()) };
        let head = underway.head.0;
        let committed = self.model.device(index).log().committed;
        // A reply that was on its way when central was set back still comes.
        if committed < head && !self.model.device(index).is_other_time_line {
            return violation("5", format!("device {index} stored a page, central has {committed} of {head} entries"));
        }
        self.check_headers(index)
    }

    /// Rule 5.16: no page leaves a line without its header.
    pub(crate) fn check_headers(&mut self, index: usize) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let catalogue = std::sync::Arc::clone(device.catalogue());
        let Some(model) = self.model.devices.get(index) else { return Ok(()) };
        let mut core = device.live().recorder.core();
        let (mut shared_lines, mut early) = (BTreeSet::new(), Vec::new());
        for table in catalogue.tables().filter(|table| table.parent().is_some()) {
            let Some(parent) = table.parent() else { continue };
            let Some(header_table) = catalogue.table(&parent.table) else { continue };
            let lines = core.local.list(table, None, Merged::Listed, None, 10_000);
            let lines = lines.or_else(|error| violation("6", format!("device {index}: {error}")))?;
            for line in lines.items {
                // What the site itself makes of it is the judge's affair.
                if line.state.as_str() != "central" {
                    continue;
                }
                let Ok(id) = RecordId::new(line.id.as_str()) else { continue };
                let Ok(row) = row_from_json(table, &id, &line.data) else { continue };
                let Some(Ok(header)) = table.header_of(&row) else { continue };
                let found = core.local.get(header_table, &header);
                let found = found.or_else(|error| violation("6", format!("device {index}: {error}")))?;
                let key = (header_table.name().to_owned(), header.as_str().to_owned());
                // One that the site itself deletes is still at central until that is through.
                let is_kept = model.folded(&key, &|_, _| false).is_some();
                // A header that damage took here and that central has after all comes with its scope's page; its line, which was
                // carried over, may have its verdict before that.
                if model.has_lost(&key) {
                    continue;
                }
                // The line may be there by the verdict of its entry, while the header, which was judged before the device lost what
                // it had or central was set back, comes with the lane that is being read.
                let line_key = (table.name().to_owned(), line.id.clone());
                let reads_anew = model.is_other_time_line || !model.is_complete;
                let is_by_verdict = reads_anew && model.is_in_journal_in_use(&line_key);
                // Another site's prescription, or an order, may be taken away again, before its lines: only what comes, comes behind its
                // header.
                let is_of_partner = is_of_transfer(&key) && !is_sent_by(device.site, &key.1);
                if is_shared_by_other(device.site, &key.1)
                    || is_of_partner
                    || Orders::is_order(&key)
                    || moved_store_of(&key).is_some()
                    || self.asked_for.contains(&key)
                {
                    let is_new = !model.shared_lines.contains(&line.id) && !model.is_other_time_line;
                    // What the site deletes is at central until that is through.
                    let is_deleted_here = model.is_unsettled(&key) || model.by_key.contains_key(&key) && !is_kept;
                    // Nor does what central gives instead of an edit that it refuses come in a page.
                    let is_given = model.by_key.contains_key(&line_key);
                    // Lines stay behind a header that its own site deletes, and go once that makes it again for another store.
                    let was_deleted = is_of_partner && self.was_deleted(&key);
                    let may_be_gone = is_given || is_deleted_here || was_deleted;
                    if found.is_none() && is_new && !may_be_gone && self.is_at_central(&key) {
                        early.push((line.id.clone(), key.1));
                    }
                    shared_lines.insert(line.id);
                    continue;
                }
                if is_by_verdict {
                    continue;
                }
                // Or the header was in a journal that was given up, or was judged since, and what central has of it comes with that lane.
                if reads_anew && (model.is_in_earlier_journal(&key) || model.is_in_journal_in_use(&key)) {
                    continue;
                }
                if found.is_none() && is_kept && self.is_at_central(&key) {
                    let (own, line) = (model.history(&key), model.history(&line_key));
                    let what =
                        format!("device {index} has line {id} before its header {header}; {own}; the line's: {line}");
                    return violation("5.16", what);
                }
            }
        }
        drop(core);
        let site = device.site;
        self.model.device(index).shared_lines = shared_lines;
        for (line, header) in early {
            // What has come to be seen comes in steps, and does not hold up what is written meanwhile.
            let is_being_shown = self.inspector.is_being_shown(site, &header);
            if is_being_shown.is_ok_and(|is_being_shown| !is_being_shown) {
                return violation("5.16", format!("device {index} was given line {line} before its header {header}"));
            }
        }
        Ok(())
    }

    fn is_at_central(&self, key: &Key) -> bool {
        self.model.versions.get(key).and_then(|versions| versions.last()).is_some_and(|last| last.data.is_some())
    }

    /// Whether somebody ever deleted a record, as far as is known.
    fn was_deleted(&self, key: &Key) -> bool {
        let is_gone = |versions: &Vec<Version>| versions.iter().any(|version| version.data.is_none());
        self.model.may_be_made_again(key) || self.model.versions.get(key).is_some_and(is_gone)
    }

    /// Invariant 4 after a session.
    pub(crate) fn check_floor(&mut self, index: usize) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let Some(live) = &device.live else { return Ok(()) };
        let floor = live.recorder.core().shared.floor().0;
        let committed = self.model.device(index).log().committed;
        if floor > committed && !self.model.device(index).is_other_time_line {
            return violation("4", format!("device {index} let go of entries up to {floor}, central has {committed}"));
        }
        Ok(())
    }

    /// A session may fail in the ways of links, of a busy central and of one that fails; not because a rule is broken.
    pub(crate) fn check_failure(&mut self, index: usize, failure: Option<&SessionFailure>) -> Result<(), Violation> {
        const USUAL: [&str; 12] = [
            "connect_failed",
            "connection_lost",
            "timeout",
            "central_failed",
            "not_central",
            "site_busy",
            "cut",
            "stalled",
            "bad_section",
            "bad_frame",
            "truncated",
            "not_enrolled",
        ];
        let Some(failure) = failure else { return Ok(()) };
        if self.is_told_to_rest(self.devices[index].site, &failure.code) {
            return Ok(());
        }
        if self.see_to_fork(index, &failure.code)? || self.see_to_time_line(index, &failure.code)? {
            return Ok(());
        }
        // A journal that was replaced twice without a word to central in between: the device is enrolled again, as it is told.
        // So it is when the damaged journal is known only up to where central's log was pruned.
        let is_told_to_enrol = match failure.code.as_str() {
            "unknown_journal" => self.is_twice_replaced(index),
            "fork" => self.mix.has(Fault::Prune) && self.is_unheard_successor(index),
            _ => false,
        };
        if is_told_to_enrol {
            return self.enrol(index).map(|_| ());
        }
        // A flipped bit can make a section's length reach beyond the reply's end.
        let is_garbled = failure.code == "offline" && self.mix.has(Fault::Garble);
        if is_garbled || USUAL.contains(&failure.code.as_str()) {
            return Ok(());
        }
        violation("10", format!("device {index}: a session ended with {}: {}", failure.code, failure.message))
    }

    /// What central has judged when a session begins reaches the device in it.
    pub(crate) fn note_session(&mut self, index: usize) {
        let is_retired = self.devices[index].role == Role::Retired;
        self.devices[index].may_drain &= !is_retired;
        self.devices[index].began_disabled = self.disabled.get(&self.devices[index].site).copied();
        let model = self.model.device(index);
        model.has_begun_since = true;
        model.judged_at_begin = model.logs.iter().map(|log| log.judged).collect();
    }

    /// A journal that follows a damaged one, and that central has taken nothing of.
    fn is_unheard_successor(&self, index: usize) -> bool {
        let model = self.model.devices.get(index);
        model.is_some_and(|model| model.logs.len() > 1 && model.logs.last().is_some_and(|log| log.committed == 0))
    }

    fn is_twice_replaced(&self, index: usize) -> bool {
        let model = self.model.devices.get(index);
        let logs = model.map(|model| model.logs.as_slice()).unwrap_or_default();
        // The journal before the one in use was never heard of at central.
        logs.len() > 2 && logs.iter().rev().take(2).all(|log| log.committed == 0)
    }

    /// Whether central has entries of a journal before the one in use that it has not judged.
    pub(crate) fn has_unjudged_journal(&self, index: usize) -> bool {
        let model = self.model.devices.get(index);
        let older = model.and_then(|model| model.logs.split_last()).map(|(_, older)| older).unwrap_or_default();
        older.iter().any(|log| log.judged < log.committed)
    }

    /// What holds when a session says that everything went through.
    pub(crate) fn check_drained(&mut self, index: usize) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let grants = device.live().recorder.core().local.grants();
        let mut grants = grants.or_else(|error| violation("10", format!("device {index}: {error}")))?;
        let state = device.live().recorder.core().local.session_state();
        let state = state.or_else(|error| violation("10", format!("device {index}: {error}")))?;
        self.check_rested(index)?;
        let may_drain = std::mem::take(&mut self.devices[index].may_drain);
        if self.devices[index].role == Role::Retired && !may_drain {
            return violation("11", format!("device {index} has everything, and another one speaks for its site"));
        }
        self.end_fork(index);
        self.end_time_line(index)?;
        if self.has_unjudged_journal(index) {
            return violation("10", format!("device {index} drained while an older journal of its site is not judged"));
        }
        let model = self.model.device(index);
        // What central has not judged yet is in no lane: a local copy that was lost does not have it back yet.
        model.is_complete |= state.judged >= state.received && !model.is_other_time_line;
        model.has_lost_records &= !model.is_complete;
        model.judged_at_drained.clone_from(&model.judged_at_begin);
        // Central's own data is no store, and who has what moves is looked at elsewhere.
        grants.retain(|(granted, _)| granted != domain::authority::CENTRAL_DATA && !is_moved_store(granted));
        let is_missing = |store: &&String| grants.iter().all(|(granted, _)| granted != *store);
        let missing: Vec<String> = model.stores.iter().filter(is_missing).cloned().collect();
        model.is_granted = missing.is_empty();
        let stores = model.stores.clone();
        let is_foreign =
            grants.iter().any(|(granted, _)| !stores.contains(granted) && !self.doubtful_stores.contains(granted));
        // One that is given while a session ends is told with the next.
        let late: Vec<String> = (0..self.late_stores).filter(|_| self.is_chaos).map(late_store).collect();
        let is_told = |store: &String| !self.doubtful_stores.contains(store) && !late.contains(store);
        if is_foreign || missing.iter().any(is_told) {
            let model = self.model.device(index);
            let what = format!("device {index} drained and holds {grants:?}, its stores are {:?}", model.stores);
            return violation("10", what);
        }
        Ok(())
    }
}
