//! Document numbers: devices give them while everything else goes on, and no number of a store and kind is ever given twice.
//!
//! Left out is what nobody can know: of two devices that go on from one disk both give the same, and one that was set back gives again what
//! it had given since its backup and nobody heard of. So does one that lost what it had, of a store that began to keep its data behind the
//! backup that central was set back to. Only numbers that were given so may come again.

use std::collections::{BTreeMap, BTreeSet};

use domain::number::{NUMBER_TABLE, id_of, name_of};
use outpost::recorder::{NumberRun, NumbersWanted};
use protocol::ids::{RecordId, RequestId, Sequence};
use protocol::limits::NUMBER_GAP;

use crate::device::Role;
use crate::mix::Fault;
use crate::model::{Expected, Key, Violation, violation};
use crate::moves::{MOVED, is_moved_store, moved_store};
use crate::oracle::Acknowledged;
use crate::world::World;

/// Kinds of numbers.
const KINDS: [&str; 2] = ["customer_invoice_number", "requisition_serial_number"];
/// Kinds of numbers that halves get and nobody asks for here.
const OF_HALVES: [&str; 3] = ["supplier_invoice_number", "customer_return_number", "goods_received_number"];
/// Numbers that are given at once, at most.
const COUNT_MAX: u64 = 3;

/// A number that was given.
#[derive(Debug, Clone, Copy)]
struct Given {
    device: usize,
    at_ms: u64,
    /// Whether another device, or the same one after it was set back, may give it as well.
    is_forked: bool,
}

/// The numbers that were given, by store and kind.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
    given: BTreeMap<(String, &'static str), BTreeMap<u64, Given>>,
    /// When a backup of a device was made.
    backed_up_ms: BTreeMap<usize, u64>,
    /// Stores that ever kept all of their data on their site, as central may know.
    ever_kept: BTreeSet<String>,
    /// Of these a central that was set back has forgotten it.
    forgotten: BTreeSet<String>,
}

impl Numbers {
    /// A device is backed up.
    pub(crate) fn note_backup(&mut self, device: usize, now_ms: u64) {
        self.backed_up_ms.insert(device, now_ms);
    }

    /// It is set back: what it gave since may be given again.
    pub(crate) fn note_set_back(&mut self, device: usize) {
        let since_ms = self.backed_up_ms.get(&device).copied().unwrap_or(0);
        let all = self.given.values_mut().flat_map(BTreeMap::values_mut);
        all.filter(|given| given.device == device && given.at_ms >= since_ms).for_each(|given| given.is_forked = true);
    }

    /// A store is to keep its data on its site.
    pub(crate) fn note_kept(&mut self, store: &RecordId) {
        self.ever_kept.insert(store.to_string());
    }

    /// The stores that ever kept theirs.
    pub(crate) fn ever_kept(&self) -> &BTreeSet<String> {
        &self.ever_kept
    }

    /// Whether a store ever kept its data, also where central has forgotten it: the primary of a mirrored system may hand that back.
    fn has_kept(&self, store: &str) -> bool {
        self.ever_kept.contains(store) || self.forgotten.contains(store)
    }

    /// Central is set back to when these stores had ever kept their data. What was given in another meanwhile its device alone knows: with
    /// the local copy and the private journal that is gone.
    pub(crate) fn note_centre_set_back(&mut self, ever_kept: BTreeSet<String>) {
        self.forgotten.extend(self.ever_kept.difference(&ever_kept).cloned());
        let of_forgotten = self.given.iter_mut().filter(|((store, _), _)| self.forgotten.contains(store));
        of_forgotten.flat_map(|(_, given)| given.values_mut()).for_each(|given| given.is_forked = true);
        self.ever_kept = ever_kept;
    }

