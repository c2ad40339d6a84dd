//! What an export gave a device, of before central changed what the site sees.

use domain::scope::Scope;
use protocol::control::Control;

use super::*;

contract!(
    what_a_site_ceased_to_see_behind_an_export_goes_from_the_device_that_takes_it_and_enrols_later,
    an_export_behind_the_last_change_is_not_read_again,
    what_a_primary_was_given_goes_from_a_device_that_takes_its_place_with_an_export_of_then,
);

/// A site with store A in which a name with a tag is visible. No device speaks for it.
fn site_that_sees_a_name(world: &mut World) -> SiteId {
    world.write(&[r#"upsert store A {"code":"A","name_ID":"nA"}"#, r#"upsert name N {"name":"n","type":"facility"}"#]);
    world.write(&[r#"put name_tag_join T {"name_ID":"N"}"#]);
    let new = NewSite {
        name: "site of A".to_owned(),
        code: String::new(),
        kind: SiteKind::Standalone,
        password_hash: "hash".to_owned(),
        salt: HardwareSalt([1; 16]),
        stores: vec![id("A")],
    };
    let site = world.job(|batch| batch.add_site(&new));
    world.write(&[r#"put name_store_join N-in-A {"name_ID":"N","store_ID":"A"}"#]);
    site
}

/// A device that was given everything by an export, and has not spoken to central.
fn exported(world: &mut World, site: SiteId, key: u8) -> Device {
    let mut device = Device::new(site, JournalId([key; 16]));
    while world.job(|batch| batch.bring_up_sight(site)) {}
    for scope in world.job(|batch| batch.export_start(site)).scopes {
        while !device.read(world, &scope, 1_000, 1 << 20).is_drained {}
    }
    device
}

fn enrol_and_settle(world: &mut World, device: &mut Device) {
    let key = device.journal.0[0];
    world.job(|batch| batch.enrol(device.site, &enrolling(key, device.journal)));
    for _ in 0..3 {
        settle(world, device);
    }
}

fn told_to_read_what_it_sees_anew(device: &Device) -> usize {
    let visible = Scope::Visible.to_id();
    device.controls.iter().filter(|told| matches!(told, Control::ReadAnew(anew) if anew.scope == visible)).count()
}

fn what_a_site_ceased_to_see_behind_an_export_goes_from_the_device_that_takes_it_and_enrols_later(world: &mut World) {
    let site = site_that_sees_a_name(world);
    let mut one = exported(world, site, 7);
    assert!(has(&one, "name_tag_join", "T"));

    world.write(&["delete name_store_join N-in-A"]);
    enrol_and_settle(world, &mut one);

    assert!(!has(&one, "name_tag_join", "T") && has(&one, "store", "A"));
    assert_eq!(told_to_read_what_it_sees_anew(&one), 1, "once");
}

fn an_export_behind_the_last_change_is_not_read_again(world: &mut World) {
    let site = site_that_sees_a_name(world);
    drop(exported(world, site, 7));
    world.write(&["delete name_store_join N-in-A"]);
    let mut one = exported(world, site, 8);

    enrol_and_settle(world, &mut one);

    assert!(!has(&one, "name_tag_join", "T") && has(&one, "store", "A"));
    assert_eq!(told_to_read_what_it_sees_anew(&one), 0);
}

/// The simulator's find (seed 98000032): the records of stores that the site did not see any more stayed.
fn what_a_primary_was_given_goes_from_a_device_that_takes_its_place_with_an_export_of_then(world: &mut World) {
    let mut one = world.device(&["A"]);
    drop(world.device(&["B"]));
    world.write(&[r#"upsert item_store_join IB {"store_ID":"B"}"#]);
    settle(world, &mut one);
    world.job(|batch| batch.enable_mirror(one.site));
    settle(world, &mut one);
    settle(world, &mut one);
    let mut other = exported(world, one.site, 8);
    assert!(has(&other, "item_store_join", "IB"));
    world.job(|batch| batch.disable_mirror(true));
    settle(world, &mut one);

    enrol_and_settle(world, &mut other);

    assert!(!has(&other, "item_store_join", "IB") && has(&other, "store", "A"));
}
