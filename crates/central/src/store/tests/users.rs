//! New users: of the site that made them, and at central.

use domain::visibility::VisibleKey;

use super::*;

contract!(
    a_user_goes_to_central_and_to_no_other_site_also_not_to_a_primary,
    a_site_that_reads_anew_has_its_users_again,
    nobody_writes_the_user_of_another_site,
    a_deleted_user_is_made_again_by_another_site_and_is_that_ones,
    users_that_existed_at_a_site_before_never_come_to_central,
);

fn user(device: &Device, id: &str, name: &str) -> String {
    format!(r#"put user {id} {{"name":"{name}","outpost_made_on":{}}}"#, device.site)
}

/// Two sites, of which neither sees the other.
fn two(world: &mut World) -> (Device, Device) {
    (world.device(&["A"]), world.device(&["B"]))
}

fn make(world: &mut World, device: &mut Device, id: &str) {
    let line = user(device, id, "n");
    assert!(refused(world, device, &line).is_empty());
}

fn a_user_goes_to_central_and_to_no_other_site_also_not_to_a_primary(world: &mut World) {
    let (mut one, mut two) = two(world);
    make(world, &mut one, "U");
    settle(world, &mut two);
    assert!(world.data("user", "U").contains("\"name\":\"n\""));
    assert!(!has(&two, "user", "U"));

    world.job(|batch| batch.enable_mirror(two.site));
    for _ in 0..3 {
        settle(world, &mut two);
    }
    make(world, &mut one, "V");
    make(world, &mut two, "W");
    settle(world, &mut two);
    settle(world, &mut one);
    assert_eq!(["U", "V", "W"].map(|id| has(&two, "user", id)), [false, false, true]);
    assert_eq!(["U", "V", "W"].map(|id| has(&one, "user", id)), [true, true, false]);

    let explained = world.store.reading().explain("user", &id("U")).unwrap();
    assert_eq!(explained.lanes.len(), 1);
    assert_eq!(explained.lanes[0].visible_key, Some(VisibleKey::MadeOn(one.site)));
    assert_eq!(explained.lanes[0].sites, 1);
}

fn a_site_that_reads_anew_has_its_users_again(world: &mut World) {
    let (mut one, _) = two(world);
    make(world, &mut one, "U");
    make(world, &mut one, "V");
    assert!(refused(world, &mut one, "delete user V").is_empty());
    assert!(refused(world, &mut one, r#"patch user U {"phone1":"1"}"#).is_empty());

    one.cursors.clear();
    one.base.clear();
    settle(world, &mut one);
    assert_eq!(one.data("user", "U"), world.data("user", "U"));
    assert!(one.data("user", "U").contains("phone1"));
    assert!(!has(&one, "user", "V"));
}

fn nobody_writes_the_user_of_another_site(world: &mut World) {
    let (mut one, mut two) = two(world);
    make(world, &mut one, "U");
    let before = world.data("user", "U");
    let taken = user(&two, "U", "taken");
    for line in [taken.as_str(), r#"patch user U {"name":"x"}"#, "delete user U"] {
        assert_eq!(refused(world, &mut two, line), ["user_of_other_site"], "{line}");
    }
    for line in [r#"upsert user U {"name":"x"}"#, "delete user U"] {
        let report = world.import(ImportMode::AllOrNothing, &[line]);
        assert_eq!(report.refusals.first().map(|refused| refused.code.as_str()), Some("user_of_other_site"), "{line}");
    }
    assert!(!has(&two, "user", "U"));
    assert_eq!(world.data("user", "U"), before);

    // Central's own are Local: nobody receives them, and no site takes one over.
    world.write(&[r#"upsert user C {"name":"central's"}"#]);
    let line = user(&one, "C", "x");
    assert_eq!(refused(world, &mut one, &line), ["user_of_other_site"]);
    assert!(world.store.reading().explain("user", &id("C")).unwrap().lanes.is_empty());
}

fn a_deleted_user_is_made_again_by_another_site_and_is_that_ones(world: &mut World) {
    let (mut one, mut two) = two(world);
    make(world, &mut one, "U");
    assert!(refused(world, &mut one, "delete user U").is_empty());
    make(world, &mut two, "U");
    settle(world, &mut one);
    assert_eq!((has(&one, "user", "U"), has(&two, "user", "U")), (false, true));
    let line = user(&one, "U", "x");
    assert_eq!(refused(world, &mut one, &line), ["user_of_other_site"]);
}

fn users_that_existed_at_a_site_before_never_come_to_central(world: &mut World) {
    let (mut one, _) = two(world);
    // A device keeps them to itself; one that sends them all the same is not obeyed.
    let line = r#"put user E {"name":"e","outpost_is_existing":true}"#;
    assert_eq!(refused(world, &mut one, line), ["local_data"]);
    assert!(world.store.reading().explain("user", &id("E")).unwrap().record.is_none());
}