    /// Takes numbers over; else the first that had been given before.
    fn give(&mut self, of: &(String, &'static str), run: NumberRun, given: Given) -> Result<(), (u64, Given)> {
        let known = self.given.entry(of.clone()).or_default();
        for number in run.first..=run.last {
            match known.get_mut(&number) {
                Some(before) if !before.is_forked => return Err((number, *before)),
                Some(before) => *before = given,
                None => drop(known.insert(number, given)),
            }
        }
        Ok(())
    }

    /// Whether a number was given to somebody, for certain.
    pub(crate) fn has_given(&self, store: &str, kind: &str, number: u64) -> bool {
        let of = self.given.iter().find(|((of, name), _)| of == store && *name == kind);
        of.and_then(|(_, given)| given.get(&number)).is_some_and(|given| !given.is_forked)
    }

    /// The highest that was given.
    fn last(&self, of: &(String, &'static str)) -> u64 {
        self.given.get(of).and_then(|given| given.last_key_value()).map_or(0, |(last, _)| *last)
    }
}

/// The store that moves of which a record of numbers is; `None` of any other.
pub(crate) fn numbered_store_of(key: &Key) -> Option<String> {
    if key.0 != NUMBER_TABLE {
        return None;
    }
    let kinds = KINDS.iter().chain(&OF_HALVES);
    let is_of = |store: &String| {
        let store = RecordId::new(store).expect("it is short");
        kinds.clone().any(|kind| id_of(&name_of(kind, &store)).as_str() == key.1)
    };
    (0..MOVED).map(moved_store).find(is_of)
}

impl World {
    /// People at a site number their documents.
    pub(crate) fn give_numbers(&mut self, index: usize) -> Result<(), Violation> {
        if !self.mix.has(Fault::Numbers) {
            return Ok(());
        }
        for _ in 0..self.random.below(4) {
            let mut stores = self.model.device(index).stores.clone();
            if self.mix.has(Fault::Moves) {
                stores.extend((0..MOVED).map(moved_store));
            }
            let store = self.random.pick(&stores).clone();
            let kind = *self.random.pick(&KINDS);
            let count = u32::try_from(self.random.range(1, COUNT_MAX)).unwrap_or(1);
            let request_id = self.random.chance(300).then(|| RequestId(self.random.bytes()));
            if self.devices.get(index).is_none_or(|device| device.live.is_none()) {
                return Ok(());
            }
            let asked = Asked { store, kind, count, request_id };
            self.give(index, &asked)?;
            if request_id.is_some() && self.random.chance(500) {
                self.give(index, &asked)?;
            }
        }
        Ok(())
    }

    /// Whether a number was given.
    fn give(&mut self, index: usize, asked: &Asked) -> Result<bool, Violation> {
        let Some(device) = self.devices.get_mut(index).filter(|device| device.live.is_some()) else { return Ok(false) };
        self.model.device(index).attempted_groups += 1;
        let wanted = NumbersWanted {
            store: RecordId::new(&asked.store).expect("it is short"),
            kind: asked.kind.to_owned(),
            count: asked.count,
            request_id: asked.request_id,
            recorded_at_ms: 0,
        };
        let recorded = match device.live().recorder.next_numbers(wanted) {
            Ok(recorded) => recorded,
            Err(error) if World::is_refusal(&error) => {
                self.note(format_args!("device {index} gives no number of {}: {error}", asked.store));
                return self.note_journaled(index, &[], true).map(|()| false);
            }
            Err(error) => return self.recording_failed(index, &error.into()).map(|()| false),
        };
        let Some(run) = recorded.numbers else { return violation("numbers", "numbers were given, and not said") };
        self.note(format_args!("device {index} gives {}-{} of {} {}", run.first, run.last, asked.store, asked.kind));
        if recorded.was_recorded {
            return Ok(true);
        }
        self.counts.edits += recorded.edits;
        let last = recorded.sequences.map_or(0, |(_, last)| last.0);
        let log = self.model.device(index).log();
        log.acknowledged = log.acknowledged.max(last);
        // Of a store that may be elsewhere nobody can say beforehand.
        let expected = if is_moved_store(&asked.store) { Expected::Either } else { Expected::Accepted };
        let acknowledged =
            |(first, last): (Sequence, Sequence)| Acknowledged { last: last.0, count: last.0 + 1 - first.0, expected };
        let groups: Vec<_> = recorded.sequences.map(acknowledged).into_iter().collect();
        self.note_journaled(index, &groups, true)?;
        self.check_numbers(index, asked, run)?;
        Ok(true)
    }

    fn check_numbers(&mut self, index: usize, asked: &Asked, run: NumberRun) -> Result<(), Violation> {
        if run.last + 1 - run.first != u64::from(asked.count) {
            return violation("numbers", format!("{} were asked for, {run:?} were given", asked.count));
        }
        let of = (asked.store.clone(), asked.kind);
        let last = self.numbers.last(&of);
        // What was given and not acknowledged, because a disk failed or the power went, leaves small gaps.
        if !self.may_lose_numbers(&asked.store) && run.first > last + NUMBER_GAP {
            return violation("numbers", format!("{of:?} goes from {last} to {} although nothing was lost", run.first));
        }
        let site = self.devices[index].site;
        // A device that has not heard that its store keeps nothing any more goes on as before.
        let is_forked = self.forks.contains_key(&site) || self.numbers.forgotten.contains(&asked.store);
        let given = Given { device: index, at_ms: self.now_ms, is_forked };
        match self.numbers.give(&of, run, given) {
            Ok(()) => Ok(()),
            Err((number, before)) => {
                violation("numbers", format!("device {index} gives {number} of {of:?} again, after {before:?}"))
            }
        }
    }

    /// Whether anything in this run may lose what was given in a store.
    fn may_lose_numbers(&self, store: &str) -> bool {
        let faults = [Fault::Wipe, Fault::DeviceDamage, Fault::CentralSetBack];
        // What halves get is not in the book.
        self.counts.forks > 0
            || self.mix.has(Fault::Transfers)
            || self.hurried.contains(store)
            || faults.into_iter().any(|fault| self.mix.has(fault))
    }

    /// Everything is drained: each site gives numbers of its stores, and none that was given.
    pub(crate) fn check_numbers_at_rest(&mut self) -> Result<(), Violation> {
        if !self.mix.has(Fault::Numbers) {
            return Ok(());
        }
        for index in self.speakers() {
            if self.devices[index].role != Role::Active {
                continue;
            }
            let grants = self.devices[index].live().recorder.core().local.grants();
            let grants = grants.or_else(|error| violation("6", format!("device {index}: {error}")))?;
            for (store, _) in grants.into_iter().filter(|(store, _)| store != domain::authority::CENTRAL_DATA) {
                let asked = Asked { store, kind: KINDS[0], count: 1, request_id: None };
                // Where a store kept its data on its site the last number may have gone with the local copy.
                let has_kept = self.numbers.has_kept(&asked.store);
                if !self.give(index, &asked)? && !has_kept {
                    return violation("10", format!("device {index} gives no number of {} at rest", asked.store));
                }
            }
        }
        Ok(())
    }
}

/// What somebody asks for.
struct Asked {
    store: String,
    kind: &'static str,
    count: u32,
    request_id: Option<RequestId>,
}
