//! Random calls against the plainest journal there is: a list.

use proptest::prelude::*;
use protocol::ids::Sequence;

use super::super::fake_storage::FakeStorage;
use super::super::storage::Storage;
use super::super::{Draft, Journal, JournalLimits};
use super::{FakeBed, SledBed, assert_holds, group, identity};

#[derive(Debug, Clone)]
enum Action {
    Append {
        groups: Vec<(usize, usize)>,
    },
    Sync,
    Read {
        after: u64,
    },
    HashAt {
        sequence: u64,
    },
    Prune {
        through: u64,
        keep_bytes: u64,
    },
    Truncate {
        groups: usize,
    },
    Reopen,
    /// On the fake only: everything unsynced may go.
    Crash {
        seed: u64,
    },
}

fn action() -> impl Strategy<Value = Action> {
    let groups = prop::collection::vec((1..5_usize, prop_oneof![4 => 0..100_usize, 1 => 700..3000_usize]), 1..4);
    prop_oneof![
        8 => groups.prop_map(|groups| Action::Append { groups }),
        6 => Just(Action::Sync),
        3 => (0..40_u64).prop_map(|after| Action::Read { after }),
        2 => (0..40_u64).prop_map(|sequence| Action::HashAt { sequence }),
        2 => (0..40_u64, 0..20_000_u64).prop_map(|(through, keep_bytes)| Action::Prune { through, keep_bytes }),
        1 => (0..4_usize).prop_map(|groups| Action::Truncate { groups }),
        2 => Just(Action::Reopen),
        2 => any::<u64>().prop_map(|seed| Action::Crash { seed }),
    ]
}

/// All entries ever appended that count, and how many of them are durable.
#[derive(Default)]
struct Model {
    entries: Vec<Draft>,
    durable: usize,
}

fn play<S: Storage>(storage: impl Fn() -> S, crash: impl Fn(u64), actions: &[Action]) {
    let limits = JournalLimits { segment_entries_max: 5, segment_bytes_max: 4000, ..JournalLimits::default() };
    let mut journal = Journal::create(storage(), identity()).unwrap();
    journal.set_limits(limits);
    let mut model = Model::default();
    for (mark, action) in (0..).zip(actions) {
        match action {
            Action::Append { groups } => {
                let groups = groups.iter().zip(0..);
                let drafts: Vec<Draft> =
                    groups.flat_map(|(&(entries, length), index)| group(mark * 10 + index, entries, length)).collect();
                assert_eq!(journal.append(&drafts).unwrap().0, model.entries.len() as u64 + 1);
                model.entries.extend(drafts);
            }
            Action::Sync => {
                model.durable = model.entries.len();
                assert_eq!(journal.sync().unwrap().sequence.0, model.durable as u64);
            }
            Action::Read { after } => {
                let after = (*after).clamp(journal.floor().0, model.durable as u64);
                assert_holds(&mut journal, after, &model.entries[after as usize..model.durable]);
            }
            Action::HashAt { sequence } => {
                let is_kept = *sequence >= journal.floor().0 && *sequence <= model.durable as u64;
                assert_eq!(journal.hash_at(Sequence(*sequence)).unwrap().is_some(), is_kept);
            }
            Action::Prune { through, keep_bytes } => {
                let through = (*through).min(model.durable as u64);
                journal.prune(Sequence(through), *keep_bytes).unwrap();
                assert!(
                    journal.floor().0 <= through.max(journal.floor().0) && journal.floor().0 <= model.durable as u64
                );
            }
            Action::Truncate { groups } => {
                model.durable = journal.sync().unwrap().sequence.0 as usize;
                let floor = journal.floor().0 as usize;
                let ends = (floor + 1..=model.durable).filter(|&end| model.entries[end - 1].is_group_end);
                let ends: Vec<usize> = std::iter::once(floor).chain(ends).collect();
                let end = ends[ends.len().saturating_sub(1 + groups)];
                journal.truncate_after(Sequence(end as u64)).unwrap();
                model.entries.truncate(end);
                model.durable = end;
            }
            Action::Reopen => {
                drop(journal);
                journal = reopened(storage(), &mut model, limits);
            }
            Action::Crash { seed } => {
                crash(*seed);
                drop(journal);
                journal = reopened(storage(), &mut model, limits);
            }
        }
        assert_eq!(journal.durable().sequence.0, model.durable as u64);
    }
    let floor = journal.floor().0;
    assert_holds(&mut journal, floor, &model.entries[floor as usize..model.durable]);
}

/// Opens again: nothing durable is gone, and of the rest a beginning of whole groups is left.
fn reopened<S: Storage>(storage: S, model: &mut Model, limits: JournalLimits) -> Journal<S> {
    let (mut journal, _) = Journal::open(storage).unwrap();
    journal.set_limits(limits);
    let left = journal.durable().sequence.0 as usize;
    assert!(left >= model.durable && left <= model.entries.len());
    assert!(left == model.durable || model.entries[left - 1].is_group_end);
    model.entries.truncate(left);
    model.durable = left;
    journal
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_journal_on_the_fake_does_what_a_list_does(actions in prop::collection::vec(action(), 1..40)) {
        let bed = FakeBed::default();
        let disk: FakeStorage = bed.main.clone();
        play(|| disk.clone(), |seed| disk.restart(seed), &actions);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_journal_on_sled_does_what_a_list_does(actions in prop::collection::vec(action(), 1..25)) {
        let bed = SledBed::new();
        play(|| super::Bed::storage(&bed), |_| (), &actions);
    }
}
