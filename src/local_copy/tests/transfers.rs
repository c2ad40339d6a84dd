//! What other stores have with a store of this site: a scope of its own (kind 3), in which records keep their own stores.

use domain::edit::EditOp;
use domain::scope::Scope;
use domain::transfers::records::{ITEM_JOINS, REFERENCES, STORES};
use protocol::control::{Control, Dropped, Grant, Image};
use protocol::ids::{OwnershipNumber, Position, ScopeId};
use protocol::page::PageRow;
use protocol::verify::Digests;

use super::super::RecordState;
use super::site::*;

const THEIRS: &str =
    r#"{"store_ID":"theirs","name_ID":"NS","type":"si","invoice_num":8,"linked_transaction_id":"OURS"}"#;
const LINE: &str = r#"{"transaction_ID":"H","item_ID":"I","quantity":4}"#;

fn partners() -> ScopeId {
    Scope::StorePartners(record_id(STORE)).to_id()
}

fn page(site: &mut Site, scope: &ScopeId, rows: Vec<PageRow>, is_drained: bool) {
    let page = site.page_of(scope, rows, is_drained);
    site.store_page(&page).unwrap();
    while is_drained && site.copy.sweep_step().unwrap() {}
}

/// A half of another store's, with a line, and the log entry about one of ours.
fn halves(position: u64) -> Vec<PageRow> {
    vec![
        image_of("transact", "H", position, THEIRS),
        image_of("trans_line", "HL", position + 1, LINE),
        image_of(
            "om_activity_log",
            "LOG",
            position + 2,
            r#"{"store_ID":"theirs","record_ID":"OURS","changed_to":"8"}"#,
        ),
    ]
}

/// Whether this site may write what the other store has.
fn theirs_granted(is_held: bool) -> Control {
    Control::Grant(Grant {
        store: "theirs".to_owned(),
        ownership: OwnershipNumber(4),
        is_held,
        proof: protocol::ids::GrantProof([0; 16]),
        number_gaps: 0,
    })
}

fn with_halves(test: impl Fn(&mut Site)) {
    on_both(|site| {
        page(site, &partners(), halves(10), true);
        test(site);
    });
}

fn stores(site: &mut Site) -> Vec<Option<String>> {
    let of = |site: &mut Site, table: &str, id: &str| site.view(table, id).and_then(|view| view.store);
    vec![of(site, "transact", "H"), of(site, "trans_line", "HL"), of(site, "om_activity_log", "LOG")]
}

fn is_here(site: &mut Site) -> [bool; 3] {
    [("transact", "H"), ("trans_line", "HL"), ("om_activity_log", "LOG")]
        .map(|(table, id)| site.view(table, id).is_some())
}

