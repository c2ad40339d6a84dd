//! Users, made on a site and sent to central, or Local; and other Local data.

use super::*;
use crate::new_user::{made_on, say_where_made};

/// With user U2 made here, U3 elsewhere, and U0 deleted.
fn world() -> World {
    let mut world = World::new();
    world.here("user", "U2", None, r#"{"name":"2","outpost_made_on":2}"#);
    world.here("user", "U3", None, r#"{"name":"3","outpost_made_on":3}"#);
    world.gone("user", "U0", None);
    world
}

/// As the recorder has an edit say where a user is made.
fn recorded(world: &World, edit: &str, site: SiteId) -> Entry {
    let mut entry = world.entry(edit);
    let found = world.records.get(&(entry.table.clone(), entry.record.clone())).cloned().unwrap_or(Found::Unknown);
    say_where_made(world.table("user"), site, &found, &mut entry);
    entry
}

fn check(side: Side, author: SiteId, cases: &[(&str, &str)]) {
    for (edit, expected) in cases {
        assert_eq!(world().outcome(side, author, edit), *expected, "{edit} by site {author} at {side:?}");
    }
}

#[test]
fn a_user_that_a_site_makes_goes_to_central_and_comes_back_to_that_site_alone() {
    assert_eq!((HERE, ELSEWHERE), (SiteId(2), SiteId(3)));
    for side in BOTH {
        for (site, id) in [(HERE, "new"), (ELSEWHERE, "U0")] {
            let mut world = world();
            let entry = recorded(&world, &format!(r#"put user {id} {{"name":"n"}}"#), site);
            let Verdict::Accept(applied) = world.judge_entry(side, site, &entry) else { panic!("refused") };
            assert_eq!(made_on(applied.row.as_ref().unwrap()), Some(site));
            assert!(!applied.is_private);
            assert_eq!(applied.scopes, [Scope::Visible]);
            assert_eq!(applied.visible_key, Some(VisibleKey::MadeOn(site)));
        }
    }
}

#[test]
fn the_site_that_made_a_user_writes_it_and_nobody_else_does() {
    let edits = [r#"put user U3 {"name":"n"}"#, r#"patch user U3 {"name":"n"}"#, "delete user U3"]
        .map(|edit| (edit, "user_of_other_site"));
    for side in BOTH {
        check(side, HERE, &edits);
        check(side, SiteId::CENTRAL, &edits);
        check(side, ELSEWHERE, &edits.map(|(edit, _)| (edit, "accept, to what a site sees")));
    }
    check(Side::Central, HERE, &[(r#"put user U1 {"name":"n","outpost_made_on":2}"#, "user_of_other_site")]);
}

#[test]
fn an_existing_user_stays_on_its_site_and_no_user_becomes_the_other_kind() {
    let mut world = world();
    let entry = recorded(&world, r#"put user new {"name":"n","outpost_is_existing":true}"#, HERE);
    let Verdict::Accept(applied) = world.judge_entry(Side::Device, HERE, &entry) else { panic!("refused") };
    assert!(applied.is_private);

    // U1 is an existing one, and stays that without being told again.
    let entry = recorded(&world, r#"put user U1 {"name":"n"}"#, HERE);
    let Verdict::Accept(applied) = world.judge_entry(Side::Device, HERE, &entry) else { panic!("refused") };
    assert!(applied.is_private);

    check(
        Side::Device,
        HERE,
        &[
            (r#"put user U2 {"name":"n","outpost_is_existing":true}"#, "data_type_change"),
            (r#"patch user U2 {"outpost_is_existing":true}"#, "data_type_change"),
            (r#"patch user U1 {"outpost_made_on":2}"#, "data_type_change"),
            (r#"patch user U1 {"outpost_is_existing":false}"#, "data_type_change"),
            (r#"put user new {"outpost_is_existing":"true"}"#, "bad_value"),
            (r#"put user U0 {"name":"n","outpost_is_existing":true}"#, "data_type_change"),
        ],
    );
}

#[test]
fn nobody_says_that_a_user_was_made_where_it_was_not() {
    for side in BOTH {
        check(
            side,
            HERE,
            &[
                (r#"put user new {"outpost_made_on":3}"#, "central_column"),
                (r#"put user new {"outpost_made_on":"2"}"#, "central_column"),
                (r#"put user new {"outpost_made_on":null}"#, "central_column"),
                (r#"patch user U2 {"outpost_made_on":3}"#, "central_column"),
                (r#"patch user U2 {"outpost_made_on":null}"#, "central_column"),
                // As it is handed back to a central that was set back.
                (r#"put user new {"outpost_made_on":2}"#, "accept, to what a site sees"),
                (r#"put user U2 {"outpost_made_on":2}"#, "accept, to what a site sees"),
            ],
        );
        check(side, SiteId::CENTRAL, &[(r#"put user new {"outpost_made_on":1}"#, "central_column")]);
    }
}

#[test]
fn central_takes_the_delete_of_a_user_that_it_never_had_as_done_and_refuses_its_patch() {
    check(
        Side::Central,
        HERE,
        &[
            ("delete user new", "accept, nothing"),
            (r#"patch user new {"name":"n"}"#, "record_missing"),
            (r#"patch user U0 {"name":"n"}"#, "record_missing"),
        ],
    );
}

#[test]
fn local_data_is_private_and_is_refused_where_it_should_never_have_come() {
    World::check(
        Side::Device,
        HERE,
        &[
            (r#"put user U9 {"name":"9","outpost_is_existing":true}"#, "accept, private"),
            (r#"patch user U1 {"name":"9"}"#, "accept, private"),
            ("delete user U1", "accept, private"),
            ("delete user U9", "record_missing"),
            (r#"put pref F {"item":"printer","store_ID":"S3"}"#, "accept, private"),
            (r#"put pref F {"item":"store_preferences","store_ID":"S1"}"#, "central_data"),
        ],
    );
    World::check(
        Side::Central,
        HERE,
        &[
            (r#"put user U9 {"name":"9"}"#, "local_data"),
            (r#"put adverse_drug_reaction A {"name_ID":"N1"}"#, "local_data"),
            ("delete user U1", "user_of_other_site"),
        ],
    );
    World::check(Side::Central, SiteId::CENTRAL, &[(r#"put user U9 {"name":"9"}"#, "accept, private")]);
}
