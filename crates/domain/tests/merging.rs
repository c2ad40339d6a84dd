//! Merges against the slow rules (rule 5.19): any order of arrival, duplicates and circles, the same end.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::convert::Infallible;

use domain::merge::{Alias, Plan, plan, resolve};
use proptest::prelude::*;
use protocol::ids::{Position, RecordId};
use rules::{Merge, World};

/// As many records as give circles and long ways often.
const RECORDS: u8 = 7;

/// The rows of merges that one side has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Rows(BTreeMap<RecordId, Alias>);

impl Rows {
    fn alias(&self, id: &RecordId) -> Option<Alias> {
        self.0.get(id).cloned()
    }

    fn end(&self, id: &RecordId) -> RecordId {
        resolve(id, |id| Ok::<_, Infallible>(self.alias(id))).unwrap()
    }

    fn ends(&self) -> Vec<RecordId> {
        records().map(|record| self.end(&record)).collect()
    }

    /// What the slow rules make of these rows, taken as merges in the order of their positions.
    fn slow_ends(&self) -> Vec<RecordId> {
        let rows = self.0.iter();
        slow_ends(rows.map(|(from, alias)| (alias.position.0, from.clone(), alias.into.clone())))
    }

    /// As central does it.
    fn merge(&mut self, (from, into): (u8, u8), position: u64) {
        match plan(&record(from), &record(into), |id| Ok::<_, Infallible>(self.alias(id))).unwrap() {
            Plan::Done(end) => assert_eq!((self.end(&record(from)), self.end(&record(into))), (end.clone(), end)),
            Plan::Alias { from, into } => {
                let before = self.0.insert(from, Alias { into, position: Position(position) });
                assert_eq!(before, None, "a record is merged once");
            }
        }
    }
}

fn record(number: u8) -> RecordId {
    RecordId::new(&format!("R{number}")).unwrap()
}

fn records() -> impl Iterator<Item = RecordId> {
    (0..RECORDS).map(record)
}

fn slow_ends(merges: impl Iterator<Item = (u64, RecordId, RecordId)>) -> Vec<RecordId> {
    let merges = merges.map(|(order, from, into)| Merge { order, from: from.to_string(), into: into.to_string() });
    let world = World { merges: merges.collect(), ..World::default() };
    records().map(|record| RecordId::new(&rules::resolve(&world, record.as_str())).unwrap()).collect()
}

/// Central with these merges asked of it in this order.
fn central(asked: &[(u8, u8)]) -> Rows {
    let mut rows = Rows::default();
    for (position, merge) in (1..).zip(asked) {
        rows.merge(*merge, position);
    }
    rows
}

fn pair() -> impl Strategy<Value = (u8, u8)> {
    (0..RECORDS, 0..RECORDS)
}

/// Merges, a part of them asked for again later, also the other way round.
fn asked() -> impl Strategy<Value = Vec<(u8, u8)>> {
    (proptest::collection::vec(pair(), 0..10), any::<bool>()).prop_map(|(mut asked, is_turned)| {
        let again: Vec<_> = asked
            .iter()
            .step_by(2)
            .map(|(from, into)| if is_turned { (*into, *from) } else { (*from, *into) })
            .collect();
        asked.extend(again);
        asked
    })
}

proptest! {
    #[test]
    fn central_comes_to_the_ends_of_the_slow_rules(asked in asked()) {
        let merges = (0..).zip(&asked).map(|(order, (from, into))| (order, record(*from), record(*into)));

        prop_assert_eq!(central(&asked).ends(), slow_ends(merges));
    }

    #[test]
    fn rows_that_come_in_any_order_lead_from_each_record_towards_its_end(
        asked in asked(),
        order in Just((0..usize::from(RECORDS)).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let central = central(&asked);
        let rows: Vec<_> = central.0.iter().collect();
        let mut device = Rows::default();

        for (from, alias) in order.iter().filter_map(|index| rows.get(*index)) {
            device.0.insert((*from).clone(), (*alias).clone());
            for record in records() {
                let end = device.end(&record);
                prop_assert!(!device.0.contains_key(&end), "no row leads on");
                prop_assert_eq!(central.end(&end), central.end(&record));
            }
        }

        prop_assert_eq!(device.ends(), central.ends());
    }

    #[test]
    fn rows_in_circles_come_to_the_ends_of_the_slow_rules(
        rows in proptest::collection::btree_map(0..RECORDS, 0..RECORDS, 0..=usize::from(RECORDS)),
        positions in Just((1..=u64::from(RECORDS)).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let rows = rows.into_iter().zip(positions).map(|((from, into), position)| {
            (record(from), Alias { into: record(into), position: Position(position) })
        });
        let rows = Rows(rows.collect());

        prop_assert_eq!(rows.ends(), rows.slow_ends());
    }

    #[test]
    fn after_some_merges_were_undone_the_others_stand(
        steps in proptest::collection::vec((pair(), 0..4_u8), 0..24),
    ) {
        let mut rows = Rows::default();
        for (position, ((from, into), kind)) in (1..).zip(steps) {
            if kind == 0 {
                rows.0.remove(&record(from));
            } else {
                rows.merge((from, into), position);
            }
            prop_assert_eq!(rows.ends(), rows.slow_ends());
        }
    }
}

#[test]
fn a_long_way_and_a_large_circle_have_an_end() {
    let ring = |count: u64| {
        let alias = |number: u64| Alias { into: long(number + 1), position: Position(number) };
        let mut rows = Rows((0..count).map(|number| (long(number), alias(number))).collect());
        assert_eq!(rows.end(&long(0)), long(count));
        rows.0.insert(long(count), Alias { into: long(0), position: Position(count) });
        rows
    };
    for count in [1, 2, 3, 1000] {
        let rows = ring(count);
        let into_ring = RecordId::new("outside").unwrap();
        let step = |id: &RecordId| match id {
            id if *id == into_ring => {
                Ok::<_, Infallible>(Some(Alias { into: long(count / 2), position: Position(9999) }))
            }
            id => Ok(rows.alias(id)),
        };

        assert_eq!(resolve(&into_ring, step), Ok(long(count)));
        assert_eq!(rows.end(&long(0)), long(count));
    }
    let own = Rows(BTreeMap::from([(long(0), Alias { into: long(0), position: Position(1) })]));
    assert_eq!(own.end(&long(0)), long(0));
}

fn long(number: u64) -> RecordId {
    RecordId::new(&format!("L{number}")).unwrap()
}
