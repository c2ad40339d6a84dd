//! The oracles: after each step that could break an invariant, the world is held against the model.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use domain::catalogue::DataType;
use domain::json::row_from_json;
use domain::judge::{Found, View};
use outpost::agent::Repair;
use outpost::journal::{Loss, Stored};
use outpost::local_copy::Kind;
use outpost::recorder::Group;
use outpost::sync_runner::SessionFailure;
use protocol::frame;
use protocol::history::History;
use protocol::ids::{JournalId, Position, RecordId, Sequence};
use protocol::message::{self, RequestHead};
use protocol::section::{Kind as SectionKind, SectionReader};

use crate::mix::Fault;
use crate::model::{Columns, Expected, Key, Version, Violation, columns_of, logged, violation};
use crate::world::World;

/// Records that are compared after a session, at most; all are at the end and after each start.
const SAMPLE_KEYS: usize = 6;

impl World {
    /// Records groups through the recorder and notes what it acknowledged.
    pub(crate) fn record_groups(&mut self, index: usize, groups: Vec<(Group, Expected)>) -> Result<(), Violation> {
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        let site = device.site;
        self.model.site(site).attempted_groups += groups.len() as u64;
        let (groups, expected): (Vec<Group>, Vec<Expected>) = groups.into_iter().unzip();
        let edits: Vec<usize> = groups.iter().map(|group| group.edits.len()).collect();
        let answers = device.live().recorder.record_all(groups);
        let mut acknowledged = Vec::new();
        let mut failure = None;
        for ((answer, expected), edits) in answers.into_iter().zip(expected).zip(edits) {
            match answer {
                Ok(recorded) => {
                    let shared = recorded.sequences.map_or(0, |(first, last)| last.0 + 1 - first.0);
                    let last = recorded.sequences.map_or(0, |(_, last)| last.0);
                    let log = self.model.site(site).log();
                    log.acknowledged = log.acknowledged.max(if recorded.was_recorded { 0 } else { last });
                    self.counts.edits += recorded.edits;
                    if !recorded.was_recorded && shared > 0 {
                        acknowledged.push((shared, expected));
                    }
                    if recorded.edits + recorded.unchanged != edits as u64 && !recorded.was_recorded {
                        return violation("1", "a group was acknowledged with other edits than were handed over");
                    }
                }
                Err(error) if World::is_refusal(&error) => self.note(format_args!("device {index} refuses: {error}")),
                Err(error) => failure = Some(error),
            }
        }
        let Some(error) = failure else { return self.note_journaled(index, &acknowledged, true) };
        if !acknowledged.is_empty() {
            self.note_journaled(index, &acknowledged, false)?;
        }
        // What was not acknowledged is not the oracle's to believe in: whatever leaves the device before it is has to be on its disk.
        self.recording_failed(index, &error.into())
    }

