//! Whether something waits for a site is found for what it shows, and a commit names everybody whom it gives something. Each settling of
//! a device in the other contracts is held against that, too.

use std::collections::BTreeMap;

use protocol::check;
use protocol::exchange::Standing;
use protocol::ids::{ControlNumber, CredentialGeneration, Position, ScopeId};
use protocol::message::{Cursor, ReplyHead, RequestHead};

use super::*;
use crate::store::{Concern, NewsFound};

contract!(
    a_site_that_has_everything_has_no_news_until_a_commit_concerns_it,
    a_control_row_is_news_and_one_that_was_heard_is_none,
    what_a_site_comes_to_see_is_news,
    a_site_that_collects_a_store_is_concerned_for_certain,
    a_position_of_another_time_line_is_news,
);

/// What a device was told when it had everything.
#[derive(Clone)]
pub(in crate::store) struct Quiet {
    through: Cursor,
    scopes: Vec<i64>,
    cursors: BTreeMap<ScopeId, Cursor>,
    /// How many commits were taken in by then.
    since: usize,
}

fn through_of(reply: &ReplyHead) -> Cursor {
    Cursor { epoch: reply.epoch, number: reply.position, began: reply.position }
}

fn find(world: &mut World, device: &Device, through: &Cursor) -> NewsFound {
    let head = check::head(device.site, device.journal, CredentialGeneration(1), [0; 8]);
    let head = RequestHead { token: device.token, control: ControlNumber(device.control), ..head };
    let now_ms = world.now_ms;
    let found = world.store.reading().find_news(&head, through, Standing::Current, now_ms).unwrap();
    let for_new = world.store.reading().find_news_for_new(&head, through, Standing::Current, now_ms).unwrap();
    assert!(found == for_new || matches!(found, NewsFound::Refused(_)), "its token is the last one");
    found
}

fn take_in(world: &mut World) {
    let concerned = world.store.take_concerned();
    world.concerned.push(concerned);
}

/// How the commits since it had everything concern a device, the closest of them.
fn concern(world: &mut World, device: &Device, quiet: &Quiet) -> Concern {
    take_in(world);
    let concerns = world.concerned.iter().skip(quiet.since).map(|commit| commit.concern(device.site, &quiet.scopes));
    concerns
        .max_by_key(|concern| match concern {
            Concern::None => 0,
            Concern::Perhaps => 1,
            Concern::Certain => 2,
        })
        .unwrap_or(Concern::None)
}

/// What it had, if that is of this start of central, and the device reads nothing anew of its own accord.
fn quiet_of(world: &World, device: &Device) -> Option<Quiet> {
    let is_same = |quiet: &Quiet| quiet.through.epoch == world.store.epoch() && quiet.cursors == device.cursors;
    device.quiet.clone().filter(is_same)
}

/// Holds a sync, which brings so many rows, against what was found before it.
pub(in crate::store) fn checked_sync(world: &mut World, device: &mut Device) -> usize {
    let before = quiet_of(world, device).map(|quiet| {
        let found = find(world, device, &quiet.through);
        (found, concern(world, device, &quiet))
    });
    let rows = device.sync(world);
    match before {
        Some((NewsFound::Something, concern)) => assert_ne!(concern, Concern::None, "nobody would have looked"),
        // What it recorded may bring rows, such as those of others that its edits were put on.
        Some((NewsFound::Nothing { .. }, concern)) if !device.has_recorded => {
            assert!(rows == 0 || concern == Concern::Certain, "{rows} rows were no news");
        }
        Some((NewsFound::Nothing { .. } | NewsFound::Refused(_), _)) | None => {}
    }
    rows
}

/// That a device to which nothing more is to come has no news.
pub(in crate::store) fn check_quiet(world: &mut World, device: &mut Device, reply: &ReplyHead) {
    device.quiet = None;
    device.has_recorded = false;
    if reply.has_more_control || !reply.control.is_empty() {
        return;
    }
    let through = through_of(reply);
    match find(world, device, &through) {
        NewsFound::Nothing { scopes } => {
            take_in(world);
            let cursors = device.cursors.clone();
            device.quiet = Some(Quiet { through, scopes, cursors, since: world.concerned.len() });
        }
        NewsFound::Refused(_) => {}
        NewsFound::Something => panic!("site {} has everything, and would be told of something for ever", device.site),
    }
}

