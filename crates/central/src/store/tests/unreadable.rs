//! A record of which central cannot read its own row: nobody is held up by it, and whoever writes it puts it right.

use codec::ZstdCodec;
use domain::scope::Scope;
use protocol::exchange::Standing;
use protocol::message::ScopeCursor;
use protocol::verify::{Answer, Ask, Question, RowsFound};

use super::*;

contract!(
    a_whole_put_of_its_writer_takes_the_place_of_what_cannot_be_read,
    an_edit_that_is_no_whole_record_is_refused_and_its_site_goes_on,
    nobody_else_takes_the_place_of_what_cannot_be_read,
    a_patient_that_cannot_be_read_stays_with_its_home_store,
    central_puts_its_own_records_right_by_an_import,
    an_accepted_edit_that_leads_to_what_cannot_be_read_is_refused_alone,
    a_site_is_to_send_its_own_again_and_leaves_those_of_others_alone,
    every_unreadable_record_is_named_with_whose_it_is,
);

/// What decay, or a hand, may do to a row.
const DECAYS: [&str; 4] = [
    "data = replace(data, 'old', 'odd')",
    "data = '{', checksum = NULL",
    "store = 'elsewhere'",
    "position = position + 1",
];

fn decay(world: &mut World, what: &str, table: &str, record: &str) {
    let sql = format!("UPDATE record SET {what} WHERE table_name = '{table}' AND id = '{record}'");
    assert_eq!(world.job(|batch| Ok(batch.sql.execute(&sql, &[])?)), 1);
}

