//! Grants that a central which was set back has forgotten, and the sites have not.

use protocol::chain::{self, Predecessor};
use protocol::control::{Claim, Control};
use protocol::ids::{GrantProof, Hash, OwnershipNumber, Sequence};
use protocol::limits::CLAIMS_MAX;
use protocol::message::RequestHead;

use super::tokens::{backup_before, exchange, start};
use super::*;

/// A device that is given a store after the backup, and writes into it.
fn given_afterwards() -> (Device, tempfile::TempDir) {
    backup_before(|world, device| {
        give(world, device, &["S2"]);
        exchange(world, device).unwrap();
        device.record(&[r#"put transact T1 {"store_ID":"S2"}"#]);
        exchange(world, device).unwrap();
        assert!(world.data("transact", "T1").contains("S2"));
        device.record(&[r#"put transact T2 {"store_ID":"S2"}"#]);
    })
}

fn give(world: &mut World, device: &Device, stores: &[&str]) {
    for store in stores {
        world.write(&[&format!(r#"upsert store {store} {{"code":"{store}"}}"#)]);
        let site = device.site;
        world.job(|batch| batch.move_store(&id(store), site, false));
    }
}

/// Who holds a store, and under which number; `None` if nobody ever did.
fn holder(world: &mut World, store: &str) -> Option<(u32, u32)> {
    let sites = [2_u32, 3].into_iter();
    sites.into_iter().find_map(|site| {
        let stores = world.store.reading().stores_of(SiteId(site)).unwrap();
        stores.into_iter().find(|(held, _)| *held == id(store)).map(|(_, number)| (site, number.0))
    })
}

fn claims(world: &mut World) -> Vec<(u32, String, u32)> {
    let claims = world.store.reading().declined_claims(None).unwrap().into_iter();
    claims.map(|claim| (claim.site.0, claim.store.to_string(), claim.ownership.0)).collect()
}

#[test]
fn a_grant_that_central_has_forgotten_is_taken_up_and_what_was_written_under_it_is_accepted() {
    let (mut device, backup) = given_afterwards();
    let mut world = start(&backup, 102);
    assert_eq!(holder(&mut world, "S2"), None);

    // Told its grants, it says which other one it has; what it wrote waits so long.
    exchange(&mut world, &mut device).unwrap();
    assert_eq!(world.data("transact", "T1"), "unknown");
    assert_eq!(world.status(&device).unjudged_entries, 2);
    exchange(&mut world, &mut device).unwrap();

    assert_eq!(holder(&mut world, "S2"), Some((2, 1)));
    assert!(world.data("transact", "T1").contains("S2"));
    assert!(world.data("transact", "T2").contains("S2"));
    assert_eq!((device.told.len(), claims(&mut world).len()), (0, 0));
    exchange(&mut world, &mut device).unwrap();
    assert!(device.claims.grants.is_empty(), "it has heard that it holds the store");
    // The store's record comes later, with the column that central alone fills.
    world.write(&[r#"upsert store S2 {"code":"S2"}"#]);
    assert!(world.data("store", "S2").contains(r#""sync_id_remote_site":2"#), "{}", world.data("store", "S2"));
}

#[test]
fn a_reply_that_is_lost_while_grants_are_compared_changes_nothing_of_the_end() {
    let (device, backup) = given_afterwards();
    for lost in 0..4 {
        let (mut device, copy) = (device.clone(), tempfile::tempdir().unwrap());
        std::fs::copy(backup.path().join("central.db"), copy.path().join("central.db")).unwrap();
        let mut world = start(&copy, 102);

        for round in 0..6 {
            if round == lost {
                let mut unheard = device.clone();
                exchange(&mut world, &mut unheard).unwrap();
            } else {
                exchange(&mut world, &mut device).unwrap();
            }
        }

        assert_eq!((holder(&mut world, "S2"), device.told.len()), (Some((2, 1)), 0), "reply {lost} is lost");
        assert!(world.data("transact", "T2").contains("S2"));
    }
}

/// The simulator's find: the rows that wait for it were to get numbers below those that they had, and central failed.
#[test]
fn a_device_that_lost_its_local_copy_besides_is_told_all_its_grants_from_the_first_number_on() {
    let (mut device, backup) = backup_before(|world, device| {
        (0..3).for_each(|number| device.record(&[&format!(r#"put item I{number} {{"code":"no"}}"#)]));
        exchange(world, device).unwrap();
        exchange(world, device).unwrap();
    });
    let mut world = start(&backup, 102);
    device.control = 0;
    device.grants.clear();

    for _ in 0..3 {
        exchange(&mut world, &mut device).unwrap();
    }

    assert_eq!(device.grants.keys().collect::<Vec<_>>(), ["S1"]);
    assert_eq!(world.status(&device).control_rows, 0);
}

#[test]
fn a_claim_that_central_cannot_know_as_its_own_is_declined_and_holds_the_store_for_that_site() {
    let (mut device, backup) = given_afterwards();
    let mut world = start(&backup, 102);
    let mut other = world.device(&["S3"]);
    exchange(&mut world, &mut device).unwrap();
    device.claims.grants[0].proof = GrantProof([7; 16]);
    device.claims.grants[0].ownership = OwnershipNumber(u32::MAX);

    exchange(&mut world, &mut device).unwrap();
    exchange(&mut world, &mut device).unwrap();

    assert_eq!((holder(&mut world, "S2"), claims(&mut world)), (None, vec![(2, "S2".to_owned(), u32::MAX)]));
    assert_eq!(device.told.iter().map(|told| told.1.as_str()).collect::<Vec<_>>(), ["not_store_holder"; 2]);
    assert!(!device.grants.contains_key("S2"));
    world.end_healing().unwrap();
    exchange(&mut world, &mut other).unwrap();
    world.write(&[r#"upsert store S2 {"code":"S2"}"#]);
    assert_eq!(code(world.try_job(|batch| batch.move_store(&id("S2"), other.site, false))), "store_held_before");
    // Given back, it has a number that central gave: what was claimed without a proof counts for nothing.
    world.job(|batch| batch.move_store(&id("S2"), device.site, false));
    assert_eq!((holder(&mut world, "S2"), claims(&mut world)), (Some((2, 1)), Vec::new()));
}

#[test]
fn a_store_that_was_given_to_somebody_else_since_stays_there() {
    let (mut device, backup) = given_afterwards();
    let mut world = start(&backup, 102);
    let other = world.device(&["S2"]);

    for _ in 0..4 {
        exchange(&mut world, &mut device).unwrap();
    }

    assert_eq!(
        (holder(&mut world, "S2"), claims(&mut world)),
        (Some((other.site.0, 1)), vec![(2, "S2".to_owned(), 1)])
    );
    assert_eq!(world.data("transact", "T1"), "unknown");
    assert_eq!(device.told.len(), 2);
    // Where the device is gone nobody is left to claim anything.
    world.job(|batch| batch.reset_hardware(device.site));
    assert_eq!(claims(&mut world), Vec::new());
    world.job(|batch| batch.enrol(device.site, &enrolling(8, JournalId([77; 16]))));
    assert_eq!(claims(&mut world), Vec::new());
}

/// Found by hand: the old site's exchange was refused, with what central could not do with the store.
#[test]
fn a_store_that_another_site_claims_goes_there_or_to_central_alone_and_holds_up_no_exchange() {
    let (mut device, backup) = given_afterwards();
    let mut world = start(&backup, 102);
    let (mut other, third) = (world.device(&["S2"]), world.device(&["S3"]));
    let go = |world: &mut World, site, is_at_once| {
        world.try_job(|batch| batch.move_store(&id("S2"), site, is_at_once)).map_err(|error| error.code().to_owned())
    };
    let held_before = Err("store_held_before".to_owned());
    let draining = Ok(Moved::UnderWay { phase: MovePhase::Draining, site: other.site });
    assert_eq!(go(&mut world, third.site, false), draining);
    for _ in 0..4 {
        exchange(&mut world, &mut device).unwrap();
    }
    assert_eq!(claims(&mut world), [(2, "S2".to_owned(), 1)]);

    for _ in 0..3 {
        exchange(&mut world, &mut other).unwrap();
    }

    assert_eq!(holder(&mut world, "S2"), Some((other.site.0, 1)));
    world.end_healing().unwrap();
    assert_eq!(go(&mut world, third.site, true), held_before);
    assert_eq!(go(&mut world, other.site, false), held_before, "nor is it called off");
    assert_eq!(go(&mut world, SiteId::CENTRAL, false), draining);
    exchange(&mut world, &mut other).unwrap();
    assert_eq!(go(&mut world, SiteId::CENTRAL, false), Ok(Moved::Unchanged));
    assert_eq!(go(&mut world, third.site, false), held_before);
    go(&mut world, device.site, false).unwrap();
    assert_eq!((holder(&mut world, "S2"), claims(&mut world)), (Some((2, 3)), Vec::new()));
}

#[test]
fn more_grants_than_a_head_claims_are_taken_up_in_turns() {
    let names: Vec<String> = (0..=CLAIMS_MAX).map(|number| format!("M{number:03}")).collect();
    let stores: Vec<&str> = names.iter().map(String::as_str).collect();
    let (mut device, backup) = backup_before(|world, device| {
        give(world, device, &stores);
        exchange(world, device).unwrap();
        exchange(world, device).unwrap();
        device.record(&[&format!(r#"put transact T1 {{"store_ID":"{}"}}"#, stores[CLAIMS_MAX])]);
    });
    let mut world = start(&backup, 102);

    exchange(&mut world, &mut device).unwrap();
    let all: Vec<Claim> = device.claims.grants.clone();
    assert_eq!(all.len(), CLAIMS_MAX + 1);
    device.claims.grants.truncate(CLAIMS_MAX);
    exchange(&mut world, &mut device).unwrap();
    assert_eq!(holder(&mut world, stores[CLAIMS_MAX]), None);
    device.claims.grants = vec![all[CLAIMS_MAX].clone()];
    exchange(&mut world, &mut device).unwrap();

    assert_eq!(holder(&mut world, stores[CLAIMS_MAX]), Some((2, 1)));
    assert!(world.data("transact", "T1").contains(stores[CLAIMS_MAX]));
}

#[test]
fn a_site_that_is_ahead_may_go_on_in_a_journal_that_follows_one_which_central_has_forgotten() {
    let (device, backup) = given_afterwards();
    let mut world = start(&backup, 102);
    let mut other = world.device(&["S3"]);
    let between = JournalId([50; 16]);
    let predecessor =
        Predecessor { journal: between, sequence: Sequence(4), hash: Hash([6; 32]), promised: Sequence(4) };
    let next = JournalId([51; 16]);
    let begin = |world: &mut World, device: &Device| {
        let head = RequestHead {
            journal: next,
            predecessor: Some(predecessor),
            head: Sequence::ZERO,
            head_hash: chain::genesis(device.site, next, Some(&predecessor)),
            ..device.head()
        };
        world.try_job(|batch| batch.begin(&head.into(), Standing::Current, NONCE))
    };

    assert_eq!(begin(&mut world, &device).unwrap().sequence, Sequence::ZERO);

    // Nobody else does so: a journal that nobody has heard of is refused.
    exchange(&mut world, &mut other).unwrap();
    assert_eq!(code(begin(&mut world, &other)), "unknown_journal");
}

/// The simulator's find (seed 7400794): a site that was about to be the primary had read everything, and no cursor showed that.
#[test]
fn a_site_that_may_have_heard_what_central_has_forgotten_is_told_to_read_everything_anew() {
    let is_told = |device: &Device| device.controls.iter().filter(|row| **row == Control::SetBack).count();
    let (mut device, backup) = backup_before(|world, device| {
        exchange(world, device).unwrap();
        let site = device.site;
        world.job(|batch| batch.enable_mirror(site));
        exchange(world, device).unwrap();
        exchange(world, device).unwrap();
    });
    let mut world = start(&backup, 102);
    for _ in 0..4 {
        exchange(&mut world, &mut device).unwrap();
    }
    assert_eq!(is_told(&device), 1);

    // A site that has heard nothing but what central knows that it has need not read everything again.
    let folder = tempfile::tempdir().unwrap();
    let mut world = start(&folder, 100);
    let mut device = world.device(&["S1"]);
    for _ in 0..3 {
        exchange(&mut world, &mut device).unwrap();
    }
    drop(world);
    let backup = tempfile::tempdir().unwrap();
    std::fs::copy(folder.path().join("central.db"), backup.path().join("central.db")).unwrap();
    let mut world = start(&folder, 101);
    for _ in 0..3 {
        exchange(&mut world, &mut device).unwrap();
    }
    let mut world = start(&backup, 102);
    for _ in 0..4 {
        exchange(&mut world, &mut device).unwrap();
    }
    assert!(world.status(&device).site.ahead_ms.is_some());
    assert_eq!(is_told(&device), 0);
}

/// The simulator's find: a line waited in the backup, and was refused afterwards. Its header comes, and the line must not be accepted: its
/// site has set it aside, and may have recorded it anew.
#[test]
fn a_line_that_waited_in_the_backup_and_was_refused_since_gets_its_old_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = start(&folder, 100);
    let mut device = world.device(&["S1"]);
    exchange(&mut world, &mut device).unwrap();
    device.record(&[
        r#"put trans_line L1 {"transaction_ID":"T9","item_ID":"I"}"#,
        r#"put trans_line L2 {"transaction_ID":"T9","item_ID":"I"}"#,
    ]);
    exchange(&mut world, &mut device).unwrap();
    assert_eq!(world.status(&device).waiting_entries, 2);
    drop(world);
    let backup = tempfile::tempdir().unwrap();
    std::fs::copy(folder.path().join("central.db"), backup.path().join("central.db")).unwrap();
    let mut world = start(&folder, 101);
    exchange(&mut world, &mut device).unwrap();
    device.record(&["delete transact T9"]);
    exchange(&mut world, &mut device).unwrap();
    exchange(&mut world, &mut device).unwrap();
    let before = set_aside(&mut world, &device);
    assert_eq!(before.iter().map(|aside| aside.0.0).collect::<Vec<_>>(), [1, 2]);

    let mut world = start(&backup, 102);
    // The delete is not sent again: it is as if its device had lost it with its journal.
    device.entries.truncate(2);
    for _ in 0..3 {
        exchange(&mut world, &mut device).unwrap();
    }
    assert_eq!(set_aside(&mut world, &device), before);
    device.record(&[r#"put transact T9 {"store_ID":"S1"}"#]);
    exchange(&mut world, &mut device).unwrap();

    assert_eq!((world.data("trans_line", "L1"), world.data("trans_line", "L2")), ("unknown".into(), "unknown".into()));
    assert_eq!(world.status(&device).waiting_entries, 0);
}

/// A device whose edit of a store that it does not hold was refused, and a backup of before that, with the edit received and not judged.
fn refused_after_the_backup() -> (Device, tempfile::TempDir) {
    let (folder, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut world = start(&folder, 100);
    let mut device = world.device(&["S1"]);
    exchange(&mut world, &mut device).unwrap();
    device.record(&[r#"put transact T1 {"store_ID":"S2"}"#]);
    device.record(&[r#"put transact T2 {"store_ID":"S1"}"#]);
    let received = device.try_begin(&mut world).unwrap().sequence;
    device.try_send(&mut world, usize::try_from(received.0).unwrap(), 2).unwrap();
    drop(world);
    std::fs::copy(folder.path().join("central.db"), backup.path().join("central.db")).unwrap();
    let mut world = start(&folder, 101);
    device.try_conclude(&mut world, &mut || true).unwrap();
    exchange(&mut world, &mut device).unwrap();
    assert_eq!(device.told.len(), 1);
    (device, backup)
}

#[test]
fn an_edit_that_was_received_in_the_backup_and_refused_since_gets_its_old_verdict() {
    let (device, backup) = refused_after_the_backup();
    for shows in [true, false] {
        let (mut device, copy) = (device.clone(), tempfile::tempdir().unwrap());
        std::fs::copy(backup.path().join("central.db"), copy.path().join("central.db")).unwrap();
        let mut world = start(&copy, 102);
        // By now it might be written.
        give(&mut world, &device, &["S2"]);
        assert!(world.store.reading().sites_judged_at_start().unwrap().is_empty(), "its device is heard first");
        if !shows {
            device.claims.refused.clear();
        }
        for _ in 0..4 {
            exchange(&mut world, &mut device).unwrap();
        }

        assert_eq!(world.data("transact", "T1") == "unknown", shows);
        assert!(world.data("transact", "T2").contains("S1"));
        assert_eq!(set_aside(&mut world, &device).len(), usize::from(shows));
    }
}

#[test]
fn nothing_is_judged_behind_a_full_list_of_refusals_until_the_rest_of_them_came() {
    let (mut device, backup) = refused_after_the_backup();
    let mut world = start(&backup, 102);
    give(&mut world, &device, &["S2"]);
    let last = device.claims.refused.clone();
    let mut other = last[0].clone();
    other.place.sequence = Sequence(99);
    device.claims.refused = vec![other; CLAIMS_MAX];
    for _ in 0..3 {
        exchange(&mut world, &mut device).unwrap();
    }
    assert_eq!(world.status(&device).unjudged_entries, 2);

    device.claims.refused = last;
    exchange(&mut world, &mut device).unwrap();

    assert_eq!((world.data("transact", "T1"), world.status(&device).unjudged_entries), ("unknown".into(), 0));
}

#[test]
fn when_central_starts_it_judges_what_sites_without_a_device_left() {
    let (device, backup) = refused_after_the_backup();
    let mut world = start(&backup, 102);
    let site = device.site;
    world.job(|batch| batch.reset_hardware(site));
    assert_eq!(world.store.reading().sites_judged_at_start().unwrap(), [site]);

    world.job(|batch| batch.judge(site, &mut || true));

    assert_eq!(world.store.reading().sites_judged_at_start().unwrap(), []);
    assert!(world.data("transact", "T2").contains("S1"));
}

fn set_aside(world: &mut World, device: &Device) -> Vec<(Sequence, String, String)> {
    let aside = world.store.reading().set_aside(device.site, None, 9).unwrap().into_iter();
    aside.map(|aside| (aside.sequence, aside.code, aside.reason)).collect()
}
