//! The worked example of seed 001, "mSupply Sync Example", stores A to F, plain and mirrored.

mod support;

use rules::*;
use support::*;

/// What 001 says of one copy of a store.
struct Copy {
    store: &'static str,
    site: SiteId,
    role: Role,
    /// The stores from which it can receive transfers: the others that are active on the same site.
    from: &'static [&'static str],
    /// Where these go on to, step by step.
    onward: &'static [&'static [u32]],
}

const fn copy(
    store: &'static str,
    site: SiteId,
    role: Role,
    from: &'static [&'static str],
    onward: &'static [&'static [u32]],
) -> Copy {
    Copy { store, site, role, from, onward }
}

/// "In a standard (non-mirrored) setup, the sync server is both the primary server and the central server".
const PLAIN: &[Copy] = &[
    // "This data is then synced to remote site 1." "These will be synced to sync server."
    copy("A", CENTRAL, Role::Active, &["E"], &[&[2]]),
    copy("A", REMOTE_1, Role::Collector, &["B", "F"], &[&[1]]),
    copy("A", REMOTE_2, Role::None, &[], &[]),
    // "These are then synced to sync server, and then to remote site 1."
    copy("B", CENTRAL, Role::Collector, &["A", "E"], &[&[2]]),
    copy("B", REMOTE_1, Role::Active, &["F"], &[&[1]]),
    copy("B", REMOTE_2, Role::Transfer, &["C", "D"], &[&[1], &[2]]),
    copy("C", CENTRAL, Role::Collector, &["A", "E"], &[&[3]]),
    copy("C", REMOTE_1, Role::Transfer, &["B", "F"], &[&[1], &[3]]),
    copy("C", REMOTE_2, Role::Active, &["D"], &[&[1]]),
    copy("D", CENTRAL, Role::Collector, &["A", "E"], &[&[3]]),
    copy("D", REMOTE_1, Role::None, &[], &[]),
    copy("D", REMOTE_2, Role::Active, &["C"], &[&[1]]),
    // "This data is not synced anywhere."
    copy("E", CENTRAL, Role::Active, &["A"], &[]),
    copy("E", REMOTE_1, Role::None, &[], &[]),
    copy("E", REMOTE_2, Role::None, &[], &[]),
    // "It must also exist on the sync server ... as a Transfer store, so that it can be centrally managed."
    copy("F", CENTRAL, Role::Transfer, &["A", "E"], &[&[2]]),
    copy("F", REMOTE_1, Role::Active, &["B"], &[]),
    copy("F", REMOTE_2, Role::None, &[], &[]),
];

/// "In a mirrored setup ... the primary server is one of the remote sites, except that: ... like the central server, all stores
/// must exist". It has no store of its own here, so that nothing is received on it.
const ON_THE_PRIMARY: &[Copy] = &[
    copy("A", PRIMARY, Role::Transfer, &[], &[&[1]]),
    copy("B", PRIMARY, Role::Transfer, &[], &[&[1], &[2]]),
    copy("C", PRIMARY, Role::Transfer, &[], &[&[1], &[3]]),
    copy("D", PRIMARY, Role::Transfer, &[], &[&[1], &[3]]),
    copy("E", PRIMARY, Role::Transfer, &[], &[&[1]]),
    copy("F", PRIMARY, Role::Transfer, &[], &[&[1], &[2]]),
];

fn check_copies(world: &World, copies: &[Copy]) {
    for Copy { store, site, role: expected, from, onward } in copies {
        let seen = role(world, store, *site);
        let reception = reception(world, store, *site);

        assert_eq!(seen, Ok(*expected), "store {store} on site {}", site.0);
        let Some(reception) = reception else {
            assert_eq!(*expected, Role::None, "store {store} receives nothing on site {}", site.0);
            continue;
        };
        assert!(reception.from.iter().eq(*from), "store {store} on site {}: from {:?}", site.0, reception.from);
        let steps: Vec<_> = reception.onward.iter().map(numbers).collect();
        assert_eq!(steps, *onward, "store {store} on site {}: where it goes on to", site.0);
    }
}

/// Store, who may write its data, who holds it.
const DATA: &[(&str, &[u32], &[u32])] = &[
    ("A", &[1], &[1, 2]),
    ("B", &[2], &[1, 2]),
    ("C", &[3], &[1, 3]),
    ("D", &[3], &[1, 3]),
    ("E", &[1], &[1]),
    ("F", &[2], &[2]),
];

