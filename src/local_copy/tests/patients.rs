//! Patients: records of the scope of what a site sees that the site itself writes (rules 5.12, 5.13, 5.15 and 5.18).

use domain::edit::EditOp;
use domain::scope::Scope;
use protocol::control::Image;
use protocol::ids::ScopeId;
use protocol::page::PageRow;

use super::super::{Kind, RecordState};
use super::site::*;

const MINE: &str = r#"{"type":"patient","supplying_store_id":"S"}"#;
const THEIRS: &str = r#"{"type":"patient","supplying_store_id":"elsewhere"}"#;

fn visible() -> ScopeId {
    Scope::Visible.to_id()
}

fn page(site: &mut Site, scope: &ScopeId, rows: Vec<PageRow>, is_drained: bool) {
    let page = site.page_of(scope, rows, is_drained);
    site.store_page(&page).unwrap();
}

/// A site whose store is a dispensary, and that sees a patient of another site with a policy.
fn with_dispensary(test: impl Fn(&mut Site)) {
    on_both(|site| {
        let rows = vec![
            image_of("store", STORE, 1, r#"{"store_mode":"dispensary"}"#),
            image_of("name", "theirs", 2, THEIRS),
            image_of("nameInsuranceJoin", "their-policy", 3, r#"{"nameID":"theirs"}"#),
        ];
        page(site, &visible(), rows, true);
        test(site);
    });
}

fn put(site: &mut Site, table: &str, id: &str, data: &str) -> bool {
    site.try_edit(EditOp::Put, table, id, data)
}

/// A patient `P` with a policy `R`, visible in the own store by `J`.
fn make(site: &mut Site) {
    assert!(put(site, "name", "P", MINE));
    assert!(put(site, "nameInsuranceJoin", "R", r#"{"nameID":"P"}"#));
    assert!(put(site, "name_store_join", "J", r#"{"name_ID":"P","store_ID":"S"}"#));
}

const MADE: [(&str, &str); 3] = [("name", "P"), ("nameInsuranceJoin", "R"), ("name_store_join", "J")];

fn states(site: &mut Site) -> [Option<RecordState>; 3] {
    MADE.map(|(table, id)| site.view(table, id).map(|view| view.state))
}

fn named(records: &[super::super::LostRecord]) -> Vec<(String, u32)> {
    records.iter().map(|record| (record.id.to_string(), record.ownership.0)).collect()
}

fn sweep(site: &mut Site) {
    while site.copy.sweep_step().unwrap() {}
}

#[test]
fn a_site_with_a_dispensary_records_patients_of_its_own_stores_alone() {
    on_both(|site| {
        assert!(!put(site, "name", "P", MINE), "no dispensary is known here");
        page(site, &visible(), vec![image_of("store", STORE, 1, r#"{"store_mode":"store"}"#)], true);
        assert!(!put(site, "name", "P", MINE));
    });
    with_dispensary(|site| {
        make(site);
        for (table, id, data) in [
            ("name", "X", THEIRS),
            ("name", "theirs", THEIRS),
            ("name", "theirs", MINE),
            ("nameInsuranceJoin", "X", r#"{"nameID":"theirs"}"#),
            ("nameInsuranceJoin", "their-policy", r#"{"nameID":"theirs","type":"x"}"#),
            ("nameInsuranceJoin", "their-policy", r#"{"nameID":"P"}"#),
            ("nameInsuranceJoin", "X", r#"{"nameID":"nobody"}"#),
            ("name_store_join", "X", r#"{"name_ID":"theirs","store_ID":"S"}"#),
            ("name_store_join", "X", r#"{"name_ID":"P","store_ID":"elsewhere"}"#),
            ("name_store_join", "J", r#"{"name_ID":"P","store_ID":"S","inactive":true}"#),
        ] {
            assert!(!put(site, table, id, data), "{table} {id} {data}");
        }
        assert!(!site.try_edit(EditOp::Delete, "name", "theirs", ""));
    });
}

#[test]
fn what_a_site_made_is_pending_then_accepted_and_stands_among_what_it_sees() {
    with_dispensary(|site| {
        let before = site.count("membership");
        make(site);
        assert_eq!(states(site), [Some(RecordState::Pending); 3]);

        site.reply(3, &[]);

        assert_eq!(states(site), [Some(RecordState::Central); 3]);
        assert_eq!(site.count("membership"), before + 3);
        assert_eq!(site.view("nameInsuranceJoin", "R").unwrap().store.as_deref(), Some(STORE));
        // As what the site sees anyway: gone where either lane says so.
        let gone = |table: &str, id: &str| PageRow { row: None, ..image_of(table, id, 20, "{}") };
        page(site, &visible(), vec![gone("nameInsuranceJoin", "R")], false);
        page(site, &Scope::Gained(SITE).to_id(), vec![gone("name_store_join", "J")], false);
        assert_eq!(states(site), [Some(RecordState::Central), None, None]);
    });
}

#[test]
fn a_refused_patient_is_as_central_has_it() {
    with_dispensary(|site| {
        make(site);
        assert!(site.try_edit(EditOp::Patch, "name", "P", r#"{"first":"A"}"#));

        site.reply(4, &[1, 2, 3, 4].map(|sequence| site.refused(sequence, Image::NotHere)));

        assert_eq!(states(site), [None; 3]);
        assert_eq!((site.count("pending"), site.count("set_aside")), (0, 4));
    });
    with_dispensary(|site| {
        make(site);
        site.reply(3, &[]);
        assert!(site.try_edit(EditOp::Delete, "name", "P", ""));
        assert_eq!(states(site)[0], None);
        assert!(!put(site, "nameInsuranceJoin", "R2", r#"{"nameID":"P"}"#), "its patient is gone");

        let image = image_of("name", "P", 9, MINE).row.unwrap();
        let refused = site.refused(4, Image::Here { position: protocol::ids::Position(9), row: image.to_bytes() });
        site.reply(4, &[refused]);

        assert_eq!(site.view("name", "P").unwrap().store.as_deref(), Some(STORE));
    });
}

#[test]
fn a_prescription_of_another_store_that_central_gives_instead_of_a_refused_edit_goes_with_what_is_seen() {
    const THEIR_PRESCRIPTION: &str = r#"{"store_ID":"elsewhere","name_ID":"theirs","mode":"dispensary"}"#;
    with_dispensary(|site| {
        // A page has not brought it yet, so that its id looks free here.
        assert!(put(site, "transact", "T", r#"{"store_ID":"S"}"#));
        let image = image_of("transact", "T", 9, THEIR_PRESCRIPTION).row.unwrap();
        let refused = site.refused(1, Image::Here { position: protocol::ids::Position(9), row: image.to_bytes() });
        site.reply(1, &[refused]);
        assert_eq!(site.view("transact", "T").unwrap().store.as_deref(), Some("elsewhere"));

        let gone = PageRow { row: None, ..image_of("transact", "T", 10, "{}") };
        page(site, &visible(), vec![gone], true);
        assert_eq!(site.view("transact", "T"), None);
    });
}

#[test]
fn an_order_of_another_store_that_central_gives_instead_of_a_refused_edit_does_not_stay_with_who_is_the_primary_no_more()
 {
    with_dispensary(|site| {
        assert!(put(site, "purchase_order", "O", r#"{"store_ID":"S"}"#));
        let image = image_of("purchase_order", "O", 9, r#"{"store_ID":"elsewhere"}"#).row.unwrap();
        let refused = site.refused(1, Image::Here { position: protocol::ids::Position(9), row: image.to_bytes() });
        site.reply(1, &[refused]);
        assert_eq!(site.view("purchase_order", "O"), None);
        assert_eq!(site.count("set_aside"), 1);
    });
}

#[test]
fn what_a_crash_kept_from_the_copy_is_applied_again_with_its_home_store() {
    with_dispensary(|site| {
        make(site);
        let entries = site.journal.clone();
        let mut again = Site::in_memory();
        page(&mut again, &visible(), vec![image_of("store", STORE, 1, r#"{"store_mode":"dispensary"}"#)], true);

        again.copy.begin_edits().unwrap();
        for (sequence, entry) in (1..).zip(&entries) {
            again.reapply(Kind::Shared, sequence, entry).unwrap();
        }
        again.journal = entries;
        again.commit();

        assert_eq!(states(&mut again), [Some(RecordState::Pending); 3]);
        for (table, id, store) in
            [("name", "P", Some(STORE)), ("nameInsuranceJoin", "R", Some(STORE)), ("name_store_join", "J", None)]
        {
            assert_eq!(again.view(table, id).unwrap().store.as_deref(), store, "{table}");
        }
    });
}

#[test]
fn what_does_not_come_again_goes_unless_it_is_pending() {
    with_dispensary(|site| {
        make(site);
        site.reply(3, &[]);
        assert!(put(site, "encounter", "E", r#"{"name_ID":"P"}"#));
        site.copy.begin_rebuild().unwrap();

        let rows = vec![
            image_of("store", STORE, 1, r#"{"store_mode":"dispensary"}"#),
            image_of("name", "P", 4, MINE),
            image_of("name_store_join", "J", 6, r#"{"name_ID":"P","store_ID":"S"}"#),
        ];
        page(site, &visible(), rows, true);
        site.copy.remember_sync(1, None).unwrap();
        assert!(site.copy.lost_in_step().unwrap().is_empty(), "central lost nothing");
        sweep(site);

        assert_eq!(states(site), [Some(RecordState::Central), None, Some(RecordState::Central)]);
        assert!(site.view("name", "theirs").is_none());
        assert!(site.view("encounter", "E").is_some());
    });
}

/// Rule 5.12: of a patient the home store's site knows best.
#[test]
fn a_central_that_was_set_back_is_handed_what_this_site_wrote_of_its_patients() {
    with_dispensary(|site| {
        make(site);
        assert!(put(site, "nameInsuranceJoin", "lost", r#"{"nameID":"P"}"#));
        assert!(put(site, "name", "lost-too", MINE));
        site.reply(5, &[]);
        // It came before its patient, by which it has its home store.
        let early = image_of("encounter", "early", 50, r#"{"name_ID":"late"}"#);
        page(site, &visible(), vec![early, image_of("name", "late", 51, MINE)], false);
        site.copy.begin_other_time_line().unwrap();

        let rows = vec![
            image_of("store", STORE, 1, r#"{"store_mode":"dispensary"}"#),
            image_of("name", "theirs", 2, &THEIRS.replace('}', r#","first":"old"}"#)),
            image_of("name", "P", 3, &MINE.replace('}', r#","first":"old"}"#)),
            image_of("nameInsuranceJoin", "R", 4, r#"{"nameID":"P","type":"old"}"#),
            image_of("encounter", "early", 5, r#"{"name_ID":"late","store_ID":"old"}"#),
        ];
        let rows = site.page_of(&visible(), rows, true);
        let outranked = site.copy.outranked_by(&rows).unwrap();
        site.store_page(&rows).unwrap();
        site.copy.remember_sync(1, None).unwrap();
        let lost = site.copy.lost_in_step().unwrap();

        let expected = ["P", "R", "early"].map(|id| (id.to_owned(), 1));
        assert_eq!(named(&outranked), expected);
        let mut own = named(&lost);
        own.retain(|(_, number)| *number != 0);
        own.sort();
        assert_eq!(own, ["J", "late", "lost", "lost-too"].map(|id| (id.to_owned(), 1)));
        assert!(site.view("name", "theirs").unwrap().data.contains("old"));
    });
}
