//! Users: new ones go to central, existing ones stay.

use domain::edit::EditOp;
use domain::new_user::say_where_made;
use domain::scope::Scope;
use protocol::control::Image;

use super::super::{Kind, RecordState};
use super::site::*;

fn state(site: &mut Site, id: &str) -> Option<RecordState> {
    site.view("user", id).map(|view| view.state)
}

const NEW: &str = r#"{"name":"n","outpost_made_on":7}"#;
const EXISTING: &str = r#"{"name":"n","outpost_is_existing":true}"#;

fn put(site: &mut Site, id: &str, data: &str) -> bool {
    site.try_edit(EditOp::Put, "user", id, data)
}

#[test]
fn a_new_user_is_journaled_for_central_and_an_existing_one_is_not() {
    on_both(|site| {
        assert_eq!(SITE.0, 7);
        assert!(put(site, "new", NEW));
        assert!(put(site, "existing", EXISTING));
        assert_eq!(site.last(), 1);
        assert_eq!(
            (state(site, "new"), state(site, "existing")),
            (Some(RecordState::Pending), Some(RecordState::Local))
        );

        // It leaves with what the site sees, as it would when its device is replaced.
        site.reply(1, &[]);
        assert_eq!(state(site, "new"), Some(RecordState::Central));
        let gone = protocol::page::PageRow { row: None, ..image_of("user", "new", 9, "{}") };
        let page = site.page_of(&Scope::Visible.to_id(), vec![gone], true);
        site.store_page(&page).unwrap();
        assert_eq!((state(site, "new"), state(site, "existing")), (None, Some(RecordState::Local)));
    });
}

#[test]
fn a_user_that_another_site_made_first_is_set_aside_and_leaves_nothing_behind() {
    on_both(|site| {
        assert!(put(site, "new", NEW));
        let refused = site.refused(1, Image::NotHere);
        site.reply(1, &[refused]);
        assert_eq!((state(site, "new"), site.count("set_aside")), (None, 1));
        // The application takes the advice of the refusal.
        assert!(put(site, "new", EXISTING));
        assert_eq!(state(site, "new"), Some(RecordState::Local));
    });
}

#[test]
fn an_existing_user_does_not_take_the_id_of_a_new_one_whose_delete_central_has_not_heard() {
    on_both(|site| {
        assert!(put(site, "new", NEW));
        assert!(site.try_edit(EditOp::Delete, "user", "new", ""));
        assert!(!put(site, "new", EXISTING), "its verdicts are to come");
        site.reply(2, &[]);
        assert!(put(site, "new", EXISTING));
        assert_eq!(state(site, "new"), Some(RecordState::Local));
    });
}

#[test]
fn private_entries_that_come_again_after_a_crash_change_no_user_that_has_gone_since() {
    on_both(|site| {
        assert!(put(site, "U", EXISTING));
        assert!(site.try_edit(EditOp::Delete, "user", "U", ""));
        let private = site.private.clone();
        assert!(put(site, "U", NEW));
        let shared = site.journal.clone();

        let mut again = Site::in_memory();
        again.copy.begin_edits().unwrap();
        for (sequence, entry) in (1..).zip(&shared) {
            again.reapply(Kind::Shared, sequence, entry).unwrap();
        }
        for (sequence, entry) in (1..).zip(&private) {
            again.reapply(Kind::Private, sequence, entry).unwrap();
        }
        again.journal = shared;
        again.commit();
        assert_eq!(state(&mut again, "U"), Some(RecordState::Pending));
    });
}

#[test]
fn the_recorder_says_where_a_user_is_made_and_nothing_of_one_that_is_here() {
    on_both(|site| {
        assert!(put(site, "U", NEW));
        let catalogue = domain::catalogue::Catalogue::embedded();
        let users = catalogue.table_by_name("user").unwrap();
        let found = domain::judge::View::record(&mut site.copy, users.reference(), &record_id("U")).unwrap();
        let mut entry = site.journal[0].clone();
        let row = domain::json::row_from_json(users, &record_id("U"), r#"{"name":"again"}"#).unwrap();
        entry.operation = protocol::entry::Operation::Put(row.clone());
        say_where_made(users, SITE, &found, &mut entry);
        assert_eq!(entry.operation, protocol::entry::Operation::Put(row));
    });
}