#[test]
fn every_copy_of_the_plain_example_has_its_role_and_its_way() {
    check_copies(&example(), PLAIN);
}

#[test]
fn a_mirror_changes_nothing_but_that_the_primary_has_every_store() {
    let world = mirrored_example();

    check_copies(&world, PLAIN);
    check_copies(&world, ON_THE_PRIMARY);
}

#[test]
fn the_example_is_a_world_that_can_be() {
    assert_eq!(problems(&example()), Vec::<String>::new());
    assert_eq!(problems(&mirrored_example()), Vec::<String>::new());
}

#[test]
fn a_primary_with_stores_of_its_own_has_the_others_as_transfer() {
    let mut world = example();
    world.mirrored_primary = Some(REMOTE_1);

    let roles: Vec<_> = world.stores.keys().map(|store| role(&world, store, REMOTE_1).unwrap()).collect();

    assert_eq!(roles, [Role::Collector, Role::Active, Role::Transfer, Role::Transfer, Role::Transfer, Role::Active]);
    // Central is still a collector of what is active on the primary, but for store F.
    assert_eq!(role(&world, "B", CENTRAL), Ok(Role::Collector));
}

#[test]
fn store_data_is_written_where_the_store_is_active_and_held_by_its_collectors() {
    for world in [example(), mirrored_example()] {
        for (store, may_write, receives) in DATA {
            check(&world, &data(store), may_write, receives);
            check(&world, &transaction(store, None), may_write, receives);
        }
    }
}

#[test]
fn a_store_record_goes_wherever_the_store_is_in_any_role() {
    for (store, plain) in [
        ("A", vec![1, 2]),
        ("B", vec![1, 2, 3]),
        ("C", vec![1, 2, 3]),
        ("D", vec![1, 3]),
        ("E", vec![1]),
        ("F", vec![1, 2]),
    ] {
        let record = Record::StoreRecord { store: store.to_owned() };
        let mirrored: Vec<u32> = plain.iter().copied().chain([4]).collect();

        check(&example(), &record, &[1], &plain);
        check(&mirrored_example(), &record, &[1], &mirrored);
    }
}

#[test]
fn both_halves_of_a_transfer_reach_both_sites() {
    for world in [example(), mirrored_example()] {
        for (store, partner, may_write, receives) in [
            ("B", "C", 2, vec![1, 2, 3]),
            ("C", "B", 3, vec![1, 2, 3]),
            ("D", "B", 3, vec![1, 2, 3]),
            ("B", "A", 2, vec![1, 2]),
            ("A", "B", 1, vec![1, 2]),
            ("B", "F", 2, vec![1, 2]),
            ("F", "B", 2, vec![2]),
        ] {
            check(&world, &transaction(store, Some(partner)), &[may_write], &receives);
        }
    }
}

#[test]
fn central_has_the_transfers_of_store_f_with_stores_of_other_sites_and_nothing_else_of_it() {
    let world = example();

    assert_eq!(holders(&world, &transaction("F", Some("A"))), [1, 2]);
    assert_eq!(holders(&world, &transaction("F", Some("C"))), [1, 2, 3]);
    assert_eq!(holders(&world, &data("F")), [2]);
}

#[test]
fn central_makes_the_answer_unless_both_stores_are_active_on_one_site() {
    let world = example();

    assert_eq!(half_maker(&world, &transaction("B", Some("C"))), Ok(CENTRAL));
    assert_eq!(half_maker(&world, &transaction("B", Some("F"))), Ok(REMOTE_1));
    assert_eq!(half_maker(&world, &transaction("A", Some("E"))), Ok(CENTRAL));
    assert_eq!(half_maker(&world, &transaction("B", None)), Err(Rule::NoTransfer));
    assert_eq!(may_make_half(&world, CENTRAL, &transaction("B", Some("C")), false), Ok(()));
    assert_eq!(may_make_half(&world, CENTRAL, &transaction("B", Some("C")), true), Err(Rule::HalfIsKnown));
    assert_eq!(may_make_half(&world, REMOTE_2, &transaction("B", Some("C")), false), Err(Rule::HalfMadeOn(CENTRAL)));
}