    /// Takes over into the model what is new and durable in the journals: the acknowledged groups by size, in order.
    pub(crate) fn note_journaled(
        &mut self,
        index: usize,
        groups: &[(u64, Expected)],
        is_all: bool,
    ) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        if device.shared.is_off() || device.private.is_off() {
            // What was acknowledged in the same breath is looked for when the device is up again.
            return if groups.is_empty() { Ok(()) } else { violation("1", "edits were acknowledged without power") };
        }
        let (site, catalogue) = (device.site, std::sync::Arc::clone(device.catalogue()));
        let head = self.model.site(site).log().head();
        let news = match read_journal(index, device, Kind::Shared, head) {
            // The disk fails while the oracle reads: what is there is seen when the device is up again.
            Err(_) if device.is_off() || self.excused.contains(&index) || self.damaged.contains(&index) => {
                return Ok(());
            }
            news => news?,
        };
        let mut sizes = groups.iter().copied();
        let mut left = sizes.next();
        let mut acknowledged = 0;
        let count = groups.iter().map(|group| group.0).sum::<u64>();
        // An error may have hidden that something was durable; it stands before what was acknowledged since.
        let is_matching = news.len() as u64 >= count;
        let before = (news.len() as u64).saturating_sub(count);
        if is_all && !(is_matching && (before == 0 || self.excused.contains(&index))) {
            return violation(
                "1",
                format!("device {index}: {} entries are new, {groups:?} were acknowledged", news.len()),
            );
        }
        for (number, stored) in (0..).zip(news) {
            let expected = match &mut left {
                Some((count, expected)) if is_matching && number >= before => {
                    let expected = *expected;
                    *count -= 1;
                    acknowledged = stored.sequence.0;
                    if *count == 0 {
                        left = sizes.next();
                    }
                    expected
                }
                Some(_) | None => Expected::Either,
            };
            let entry = logged(&catalogue, &stored.entry, stored.hash, expected)?;
            self.model.site(site).push(entry);
        }
        let log = self.model.site(site).log();
        log.acknowledged = log.acknowledged.max(acknowledged);
        self.note_private(index)
    }

    fn note_private(&mut self, index: usize) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let (site, catalogue) = (device.site, std::sync::Arc::clone(device.catalogue()));
        let known = self.model.site(site).private.as_ref().map_or(0, crate::model::Log::head);
        let news = match read_journal(index, device, Kind::Private, known) {
            Err(_) if device.is_off() || self.excused.contains(&index) || self.damaged.contains(&index) => {
                return Ok(());
            }
            news => news?,
        };
        for stored in news {
            let entry = logged(&catalogue, &stored.entry, stored.hash, Expected::Either)?;
            let model = self.model.site(site);
            let key = entry.key.clone();
            if let Some(log) = &mut model.private {
                log.entries.push(entry);
                log.acknowledged = log.head();
                let sequence = log.head();
                model.private_by_key.entry(key).or_default().push(sequence);
            }
        }
        Ok(())
    }

    /// Invariants 1 and 2 after a start.
    pub(crate) fn check_opened(&mut self, index: usize, repairs: &[Repair]) -> Result<(), Violation> {
        let is_damaged = self.damaged.contains(&index);
        // Opening reads no more than it must: what lies deeper is found when it is read, and mended at the next opening.
        if is_damaged && let Some(error) = self.deep_damage(index) {
            if let Some(device) = self.devices.get_mut(index) {
                device.keep_repairs(repairs);
            }
            return self.device_failed(index, &error);
        }
        for repair in repairs {
            self.note(format_args!("device {index}: {repair}"));
            let is_damage = !matches!(repair, Repair::Journal(_) | Repair::PrivateGroupRemoved { .. });
            if is_damage && !is_damaged {
                return violation("1", format!("device {index} finds damage that nobody did: {repair}"));
            }
            match repair {
                Repair::JournalReplaced { journal, lost, .. } => self.check_replaced(index, *journal, lost)?,
                Repair::PrivateJournalReplaced { journal, lost, .. } => self.private_replaced(index, *journal, lost),
                Repair::LocalCopyReplaced { .. } | Repair::LocalCopySetBack { .. } => self.local_copy_replaced(index),
                Repair::LocalData { floor, .. } => self.local_data_lost(index, floor.0),
                Repair::JournalSetBack { .. } | Repair::Journal(_) | Repair::PrivateGroupRemoved { .. } => {}
            }
        }
        self.check_journal(index)?;
        self.check_private_journal(index)?;
        self.check_cursors(index)?;
        self.check_view(index, true)?;
        self.damaged.remove(&index);
        if let Some(device) = self.devices.get(index) {
            let site = device.site;
            self.model.site(site).attempted_groups = 0;
        }
        Ok(())
    }

    fn deep_damage(&self, index: usize) -> Option<outpost::error::AgentError> {
        let device = self.devices.get(index)?;
        let mut core = device.live().recorder.core();
        let floors = (core.shared.floor(), core.private.floor());
        let shared = core.shared.read(floors.0, &mut |_| ControlFlow::Continue(()));
        let private = core.private.read(floors.1, &mut |_| ControlFlow::Continue(()));
        shared.and(private).err().map(outpost::error::AgentError::from)
    }

    /// The device knows nothing any more of what it had read.
    fn local_copy_replaced(&mut self, index: usize) {
        if let Some(site) = self.devices.get(index).map(|device| device.site) {
            let model = self.model.site(site);
            model.reported.clear();
            model.is_complete = false;
            model.is_granted = false;
            model.has_forgotten = true;
        }
    }

    /// What never left the site was only in the local copy, once its journal had let go of it.
    fn local_data_lost(&mut self, index: usize, floor: u64) {
        let Some(site) = self.devices.get(index).map(|device| device.site) else { return };
        self.model.site(site).private_base.clear();
        if let Some(log) = &mut self.model.site(site).private {
            (1..).zip(&mut log.entries).for_each(|(sequence, entry)| entry.is_lost |= sequence <= floor);
        }
    }

    /// The private journal goes on under another id: what it named as lost is lost, everything else is among the records.
    fn private_replaced(&mut self, index: usize, journal: JournalId, lost: &[Loss]) {
        let Some(site) = self.devices.get(index).map(|device| device.site) else { return };
        let model = self.model.site(site);
        let Some(log) = &mut model.private else { return };
        for (sequence, entry) in (1..).zip(&mut log.entries) {
            entry.is_lost |= lost.iter().any(|loss| (loss.first.0..=loss.last.0).contains(&sequence));
        }
        let keys: Vec<Key> = model.private_by_key.keys().cloned().collect();
        model.private_base = keys.into_iter().map(|key| (key.clone(), model.private_record(&key))).collect();
        model.private_by_key = model.private_base.keys().map(|key| (key.clone(), Vec::new())).collect();
        model.private = Some(new_log(journal));
    }

    fn check_journal(&mut self, index: usize) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let (site, catalogue) = (device.site, std::sync::Arc::clone(device.catalogue()));
        let (id, durable, floor) = {
            let core = device.live().recorder.core();
            (core.shared.identity().journal, core.shared.durable().sequence.0, core.shared.floor().0)
        };
        let attempted = self.model.site(site).attempted_groups;
        let log = self.model.site(site).log();
        if log.id != id {
            return violation("2", format!("device {index} goes on in journal {id} without a word"));
        }
        if durable < log.head().max(log.acknowledged) {
            let head = log.head().max(log.acknowledged);
            return violation("1", format!("device {index} has entries up to {durable}, {head} were durable"));
        }
        if floor > log.committed {
            let committed = log.committed;
            return violation("4", format!("device {index} let go of entries up to {floor}, central has {committed}"));
        }
        let mut groups = 0;
        for stored in read_journal(index, device, Kind::Shared, floor)? {
            let log = self.model.site(site).log();
            match log.entry(stored.sequence.0) {
                Some(entry) if entry.hash == stored.hash => {}
                Some(_) => {
                    let what = format!("device {index} has another entry at {} than before", stored.sequence);
                    return violation("1", what);
                }
                None => {
                    // Durable, and nobody had been told.
                    groups += u64::from(stored.is_group_end);
                    let entry = logged(&catalogue, &stored.entry, stored.hash, Expected::Either)?;
                    self.model.site(site).push(entry);
                }
            }
        }
        if groups > attempted {
            return violation("1", format!("device {index} has {groups} groups that nobody handed over"));
        }
        let log = self.model.site(site).log();
        if log.entries.last().is_some_and(|last| !last.ends_group) {
            return violation("2", format!("device {index} keeps a part of a group"));
        }
        Ok(())
    }

    fn check_private_journal(&mut self, index: usize) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let site = device.site;
        let (id, durable) = {
            let core = device.live().recorder.core();
            (core.private.identity().journal, core.private.durable().sequence.0)
        };
        let model = self.model.site(site);
        let log = model.private.get_or_insert_with(|| new_log(id));
        if log.id != id {
            return violation("2", format!("device {index} goes on in private journal {id} without a word"));
        }
        if durable < log.acknowledged {
            let acknowledged = log.acknowledged;
            let what = format!("device {index} has private entries up to {durable}, {acknowledged} were acknowledged");
            return violation("1", what);
        }
        self.note_private(index)
    }

    /// A damaged journal goes on under another id: everything is carried over, at central, or named as lost.
    fn check_replaced(&mut self, index: usize, journal: JournalId, lost: &[Loss]) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let (site, catalogue) = (device.site, std::sync::Arc::clone(device.catalogue()));
        let carried = read_journal(index, device, Kind::Shared, 0)?;
        let model = self.model.site(site);
        let old = model.log();
        let is_named = |sequence: u64| lost.iter().any(|loss| (loss.first.0..=loss.last.0).contains(&sequence));
        let mut entries = Vec::with_capacity(carried.len());
        for stored in carried {
            entries.push(logged(&catalogue, &stored.entry, stored.hash, Expected::Either)?);
        }
        // From the end: what is carried over is what came last, and an edit may be like an earlier one.
        let mut above = old.head() + 1;
        for entry in entries.iter().rev() {
            let same = |other: &crate::model::Logged| other.key == entry.key && other.change == entry.change;
            let found = (1..above).rev().find(|sequence| old.entry(*sequence).is_some_and(same));
            let Some(found) = found else {
                return violation("1", format!("device {index} carries over an entry that its old journal never had"));
            };
            for skipped in found + 1..above {
                if !is_named(skipped) && skipped > old.committed {
                    return violation("1", format!("device {index} lost entry {skipped} and does not say so"));
                }
            }
            above = found;
        }
        for sequence in 1..above {
            if !is_named(sequence) && sequence > old.committed {
                return violation("1", format!("device {index} lost entry {sequence} and does not say so"));
            }
        }
        for sequence in 1..=old.head() {
            if let Some(entry) = old.entry_mut(sequence) {
                entry.is_lost |= is_named(sequence);
                entry.is_moved = !entry.is_lost;
            }
        }
        model.begin_journal(journal);
        for entry in entries {
            model.push(entry);
        }
        Ok(())
    }

    /// Invariant 6: what was reported as read is there.
    fn check_cursors(&mut self, index: usize) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let site = device.site;
        let state = device.live().recorder.core().local.session_state();
        let state = state.or_else(|error| violation("6", format!("device {index}: {error}")))?;
        for (scope, reported) in &self.model.site(site).reported {
            let cursor = state.cursors.iter().find(|cursor| cursor.scope == *scope).map(|cursor| cursor.cursor);
            let is_there =
                cursor.is_some_and(|cursor| cursor.number >= reported.number || cursor.began != reported.began);
            if !is_there {
                return violation("6", format!("device {index} reported {reported:?} of {scope:?} and has {cursor:?}"));
            }
        }
        Ok(())
    }

    /// Invariants 2 and 6 on everything that leaves a device.
    pub(crate) fn check_request(&mut self, index: usize, request: &[u8]) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let site = device.site;
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
                        self.model.site(site).reported.insert(shown.scope.clone(), shown.cursor);
                    }
                    let log = self.model.site(site).log();
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
                    let log = self.model.site(site).log();
                    for (sequence, (_, hash)) in (frame.first.0..).zip(&frame.entries) {
                        if log.entry(sequence).map(|entry| entry.hash) != Some(*hash) {
                            let what = format!("device {index} sends entry {sequence} that is not what it has on disk");
                            return violation("2", what);
                        }
                    }
                }
                SectionKind::FramePart | SectionKind::ReplyHead | SectionKind::Page | SectionKind::Refusal => {}
            }
        }
        Ok(())
    }

    /// Invariant 5, when a page was stored.
    pub(crate) fn check_pushed_before_pulled(&mut self, index: usize) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let site = device.site;
        let Some(underway) = device.live.as_ref().and_then(|live| live.session.as_ref()) else { return Ok(()) };
        let head = underway.head.0;
        let committed = self.model.site(site).log().committed;
        if committed < head {
            return violation("5", format!("device {index} stored a page, central has {committed} of {head} entries"));
        }
        self.check_headers(index)
    }

    /// Rule 5.16: no page leaves a line without its header.
    fn check_headers(&mut self, index: usize) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let catalogue = std::sync::Arc::clone(device.catalogue());
        let Some(model) = self.model.sites.get(&device.site) else { return Ok(()) };
        let mut core = device.live().recorder.core();
        for table in catalogue.tables().filter(|table| table.parent().is_some()) {
            let Some(parent) = table.parent() else { continue };
            let Some(header_table) = catalogue.table(&parent.table) else { continue };
            let lines = core.local.list(table, None, None, 10_000);
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
                if found.is_none() && is_kept && self.is_at_central(&key) {
                    return violation("5.16", format!("device {index} has line {id} before its header {header}"));
                }
            }
        }
        Ok(())
    }

    fn is_at_central(&self, key: &Key) -> bool {
        self.model.versions.get(key).and_then(|versions| versions.last()).is_some_and(|last| last.data.is_some())
    }

    /// Invariant 4 after a session.
    pub(crate) fn check_floor(&mut self, index: usize) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let Some(live) = &device.live else { return Ok(()) };
        let site = device.site;
        let floor = live.recorder.core().shared.floor().0;
        let committed = self.model.site(site).log().committed;
        if floor > committed {
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
        if USUAL.contains(&failure.code.as_str()) {
            return Ok(());
        }
        violation("10", format!("device {index}: a session ended with {}: {}", failure.code, failure.message))
    }

    /// What central has judged when a session begins reaches the device in it.
    pub(crate) fn note_session(&mut self, index: usize) {
        if let Some(site) = self.devices.get(index).map(|device| device.site) {
            let model = self.model.site(site);
            model.judged_at_begin = model.logs.iter().map(|log| log.judged).collect();
        }
    }

    /// A journal that follows a damaged one, and that central has taken nothing of.
    fn is_unheard_successor(&self, index: usize) -> bool {
        let model = self.devices.get(index).and_then(|device| self.model.sites.get(&device.site));
        model.is_some_and(|model| model.logs.len() > 1 && model.logs.last().is_some_and(|log| log.committed == 0))
    }

    fn is_twice_replaced(&self, index: usize) -> bool {
        let model = self.devices.get(index).and_then(|device| self.model.sites.get(&device.site));
        let logs = model.map(|model| model.logs.as_slice()).unwrap_or_default();
        // The journal before the one in use was never heard of at central.
        logs.len() > 2 && logs.iter().rev().take(2).all(|log| log.committed == 0)
    }

    /// What holds when a session says that everything went through.
    pub(crate) fn check_drained(&mut self, index: usize) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let site = device.site;
        let grants = device.live().recorder.core().local.grants();
        let grants = grants.or_else(|error| violation("10", format!("device {index}: {error}")))?;
        let state = device.live().recorder.core().local.session_state();
        let state = state.or_else(|error| violation("10", format!("device {index}: {error}")))?;
        let model = self.model.site(site);
        // What central has not judged yet is in no lane: a local copy that was lost does not have it back yet.
        model.is_complete |= state.judged >= state.received;
        model.judged_at_drained.clone_from(&model.judged_at_begin);
        model.is_granted = grants.len() == model.stores.len();
        if !model.is_granted {
            let what = format!("device {index} drained and holds {grants:?}, its stores are {:?}", model.stores);
            return violation("10", what);
        }
        Ok(())
    }

    /// Invariants 2, 3 and 6 after each commit of central.
    pub(crate) fn after_commit(&mut self) -> Result<(), Violation> {
        if self.centre.live.is_none() || self.centre.disk.is_off() {
            return Ok(());
        }
        self.check_central(false)
    }

    /// The same when central starts: nothing that was committed is gone.
    pub(crate) fn check_centre_opened(&mut self) -> Result<(), Violation> {
        self.inspector.close();
        self.check_central(true)
    }

    fn check_central(&mut self, is_start: bool) -> Result<(), Violation> {
        let excused = self.is_centre_excused;
        let read = |error: sql::SqlError| match excused {
            true => Ok(Vec::new()),
            false => violation("3", format!("central's store cannot be read: {error}")),
        };
        let journals = self.inspector.journals().or_else(|error| read(error).map(|_: Vec<()>| Vec::new()))?;
        if journals.is_empty() && excused {
            self.inspector.close();
            return Ok(());
        }
        for journal in journals.iter().filter(|journal| journal.site.0 > 1) {
            let Some(model) = self.model.sites.get_mut(&journal.site) else { continue };
            let Some((_, log)) = model.log_of(journal.id) else {
                // An enrolment that was written and never answered.
                if self.devices.iter().any(|device| device.identity.journal == journal.id) {
                    continue;
                }
                return violation("3", format!("central has a journal {} that no device has", journal.id));
            };
            if journal.received < log.committed {
                let (received, committed) = (journal.received, log.committed);
                return violation("3", format!("central has {received} entries of {}, it had {committed}", journal.id));
            }
            let refused = self.inspector.refused(journal.number);
            log.refused
                .extend(refused.or_else(|error| violation("3", format!("central's log cannot be read: {error}")))?);
            log.judged = journal.judged;
            if journal.received == log.committed {
                continue;
            }
            let from = if is_start { journal.floor } else { log.committed.max(journal.floor) };
            let entries = self.inspector.entries(journal.number, from);
            let entries = entries.or_else(|error| violation("3", format!("central's log cannot be read: {error}")))?;
            let mut next = from + 1;
            for entry in entries.iter().filter(|entry| entry.sequence <= journal.received) {
                if entry.sequence != next {
                    return violation("3", format!("central has entry {} after {}", entry.sequence, next - 1));
                }
                next += 1;
                if log.entry(entry.sequence).map(|known| known.hash) != Some(entry.hash) {
                    let what = format!("central has an entry {} of {} that no device has", entry.sequence, journal.id);
                    return violation("3", what);
                }
            }
            if next != journal.received + 1 && journal.floor < journal.received {
                return violation("3", format!("central says {} and its log ends at {}", journal.received, next - 1));
            }
            log.committed = journal.received;
        }
        self.note_versions()
    }

    fn note_versions(&mut self) -> Result<(), Violation> {
        let failed = |error: sql::SqlError| violation("3", format!("central's records cannot be read: {error}"));
        let position = self.inspector.position().or_else(failed)?;
        if position < self.model.position {
            return violation("3", format!("central's head went from {} to {position}", self.model.position));
        }
        if position == self.model.position {
            return Ok(());
        }
        for record in
            self.inspector.records(self.model.position).or_else(|error| failed(error).map(|_: u64| Vec::new()))?
        {
            let key = (record.table, record.id);
            let version = Version { position: Position(record.position), data: record.data };
            self.model.versions.entry(key).or_default().push(version);
        }
        self.model.position = position;
        Ok(())
    }

    /// What the device shows is what it has to show: all of it, or a sample.
    pub(crate) fn check_view(&mut self, index: usize, is_all: bool) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        if device.live.is_none() || device.is_off() {
            return Ok(());
        }
        let site = device.site;
        self.check_private_view(index)?;
        let model = self.model.site(site);
        if !model.is_complete {
            return Ok(());
        }
        let set_aside = self.set_aside_of(index)?;
        let keys: Vec<Key> = self.model.site(site).by_key.keys().cloned().collect();
        let chosen = self.sample(keys, is_all);
        for key in chosen {
            self.check_own_record(index, &key, &set_aside)?;
        }
        let keys: Vec<Key> = self.model.versions.keys().cloned().collect();
        let chosen = self.sample(keys, is_all);
        for key in chosen {
            self.check_central_record(index, &key)?;
        }
        Ok(())
    }

    fn sample(&mut self, mut keys: Vec<Key>, is_all: bool) -> Vec<Key> {
        if is_all || keys.len() <= SAMPLE_KEYS {
            return keys;
        }
        (0..SAMPLE_KEYS).map(|_| keys.swap_remove(self.random.index(keys.len()))).collect()
    }

    /// Refusals that the device knows.
    pub(crate) fn set_aside_of(&mut self, index: usize) -> Result<BTreeSet<(JournalId, u64)>, Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(BTreeSet::new()) };
        let listing = device.live().recorder.core().local.set_aside_list(0, 10_000);
        let listing = listing.or_else(|error| violation("10", format!("device {index}: {error}")))?;
        Ok(listing.items.iter().map(|item| (item.journal, item.sequence.0)).collect())
    }

    fn check_own_record(
        &mut self,
        index: usize,
        key: &Key,
        set_aside: &BTreeSet<(JournalId, u64)>,
    ) -> Result<(), Violation> {
        if !self.is_site_data(index, key) {
            return Ok(());
        }
        let found = self.shown(index, key)?;
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let site = device.site;
        let model = self.model.site(site);
        if model.is_unsettled(key) {
            return Ok(());
        }
        let told = model.folded(key, &|log, sequence| set_aside.contains(&(log.id, sequence)));
        // A refusal may have been told to a local copy that is gone.
        let known = model
            .folded(key, &|log, sequence| set_aside.contains(&(log.id, sequence)) || log.refused.contains(&sequence));
        if found == told || found == known {
            return Ok(());
        }
        let history = model.history(key);
        violation("5.2", format!("device {index} shows {key:?} as {found:?}, it has to be {told:?}; {history}"))
    }

    /// Whether a record is one that sites write: central's own may be held up by a forged edit.
    fn is_site_data(&self, index: usize, key: &Key) -> bool {
        let Some(device) = self.devices.get(index) else { return false };
        device.catalogue().table_by_name(&key.0).is_ok_and(|table| table.data_type() == DataType::Store)
    }

    fn check_central_record(&mut self, index: usize, key: &Key) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let (site, catalogue) = (device.site, std::sync::Arc::clone(device.catalogue()));
        let is_central = catalogue.table_by_name(&key.0).is_ok_and(|table| {
            table.is_supported() && (table.data_type() == DataType::Central || table.is_routed_as_central())
        });
        if !is_central || self.model.site(site).by_key.contains_key(key) {
            return Ok(());
        }
        let scope = domain::scope::Scope::AllSites.to_id();
        let state = device.live().recorder.core().local.session_state();
        let state = state.or_else(|error| violation("6", format!("device {index}: {error}")))?;
        let Some(cursor) = state.cursors.iter().find(|cursor| cursor.scope == scope).map(|cursor| cursor.cursor) else {
            return Ok(());
        };
        let found = self.shown(index, key)?;
        let Some(versions) = self.model.versions.get(key) else { return Ok(()) };
        // A record that changed behind the cursor has left its place below it, and may never have been read there.
        let Some(newest) = versions.last().filter(|newest| newest.position <= cursor.number) else { return Ok(()) };
        if self.columns_at_central(&catalogue, key, newest)? == found {
            return Ok(());
        }
        violation("6", format!("device {index} read up to {} and shows {key:?} as {found:?}", cursor.number))
    }

    pub(crate) fn columns_at_central(
        &self,
        catalogue: &domain::catalogue::Catalogue,
        key: &Key,
        version: &Version,
    ) -> Result<Option<Columns>, Violation> {
        let Some(data) = &version.data else { return Ok(None) };
        let (Ok(table), Ok(id)) = (catalogue.table_by_name(&key.0), RecordId::new(&key.1)) else {
            return violation("3", format!("central has a record {key:?} that nobody can have made"));
        };
        match row_from_json(table, &id, data) {
            Ok(row) => Ok(Some(columns_of(catalogue, table.name(), row))),
            Err(error) => violation("3", format!("central's record {key:?} does not read: {error}")),
        }
    }

    fn check_private_view(&mut self, index: usize) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let site = device.site;
        let keys: Vec<Key> = self.model.site(site).private_by_key.keys().cloned().collect();
        for key in keys {
            let found = self.shown(index, &key)?;
            let expected = self.model.site(site).private_record(&key);
            if found != expected {
                let what = format!("device {index} shows private {key:?} as {found:?}, it has to be {expected:?}");
                return violation("4", what);
            }
        }
        Ok(())
    }

    /// A record as the device shows it.
    pub(crate) fn shown(&self, index: usize, key: &Key) -> Result<Option<Columns>, Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(None) };
        let catalogue = device.catalogue();
        let (Ok(table), Ok(id)) = (catalogue.table_by_name(&key.0), RecordId::new(&key.1)) else { return Ok(None) };
        let found = device.live().recorder.core().local.record(table.reference(), &id);
        match found {
            Ok(Found::Here { row, .. }) => Ok(Some(columns_of(catalogue, table.name(), row))),
            Ok(Found::Unknown | Found::Deleted { .. }) => Ok(None),
            Err(error) => violation("6", format!("device {index} cannot read {key:?}: {error}")),
        }
    }
}

