//! A store that moves between sites: never two that may write it, and nothing that was recorded in time is lost.

use protocol::ids::OwnershipNumber;

use super::tokens::{exchange, start};
use super::*;

contract!(
    a_store_goes_to_another_site_once_the_old_one_has_sent_what_it_had_and_the_new_one_has_read_it,
    what_was_recorded_while_the_old_site_heard_of_the_move_is_waited_for,
    a_move_that_is_called_off_gives_the_store_back_under_another_number,
    a_move_at_once_leaves_what_was_not_sent_to_set_aside_and_it_stays_there_when_the_store_comes_back,
    a_store_that_goes_to_central_and_comes_from_there_is_read_before_it_is_written,
    a_store_whose_site_has_no_device_is_not_waited_for,
    a_store_is_handed_over_by_the_device_that_took_the_place_of_the_first,
    a_store_that_is_on_its_way_may_be_sent_elsewhere,
    what_waits_for_its_header_holds_up_a_move,
    what_waits_in_a_store_that_went_at_once_is_refused_when_its_header_comes,
    a_move_goes_on_after_a_start,
    a_move_waits_until_a_central_that_was_set_back_has_healed,
    patients_on_their_way_to_another_home_store_go_on_from_the_new_site,
    a_store_that_cannot_go_there_stays_where_it_is,
);

