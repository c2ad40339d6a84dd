//! One device speaks for a site, and one pair of name and password counts.

use protocol::hardware::BindingStrength;
use protocol::ids::{CredentialGeneration, JournalId, PublicKey, Sequence};
use protocol::limits::RETIRED_KEYS_MAX;

use super::*;

contract!(
    a_site_without_a_device_takes_the_first_and_the_same_one_again,
    another_device_is_refused_with_an_error_that_names_both_and_the_way_out,
    a_wiped_device_is_taken_with_its_new_key_and_the_old_one_is_retired,
    the_right_key_on_other_hardware_is_refused,
    a_device_without_hardware_is_replaced_only_after_a_reset,
    a_repaired_device_goes_on_in_its_journal_after_a_reset_under_a_new_key,
    a_key_that_was_retired_is_never_taken_again,
    a_journal_into_which_something_came_after_its_close_is_not_taken_back,
    an_exchange_that_was_begun_before_the_place_was_taken_writes_nothing_more,
    another_device_takes_the_place_after_a_reset_and_the_old_one_stays_out,
    a_reset_changes_nothing_where_no_device_is,
    retired_keys_are_kept_up_to_their_limit,
    another_name_or_password_begins_a_generation_and_stops_the_device,
    putting_name_and_password_back_lets_the_device_go_on,
    a_code_changes_nothing_else,
    an_edit_that_is_wrong_or_late_changes_nothing,
    pairs_are_kept_up_to_their_limit_and_no_generation_comes_twice,
);

fn enrolling_on(letters: &str, key: u8) -> EnrollingDevice {
    EnrollingDevice { hardware: hardware(letters), ..enrolling(key, JournalId([100 + key; 16])) }
}

fn site(world: &mut World) -> SiteId {
    let device = world.device(&["S1"]);
    let site = device.site;
    world.job(|batch| batch.reset_hardware(site));
    world.job(|batch| batch.forget_retired(site));
    site
}

impl Batch<'_> {
    /// So that a test begins with a site of which nothing is known.
    fn forget_retired(&mut self, site: SiteId) -> Result<(), StoreError> {
        self.sql.execute("DELETE FROM retired_key WHERE site = ?1", &[site.0.into()])?;
        Ok(())
    }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, StoreError>) -> (String, String) {
    match result.unwrap_err() {
        StoreError::Refused(refusal) => (refusal.code, refusal.message),
        other => panic!("{other}"),
    }
}

fn key_of(world: &mut World, site: SiteId) -> Option<u8> {
    world.store.reading().site_keys(site).unwrap().current.map(|key| key.0[0])
}

fn retired(world: &mut World, site: SiteId) -> Vec<(u8, RetiredReason)> {
    let keys = world.store.reading().retired_keys(site).unwrap();
    keys.into_iter().map(|retired| (retired.key.0[0], retired.reason)).collect()
}

fn a_site_without_a_device_takes_the_first_and_the_same_one_again(world: &mut World) {
    let site = site(world);
    let device = enrolling_on("cum", 1);

    let first = world.job(|batch| batch.enrol(site, &device));
    let row = world.store.reading().site(site).unwrap();
    world.now_ms += 1000;
    let again = world.job(|batch| batch.enrol(site, &device));

    assert_eq!((first.is_new, again.is_new), (true, false));
    assert_eq!((first.binding, again.binding), (BindingStrength::Strong, BindingStrength::Strong));
    assert_eq!(world.store.reading().site(site).unwrap(), row, "repeating it changes nothing");
    // A part was exchanged, and enough is the same: from then on the device counts as it is.
    world.job(|batch| batch.enrol(site, &enrolling_on("cUm", 1)));
    assert_eq!(world.store.reading().site(site).unwrap().unwrap().hardware, Some(hardware("cUm")));
}

fn another_device_is_refused_with_an_error_that_names_both_and_the_way_out(world: &mut World) {
    let site = site(world);
    world.now_ms = 1_767_596_889_000;
    let bound = enrolling_on("cu", 1);
    world.job(|batch| batch.enrol(site, &bound));
    let stranger = enrolling_on("CU", 2);

    let (code, message) = refusal(world.try_job(|batch| batch.enrol(site, &stranger)));

    assert_eq!(code, "site_bound");
    for part in [
        bound.key.fingerprint().as_str(),
        stranger.key.fingerprint().as_str(),
        "2026-01-05T07:08:09Z",
        "last seen never",
        "outpost-central site reset-hardware 2",
    ] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    assert_eq!(key_of(world, site), Some(1));
    assert_eq!(retired(world, site), []);
}