/// A site with store A and locations in it.
fn site(world: &mut World) -> Device {
    let mut device = world.device(&["A"]);
    settle(world, &mut device);
    for record in ["L", "M"] {
        device.record(&[&format!(r#"put Location {record} {{"store_ID":"A","code":"old"}}"#)]);
    }
    settle(world, &mut device);
    device
}

fn codes(world: &mut World, device: &Device) -> Vec<String> {
    world.store.reading().set_aside(device.site, None, 99).unwrap().into_iter().map(|item| item.code).collect()
}

fn a_whole_put_of_its_writer_takes_the_place_of_what_cannot_be_read(world: &mut World) {
    let mut device = site(world);
    for (number, what) in DECAYS.iter().enumerate() {
        decay(world, what, "Location", "L");
        assert_eq!(world.store.reading().unreadable_records().unwrap().count, 1, "{what}");

        let whole = format!(r#"put Location L {{"store_ID":"A","code":"old {number}"}}"#);
        assert_eq!(refused(world, &mut device, &whole), Vec::<String>::new(), "{what}");

        assert!(world.data("Location", "L").contains(&format!("old {number}")), "{what}");
        assert_eq!(world.store.reading().unreadable_records().unwrap(), UnreadableRecords::default(), "{what}");
        // It is a record like any other again.
        assert_eq!(refused(world, &mut device, r#"patch Location L {"code":"old"}"#), Vec::<String>::new(), "{what}");
        assert!(world.data("Location", "L").contains(r#""code":"old""#), "{what}");
    }
}

fn an_edit_that_is_no_whole_record_is_refused_and_its_site_goes_on(world: &mut World) {
    let mut device = site(world);
    decay(world, DECAYS[0], "Location", "L");

    for edit in [r#"patch Location L {"code":"x"}"#, "delete Location L"] {
        assert_eq!(refused(world, &mut device, edit), ["record_unreadable"], "{edit}");
    }
    // A group is one, and what comes behind it counts.
    device.record(&[r#"patch Location M {"code":"x"}"#, r#"patch Location L {"code":"x"}"#]);
    device.record(&[r#"put Location N {"store_ID":"A","code":"n"}"#]);
    settle(world, &mut device);

    assert!(world.data("Location", "M").contains("old"), "the group was refused whole");
    assert!(world.data("Location", "N").contains(r#""code":"n""#));
    let unreadable = "record_unreadable";
    assert_eq!(codes(world, &device), [unreadable, unreadable, "group_refused", unreadable]);
    assert_eq!(world.status(&device).unjudged_entries, 0);
}

fn nobody_else_takes_the_place_of_what_cannot_be_read(world: &mut World) {
    site(world);
    let mut other = world.device(&["B"]);
    settle(world, &mut other);
    world.write(&[r#"upsert item I {"code":"old"}"#]);
    settle(world, &mut other);
    decay(world, DECAYS[0], "Location", "L");
    decay(world, DECAYS[0], "item", "I");

    // A record of another site's store, claimed for its own; one as it is, for the store where it is; and central data.
    assert_eq!(refused(world, &mut other, r#"put Location L {"store_ID":"B","code":"mine"}"#).len(), 1);
    assert_eq!(refused(world, &mut other, r#"put Location L {"store_ID":"A","code":"mine"}"#), ["not_store_holder"]);
    assert_eq!(refused(world, &mut other, r#"put item I {"code":"mine"}"#), ["record_unreadable"]);

    assert_eq!(codes(world, &other).len(), 3, "nothing of it is lost");
    assert_eq!(world.store.reading().unreadable_records().unwrap().count, 2);
}

fn a_patient_that_cannot_be_read_stays_with_its_home_store(world: &mut World) {
    let (mut one, mut two) = two_dispensaries(world);
    one.record(&[r#"put name P {"name":"old","type":"patient","supplying_store_id":"A"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);
    assert!(world.data("name", "P").contains("old"));
    decay(world, DECAYS[0], "name", "P");

    let claimed = refused(world, &mut two, r#"put name P {"name":"mine","type":"patient","supplying_store_id":"B"}"#);
    assert_eq!(claimed.len(), 1, "{claimed:?}");
    assert_eq!(world.store.reading().unreadable_records().unwrap().count, 1);
    let again = refused(world, &mut one, r#"put name P {"name":"old","type":"patient","supplying_store_id":"A"}"#);

    assert_eq!(again, Vec::<String>::new());
    assert!(world.data("name", "P").contains("old"));
}

fn central_puts_its_own_records_right_by_an_import(world: &mut World) {
    let mut device = site(world);
    for (op, what) in ["put", "upsert"].into_iter().cycle().zip(DECAYS.iter().filter(|what| !what.starts_with("store")))
    {
        world.write(&[r#"put item I {"code":"old"}"#]);
        settle(world, &mut device);
        decay(world, what, "item", "I");

        let report = world.import(ImportMode::Continue, &[r#"patch item I {"item_name":"x"}"#, "delete item I"]);
        let codes: Vec<_> = report.refusals.iter().map(|refusal| refusal.code.as_str()).collect();
        assert_eq!(codes, ["record_unreadable"; 2], "{what}");
        world.write(&[&format!(r#"{op} item I {{"code":"new"}}"#)]);

        assert!(world.data("item", "I").contains("new"), "{what}");
        settle(world, &mut device);
        assert!(device.data("item", "I").contains("new"), "every site is given it again: {what}");
    }
}

fn an_accepted_edit_that_leads_to_what_cannot_be_read_is_refused_alone(world: &mut World) {
    let mut device = world.device(&["A"]);
    world.write(&[r#"patch store A {"name_ID":"nA","store_mode":"dispensary"}"#]);
    world.job(|batch| batch.set_preference(domain::preference::Preference::PrescriptionsWhereVisible, true));
    settle(world, &mut device);
    device.record(&[r#"put name P {"name":"old","type":"patient","supplying_store_id":"A"}"#]);
    device.record(&[r#"put transact T {"store_ID":"A","mode":"dispensary","name_ID":"P","comment":"old"}"#]);
    device.record(&[r#"put trans_line L {"transaction_ID":"T","note":"old"}"#]);
    settle(world, &mut device);
    assert_eq!(codes(world, &device), Vec::<String>::new());
    decay(world, DECAYS[0], "transact", "T");
    decay(world, DECAYS[0], "trans_line", "L");

    // Where a line goes is read from its header.
    device.record(&[r#"put trans_line M {"transaction_ID":"T","note":"m"}"#]);
    device.record(&[r#"put Location N {"store_ID":"A","code":"n"}"#]);
    device.record(&[r#"put transact T {"store_ID":"A","mode":"dispensary","name_ID":"P","comment":"again"}"#]);
    device.record(&[r#"put trans_line L {"transaction_ID":"T","note":"again"}"#]);
    settle(world, &mut device);

    assert!(world.data("Location", "N").contains(r#""code":"n""#), "the site goes on");
    assert!(world.data("transact", "T").contains("again") && world.data("trans_line", "L").contains("again"));
    assert_eq!(codes(world, &device), ["record_unreadable"]);
    assert_eq!(world.status(&device).unjudged_entries, 0);
    assert_eq!(
        refused(world, &mut device, r#"put trans_line M {"transaction_ID":"T","note":"m"}"#),
        Vec::<String>::new()
    );
    world.restart(101);
    assert!(world.data("trans_line", "M").contains(r#""note":"m""#));
}

fn a_site_is_to_send_its_own_again_and_leaves_those_of_others_alone(world: &mut World) {
    let device = site(world);
    world.write(&[r#"upsert item I {"code":"old"}"#]);
    let mut device = device;
    settle(world, &mut device);
    settle(world, &mut device);
    decay(world, DECAYS[1], "Location", "L");
    decay(world, DECAYS[1], "item", "I");
    let ask = |world: &mut World, scope: &Scope, ask: &dyn Fn(ScopeCursor) -> Ask| -> Answer {
        let scope = scope.to_id();
        let ask = ask(ScopeCursor { cursor: device.cursors[&scope], scope });
        let question = Question { head: device.head(), ask };
        world.job(|batch| batch.take_question(&question, Standing::Current));
        let who = (device.site, device.journal);
        world.store.reading().compare(who, &question.ask, &mut ZstdCodec::default()).unwrap()
    };
    let named = |world: &mut World, scope: &Scope| -> (Vec<String>, Vec<String>) {
        let rows = |at| Ask::Rows { at, buckets: (0..=255).collect(), after: Position::ZERO };
        let Answer::Rows(packed) = ask(world, scope, &rows) else { panic!("rows were asked for") };
        let found = RowsFound::unpack(&packed, &mut ZstdCodec::default()).unwrap();
        (
            found.rows.iter().map(|row| row.record.to_string()).collect(),
            found.left_alone.iter().map(|(_, id)| id.to_string()).collect(),
        )
    };

    // Not named at all: for the site it is a record that central does not have, and that it writes.
    assert_eq!(named(world, &Scope::Store(id("A"))), (vec!["M".to_owned()], vec![]));
    let (_, left_alone) = named(world, &Scope::AllSites);
    assert_eq!(left_alone, ["I"]);
}

fn every_unreadable_record_is_named_with_whose_it_is(world: &mut World) {
    let device = site(world);
    world.write(&[r#"upsert item I {"code":"old"}"#]);
    assert_eq!(world.store.reading().unreadable_records().unwrap(), UnreadableRecords::default());
    decay(world, DECAYS[2], "Location", "L");
    decay(world, DECAYS[1], "item", "I");

    let found = world.store.reading().unreadable_records().unwrap();

    assert_eq!(found.count, 2);
    let named: Vec<_> = found.named.iter().map(|one| (one.record.as_str(), one.store.clone(), one.site)).collect();
    assert_eq!(named, [("L", Some(id("A")), device.site), ("I", None, CENTRAL)]);
    assert!(found.named[0].fault.contains("checksum"), "{found:?}");
}