fn has_news(world: &mut World, device: &Device) -> bool {
    let quiet = device.quiet.clone().expect("it had everything");
    find(world, device, &quiet.through) == NewsFound::Something
}

fn is_concerned(world: &mut World, device: &Device) -> Concern {
    let quiet = device.quiet.clone().expect("it had everything");
    concern(world, device, &quiet)
}

fn a_site_that_has_everything_has_no_news_until_a_commit_concerns_it(world: &mut World) {
    let (mut clinic, mut ward) = (world.device(&["C"]), world.device(&["W"]));
    for device in [&mut clinic, &mut ward] {
        settle(world, device);
    }

    world.job(|batch| batch.ask_to_verify(clinic.site));
    assert_eq!((has_news(world, &clinic), has_news(world, &ward)), (true, false));
    assert_eq!((is_concerned(world, &clinic), is_concerned(world, &ward)), (Concern::Perhaps, Concern::None));
    settle(world, &mut clinic);
    assert!(!has_news(world, &clinic));

    world.write(&[r#"upsert unit U {"units":"box"}"#]);
    assert!(has_news(world, &clinic) && has_news(world, &ward));
}

fn a_control_row_is_news_and_one_that_was_heard_is_none(world: &mut World) {
    let mut device = world.device(&["S"]);
    settle(world, &mut device);

    world.job(|batch| batch.ask_to_verify(device.site));
    assert!(has_news(world, &device));
    assert_ne!(is_concerned(world, &device), Concern::None);
    settle(world, &mut device);
    assert!(!has_news(world, &device));
}

fn what_a_site_comes_to_see_is_news(world: &mut World) {
    let (mut a, _) = two_dispensaries(world);
    world.write(&[r#"upsert name N {"name":"Supplier"}"#]);
    settle(world, &mut a);
    world.write(&[r#"upsert contact C {"name_ID":"N"}"#]);
    assert!(!has_news(world, &a), "nothing of the site sees that name");

    world.write(&[r#"upsert name_store_join J {"name_ID":"N","store_ID":"A"}"#]);

    assert!(has_news(world, &a));
    settle(world, &mut a);
    assert!(!has_news(world, &a));
}

fn a_site_that_collects_a_store_is_concerned_for_certain(world: &mut World) {
    let (mut collector, mut holder) = (world.device(&["C"]), world.device(&["H"]));
    world.write(&[
        r#"upsert name nH {"name":"h"}"#,
        r#"patch store H {"name_ID":"nH"}"#,
        r#"upsert name_store_join J {"name_ID":"nH","store_ID":"C"}"#,
    ]);
    holder.record(&[r#"put transact T {"store_ID":"H"}"#]);
    for device in [&mut collector, &mut holder] {
        settle(world, device);
    }
    let site = collector.site;

    world.job(|batch| batch.set_collector(&id("H"), site, true));

    assert_eq!(is_concerned(world, &collector), Concern::Certain, "what it is to read is older than what it has read");
    settle(world, &mut collector);
    assert!(has(&collector, "transact", "T"));
}

fn a_position_of_another_time_line_is_news(world: &mut World) {
    let mut device = world.device(&["S"]);
    settle(world, &mut device);
    let through = device.quiet.clone().unwrap().through;

    let ahead = Cursor { number: Position(through.number.0 + 1), ..through };
    let elsewhere = Cursor { epoch: Epoch(77), ..through };
    for through in [ahead, elsewhere] {
        assert_eq!(find(world, &device, &through), NewsFound::Something);
    }
    world.restart(101);
    assert!(matches!(find(world, &device, &through), NewsFound::Nothing { .. }), "a start of central is none");
}