fn a_wiped_device_is_taken_with_its_new_key_and_the_old_one_is_retired(world: &mut World) {
    let site = site(world);
    world.job(|batch| batch.enrol(site, &enrolling_on("cum", 1)));

    let wiped = world.job(|batch| batch.enrol(site, &enrolling_on("cu", 2)));

    assert_eq!((wiped.is_new, wiped.replaced), (true, Some(PublicKey([1; 32]))));
    assert_eq!(key_of(world, site), Some(2));
    assert_eq!(retired(world, site), [(1, RetiredReason::Replaced)]);
    // What was there before the wipe does not come back: its key is retired, and its journal closed.
    assert_eq!(code(world.try_job(|batch| batch.enrol(site, &enrolling_on("cu", 1)))), "key_retired");
    let rekeyed = EnrollingDevice { key: PublicKey([3; 32]), ..enrolling_on("cu", 1) };
    assert_eq!(code(world.try_job(|batch| batch.enrol(site, &rekeyed))), "journal_retired");
    assert_eq!((key_of(world, site), retired(world, site).len()), (Some(2), 1));
}

fn the_right_key_on_other_hardware_is_refused(world: &mut World) {
    let site = site(world);
    world.job(|batch| batch.enrol(site, &enrolling_on("cum", 1)));

    for other in ["CUM", "CUm", "m", ""] {
        let (code, message) = refusal(world.try_job(|batch| batch.enrol(site, &enrolling_on(other, 1))));

        assert_eq!(code, "hardware_differs", "{other:?}");
        assert!(message.contains("site reset-hardware 2"), "{message}");
    }
    assert_eq!(world.store.reading().site(site).unwrap().unwrap().hardware, Some(hardware("cum")));
}

fn a_device_without_hardware_is_replaced_only_after_a_reset(world: &mut World) {
    let site = site(world);
    for letters in ["", "m"] {
        let first = world.job(|batch| batch.enrol(site, &enrolling_on(letters, 1)));
        assert_eq!(first.binding, BindingStrength::None);
        // The same container again, wiped: nothing says that it is the same.
        assert_eq!(code(world.try_job(|batch| batch.enrol(site, &enrolling_on(letters, 2)))), "site_bound");
        // Its own key is all that can be told.
        assert!(!world.job(|batch| batch.enrol(site, &enrolling_on(letters, 1))).is_new);

        world.job(|batch| batch.reset_hardware(site));
        assert!(world.job(|batch| batch.enrol(site, &enrolling_on(letters, 3))).is_new);
        world.job(|batch| batch.reset_hardware(site));
        world.job(|batch| batch.drop_journals(site));
        world.job(|batch| batch.forget_retired(site));
    }
}

impl Batch<'_> {
    /// So that a test may use the same journals again.
    fn drop_journals(&mut self, site: SiteId) -> Result<(), StoreError> {
        self.sql.execute("DELETE FROM journal WHERE site = ?1", &[site.0.into()])?;
        Ok(())
    }
}

