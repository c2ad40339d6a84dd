//! Who sees whom, and what a store is on a site because of it (domain.md, "Words"; seed 001, "Store sync-with options").

mod support;

use rules::*;
use support::*;

#[test]
fn visibility_is_the_same_in_both_directions_and_the_reverse_goes_with_the_direct_one() {
    let mut world = example();
    assert!(sees(&world, "A", "B") && sees(&world, "B", "A"));
    let reverse = |name: &str, store: &str| (name_of(name), store.to_owned());
    assert_eq!(reverse_joins(&world), [reverse("B", "A"), reverse("B", "C")].into());

    // Somebody sets the reverse by hand: central owes none any more, and it stays without the direct one.
    show(&mut world, &name_of("B"), "C");
    assert_eq!(reverse_joins(&world), [reverse("B", "A")].into());
    world.visibility.retain(|join| join.store != "B");
    assert!(sees(&world, "B", "C") && sees(&world, "C", "B"));
    assert_eq!(reverse_joins(&world), [reverse("C", "B")].into());

    // A reverse that was left behind makes nobody see anybody.
    world.visibility.push(NameJoin { name: name_of("B"), store: "A".to_owned(), made: Made::AsReverse });
    assert!(!sees(&world, "A", "B") && !sees(&world, "B", "A"));
}

#[test]
fn a_copy_follows_visibility_by_itself() {
    let mut world = example();
    assert_eq!(role(&world, "D", REMOTE_1), Ok(Role::None));

    show(&mut world, &name_of("D"), "F");
    assert_eq!(role(&world, "D", REMOTE_1), Ok(Role::Transfer));
    assert_eq!(role(&world, "F", REMOTE_2), Ok(Role::Transfer));

    // What was set by hand on a remote site says nothing, unless it is a collector.
    set(&mut world, "D", REMOTE_1, Role::None);
    assert_eq!(role(&world, "D", REMOTE_1), Ok(Role::Transfer));
    world.visibility.retain(|join| join.store != "F");
    set(&mut world, "D", REMOTE_1, Role::Transfer);
    assert_eq!(role(&world, "D", REMOTE_1), Ok(Role::None));
}

#[test]
fn a_store_that_moves_leaves_what_visibility_leaves() {
    let mut world = example();
    world.stores.get_mut("B").unwrap().active_site = REMOTE_2;

    // F does not see B, so nothing of it stays; A was a collector for B's sake.
    assert_eq!(role(&world, "B", REMOTE_1), Ok(Role::None));
    assert_eq!(role(&world, "B", REMOTE_2), Ok(Role::Active));
    let unseen = RoleError::CollectorUnseen { store: "A".to_owned(), site: REMOTE_1 };
    assert_eq!(role(&world, "A", REMOTE_1), Err(unseen));
    assert_eq!(role_in_force(&world, "A", REMOTE_1), Role::None);
    assert_eq!(holders(&world, &data("A")), [1]);
}

#[test]
fn settings_that_cannot_be_are_refused_with_their_reason() {
    let refused = |store: &str, site: SiteId, setting: Role| {
        let mut world = mirrored_example();
        set(&mut world, store, site, setting);
        assert!(!problems(&world).is_empty());
        role(&world, store, site).unwrap_err().to_string()
    };

    assert_eq!(
        refused("D", REMOTE_1, Role::Collector),
        "store D is a collector on site 2, where no active store sees it"
    );
    assert_eq!(
        refused("D", PRIMARY, Role::Collector),
        "store D is a collector on site 4, where no active store sees it"
    );
    let mut world = example();
    show(&mut world, &name_of("F"), "C");
    set(&mut world, "F", REMOTE_2, Role::Collector);
    assert_eq!(problems(&world), ["store F is a collector on site 3, but central does not have its data"]);
    assert_eq!(refused("B", REMOTE_2, Role::Active), "store B is set active on site 3, but belongs to another");
    assert_eq!(refused("B", REMOTE_1, Role::Transfer), "store B belongs to site 2, where it is set not to be active");
    assert_eq!(refused("B", CENTRAL, Role::None), "store B is set not to exist on site 1, which has every store");
    assert_eq!(refused("B", PRIMARY, Role::None), "store B is set not to exist on site 4, which has every store");
    assert_eq!(role(&example(), "Z", CENTRAL), Err(RoleError::UnknownStore("Z".to_owned())));
    assert_eq!(role(&example(), "A", PRIMARY), Err(RoleError::UnknownSite(PRIMARY)));
}

#[test]
fn a_mobile_site_has_one_active_store() {
    let mut world = example();
    world.sites.insert(REMOTE_2, SiteKind::Mobile);

    assert_eq!(problems(&world), ["mobile site 3 has 2 active stores"]);
}