#[test]
fn records_of_the_scope_keep_their_own_stores_and_are_not_written_here() {
    with_halves(|site| {
        assert_eq!(stores(site), vec![Some("theirs".to_owned()); 3]);
        assert_eq!(site.view("transact", "H").unwrap().state, RecordState::Central);
        for (op, table, id, data) in [
            (EditOp::Patch, "transact", "H", r#"{"hold":false}"#),
            (EditOp::Patch, "trans_line", "HL", r#"{"quantity":5}"#),
            (EditOp::Put, "trans_line", "NEW", LINE),
            (EditOp::Delete, "transact", "H", ""),
            (EditOp::Patch, "om_activity_log", "LOG", r#"{"changed_to":"9"}"#),
            (EditOp::Patch, "transact", "H", r#"{"store_ID":"S"}"#),
        ] {
            assert!(!site.try_edit(op, table, id, data), "{table} {id} {data}");
        }
    });
}

#[test]
fn what_is_dropped_or_taken_out_goes_and_what_another_scope_holds_stays() {
    with_halves(|site| {
        let out = |table: &str, id: &str| PageRow { row: None, ..image_of(table, id, 20, "{}") };
        page(site, &partners(), vec![out("trans_line", "HL")], false);
        assert_eq!(is_here(site), [true, false, true]);

        site.reply(0, &[Control::Dropped(Dropped { scope: partners() })]);
        while site.copy.sweep_step().unwrap() {}
        assert_eq!(is_here(site), [false; 3]);
        assert_eq!(site.count("membership"), 0);
    });
    with_halves(|site| {
        // The other store comes to this site as well, and ours goes.
        page(site, &Scope::Store(record_id("theirs")).to_id(), halves(10), true);
        site.reply(0, &[Control::Dropped(Dropped { scope: partners() })]);
        while site.copy.sweep_step().unwrap() {}
        assert_eq!(is_here(site), [true; 3]);
        assert_eq!(stores(site), vec![Some("theirs".to_owned()); 3]);
    });
}

#[test]
fn the_scope_is_read_anew_like_any_other() {
    with_halves(|site| {
        site.copy.begin_rebuild().unwrap();
        assert_eq!(is_here(site), [true; 3], "readable all the while");

        page(site, &partners(), halves(10).into_iter().take(2).collect(), true);

        assert_eq!(is_here(site), [true, true, false]);
    });
}

#[test]
fn nothing_of_it_is_handed_back_to_a_central_that_was_set_back() {
    with_halves(|site| {
        // A line whose header is gone cannot be told to be another store's by itself.
        page(site, &partners(), vec![image_of("trans_line", "LONE", 15, r#"{"transaction_ID":"nowhere"}"#)], false);
        site.copy.begin_other_time_line().unwrap();
        let older = site.page_of(&partners(), vec![image_of("transact", "H", 2, r#"{"store_ID":"theirs"}"#)], true);
        assert_eq!(site.copy.outranked_by(&older).unwrap(), []);
        site.store_page(&older).unwrap();
        loop {
            assert_eq!(site.copy.lost_in_step().unwrap(), []);
            if !site.copy.sweep_step().unwrap() {
                break;
            }
        }
        assert_eq!(is_here(site), [true, false, false]);
    });
}

#[test]
fn the_digests_of_the_scope_are_those_of_what_came_in_it() {
    with_halves(|site| {
        let mut here = Digests::default();
        assert_eq!(site.copy.add_digests(&partners(), None, &mut here).unwrap(), None);
        let mut central = Digests::default();
        for (table, id) in [("transact", "H"), ("trans_line", "HL"), ("om_activity_log", "LOG")] {
            central.add(table, id, &site.view(table, id).unwrap().data);
        }
        assert_eq!(here, central);

        let theirs = image_of("transact", "H", 30, r#"{"store_ID":"theirs","type":"si","invoice_num":9}"#);
        let found = site.copy.differences(&partners(), &[theirs]).unwrap();
        assert_eq!((found.sent_again.len(), found.pulled), (0, 1), "central's counts");
        site.copy.take_verified(&partners(), &found).unwrap();
        assert!(site.shown("H").contains("\"invoice_num\":9"));
    });
}

/// The simulator's find (seed 500042): the image counted as seen by visibility, which no tombstone of the partners' lane ends.
#[test]
fn a_half_that_an_edit_was_refused_for_before_it_came_goes_with_its_tombstone() {
    on_both(|site| {
        site.reply(0, &[theirs_granted(true)]);
        assert!(site.try_edit(EditOp::Put, "transact", "H", THEIRS));
        let row = image_of("transact", "H", 10, THEIRS).row.unwrap().to_bytes();
        let refused = site.refused(1, Image::Here { position: Position(10), row });

        let theirs = Scope::Store(record_id("theirs")).to_id();
        site.reply(1, &[theirs_granted(false), Control::Dropped(Dropped { scope: theirs }), refused]);
        assert_eq!((is_here(site), site.count("membership")), ([false; 3], 0), "its page brings it");

        page(site, &partners(), halves(10), false);
        assert_eq!(is_here(site), [true; 3]);
        let gone = |table: &str, id: &str| PageRow { row: None, ..image_of(table, id, 20, "{}") };
        page(site, &partners(), vec![gone("trans_line", "HL"), gone("transact", "H")], true);
        assert_eq!(is_here(site), [false, false, true]);
    });
}

#[test]
fn a_record_of_a_store_that_went_stays_with_its_partner_when_an_edit_of_it_is_refused() {
    on_both(|site| {
        let theirs = Scope::Store(record_id("theirs")).to_id();
        site.reply(0, &[theirs_granted(true)]);
        page(site, &theirs, halves(10), true);
        page(site, &partners(), halves(10), true);
        assert!(site.try_edit(EditOp::Patch, "transact", "H", r#"{"hold":false}"#));

        let row = image_of("transact", "H", 10, THEIRS).row.unwrap().to_bytes();
        let refused = site.refused(1, Image::Here { position: Position(10), row });
        site.reply(1, &[theirs_granted(false), Control::Dropped(Dropped { scope: theirs.clone() }), refused]);
        while site.copy.sweep_step().unwrap() {}
        assert_eq!(is_here(site), [true; 3]);

        site.reply(1, &[Control::Dropped(Dropped { scope: partners() })]);
        while site.copy.sweep_step().unwrap() {}
        assert_eq!(is_here(site), [false; 3], "no other scope holds it");
    });
}

#[test]
fn each_look_up_of_transfers_has_an_index() {
    on_both(|site| {
        for (table, column) in REFERENCES.iter().copied().chain([(ITEM_JOINS, "item_ID"), (STORES, "name_ID")]) {
            let plan = site.copy.plan_of_referring(table, column);
            assert!(plan.contains("USING") && plan.contains("INDEX record_refers"), "{table} {column}: {plan}");
            assert!(!plan.contains("SCAN"), "{table} {column}: {plan}");
        }
    });
}

#[test]
fn a_draft_that_stayed_goes_whole_with_its_lines_once_it_is_addressed_to_a_store() {
    on_both(|site| {
        page(
            site,
            &Scope::AllSites.to_id(),
            vec![
                image_of("name", "N", 1, r#"{"type":"facility"}"#),
                image_of("name", "NT", 2, r#"{"type":"store"}"#),
                image_of("store", STORE, 3, r#"{"store_mode":"dispensary","outpost_withholds_transactions":true}"#),
            ],
            true,
        );
        site.put("D", r#"{"name_ID":"N","type":"ci","status":"nw"}"#);
        site.put("OTHER", r#"{"name_ID":"NT","type":"ci","status":"nw"}"#);
        assert_eq!(site.state("D"), Some(RecordState::Local));
        assert_eq!(
            site.state("OTHER"),
            Some(RecordState::Pending),
            "what one store has with another goes from the first"
        );
        assert!(site.try_edit(EditOp::Put, "trans_line", "DL", r#"{"transaction_ID":"D"}"#));

        site.patch("D", r#"{"name_ID":"NT","status":"fn"}"#);

        assert_eq!(site.state("D"), Some(RecordState::Pending));
    });
}
