//! Who sees which names and stores, and what that brings to a site and takes from it.

use domain::scope::Scope;

use super::*;
use crate::store::limits::BACKFILL_STEP_ROWS;
use crate::store::roles::Role;

contract!(
    what_hangs_on_a_store_goes_where_the_store_is_active_and_where_it_is_visible,
    what_hangs_on_a_name_goes_where_the_name_is_visible,
    central_makes_the_reverse_join_and_takes_it_back_with_the_one_that_it_answers,
    a_reverse_join_that_somebody_set_by_hand_stays,
    a_store_whose_record_comes_after_its_joins_sees_and_is_seen_all_the_same,
    what_a_site_comes_to_see_late_is_back_filled_and_what_it_sees_no_more_goes,
    what_changes_while_a_back_fill_waits_arrives_once_in_its_newest_state,
    a_back_fill_goes_on_in_bounded_steps_and_is_counted,
    a_site_that_sees_and_unsees_while_it_is_away_ends_with_what_holds,
    a_merge_of_names_widens_visibility_and_undoing_it_takes_that_back,
    what_was_deleted_between_two_times_of_seeing_goes_also_where_the_first_was_not_taken_back_yet,
    a_record_that_hangs_on_another_name_moves_to_those_who_see_that,
    a_name_that_every_store_sees_costs_one_lane_row_a_change,
    what_central_made_itself_is_taken_back_with_what_asked_for_it,
    a_collector_is_refused_without_visibility_and_rests_when_it_is_lost,
    a_collector_copy_is_read_from_its_beginning_and_goes_with_its_role,
    what_is_not_for_a_site_is_passed_over_in_windows,
    a_store_that_knew_no_visibility_is_brought_up_to_date,
    a_copy_that_has_not_read_what_its_original_was_given_reads_what_it_sees_anew,
);

/// Two sites with a store each, of which neither sees the other; the stores have names.
fn two(world: &mut World) -> (Device, Device) {
    let (one, two) = (world.device(&["A"]), world.device(&["B"]));
    world.write(&[
        r#"patch store A {"name_ID":"nA"}"#,
        r#"patch store B {"name_ID":"nB"}"#,
        r#"upsert name nA {"name":"a"}"#,
        r#"upsert name nB {"name":"b"}"#,
    ]);
    (one, two)
}

