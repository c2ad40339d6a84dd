//! Proposals: a refused edit that only another site may make, asked of that site.

use domain::proposal::{Declined, declined_id};

use super::*;

contract!(
    an_edit_of_a_store_at_a_site_is_asked_of_that_site_and_goes_once_it_is_made,
    a_declined_proposal_stays_with_the_reason_and_may_be_made_again,
    a_dismissed_edit_takes_its_proposal_back,
    a_store_that_comes_to_central_first_is_written_there,
    what_its_site_could_not_record_either_is_not_asked,
    an_edit_of_a_line_finds_its_store_by_its_header,
);

const SEEN: &str = r#"put Location L {"store_ID":"B","code":"0"}"#;

/// Two sites: the first had this refused, the second holds store B and its location L.
fn refused(world: &mut World, line: &str) -> (Device, Device, SetAsidePlace) {
    let mut holder = world.device(&["B"]);
    settle(world, &mut holder);
    holder.record(&[SEEN]);
    settle(world, &mut holder);
    let mut device = world.device(&["A"]);
    settle(world, &mut device);
    device.record(&[line]);
    settle(world, &mut device);
    let [place] = places(world, &device)[..] else { panic!("one is refused") };
    (device, holder, place)
}

fn places(world: &mut World, device: &Device) -> Vec<SetAsidePlace> {
    let found = world.store.reading().set_aside(device.site, None, 100).unwrap();
    found.into_iter().map(|item| (item.journal, item.sequence)).collect()
}

fn apply(world: &mut World, device: &Device, place: SetAsidePlace) -> Result<AppliedSetAside, StoreError> {
    world.try_job(|batch| batch.apply_set_aside(device.site, place))
}

fn asked(world: &mut World, place: SetAsidePlace) -> Proposed {
    world.store.reading().proposed(place).unwrap().expect("somebody was asked")
}

fn an_edit_of_a_store_at_a_site_is_asked_of_that_site_and_goes_once_it_is_made(world: &mut World) {
    let (device, mut holder, place) = refused(world, r#"patch Location L {"code":"7"}"#);
    assert_eq!(apply(world, &device, place).unwrap(), AppliedSetAside::Proposed { store: id("B"), site: holder.site });
    assert_eq!(places(world, &device), [place], "it stays until the site has answered");
    assert_eq!(code(apply(world, &device, place)), "proposal_open");
    let message = asked(world, place).message;
    assert!(world.data("message", message.as_str()).contains(r#""status":"new""#));

    settle(world, &mut holder);
    let processed = format!(r#"patch message {message} {{"status":"processed"}}"#);
    holder.record(&[r#"patch Location L {"code":"7"}"#, &processed]);
    settle(world, &mut holder);

    assert!(world.data("Location", "L").contains(r#""code":"7""#));
    assert_eq!(places(world, &device), []);
    assert_eq!(world.store.reading().proposed(place).unwrap(), None);
    let last = world.store.reading().audit(None, None, 1).unwrap().pop().unwrap();
    assert_eq!((last.entry.verb.as_str(), last.entry.actor), ("proposal-made", format!("site:{}", holder.site)));
}

fn a_declined_proposal_stays_with_the_reason_and_may_be_made_again(world: &mut World) {
    let (device, mut holder, place) = refused(world, r#"patch Location L {"code":"7"}"#);
    apply(world, &device, place).unwrap();
    let message = asked(world, place).message;

    let declined = Declined { code: "changed_since".to_owned(), reason: "it is another".to_owned() };
    let told = declined.message(&message, &id("B"));
    let told = format!("put message {} {}", told.id, told.data.unwrap());
    let processed = format!(r#"patch message {message} {{"status":"processed"}}"#);
    settle(world, &mut holder);
    holder.record(&[&told, &processed]);
    settle(world, &mut holder);

    assert_eq!(places(world, &device), [place]);
    assert_eq!(asked(world, place).declined, Some(declined));
    assert!(world.data("message", declined_id(&message).as_str()).contains("changed_since"));

    apply(world, &device, place).unwrap();
    let again = asked(world, place);
    assert_ne!(again.message, message);
    assert_eq!(again.declined, None);
}

fn a_dismissed_edit_takes_its_proposal_back(world: &mut World) {
    let (device, mut holder, place) = refused(world, r#"patch Location L {"code":"7"}"#);
    apply(world, &device, place).unwrap();
    let message = asked(world, place).message;
    settle(world, &mut holder);

    assert!(world.job(|batch| batch.dismiss(device.site, place.0, place.1)));

    assert_eq!(world.data("message", message.as_str()), "deleted");
    assert_eq!(world.store.reading().proposed(place).unwrap(), None);
    // The answer was on its way: what it holds is refused whole, and lies in set-aside.
    let processed = format!(r#"patch message {message} {{"status":"processed"}}"#);
    holder.record(&[r#"patch Location L {"code":"7"}"#, &processed]);
    settle(world, &mut holder);
    assert!(world.data("Location", "L").contains(r#""code":"0""#));
    assert_eq!(places(world, &holder).len(), 2);
}

fn a_store_that_comes_to_central_first_is_written_there(world: &mut World) {
    let (device, _, place) = refused(world, r#"patch Location L {"code":"7"}"#);
    apply(world, &device, place).unwrap();
    let message = asked(world, place).message;
    world.job(|batch| batch.move_store(&id("B"), CENTRAL, true));

    assert_eq!(apply(world, &device, place).unwrap(), AppliedSetAside::Recorded);

    assert!(world.data("Location", "L").contains(r#""code":"7""#));
    assert_eq!((places(world, &device), world.data("message", message.as_str())), (vec![], "deleted".to_owned()));
}

fn what_its_site_could_not_record_either_is_not_asked(world: &mut World) {
    let (device, _, place) = refused(world, r#"put Location L {"store_ID":"A","code":"7"}"#);
    assert_eq!(code(apply(world, &device, place)), "owner_change");
    assert_eq!((places(world, &device), world.store.reading().proposed(place).unwrap()), (vec![place], None));
}

fn an_edit_of_a_line_finds_its_store_by_its_header(world: &mut World) {
    let mut holder = world.device(&["B"]);
    settle(world, &mut holder);
    holder.record(&[r#"put transact T {"store_ID":"B","type":"ci"}"#]);
    settle(world, &mut holder);
    let mut device = world.device(&["A"]);
    settle(world, &mut device);
    device.record(&[r#"put trans_line N {"transaction_ID":"T","quantity":1}"#]);
    settle(world, &mut device);
    let [place] = places(world, &device)[..] else { panic!("one is refused") };
    assert_eq!(apply(world, &device, place).unwrap(), AppliedSetAside::Proposed { store: id("B"), site: holder.site });
}
