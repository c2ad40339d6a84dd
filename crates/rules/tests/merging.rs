//! Merges: who orders them, who is told, and what a record is called afterwards (domain.md, "Merging"; architecture, 5.19).

mod support;

use rules::*;
use support::*;

fn merge(order: u64, from: &str, into: &str) -> Merge {
    Merge { order, from: from.to_owned(), into: into.to_owned() }
}

fn asked(kind: MergeKind, from: &str, into: &str) -> Record {
    Record::Merge { kind, from: from.to_owned(), into: into.to_owned() }
}

/// Asserts what ids stand for, whatever the order in which the merges arrive and however often.
fn check_ends(merges: &[Merge], ends: &[(&str, &str)]) {
    let reversed: Vec<_> = merges.iter().rev().cloned().collect();
    let doubled: Vec<_> = reversed.iter().chain(merges).cloned().collect();
    for arrived in [merges.to_vec(), reversed, doubled] {
        let world = World { merges: arrived, ..World::default() };
        for (id, end) in ends {
            assert_eq!(resolve(&world, id), *end, "what {id} stands for after {:?}", world.merges);
        }
    }
}

#[test]
fn an_id_that_was_never_merged_stands_for_itself() {
    check_ends(&[merge(1, "a", "b")], &[("c", "c"), ("b", "b")]);
}

#[test]
fn chains_of_merges_end_where_the_last_one_leads() {
    check_ends(&[merge(1, "a", "b"), merge(2, "b", "c")], &[("a", "c"), ("b", "c")]);
    check_ends(&[merge(1, "b", "c"), merge(2, "a", "b")], &[("a", "c"), ("b", "c")]);
}

#[test]
fn what_was_merged_takes_all_that_it_is_along() {
    // a is b by then, so b becomes c.
    check_ends(&[merge(1, "a", "b"), merge(2, "a", "c")], &[("a", "c"), ("b", "c")]);
}

#[test]
fn the_merge_that_closes_a_cycle_changes_nothing() {
    check_ends(&[merge(1, "a", "b"), merge(2, "b", "a")], &[("a", "b"), ("b", "b")]);
    check_ends(&[merge(1, "b", "a"), merge(2, "a", "b")], &[("a", "a"), ("b", "a")]);
    let ring = [merge(1, "a", "b"), merge(2, "b", "c"), merge(3, "c", "a")];
    check_ends(&ring, &[("a", "c"), ("b", "c"), ("c", "c")]);
    check_ends(&[merge(1, "a", "a")], &[("a", "a")]);
}

#[test]
fn a_merge_that_is_ordered_again_changes_nothing() {
    check_ends(&[merge(1, "a", "b"), merge(2, "b", "a"), merge(3, "b", "a"), merge(4, "a", "b")], &[("a", "b")]);
}

#[test]
fn items_units_and_names_are_merged_on_the_primary_and_everywhere() {
    for kind in [MergeKind::Items, MergeKind::Units, MergeKind::Names] {
        check(&mirrored_example(), &asked(kind, "a", "b"), &[4], &[1, 2, 3, 4]);
    }
}

#[test]
fn names_that_are_stores_are_not_merged() {
    let world = example();

    for (from, into) in [(name_of("A"), "b".to_owned()), ("b".to_owned(), name_of("A"))] {
        let refused = may_write(&world, CENTRAL, &asked(MergeKind::Names, &from, &into));
        assert_eq!(refused, Err(Rule::StoresAreNotMerged));
    }
}

#[test]
fn a_merge_of_names_widens_visibility() {
    let mut world = example();
    show(&mut world, "a", "C");
    let join = Record::NameJoin { name: "b".to_owned() };
    assert_eq!(holders(&world, &join), [1]);

    world.merges.push(merge(1, "a", "b"));

    assert_eq!(holders(&world, &join), [1, 3]);
    assert_eq!(holders(&world, &Record::NameJoin { name: "a".to_owned() }), [1, 3]);
}

#[test]
fn patients_are_merged_where_both_are_at_home_else_on_the_primary() {
    let mut world = clinic();
    world.sites.insert(PRIMARY, SiteKind::Standalone);
    world.mirrored_primary = Some(PRIMARY);
    let record = asked(MergeKind::Patients, "Paul", "Pia");
    check(&world, &record, &[2], &[1, 2, 4]);

    world.patients.get_mut("Pia").unwrap().home_store = Some("Q".to_owned());
    world.visibility.retain(|join| join.name != "Pia");
    check(&world, &record, &[4], &[1, 2, 3, 4]);
    world.patients.get_mut("Pia").unwrap().home_store = None;
    check(&world, &record, &[4], &[1, 2, 4]);
}

#[test]
fn a_merged_patient_keeps_its_home_and_is_visible_where_either_was() {
    let mut world = clinic();
    world.patients.get_mut("Pia").unwrap().home_store = Some("Q".to_owned());
    world.visibility.retain(|join| join.name != "Pia");

    world.merges.push(merge(1, "Paul", "Pia"));

    check(&world, &patient("Pia"), &[3], &[1, 2, 3]);
    check(&world, &patient("Paul"), &[2], &[1, 2, 3]);
}

#[test]
fn prescribers_are_merged_as_patients_are() {
    let mut world = clinic();
    for (prescriber, home) in [("Dr D", "P"), ("Dr E", "Q"), ("Dr F", "P")] {
        let facts = Prescriber { home_store: Some(home.to_owned()), ..Prescriber::default() };
        world.prescribers.insert(prescriber.to_owned(), facts);
    }

    check(&world, &asked(MergeKind::Prescribers, "Dr D", "Dr F"), &[2], &[1, 2]);
    check(&world, &asked(MergeKind::Prescribers, "Dr D", "Dr E"), &[1], &[1, 2, 3]);
}

#[test]
fn locations_are_merged_in_their_store() {
    check(&example(), &asked(MergeKind::Locations { store: "B".to_owned() }, "a", "b"), &[2], &[1, 2]);
}
