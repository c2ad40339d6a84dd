//! What a site has is compared with what it should have.

use std::collections::BTreeSet;

use codec::ZstdCodec;
use domain::scope::Scope;
use protocol::control::Control;
use protocol::exchange::Standing;
use protocol::message::ScopeCursor;
use protocol::verify::{Answer, Ask, Digests, Outcome, Question, RecordHash, RowsFound};

use super::*;

contract!(
    a_site_that_has_read_everything_differs_in_nothing,
    a_record_that_the_site_does_not_have_is_found_by_its_bucket_alone,
    what_comes_with_the_next_sync_is_named_and_what_the_site_wrote_itself_is_compared,
    a_record_that_central_cannot_read_is_named_and_not_sent,
    rows_come_in_parts_that_are_gone_through_to_the_end,
    a_scope_that_the_site_does_not_receive_is_not_compared,
    what_a_site_has_come_to_see_it_has_to_read_before_it_compares,
    a_scope_that_was_read_anew_is_compared_once_the_site_has_heard_that_it_is_to_be,
    a_site_is_asked_once_and_what_it_finds_is_kept,
    a_site_that_an_exchange_would_refuse_may_not_compare,
);

/// A site with store A and what it and central have made.
fn one(world: &mut World) -> Device {
    let mut one = world.device(&["A"]);
    world.write(&[r#"upsert item I {"code":"1"}"#, r#"upsert item J {"code":"2"}"#, r#"upsert item K {"code":"3"}"#]);
    one.record(&[r#"put Location L {"store_ID":"A"}"#]);
    settle(world, &mut one);
    settle(world, &mut one);
    one
}

fn at(device: &Device, scope: &Scope) -> ScopeCursor {
    let scope = scope.to_id();
    ScopeCursor { cursor: device.cursors[&scope], scope }
}

fn ask(world: &mut World, device: &Device, ask: Ask) -> Result<Answer, StoreError> {
    let question = Question { head: device.head(), ask };
    world.try_job(|batch| batch.take_question(&question, Standing::Current))?;
    let who = (device.site, device.journal);
    world.store.reading().compare(who, &question.ask, &mut ZstdCodec::default())
}

/// What central says of a scope, as digests: those that differ from nothing.
fn compare(world: &mut World, device: &Device, scope: &Scope, digests: Digests) -> Vec<(u8, u32)> {
    let ask_for = Ask::Compare { at: at(device, scope), digests };
    match ask(world, device, ask_for).unwrap() {
        Answer::Differing(differing) => differing.iter().map(|each| (each.bucket, each.records)).collect(),
        other => panic!("{other:?}"),
    }
}

fn rows(world: &mut World, device: &Device, scope: &Scope, after: Position) -> RowsFound {
    let ask_for = Ask::Rows { at: at(device, scope), buckets: (0..=255).collect(), after };
    match ask(world, device, ask_for).unwrap() {
        Answer::Rows(packed) => RowsFound::unpack(&packed, &mut ZstdCodec::default()).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// The digests of a device that has these records as central has them.
fn digests(world: &mut World, records: &[(&str, &str)]) -> Digests {
    let mut digests = Digests::default();
    for (table, record) in records {
        let data = world.data(table, record);
        digests.add(table, record, &data);
    }
    digests
}

fn ids<'a>(found: impl Iterator<Item = &'a RecordId>) -> BTreeSet<&'a str> {
    found.map(RecordId::as_str).collect()
}

fn a_site_that_has_read_everything_differs_in_nothing(world: &mut World) {
    let one = one(world);
    let everywhere = digests(world, &[("item", "I"), ("item", "J"), ("item", "K"), ("store", "A")]);
    let of_store = digests(world, &[("Location", "L")]);

    assert_eq!(compare(world, &one, &Scope::Store(id("A")), of_store), []);
    let differing = compare(world, &one, &Scope::AllSites, everywhere.clone());
    // The store's record is where it is seen.
    assert!(differing.len() <= 1, "{differing:?}");
    let everywhere = digests(world, &[("item", "I"), ("item", "J"), ("item", "K")]);
    assert_eq!(compare(world, &one, &Scope::AllSites, everywhere), []);
}

fn a_record_that_the_site_does_not_have_is_found_by_its_bucket_alone(world: &mut World) {
    let one = one(world);
    let without = digests(world, &[("item", "I"), ("item", "K")]);

    let differing = compare(world, &one, &Scope::AllSites, without);

    assert_eq!(differing, [(RecordHash::of("item", "J").bucket(), 1)]);
    let found = rows(world, &one, &Scope::AllSites, Position::ZERO);
    assert_eq!(ids(found.rows.iter().map(|row| &row.record)), ["I", "J", "K"].into());
    assert_eq!((found.left_alone.len(), found.through), (0, None));
}

fn what_comes_with_the_next_sync_is_named_and_what_the_site_wrote_itself_is_compared(world: &mut World) {
    let mut one = one(world);
    world.write(&[r#"patch item I {"code":"9"}"#, "delete item J"]);
    one.record(&[r#"put Location M {"store_ID":"A"}"#]);
    one.push(world);

    let found = rows(world, &one, &Scope::AllSites, Position::ZERO);
    assert_eq!(ids(found.rows.iter().map(|row| &row.record)), ["K"].into());
    assert_eq!(ids(found.left_alone.iter().map(|(_, id)| id)), ["I", "J"].into());
    let found = rows(world, &one, &Scope::Store(id("A")), Position::ZERO);
    assert_eq!(ids(found.rows.iter().map(|row| &row.record)), ["L", "M"].into(), "its own does not come to it");
}

fn a_record_that_central_cannot_read_is_named_and_not_sent(world: &mut World) {
    let one = one(world);
    let decay = "UPDATE record SET data = replace(data, '2', '5') WHERE table_name = 'item' AND id = 'J'";
    world.job(|batch| Ok(batch.sql.execute(decay, &[])?));

    let found = rows(world, &one, &Scope::AllSites, Position::ZERO);

    assert_eq!(ids(found.rows.iter().map(|row| &row.record)), ["I", "K"].into());
    assert_eq!(ids(found.left_alone.iter().map(|(_, id)| id)), ["J"].into());
}

fn rows_come_in_parts_that_are_gone_through_to_the_end(world: &mut World) {
    let mut one = world.device(&["A"]);
    let long = "x".repeat(400_000);
    let lines: Vec<_> = (0..7).map(|index| format!(r#"upsert item I{index} {{"code":"{long}"}}"#)).collect();
    for line in &lines {
        world.write(&[line]);
    }
    settle(world, &mut one);
    settle(world, &mut one);

    let (mut after, mut seen, mut parts) = (Position::ZERO, BTreeSet::new(), 0);
    loop {
        let found = rows(world, &one, &Scope::AllSites, after);
        parts += 1;
        seen.extend(found.rows.iter().map(|row| row.record.as_str().to_owned()));
        match found.through {
            Some(through) if through > after => after = through,
            Some(_) => panic!("it does not go on"),
            None => break,
        }
    }

    assert!(parts > 1);
    assert_eq!(seen, (0..7).map(|index| format!("I{index}")).collect());
}

fn a_scope_that_the_site_does_not_receive_is_not_compared(world: &mut World) {
    let one = one(world);
    let two = world.device(&["B"]);
    let of_other = ScopeCursor { scope: Scope::Store(id("B")).to_id(), cursor: protocol::message::Cursor::default() };
    let ask_for = Ask::Rows { at: of_other, buckets: (0..=255).collect(), after: Position::ZERO };

    assert_eq!(code(ask(world, &one, ask_for.clone())), "other_scope");
    assert!(matches!(ask(world, &two, ask_for), Ok(Answer::Rows(_))));
}

fn what_a_site_has_come_to_see_it_has_to_read_before_it_compares(world: &mut World) {
    let mut one = one(world);
    world.write(&[r#"patch store A {"name_ID":"nA"}"#, r#"upsert name N {"name":"n","type":"facility"}"#]);
    world.write(&[r#"put name_tag_join T {"name_ID":"N"}"#]);
    settle(world, &mut one);
    settle(world, &mut one);
    world.write(&[r#"put name_store_join N-in-A {"name_ID":"N","store_ID":"A"}"#]);
    let seen = Scope::Visible;
    let ask_for = |one: &Device| Ask::Compare { at: at(one, &seen), digests: Digests::default() };

    let early = ask_for(&one);
    assert_eq!(code(ask(world, &one, early)), "not_drained");
    settle(world, &mut one);
    settle(world, &mut one);

    let in_time = ask_for(&one);
    assert!(matches!(ask(world, &one, in_time), Ok(Answer::Differing(_))));
}

/// Found by the simulator (seed 70000153): the control row and the pages came in the reply that ended the session.
fn a_scope_that_was_read_anew_is_compared_once_the_site_has_heard_that_it_is_to_be(world: &mut World) {
    let mut one = one(world);
    world.write(&[r#"patch store A {"name_ID":"nA"}"#]);
    settle(world, &mut one);
    assert!(world.job(|batch| batch.resync_store(&id("A"))).1);
    let ask_for = |one: &Device| Ask::Compare { at: at(one, &Scope::Visible), digests: Digests::default() };

    let of_before = ask_for(&one);
    assert_eq!(code(ask(world, &one, of_before)), "other_scope");
    one.sync(world);

    let read_anew = ask_for(&one);
    assert!(matches!(ask(world, &one, read_anew), Ok(Answer::Differing(_))));
}

fn a_site_is_asked_once_and_what_it_finds_is_kept(world: &mut World) {
    let mut one = one(world);
    let site = one.site;
    world.job(|batch| batch.ask_to_verify(site));
    world.job(|batch| batch.ask_to_verify(site));
    assert!(world.store.reading().verified(site).unwrap().asked_ms.is_some());

    settle(world, &mut one);
    assert_eq!(one.controls.iter().filter(|control| **control == Control::Verify).count(), 1);
    let outcome = Outcome { scopes: 3, records: 9, pulled: 1, is_whole: true, ..Outcome::default() };
    assert!(matches!(ask(world, &one, Ask::Done(outcome)), Ok(Answer::Noted)));

    let kept = world.store.reading().verified(site).unwrap();
    assert_eq!((kept.asked_ms, kept.last.map(|(_, outcome)| outcome)), (None, Some(outcome)));
    assert_eq!(code(world.try_job(|batch| batch.ask_to_verify(SiteId::CENTRAL))), "is_central");
    assert_eq!(code(world.try_job(|batch| batch.ask_to_verify(SiteId(99)))), "unknown_site");
}

fn a_site_that_an_exchange_would_refuse_may_not_compare(world: &mut World) {
    let one = one(world);
    let question = Question { head: one.head(), ask: Ask::Done(Outcome::default()) };
    let retired = world.try_job(|batch| batch.take_question(&question, Standing::Retired));
    assert_eq!(code(retired), "device_retired");

    let mut changed = question.clone();
    changed.head.generation = CredentialGeneration(7);
    let refused = world.try_job(|batch| batch.take_question(&changed, Standing::Current));
    assert_eq!(code(refused), "credentials_changed");
    assert_eq!(world.store.reading().verified(one.site).unwrap().last, None);
}