fn join(name: &str, store: &str) -> String {
    format!(r#"upsert name_store_join {name}-in-{store} {{"name_ID":"{name}","store_ID":"{store}"}}"#)
}

/// Joins that count at central: name, store, and whether central made it.
fn joins(world: &mut World) -> Vec<String> {
    let mut joins = Vec::new();
    let sql = "SELECT name, store, is_reverse FROM visibility ORDER BY name, store";
    let mut add = |row: &dyn sql::Row| {
        let mark = if row.integer(2)? == 1 { " (reverse)" } else { "" };
        joins.push(format!("{} in {}{mark}", row.text(0)?, row.text(1)?));
        Ok(std::ops::ControlFlow::Continue(()))
    };
    world.store.sql.query(sql, &[], &mut add).unwrap();
    joins
}

fn role(world: &mut World, store: &str, site: SiteId) -> Role {
    world.job(|batch| batch.role_of(&id(store), site))
}

fn what_hangs_on_a_store_goes_where_the_store_is_active_and_where_it_is_visible(world: &mut World) {
    let (mut one, mut two) = two(world);
    world.write(&[
        r#"upsert item_store_join IA {"store_ID":"A","item_ID":"I"}"#,
        r#"upsert preference P {"value":"of all stores"}"#,
        r#"upsert preference PB {"store_id":"B","value":"of one"}"#,
    ]);
    settle(world, &mut one);
    settle(world, &mut two);
    assert!(has(&one, "item_store_join", "IA") && !has(&two, "item_store_join", "IA"));
    assert!(has(&one, "preference", "P") && has(&two, "preference", "P"));
    assert!(!has(&one, "preference", "PB") && has(&two, "preference", "PB"));
    assert_eq!((role(world, "A", one.site), role(world, "A", two.site)), (Role::Active, Role::None));

    world.write(&[&join("nA", "B")]);
    settle(world, &mut one);
    settle(world, &mut two);

    assert_eq!((role(world, "A", two.site), role(world, "B", one.site)), (Role::Transfer, Role::Transfer));
    assert_eq!(role(world, "A", CENTRAL), Role::Collector);
    for (device, record) in [(&two, "A"), (&one, "B")] {
        assert!(has(device, "store", record));
    }
    assert!(has(&two, "item_store_join", "IA") && has(&one, "preference", "PB"));
}

fn what_hangs_on_a_name_goes_where_the_name_is_visible(world: &mut World) {
    let (mut one, mut two) = two(world);
    world.write(&[
        r#"upsert contact CA {"name_ID":"nA"}"#,
        r#"upsert contact CS {"name_ID":"supplier"}"#,
        r#"upsert contact lost {"first":"nobody's"}"#,
        &join("supplier", "B"),
    ]);

    settle(world, &mut one);
    settle(world, &mut two);

    assert!(has(&one, "contact", "CA") && !has(&two, "contact", "CA"), "a store's own name is visible where it is");
    assert!(!has(&one, "contact", "CS") && has(&two, "contact", "CS"));
    assert!(!has(&one, "contact", "lost") && !has(&two, "contact", "lost"));
}

fn central_makes_the_reverse_join_and_takes_it_back_with_the_one_that_it_answers(world: &mut World) {
    two(world);
    world.write(&[&join("nA", "B"), &join("supplier", "B")]);
    assert_eq!(joins(world), ["nA in B", "nB in A (reverse)", "supplier in B"]);

    world.write(&[r#"patch name_store_join nA-in-B {"inactive":true}"#]);
    assert_eq!(joins(world), ["supplier in B"]);

    world.write(&[r#"patch name_store_join nA-in-B {"inactive":false}"#]);
    assert_eq!(joins(world), ["nA in B", "nB in A (reverse)", "supplier in B"]);
    world.write(&["delete name_store_join nA-in-B"]);
    assert_eq!(joins(world), ["supplier in B"]);
}

fn a_reverse_join_that_somebody_set_by_hand_stays(world: &mut World) {
    two(world);
    world.write(&[&join("nA", "B"), &join("nB", "A")]);
    assert_eq!(joins(world), ["nA in B", "nB in A"]);

    world.write(&["delete name_store_join nA-in-B"]);
    // Set from the other side, it is the one that is answered.
    assert_eq!(joins(world), ["nA in B (reverse)", "nB in A"]);
    world.write(&["delete name_store_join nB-in-A"]);
    assert_eq!(joins(world), [""; 0]);
}

fn a_store_whose_record_comes_after_its_joins_sees_and_is_seen_all_the_same(world: &mut World) {
    let mut one = world.device(&["A"]);
    world.write(&[&join("nA", "B")]);
    let mut two = world.device(&["B"]);
    settle(world, &mut one);
    settle(world, &mut two);
    assert!(!has(&two, "store", "A"));

    world.write(&[r#"patch store A {"name_ID":"nA"}"#, r#"patch store B {"name_ID":"nB"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);
    assert!(has(&two, "store", "A") && has(&one, "store", "B"));

    world.write(&[r#"patch store A {"name_ID":"other"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);
    // Nobody made its new name visible there, so nothing is to be answered either.
    assert!(!has(&two, "store", "A") && !has(&one, "store", "B"));
}

fn what_a_site_comes_to_see_late_is_back_filled_and_what_it_sees_no_more_goes(world: &mut World) {
    let (mut one, mut two) = two(world);
    for number in 0..30 {
        world.write(&[&format!(r#"upsert item_store_join IA{number} {{"store_ID":"A"}}"#)]);
    }
    world.write(&[r#"upsert contact CA {"name_ID":"nA"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);

    world.write(&[&join("nA", "B")]);
    settle(world, &mut two);
    assert!(has(&two, "item_store_join", "IA29") && has(&two, "store", "A") && has(&two, "contact", "CA"));
    assert_eq!(world.status(&two).rows_waiting, 0);

    world.write(&["delete item_store_join IA3", r#"patch item_store_join IA4 {"margin":3}"#]);
    settle(world, &mut two);
    assert!(!has(&two, "item_store_join", "IA3"));
    assert!(two.data("item_store_join", "IA4").contains("margin"));

    world.write(&["delete name_store_join nA-in-B"]);
    settle(world, &mut two);
    settle(world, &mut one);
    for (table, record) in [("item_store_join", "IA29"), ("store", "A"), ("contact", "CA")] {
        assert!(!has(&two, table, record), "{table} {record}");
        assert!(has(&one, table, record), "{table} {record}");
    }
    assert!(!has(&one, "store", "B"));
}

fn what_changes_while_a_back_fill_waits_arrives_once_in_its_newest_state(world: &mut World) {
    let (_, mut two) = two(world);
    world.write(&[r#"upsert item_store_join IA {"store_ID":"A","margin":1}"#]);
    settle(world, &mut two);
    world.write(&[&join("nA", "B"), r#"patch item_store_join IA {"margin":2}"#]);

    settle(world, &mut two);
    assert!(two.data("item_store_join", "IA").contains(r#""margin":2"#));

    world.write(&[r#"patch item_store_join IA {"margin":3}"#, "delete name_store_join nA-in-B"]);
    settle(world, &mut two);
    assert!(!has(&two, "item_store_join", "IA"));

    // Deleted before the site hears that it sees it no more.
    world.write(&[&join("nA", "B")]);
    settle(world, &mut two);
    world.write(&["delete item_store_join IA", "delete name_store_join nA-in-B"]);
    settle(world, &mut two);
    assert!(!has(&two, "item_store_join", "IA"));
}

fn a_back_fill_goes_on_in_bounded_steps_and_is_counted(world: &mut World) {
    let (_, mut two) = two(world);
    settle(world, &mut two);
    let rows = BACKFILL_STEP_ROWS + 500;
    let lines: Vec<_> =
        (0..rows).map(|number| format!(r#"upsert item_store_join IA{number} {{"store_ID":"A"}}"#)).collect();
    let edits: Vec<_> = lines.iter().map(|line| edit(line)).collect();
    world.job(|batch| batch.import(&mut edits.into_iter(), ImportMode::AllOrNothing));
    // Something for the site behind them, so that its cursor moves past them.
    world.write(&[r#"upsert item_store_join IB {"store_ID":"B"}"#]);
    settle(world, &mut two);
    world.write(&[&join("nA", "B")]);
    assert!(world.status(&two).rows_waiting > rows);

    let first = two.push(world);
    assert!(first.rows_waiting.unwrap() > rows, "what is still to be written counts");
    assert!(first.has_more_control, "the site asks on though its lanes may be read to their ends");
    two.pull(world);
    assert!(!has(&two, "item_store_join", &format!("IA{}", rows - 1)));
    settle(world, &mut two);

    assert!(has(&two, "item_store_join", &format!("IA{}", rows - 1)));
    // What the site has read is of no use in its own lane any more.
    two.sync(world);
    let gained = world.job(|batch| batch.scope_number(&Scope::Gained(two.site)));
    let sql = "SELECT count(*) FROM lane WHERE scope = ?1";
    assert_eq!(world.store.sql.query_integer(sql, &[gained.into()]).unwrap(), Some(0));
    assert_eq!(world.status(&two).rows_waiting, 0);
}

fn a_site_that_sees_and_unsees_while_it_is_away_ends_with_what_holds(world: &mut World) {
    let (_, mut two) = two(world);
    world.write(&[r#"upsert contact CA {"name_ID":"nA"}"#]);
    settle(world, &mut two);
    for _ in 0..3 {
        world.write(&[&join("nA", "B")]);
        world.write(&["delete name_store_join nA-in-B"]);
    }
    settle(world, &mut two);
    assert!(!has(&two, "contact", "CA"));
    world.write(&[&join("nA", "B")]);
    two.push(world);
    world.write(&["delete name_store_join nA-in-B"]);
    two.pull(world);
    world.write(&[&join("nA", "B")]);
    settle(world, &mut two);
    assert!(has(&two, "contact", "CA"));
}

fn a_merge_of_names_widens_visibility_and_undoing_it_takes_that_back(world: &mut World) {
    let (_, mut two) = two(world);
    for name in ["nX", "nY", "nZ"] {
        world.write(&[&format!(r#"upsert name {name} {{"name":"{name}"}}"#)]);
        world.write(&[&format!(r#"upsert contact C{name} {{"name_ID":"{name}"}}"#)]);
    }
    world.write(&[&join("nY", "B")]);
    settle(world, &mut two);
    let seen = |device: &Device| ["CnX", "CnY", "CnZ"].map(|contact| has(device, "contact", contact));
    assert_eq!(seen(&two), [false, true, false]);

    world.job(|batch| batch.merge("name", &id("nX"), &id("nY")));
    settle(world, &mut two);
    assert_eq!(seen(&two), [true, true, false]);
    world.job(|batch| batch.merge("name", &id("nZ"), &id("nX")));
    settle(world, &mut two);
    assert_eq!(seen(&two), [true, true, true], "by way of what it stands for");
    world.write(&["delete name_store_join nY-in-B", &join("nZ", "B")]);
    settle(world, &mut two);
    assert_eq!(seen(&two), [true, true, true]);
    world.write(&["delete outpost_name_merge nX"]);
    settle(world, &mut two);

    assert_eq!(seen(&two), [false, true, true], "Z was merged into Y");
}

/// The simulator's find: the site had the record by when it saw the store first, and passed its delete by while it did not.
fn what_was_deleted_between_two_times_of_seeing_goes_also_where_the_first_was_not_taken_back_yet(world: &mut World) {
    let (_, mut two) = two(world);
    world.write(&[&join("nA", "B")]);
    for number in 0..3 {
        world.write(&[&format!(r#"upsert item_store_join IA{number} {{"store_ID":"A"}}"#)]);
    }
    settle(world, &mut two);
    assert!(has(&two, "item_store_join", "IA2"));
    world.set_limits(|limits| limits.backfill_step_rows_max = 1);

    world.write(&["delete name_store_join nA-in-B"]);
    world.write(&["delete item_store_join IA2", r#"upsert item_store_join IB {"store_ID":"B"}"#]);
    two.push(world);
    two.pull(world);
    world.write(&[&join("nA", "B")]);
    for _ in 0..10 {
        settle(world, &mut two);
    }

    let here = [0, 1, 2].map(|number| has(&two, "item_store_join", &format!("IA{number}")));
    assert_eq!(here, [true, true, false]);
}

fn a_record_that_hangs_on_another_name_moves_to_those_who_see_that(world: &mut World) {
    let (mut one, mut two) = two(world);
    world.write(&[r#"upsert contact C {"name_ID":"nA"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);
    assert!(has(&one, "contact", "C"));

    world.write(&[r#"patch contact C {"name_ID":"nB"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);
    assert!(!has(&one, "contact", "C") && has(&two, "contact", "C"));

    world.write(&["delete contact C", r#"put contact C {"name_ID":"nA"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);
    assert!(has(&one, "contact", "C") && !has(&two, "contact", "C"));
}

fn a_name_that_every_store_sees_costs_one_lane_row_a_change(world: &mut World) {
    let stores: Vec<String> = (0..20).map(|number| format!("S{number}")).collect();
    for store in &stores {
        world.device(&[store]);
        world.write(&[&join("supplier", store)]);
    }
    let rows = |world: &mut World| world.store.sql.query_integer("SELECT count(*) FROM lane", &[]).unwrap().unwrap();
    let before = rows(world);

    world.write(&[r#"upsert contact C {"name_ID":"supplier"}"#]);
    assert_eq!(rows(world), before + 1);
    for number in 0..5 {
        world.write(&[&format!(r#"patch contact C {{"first":"{number}"}}"#)]);
    }

    assert_eq!(rows(world), before + 1);
}

fn what_central_made_itself_is_taken_back_with_what_asked_for_it(world: &mut World) {
    two(world);
    let set = |world: &mut World, name: &str, store: &str, is_visible| {
        world.try_job(|batch| batch.set_visible(&id(name), &id(store), is_visible))
    };
    assert!(set(world, "nA", "B", true).unwrap());
    assert_eq!(code(set(world, "nB", "A", false)), "made_by_central");
    assert_eq!(code(set(world, "nA", "Z", false)), "unknown_store");
    assert_eq!(code(set(world, "nZ", "A", false)), "unknown_name");
    assert_eq!(world.store.reading().joins(None, None, None, 9).unwrap().len(), 2);

    // What is gone stands in the way of nothing.
    world.write(&["delete name nA"]);
    assert!(!set(world, "nA", "B", false).unwrap());
    assert!(world.store.reading().joins(None, None, None, 9).unwrap().is_empty());
}

fn a_collector_is_refused_without_visibility_and_rests_when_it_is_lost(world: &mut World) {
    let (mut one, mut two) = two(world);
    one.record(&[r#"put transact T1 {"store_ID":"A"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);
    let site = two.site;
    let set = |world: &mut World, site| world.try_job(|batch| batch.set_collector(&id("A"), site, true));
    assert_eq!(code(set(world, site)), "collector_unseen");
    assert_eq!(code(set(world, one.site)), "store_is_active");
    assert_eq!(code(set(world, CENTRAL)), "central_collects");
    assert_eq!(code(world.try_job(|batch| batch.set_collector(&id("Z"), site, true))), "unknown_store");

    world.write(&[&join("nA", "B")]);
    set(world, site).unwrap();
    settle(world, &mut two);
    assert_eq!(role(world, "A", site), Role::Collector);
    assert!(has(&two, "transact", "T1"));
    two.record(&[r#"patch transact T1 {"comment":"mine"}"#]);
    settle(world, &mut two);
    assert_eq!(two.told.last().unwrap().1, "not_store_holder");

    world.write(&["delete name_store_join nA-in-B"]);
    settle(world, &mut two);
    assert_eq!(role(world, "A", site), Role::None);
    let roles = world.store.reading().roles_of(&id("A")).unwrap();
    let shown: Vec<_> = roles.iter().map(|(site, _, role)| (*site, *role)).collect();
    assert_eq!(shown, [(CENTRAL, Role::Collector), (one.site, Role::Active), (site, Role::Resting)]);
    world.write(&[&join("nA", "B")]);
    settle(world, &mut two);
    assert_eq!(role(world, "A", site), Role::Collector);
    assert!(has(&two, "transact", "T1"));
}

fn a_collector_copy_is_read_from_its_beginning_and_goes_with_its_role(world: &mut World) {
    let (mut one, mut two) = two(world);
    world.write(&[&join("nA", "B"), &join("supplier", "A"), r#"upsert contact CS {"name_ID":"supplier"}"#]);
    (0..20).for_each(|number| one.record(&[&format!(r#"put transact T{number} {{"store_ID":"A"}}"#)]));
    settle(world, &mut one);
    settle(world, &mut two);
    assert!(!has(&two, "transact", "T0") && !has(&two, "contact", "CS"));
    let site = two.site;

    world.job(|batch| batch.set_collector(&id("A"), site, true));
    settle(world, &mut two);
    assert!(has(&two, "transact", "T19"));
    assert!(has(&two, "contact", "CS"), "names that a collected store sees are visible where it is looked into");

    let dropped = |device: &Device| {
        let told = |control: &&protocol::control::Control| matches!(control, protocol::control::Control::Dropped(_));
        device.controls.iter().filter(told).count()
    };
    assert_eq!(dropped(&two), 0);
    world.job(|batch| batch.set_collector(&id("A"), site, false));
    settle(world, &mut two);
    assert_eq!((role(world, "A", site), dropped(&two)), (Role::Transfer, 1));
    assert!(!has(&two, "contact", "CS"));
}

fn what_is_not_for_a_site_is_passed_over_in_windows(world: &mut World) {
    let (_, mut two) = two(world);
    let count = LOOKED_AT_MAX + 10;
    let scope = world.job(|batch| batch.scope_number(&Scope::Visible));
    // Written past the judge: twenty thousand records take long.
    world.store.sql.begin(Durability::Process).unwrap();
    for number in 0..count {
        let at = 1_000_000 + i64::try_from(number).unwrap();
        let row = "INSERT INTO lane (scope, position, record, entered, is_tombstone, visible_key) VALUES (?1, ?2, ?2, ?2, 1, 'sA')";
        world.store.sql.execute(row, &[scope.into(), at.into()]).unwrap();
    }
    let head = i64::try_from(2_000_000 + count).unwrap();
    world.store.sql.execute("UPDATE counter SET value = ?1 WHERE name = 'position'", &[head.into()]).unwrap();
    world.store.sql.commit().unwrap();
    world.restart(101);
    two.push(world);

    let first = two.read(world, &Scope::Visible.to_id(), 100, 100_000);
    let second = two.read(world, &Scope::Visible.to_id(), 100, 100_000);

    assert!(!first.is_drained && first.rows.len() < 5 && first.cursor.number.0 > 1_000_000, "{first:?}");
    assert!(second.is_drained && second.rows.is_empty());
}

/// The simulator's find: what one device of the site had read was gone for the other.
fn a_copy_that_has_not_read_what_its_original_was_given_reads_what_it_sees_anew(world: &mut World) {
    let (_, mut two) = two(world);
    world.write(&[r#"upsert contact CA {"name_ID":"nA"}"#, r#"upsert contact CB {"name_ID":"nB"}"#]);
    settle(world, &mut two);
    // Of the copy nobody knows yet that it is one.
    let mut copy = two.clone();
    world.write(&[&join("nA", "B")]);
    settle(world, &mut two);
    two.sync(world);
    assert!(has(&two, "contact", "CA"));
    (copy.token, copy.control) = (two.token, two.control);

    settle(world, &mut copy);

    assert!(has(&copy, "contact", "CA") && has(&copy, "contact", "CB"));
    // Once: what it has read since it is not given again.
    let control = copy.control;
    settle(world, &mut copy);
    assert_eq!(copy.control, control);
}

fn a_store_that_knew_no_visibility_is_brought_up_to_date(world: &mut World) {
    let (mut one, mut two) = two(world);
    world.write(&[&join("nA", "B"), r#"upsert contact CA {"name_ID":"nA"}"#, r#"upsert contact CS {"name_ID":"s"}"#]);
    // As the central before left it: everything in the lane of all sites, and nothing noted of who sees whom.
    let (all, visible) =
        world.job(|batch| Ok((batch.scope_number(&Scope::AllSites)?, batch.scope_number(&Scope::Visible)?)));
    world.store.sql.begin(Durability::Process).unwrap();
    let made = "SELECT number FROM record WHERE table_name = 'name_store_join' AND id <> 'nA-in-B'";
    world.store.sql.execute(&format!("DELETE FROM lane WHERE record IN ({made})"), &[]).unwrap();
    world.store.sql.execute(&format!("DELETE FROM record WHERE number IN ({made})"), &[]).unwrap();
    for table in ["visibility", "store_name", "site_sees", "backfill"] {
        world.store.sql.execute(&format!("DELETE FROM {table}"), &[]).unwrap();
    }
    let sql = "UPDATE lane SET scope = ?1, visible_key = NULL WHERE scope = ?2";
    world.store.sql.execute(sql, &[all.into(), visible.into()]).unwrap();
    world.store.sql.execute("DELETE FROM counter WHERE name = 'is_routed_by_visibility'", &[]).unwrap();
    world.store.sql.commit().unwrap();
    settle(world, &mut two);
    assert!(has(&two, "contact", "CS"));

    world.restart(101);
    settle(world, &mut one);
    settle(world, &mut two);

    assert!(has(&two, "contact", "CA") && has(&two, "store", "A") && has(&one, "store", "B"));
    assert!(!has(&two, "contact", "CS") && !has(&one, "contact", "CS"), "nobody sees it");
    assert_eq!(joins(world), ["nA in B", "nB in A (reverse)"]);
}