/// A log of no entries.
pub(crate) fn new_log(id: JournalId) -> crate::model::Log {
    crate::model::Log {
        id,
        entries: Vec::new(),
        acknowledged: 0,
        committed: 0,
        judged: 0,
        is_closed: false,
        refused: BTreeSet::new(),
    }
}

/// What a journal has behind a sequence, or behind its floor.
fn read_journal(
    index: usize,
    device: &crate::device::Device,
    kind: Kind,
    after: u64,
) -> Result<Vec<Stored>, Violation> {
    let mut core = device.live().recorder.core();
    let journal = match kind {
        Kind::Shared => &mut core.shared,
        Kind::Private => &mut core.private,
    };
    let after = Sequence(after).max(journal.floor());
    if after >= journal.durable().sequence {
        return Ok(Vec::new());
    }
    let mut entries = Vec::new();
    let storages = [&device.shared, &device.private];
    storages.iter().for_each(|storage| storage.hold_faults(true));
    let read = journal.read(after, &mut |stored| {
        entries.push(stored);
        ControlFlow::Continue(())
    });
    storages.iter().for_each(|storage| storage.hold_faults(false));
    match read {
        Ok(()) => Ok(entries),
        Err(error) => violation("1", format!("device {index} cannot read its {} journal: {error}", kind.as_str())),
    }
}