/// A device with an edit at central, and one that it has not sent, after its site was reset.
fn reset_with_an_unsent_edit(world: &mut World) -> Device {
    let mut device = world.device(&["S1"]);
    let site = device.site;
    device.record(&[r#"put transact T1 {"store_ID":"S1"}"#]);
    device.push(world);
    device.record(&[r#"put transact T2 {"store_ID":"S1"}"#]);
    let repaired = EnrollingDevice { hardware: hardware("CU"), ..enrolling(7, device.journal) };
    assert_eq!(code(world.try_job(|batch| batch.enrol(site, &repaired))), "hardware_differs");
    assert_eq!(world.job(|batch| batch.reset_hardware(site)), Some(PublicKey([7; 32])));
    assert_eq!(key_of(world, site), None);
    device
}

fn a_repaired_device_goes_on_in_its_journal_after_a_reset_under_a_new_key(world: &mut World) {
    let mut device = reset_with_an_unsent_edit(world);
    let site = device.site;
    let repaired = EnrollingDevice { hardware: hardware("CU"), ..enrolling(8, device.journal) };

    world.job(|batch| batch.enrol(site, &repaired));

    // A lost answer: the same question again changes nothing.
    assert!(!world.job(|batch| batch.enrol(site, &repaired)).is_new);
    device.push(world);
    assert!(world.data("transact", "T2").contains("S1"), "what it had not sent comes in the journal that it has");
    assert_eq!(world.status(&device).site.journal.unwrap().1, Sequence(2));
    assert_eq!(retired(world, site), [(7, RetiredReason::Reset)]);
}

fn a_key_that_was_retired_is_never_taken_again(world: &mut World) {
    let device = reset_with_an_unsent_edit(world);
    let site = device.site;
    for journal in [device.journal, JournalId([150; 16])] {
        let (code, message) = refusal(world.try_job(|batch| batch.enrol(site, &enrolling(7, journal))));
        assert_eq!(code, "key_retired");
        assert!(message.contains(&PublicKey([7; 32]).fingerprint()), "{message}");
    }
    assert_eq!((key_of(world, site), retired(world, site)), (None, vec![(7, RetiredReason::Reset)]));

    // Whoever has a copy of it is not taken with the device that goes on.
    world.job(|batch| batch.enrol(site, &enrolling(8, device.journal)));
    assert_eq!(code(world.try_job(|batch| batch.enrol(site, &enrolling(7, device.journal)))), "key_retired");
    let head = device.head();
    assert_eq!(
        code(world.try_job(|batch| batch.begin(&head.clone().into(), Standing::Retired, NONCE))),
        "device_retired"
    );
    assert_eq!(key_of(world, site), Some(8));
}

fn a_journal_into_which_something_came_after_its_close_is_not_taken_back(world: &mut World) {
    let device = reset_with_an_unsent_edit(world);
    let site = device.site;
    let head = device.head();
    world.job(|batch| batch.begin(&head.clone().into(), Standing::Retired, NONCE));
    device.try_send(world, 1, 2).unwrap();

    let repaired = enrolling(8, device.journal);
    assert_eq!(code(world.try_job(|batch| batch.enrol(site, &repaired))), "journal_retired");

    assert_eq!(key_of(world, site), None);
    assert_eq!(world.status(&device).set_aside.entries, 1);
}

fn an_exchange_that_was_begun_before_the_place_was_taken_writes_nothing_more(world: &mut World) {
    let device = world.device(&["S1"]);
    let site = device.site;
    let old = PublicKey([7; 32]);
    world.job(|batch| batch.refuse_replaced(site, &old));

    world.job(|batch| batch.reset_hardware(site));
    assert_eq!(code(world.try_job(|batch| batch.refuse_replaced(site, &old))), "device_retired");
    // Though it is the same journal that goes on.
    world.job(|batch| batch.enrol(site, &enrolling(8, device.journal)));

    assert_eq!(code(world.try_job(|batch| batch.refuse_replaced(site, &old))), "device_retired");
    world.job(|batch| batch.refuse_replaced(site, &PublicKey([8; 32])));
}

fn another_device_takes_the_place_after_a_reset_and_the_old_one_stays_out(world: &mut World) {
    let mut old = world.device(&["S1"]);
    let site = old.site;
    old.record(&[r#"put transact T1 {"store_ID":"S1"}"#]);
    old.push(world);
    world.job(|batch| batch.reset_hardware(site));

    let mut new = Device::new(site, JournalId([190; 16]));
    world.job(|batch| batch.enrol(site, &enrolling_on("CU", 90)));
    new.sync(world);

    assert!(new.data("transact", "T1").contains("S1"), "the new device has what the old one had sent");
    assert_eq!(code(old.try_conclude(world, &mut || true)), "device_retired");
    let back = enrolling(91, old.journal);
    assert_eq!(code(world.try_job(|batch| batch.enrol(site, &back))), "site_bound");
    // Another reset lets it in only under a new journal: others wrote since.
    world.job(|batch| batch.reset_hardware(site));
    assert_eq!(code(world.try_job(|batch| batch.enrol(site, &back))), "journal_retired");
}

fn a_reset_changes_nothing_where_no_device_is(world: &mut World) {
    let site = site(world);

    assert_eq!(world.job(|batch| batch.reset_hardware(site)), None);
    assert_eq!(code(world.try_job(|batch| batch.reset_hardware(SiteId(99)))), "unknown_site");
    assert_eq!(code(world.try_job(|batch| batch.reset_hardware(CENTRAL))), "unknown_site");
    assert_eq!(retired(world, site), []);
}

fn retired_keys_are_kept_up_to_their_limit(world: &mut World) {
    let site = site(world);
    let last = u8::try_from(RETIRED_KEYS_MAX).unwrap() + 3;
    for key in 1..=last {
        world.now_ms += 1;
        world.job(|batch| batch.enrol(site, &enrolling_on("cu", key)));
    }

    let keys: Vec<u8> = retired(world, site).into_iter().map(|(key, _)| key).collect();

    assert_eq!(keys, (3..last).rev().collect::<Vec<_>>());
    assert_eq!(keys.len(), RETIRED_KEYS_MAX);
}

fn edit() -> SiteEdit {
    SiteEdit { seen: CredentialGeneration(1), name: None, code: None, password_hash: None, restored: None }
}

fn another_name_or_password_begins_a_generation_and_stops_the_device(world: &mut World) {
    let mut device = world.device(&["S1"]);
    let site = device.site;
    device.record(&[r#"put transact T1 {"store_ID":"S1"}"#]);
    device.push(world);
    let before = world.status(&device);

    let renamed = SiteEdit { name: Some("north".to_owned()), ..edit() };
    let second = world.job(|batch| batch.edit_site(site, &renamed));
    assert!(second > CredentialGeneration(1));

    device.record(&[r#"put transact T2 {"store_ID":"S1"}"#]);
    let (code, message) = refusal(device.try_begin(world));
    assert_eq!(code, "credentials_changed");
    assert!(message.contains(&format!("generation 1, and {} counts", second.0)), "{message}");
    let after = world.status(&device);
    assert_eq!((after.site.journal, after.site.last_contact_ms), (before.site.journal, before.site.last_contact_ms));
    assert_eq!(after.control_rows, before.control_rows);
    let repassworded = SiteEdit { seen: second, password_hash: Some("h2".to_owned()), ..edit() };
    let third = world.job(|batch| batch.edit_site(site, &repassworded));
    assert!(third > second);
    let proved = world.job(|batch| batch.enrol(site, &enrolling(7, device.journal)));
    assert_eq!((proved.generation, proved.is_new), (third, false));
}

fn putting_name_and_password_back_lets_the_device_go_on(world: &mut World) {
    let mut device = world.device(&["S1"]);
    let site = device.site;
    let first = world.store.reading().site(site).unwrap().unwrap();
    let renamed = SiteEdit { name: Some("north".to_owned()), ..edit() };
    let second = world.job(|batch| batch.edit_site(site, &renamed));

    let back =
        SiteEdit { seen: second, name: Some(first.name.clone()), restored: Some(CredentialGeneration(1)), ..edit() };
    assert_eq!(world.job(|batch| batch.edit_site(site, &back)), CredentialGeneration(1));

    assert_eq!(world.store.reading().site(site).unwrap().unwrap(), first);
    device.push(world);
    // The next change is no generation that was there before.
    assert!(world.job(|batch| batch.edit_site(site, &renamed)) > second);
}

fn a_code_changes_nothing_else(world: &mut World) {
    let mut device = world.device(&["S1"]);
    let site = device.site;

    let coded = SiteEdit { code: Some("N1".to_owned()), ..edit() };
    assert_eq!(world.job(|batch| batch.edit_site(site, &coded)), CredentialGeneration(1));

    assert_eq!(world.store.reading().site(site).unwrap().unwrap().code, "N1");
    device.push(world);
}

fn an_edit_that_is_wrong_or_late_changes_nothing(world: &mut World) {
    let device = world.device(&["S1"]);
    let other = world.device(&["S2"]);
    let site = device.site;
    let before = world.store.reading().site(site).unwrap();
    let other_name = world.store.reading().site(other.site).unwrap().unwrap().name;
    for (wrong, expected) in [
        (SiteEdit { name: Some(String::new()), ..edit() }, "site_name"),
        (SiteEdit { code: Some("a\nb".to_owned()), ..edit() }, "site_name"),
        (SiteEdit { name: Some(other_name), ..edit() }, "site_name_taken"),
        (SiteEdit { seen: CredentialGeneration(2), name: Some("late".to_owned()), ..edit() }, "site_changed"),
        (SiteEdit { restored: Some(CredentialGeneration(9)), ..edit() }, "site_changed"),
    ] {
        assert_eq!(code(world.try_job(|batch| batch.edit_site(site, &wrong))), expected);
        assert_eq!(world.store.reading().site(site).unwrap(), before);
    }
    let named = edit();
    assert_eq!(code(world.try_job(|batch| batch.edit_site(CENTRAL, &named))), "unknown_site");
}

fn pairs_are_kept_up_to_their_limit_and_no_generation_comes_twice(world: &mut World) {
    let site = site(world);
    let mut given = vec![CredentialGeneration(1)];
    for number in 1..CREDENTIALS_KEPT_MAX + 3 {
        let seen = *given.last().unwrap();
        let renamed = SiteEdit { seen, name: Some(format!("n{number}")), ..edit() };
        given.push(world.job(|batch| batch.edit_site(site, &renamed)));
    }
    assert!(given.is_sorted_by(|before, after| before < after), "{given:?}");
    let kept = |world: &mut World| -> Vec<CredentialGeneration> {
        let credentials = world.store.reading().credentials(site).unwrap();
        credentials.into_iter().map(|kept| kept.generation).rev().collect()
    };
    assert_eq!(kept(world), given[3..]);

    // The oldest that is kept counts again, and stays while newer ones come.
    let (oldest, last) = (given[3], *given.last().unwrap());
    let back = SiteEdit { seen: last, restored: Some(oldest), ..edit() };
    assert_eq!(world.job(|batch| batch.edit_site(site, &back)), oldest);
    let next = SiteEdit { seen: oldest, name: Some("next".to_owned()), ..edit() };
    given.push(world.job(|batch| batch.edit_site(site, &next)));
    assert!(given.last() > Some(&last));
    assert_eq!(kept(world), given[4..]);
}

#[test]
fn two_time_lines_of_central_give_other_generations() {
    let generations: std::collections::BTreeSet<u32> = (100..110)
        .map(|epoch| {
            let mut world = World::in_epoch(Box::new(SqliteEngine::in_memory().unwrap()), LIMITS, epoch);
            let site = world.device(&["S1"]).site;
            let renamed = SiteEdit { name: Some("north".to_owned()), ..edit() };
            world.job(|batch| batch.edit_site(site, &renamed)).0
        })
        .collect();

    assert_eq!(generations.len(), 10, "{generations:?}");
}

/// Not on every engine: what a step of the schema does to rows is the same SQL everywhere.
#[test]
fn a_store_of_before_gets_salts_and_credentials_and_its_devices_stay_enrolled() {
    let mut sql: Box<dyn Sql> = Box::new(SqliteEngine::in_memory().unwrap());
    sql::migrate(&mut *sql, &schema::MIGRATIONS[..4]).unwrap();
    for (id, name, generation) in [(1, "central", 0), (2, "north", 4), (3, "south", 1)] {
        let values = [id.into(), name.into(), generation.into(), (&[9_u8; 32]).into()];
        sql.in_transaction(Durability::Full, |sql| {
            sql.execute(
                "INSERT INTO site (id, name, code, kind, password_hash, public_key, generation, enrolled_ms, control_last)
                 VALUES (?1, ?2, '', 'standalone', 'hash', ?4, ?3, 5, 0)",
                &values,
            )
        })
        .unwrap();
    }

    let mut world = World::with(sql, LIMITS);

    let north = world.store.reading().site(SiteId(2)).unwrap().unwrap();
    let south = world.store.reading().site(SiteId(3)).unwrap().unwrap();
    assert!(north.salt.is_some() && north.salt != south.salt);
    assert_eq!((north.hardware, north.bound_ms), (None, Some(5)));
    let credentials = world.store.reading().credentials(SiteId(2)).unwrap();
    assert_eq!((credentials.len(), credentials[0].generation), (1, CredentialGeneration(4)));
    // Nothing is known of the hardware until the device enrols again.
    world.job(|batch| batch.enrol(SiteId(2), &enrolling_on("cu", 9)));
    assert_eq!(code(world.try_job(|batch| batch.enrol(SiteId(2), &enrolling_on("CU", 9)))), "hardware_differs");
}