/// Store A at a site with a location L, and another site with store B, with nothing to be read at either.
fn two(world: &mut World) -> (Device, Device) {
    let (mut one, mut two) = (world.device(&["A"]), world.device(&["B"]));
    one.record(&[r#"put Location L {"store_ID":"A","code":"1"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);
    (one, two)
}

fn go(world: &mut World, store: &str, site: SiteId) -> Moved {
    world.job(|batch| batch.move_store(&id(store), site, false))
}

fn at_once(world: &mut World, store: &str, site: SiteId) -> Moved {
    world.job(|batch| batch.move_store(&id(store), site, true))
}

fn waits(phase: MovePhase, device: &Device) -> Moved {
    Moved::UnderWay { phase, site: device.site }
}

/// Which of the two it waits for, and for what; nothing where it does not move.
fn moves(world: &mut World) -> Vec<(MovePhase, SiteId)> {
    let moves = world.store.reading().store_moves().unwrap();
    moves.iter().map(|moving| (moving.phase, moving.waits_for())).collect()
}

/// Where a store is active, and under which number.
fn holder(world: &mut World, store: &str) -> (SiteId, u32) {
    let mut stores = world.store.reading().stores(None, 100).unwrap().into_iter();
    let store = stores.find(|known| known.id == id(store)).unwrap();
    (store.site, store.ownership.0)
}

fn number_of(device: &Device, store: &str) -> Option<u32> {
    device.grants.get(store).map(|(_, claim)| claim.ownership.0)
}

fn a_store_goes_to_another_site_once_the_old_one_has_sent_what_it_had_and_the_new_one_has_read_it(world: &mut World) {
    let (mut one, mut two) = two(world);
    one.record(&[r#"patch Location L {"code":"unsent"}"#]);

    assert_eq!(go(world, "A", two.site), waits(MovePhase::Draining, &one));
    assert_eq!(go(world, "A", two.site), waits(MovePhase::Draining, &one), "asking again changes nothing");
    assert_eq!(refused(world, &mut two, r#"put Location M {"store_ID":"A"}"#), ["not_store_holder"]);
    // What the old site had recorded is taken; that it has heard of the move it says with its next request.
    one.push(world);
    assert_eq!((number_of(&one, "A"), holder(world, "A")), (None, (one.site, 1)));
    assert!(world.data("Location", "L").contains("unsent"));
    one.push(world);

    assert_eq!((holder(world, "A"), moves(world)), ((two.site, 2), vec![(MovePhase::Filling, two.site)]));
    assert_eq!(refused(world, &mut one, r#"patch Location L {"code":"late"}"#), ["not_store_holder"]);
    // Nobody writes it before the new site has read it, by whatever number.
    two.record(&[r#"patch#2 Location L {"code":"too early"}"#]);
    two.push(world);
    two.push(world);
    assert_eq!(two.told.last().unwrap().1, "not_store_holder");
    // Nor is it shown one record instead of what it wrote: it could not tell that the store is to be there (the simulator's seed 26000709).
    assert_eq!((number_of(&two, "A"), has(&two, "Location", "L")), (None, false));
    settle(world, &mut two);
    two.push(world);

    assert_eq!((number_of(&two, "A"), moves(world)), (Some(2), vec![]));
    assert!(two.data("Location", "L").contains("unsent"));
    assert_eq!(refused(world, &mut two, r#"patch#2 Location L {"code":"two"}"#), [""; 0]);
    assert!(world.data("Location", "L").contains("two"));
    assert!(world.data("store", "A").contains(&format!(r#""sync_id_remote_site":{}"#, two.site)));
    settle(world, &mut one);
    assert!(!one.scopes.iter().any(|read| read.scope == store_scope("A")), "the old site receives it no more");
    assert_eq!(one.controls.iter().filter(|control| is_drop_of(control, "A")).count(), 1);
}

fn store_scope(store: &str) -> protocol::ids::ScopeId {
    domain::scope::Scope::Store(id(store)).to_id()
}

fn is_drop_of(control: &protocol::control::Control, store: &str) -> bool {
    matches!(control, protocol::control::Control::Dropped(dropped) if dropped.scope == store_scope(store))
}

/// A request in the middle of a session shows the head with which the session began.
fn what_was_recorded_while_the_old_site_heard_of_the_move_is_waited_for(world: &mut World) {
    let (mut one, two) = two(world);
    go(world, "A", two.site);
    one.push(world);
    assert_eq!(number_of(&one, "A"), None);
    // Recorded before that reply was stored, when the session had begun.
    let session = one.head();
    one.record(&[r#"patch Location L {"code":"during"}"#]);
    let mut head = one.head();
    (head.head, head.head_hash) = (session.head, session.head_hash);
    world.job(|batch| batch.begin(&head.clone().into(), Standing::Current, NONCE));
    let reply = world.job(|batch| batch.conclude(&head.clone().into(), &mut || true)).reply;
    assert_eq!(moves(world), [(MovePhase::Draining, one.site)]);
    one.token = reply.token;

    one.push(world);

    assert!(world.data("Location", "L").contains("during"));
    assert_eq!(moves(world), [(MovePhase::Filling, two.site)]);
}

fn a_move_that_is_called_off_gives_the_store_back_under_another_number(world: &mut World) {
    let (mut one, mut two) = two(world);
    go(world, "A", two.site);
    one.record(&[r#"patch Location L {"code":"unsent"}"#]);
    assert_eq!(go(world, "A", one.site), waits(MovePhase::Draining, &one));

    settle(world, &mut one);
    settle(world, &mut one);

    assert_eq!((holder(world, "A"), number_of(&one, "A"), moves(world)), ((one.site, 2), Some(2), vec![]));
    assert!(world.data("Location", "L").contains("unsent") && one.told.is_empty());
    assert_eq!(refused(world, &mut one, r#"patch#2 Location L {"code":"2"}"#), [""; 0]);
    // Also when it is at the new site already, which has not heard of it.
    go(world, "A", two.site);
    settle(world, &mut one);
    assert_eq!(moves(world), [(MovePhase::Filling, two.site)]);
    assert_eq!(go(world, "A", one.site), waits(MovePhase::Filling, &one));
    settle(world, &mut two);
    settle(world, &mut one);
    settle(world, &mut one);
    assert_eq!((holder(world, "A"), number_of(&one, "A")), ((one.site, 4), Some(4)));
    assert_eq!((number_of(&two, "A"), moves(world)), (None, vec![]));
}

fn a_move_at_once_leaves_what_was_not_sent_to_set_aside_and_it_stays_there_when_the_store_comes_back(
    world: &mut World,
) {
    let (mut one, mut two) = two(world);
    one.record(&[r#"patch Location L {"code":"late"}"#]);
    assert_eq!(at_once(world, "A", two.site), waits(MovePhase::Filling, &two));
    settle(world, &mut two);
    settle(world, &mut two);
    assert_eq!(number_of(&two, "A"), Some(2));
    assert_eq!(refused(world, &mut two, r#"patch#2 Location L {"code":"two"}"#), [""; 0]);

    // Back again, before the old site was ever heard: what it recorded under the old number comes first.
    at_once(world, "A", one.site);
    one.push(world);
    assert_eq!(one.told, [(2, "not_store_holder".to_owned())]);
    settle(world, &mut one);
    settle(world, &mut one);

    assert_eq!((holder(world, "A"), number_of(&one, "A")), ((one.site, 3), Some(3)));
    assert!(world.data("Location", "L").contains("two") && one.data("Location", "L").contains("two"));
    assert_eq!(world.status(&one).set_aside.entries, 1);
    assert_eq!(refused(world, &mut two, r#"patch#2 Location L {"code":"late too"}"#), ["not_store_holder"]);
}

fn a_store_that_goes_to_central_and_comes_from_there_is_read_before_it_is_written(world: &mut World) {
    let (mut one, mut two) = two(world);
    one.record(&[r#"patch Location L {"code":"unsent"}"#]);
    assert_eq!(go(world, "A", SiteId::CENTRAL), waits(MovePhase::Draining, &one));
    settle(world, &mut one);

    assert_eq!((holder(world, "A"), moves(world)), ((SiteId::CENTRAL, 2), vec![]));
    world.write(&[r#"patch Location L {"code":"central"}"#]);
    assert_eq!(refused(world, &mut one, r#"patch Location L {"code":"late"}"#), ["not_store_holder"]);

    assert_eq!(go(world, "A", two.site), waits(MovePhase::Filling, &two));
    assert!(!world.import(ImportMode::AllOrNothing, &[r#"patch Location L {"code":"x"}"#]).refusals.is_empty());
    settle(world, &mut two);
    settle(world, &mut two);
    assert_eq!((holder(world, "A"), number_of(&two, "A")), ((two.site, 3), Some(3)));
    assert!(two.data("Location", "L").contains("central"));
}

fn a_store_whose_site_has_no_device_is_not_waited_for(world: &mut World) {
    let (mut one, mut two) = two(world);
    go(world, "A", two.site);
    one.record(&[r#"patch Location L {"code":"sent"}"#]);
    let received = usize::try_from(one.try_begin(world).unwrap().sequence.0).unwrap();
    one.try_send(world, received, one.entries.len()).unwrap();

    // Received and not judged: the tablet is lost in the middle of its exchange.
    world.job(|batch| batch.reset_hardware(one.site));
    assert_eq!(moves(world), [(MovePhase::Draining, one.site)]);
    world.job(|batch| batch.judge(one.site, &mut || true));

    assert!(world.data("Location", "L").contains("sent"));
    assert_eq!(moves(world), [(MovePhase::Filling, two.site)]);
    settle(world, &mut two);
    settle(world, &mut two);
    assert_eq!(go(world, "A", one.site), waits(MovePhase::Draining, &two));
    settle(world, &mut two);
    assert_eq!(moves(world), [(MovePhase::Filling, one.site)], "until a device comes");
    assert_eq!(go(world, "A", SiteId::CENTRAL), Moved::Held);

    // Everything was judged when the tablet was lost: there is nothing more to wait for, whatever was asked for.
    assert_eq!(go(world, "B", one.site), waits(MovePhase::Draining, &two));
    assert_eq!(go(world, "B", two.site), waits(MovePhase::Draining, &two));
    world.job(|batch| batch.reset_hardware(two.site));
    assert_eq!((holder(world, "B"), moves(world)), ((two.site, 2), vec![(MovePhase::Filling, two.site)]));
}

fn a_store_is_handed_over_by_the_device_that_took_the_place_of_the_first(world: &mut World) {
    let (one, mut two) = two(world);
    go(world, "A", two.site);
    world.job(|batch| batch.enrol(one.site, &enrolling(8, JournalId([77; 16]))));
    let mut next = Device::new(one.site, JournalId([77; 16]));

    next.push(world);
    assert!(next.grants.is_empty(), "of a store that goes it is told nothing");
    next.push(world);

    assert_eq!(moves(world), [(MovePhase::Filling, two.site)]);
    // The same of the site that it goes to.
    world.job(|batch| batch.enrol(two.site, &enrolling(9, JournalId([78; 16]))));
    two = Device::new(two.site, JournalId([78; 16]));
    two.push(world);
    assert_eq!(two.grants.keys().collect::<Vec<_>>(), ["B"]);
    settle(world, &mut two);
    settle(world, &mut two);
    assert_eq!(two.grants.keys().collect::<Vec<_>>(), ["A", "B"]);
}

fn a_store_that_is_on_its_way_may_be_sent_elsewhere(world: &mut World) {
    let (mut one, two) = two(world);
    let mut three = world.device(&["C"]);
    go(world, "A", two.site);

    assert_eq!(go(world, "A", three.site), waits(MovePhase::Draining, &one));
    settle(world, &mut one);
    assert_eq!(moves(world), [(MovePhase::Filling, three.site)]);
    assert_eq!(go(world, "A", two.site), waits(MovePhase::Filling, &two));
    assert_eq!(go(world, "A", three.site), waits(MovePhase::Filling, &three));
    settle(world, &mut three);
    settle(world, &mut three);
    assert_eq!((holder(world, "A"), number_of(&three, "A")), ((three.site, 4), Some(4)));
}

fn what_waits_for_its_header_holds_up_a_move(world: &mut World) {
    let (mut one, two) = two(world);
    one.record(&[r#"put trans_line TL {"transaction_ID":"T"}"#]);
    go(world, "A", two.site);
    settle(world, &mut one);
    settle(world, &mut one);
    assert_eq!(moves(world), [(MovePhase::Draining, one.site)]);

    one.record(&[r#"put transact T {"store_ID":"A"}"#]);
    settle(world, &mut one);
    settle(world, &mut one);

    assert_eq!(moves(world), [(MovePhase::Filling, two.site)]);
    assert!(world.data("trans_line", "TL").contains('T'));
}

fn what_waits_in_a_store_that_went_at_once_is_refused_when_its_header_comes(world: &mut World) {
    let (mut one, mut two) = two(world);
    one.record(&[r#"put trans_line TL {"transaction_ID":"T"}"#]);
    settle(world, &mut one);
    at_once(world, "A", two.site);
    settle(world, &mut two);
    settle(world, &mut two);

    assert_eq!(refused(world, &mut two, r#"put#2 transact T {"store_ID":"A"}"#), [""; 0]);
    settle(world, &mut one);

    assert_eq!(one.told.last().unwrap().1, "not_store_holder");
    assert_eq!(world.status(&one).waiting_entries, 0);
}

fn a_move_goes_on_after_a_start(world: &mut World) {
    let (mut one, mut two) = two(world);
    go(world, "A", two.site);
    world.restart(7);
    settle(world, &mut one);
    assert_eq!(moves(world), [(MovePhase::Filling, two.site)]);
    world.restart(8);
    settle(world, &mut two);
    settle(world, &mut two);
    assert_eq!((holder(world, "A"), number_of(&two, "A"), moves(world)), ((two.site, 2), Some(2), vec![]));
}

/// Since the backup the store may have gone elsewhere.
fn a_move_waits_until_a_central_that_was_set_back_has_healed(world: &mut World) {
    let (mut one, mut two) = two(world);
    let three = world.device(&["C"]);
    go(world, "A", two.site);
    world.job(|batch| batch.note_ahead(three.site));
    for _ in 0..4 {
        one.sync(world);
    }
    assert_eq!(moves(world), [(MovePhase::Draining, one.site)]);
    let hurried = world.try_job(|batch| batch.move_store(&id("A"), two.site, true));
    assert_eq!(code(hurried), "central_heals");
    world.end_healing().unwrap();
    one.push(world);
    assert_eq!(moves(world), [(MovePhase::Filling, two.site)]);

    world.job(|batch| batch.note_ahead(three.site));
    for _ in 0..4 {
        two.sync(world);
    }
    assert_eq!((number_of(&two, "A"), moves(world)), (None, vec![(MovePhase::Filling, two.site)]));
    world.end_healing().unwrap();
    settle(world, &mut two);
    assert_eq!((number_of(&two, "A"), moves(world)), (Some(2), vec![]));
    // Where no device is to come again the end of healing is enough.
    go(world, "A", one.site);
    world.job(|batch| batch.note_ahead(one.site));
    world.job(|batch| batch.reset_hardware(two.site));
    assert_eq!(moves(world), [(MovePhase::Draining, two.site)]);
    world.end_healing().unwrap();
    assert_eq!(moves(world), [(MovePhase::Filling, one.site)]);
}

fn patients_on_their_way_to_another_home_store_go_on_from_the_new_site(world: &mut World) {
    let (mut one, mut two) = dispensaries(world, &["A", "A2"]);
    one.record(&[r#"put name P {"type":"patient","supplying_store_id":"A","first":"a"}"#]);
    settle(world, &mut one);
    world.job(|batch| batch.set_home_store(HomeKind::Patient, &id("P"), &id("A2"), false));
    assert_eq!(at_once(world, "A", two.site), waits(MovePhase::Filling, &two));

    settle(world, &mut two);
    settle(world, &mut two);

    assert_eq!(world.store.reading().home_transfers(HomeKind::Patient, None, 10).unwrap(), []);
    assert!(world.data("name", "P").contains(r#""supplying_store_id":"A2""#));
    // To central, where nobody is waited for.
    world.job(|batch| batch.set_home_store(HomeKind::Patient, &id("P"), &id("B"), false));
    at_once(world, "A2", SiteId::CENTRAL);
    assert!(world.data("name", "P").contains(r#""supplying_store_id":"B""#));
}

fn a_store_that_cannot_go_there_stays_where_it_is(world: &mut World) {
    let (one, two) = two(world);
    let refused =
        |world: &mut World, store: &str, site| code(world.try_job(|batch| batch.move_store(&id(store), site, false)));
    assert_eq!(refused(world, "nowhere", two.site), "unknown_store");
    assert_eq!(refused(world, "A", SiteId(99)), "unknown_site");
    assert_eq!(go(world, "A", one.site), Moved::Unchanged);
    assert_eq!(go(world, "A", two.site), waits(MovePhase::Draining, &one));
    world.write(&[r#"patch store A {"store_mode":"dispensary"}"#]);
    let withheld = |world: &mut World, store: &str| {
        let set = |batch: &mut Batch<'_>| {
            batch.set_store_preference(domain::preference::StorePreference::IncludeTransactions, &id(store), false)
        };
        world.try_job(set)
    };
    assert_eq!(code(withheld(world, "A")), "store_moves");
    world.write(&[r#"patch store B {"store_mode":"dispensary"}"#]);
    withheld(world, "B").unwrap();
    assert_eq!(refused(world, "B", one.site), "data_withheld");
    assert_eq!(holder(world, "B"), (two.site, 1));
}

/// Two sites, a backup, then a move that central will have forgotten. The store has L, which the new site changed.
fn moved_afterwards() -> (Device, Device, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut world = start(&folder, 100);
    let (mut one, mut two) = (world.device(&["A"]), world.device(&["B"]));
    one.record(&[r#"put Location L {"store_ID":"A","code":"1"}"#]);
    settle_both(&mut world, &mut one, &mut two);
    drop(world);
    let backup = tempfile::tempdir().unwrap();
    std::fs::copy(folder.path().join("central.db"), backup.path().join("central.db")).unwrap();
    let mut world = start(&folder, 101);
    settle_both(&mut world, &mut one, &mut two);
    one.record(&[r#"patch Location L {"code":"forgotten"}"#]);
    go(&mut world, "A", two.site);
    settle_both(&mut world, &mut one, &mut two);
    two.record(&[r#"patch#2 Location L {"code":"two"}"#]);
    settle_both(&mut world, &mut one, &mut two);
    assert_eq!((number_of(&one, "A"), number_of(&two, "A")), (None, Some(2)));
    assert!(world.data("Location", "L").contains("two"));
    (one, two, backup)
}

fn settle_both(world: &mut World, one: &mut Device, two: &mut Device) {
    for device in [one, two] {
        exchange_some(world, device);
    }
}

fn exchange_some(world: &mut World, device: &mut Device) {
    for _ in 0..3 {
        if exchange(world, device).is_err_and(|code| code == "central_set_back") {
            // It reads everything anew, as the real one does.
            device.cursors.clear();
            exchange(world, device).unwrap();
        }
        device.pull(world);
    }
}

#[test]
fn a_central_that_has_forgotten_a_move_hears_of_it_from_both_sites_in_any_order() {
    let (one, two, backup) = moved_afterwards();
    for is_old_site_first in [true, false] {
        let (mut one, mut two, copy) = (one.clone(), two.clone(), tempfile::tempdir().unwrap());
        std::fs::copy(backup.path().join("central.db"), copy.path().join("central.db")).unwrap();
        let mut world = start(&copy, 102);
        two.record(&[r#"patch#2 Location L {"code":"newest"}"#]);

        if !is_old_site_first {
            // Its claim is not answered before the old site was heard, nor is what it wrote judged.
            exchange_some(&mut world, &mut two);
            assert_eq!((holder(&mut world, "A"), two.told.len()), ((one.site, 1), 0));
        }
        exchange_some(&mut world, &mut one);
        assert_eq!((number_of(&one, "A"), holder(&mut world, "A")), (None, (SiteId::CENTRAL, 1)));
        assert!(world.data("Location", "L").contains("forgotten"), "what it had sent before comes first");
        exchange_some(&mut world, &mut two);

        assert_eq!((holder(&mut world, "A"), number_of(&two, "A")), ((two.site, 2), Some(2)));
        assert!(world.data("Location", "L").contains("newest"));
        assert_eq!((one.told.len(), two.told.len(), moves(&mut world)), (0, 0, vec![]));
    }
}

#[test]
fn a_site_that_central_goes_on_without_loses_a_store_to_the_one_that_claims_it() {
    let (one, mut two, backup) = moved_afterwards();
    let mut world = start(&backup, 102);
    exchange_some(&mut world, &mut two);
    assert_eq!(holder(&mut world, "A"), (one.site, 1));

    world.end_healing().unwrap();
    exchange_some(&mut world, &mut two);

    assert_eq!(holder(&mut world, "A"), (two.site, 2));
    assert!(world.data("Location", "L").contains("two"));
}

/// Else a site could raise the number of its own store until there is none left, after central was set back.
#[test]
fn a_site_gives_up_a_number_that_it_was_not_told_by_central_in_vain() {
    let (mut one, _, backup) = moved_afterwards();
    one.taken.get_mut("A").unwrap().ownership = OwnershipNumber(u32::MAX);
    let mut world = start(&backup, 102);

    exchange_some(&mut world, &mut one);
    exchange_some(&mut world, &mut one);

    assert_eq!((holder(&mut world, "A"), moves(&mut world)), ((one.site, 1), vec![]));
}
