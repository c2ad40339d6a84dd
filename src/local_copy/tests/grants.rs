//! Grants that a central which was set back has forgotten: claimed, then given again or denied; what is here stays.

use domain::authority::CENTRAL_DATA;
use domain::catalogue::Catalogue;
use domain::edit::EditOp;
use domain::scope::Scope;
use protocol::control::{Control, Dropped, Grant, GrantsTold, Image};
use protocol::ids::{ControlNumber, GrantProof, OwnershipNumber, Sequence};
use protocol::limits::CLAIMS_MAX;

use super::super::{ForgottenStore, Kind, StoreRole};
use super::site::*;

fn grant(store: &str, number: u32, is_held: bool) -> Control {
    let (store, ownership) = (store.to_owned(), OwnershipNumber(number));
    Control::Grant(Grant {
        store,
        ownership,
        is_held,
        proof: GrantProof([u8::try_from(number).unwrap(); 16]),
        number_gaps: 0,
    })
}

fn told(grants: u32) -> Control {
    Control::GrantsTold(GrantsTold { grants })
}

fn forgotten(site: &mut Site) -> Vec<(String, bool)> {
    let stores = site.copy.forgotten_stores().unwrap().into_iter();
    stores.map(|ForgottenStore { store, is_claimed, .. }| (store, is_claimed)).collect()
}

fn may_write(site: &mut Site, id: &str) -> bool {
    site.try_edit(EditOp::Put, "transact", id, &with_store("{}"))
}

/// Central was set back to before it gave the store [`STORE`], and gives another one.
fn set_back(site: &mut Site) {
    site.page(vec![image("A", 90, "{}"), image("B", 91, r#"{"comment":"newest"}"#)]);
    site.copy.begin_other_time_line().unwrap();
    site.reply(0, &[grant("T", 4, true), told(1)]);
    site.copy.remember_sync(6, None).unwrap();
    while site.copy.sweep_step().unwrap() {}
}

#[test]
fn a_grant_that_is_not_told_with_the_others_is_claimed_and_the_store_goes_on() {
    on_both(|site| {
        set_back(site);
        site.reopen();

        assert_eq!(forgotten(site), [(STORE.to_owned(), true)]);
        let claims = site.copy.session_state().unwrap().claims;
        assert_eq!(claims.told, ControlNumber(3));
        assert_eq!(claims.grants.iter().map(|claim| claim.store.as_str()).collect::<Vec<_>>(), [STORE]);
        assert!(may_write(site, "new"));
        assert_eq!(site.copy.grants().unwrap().len(), 2);
        // Nothing of it is handed back to a central that does not give it, and nothing goes.
        assert_eq!((site.shown("A"), site.copy.lost_in_step().unwrap()), ("{}".to_owned(), Vec::new()));
        assert!(!site.copy.is_rebuilding().unwrap() && !site.copy.is_other_time_line().unwrap());
    });
}

/// The simulator's find (seed 7400794): what came by rows that central has forgotten no cursor shows.
#[test]
fn a_central_that_has_forgotten_what_it_told_is_read_anew_once_the_session_is_over() {
    on_both(|site| {
        site.page(vec![image("A", 90, "{}")]);
        site.reply(0, &[Control::SetBack]);
        assert!(!site.copy.is_other_time_line().unwrap(), "the session that runs knows its cursors");
        site.reopen();

        site.copy.begin_owed_time_line().unwrap();

        assert!(site.copy.is_other_time_line().unwrap() && site.copy.is_rebuilding().unwrap());
        assert!(site.copy.session_state().unwrap().cursors.is_empty());
        assert_eq!(site.shown("A"), "{}", "what does not come again is handed back first");
    });
}

#[test]
fn a_store_that_is_given_again_is_read_from_its_beginning_and_what_central_lost_of_it_is_handed_back() {
    on_both(|site| {
        set_back(site);

        site.reply(0, &[grant(STORE, 1, true)]);

        assert_eq!(forgotten(site), Vec::new());
        let state = site.copy.session_state().unwrap();
        assert!(state.cursors.is_empty() && state.claims.grants.is_empty() && state.heard.is_some());
        // Of the two records central has one, in an older state, whatever its position says.
        let page = site.page_of(&store_scope(), vec![image("B", 3, r#"{"comment":"old"}"#)], true);
        let outranked = site.copy.outranked_by(&page).unwrap();
        assert_eq!(outranked.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(), ["B"]);
        site.store_page(&page).unwrap();
        let lost = site.copy.lost_in_step().unwrap();
        assert_eq!(lost.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(), ["A"]);
        assert_eq!(lost[0].ownership, OwnershipNumber(1));
    });
}

/// The simulator's find: an edit was accepted while everything was read anew, and central was set back once more before the end of that.
#[test]
fn what_is_accepted_while_everything_is_read_anew_is_handed_back_if_no_page_brings_it() {
    on_both(|site| {
        site.page(vec![image("A", 90, "{}")]);
        let store = site.page_of(&Scope::Visible.to_id(), vec![image_of("store", STORE, 89, "{}")], true);
        site.store_page(&store).unwrap();
        site.copy.begin_other_time_line().unwrap();
        site.put("B", "{}");
        site.put("C", "{}");
        site.reply(site.last(), &[]);

        let page = site.page_of(&store_scope(), vec![image("A", 3, "{}"), image("C", 4, "{}")], true);
        site.store_page(&page).unwrap();

        let lost = site.copy.lost_in_step().unwrap();
        assert_eq!(lost.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(), ["B"]);
    });
}

#[test]
fn a_claim_that_is_declined_ends_recording_and_keeps_what_is_here() {
    on_both(|site| {
        set_back(site);

        site.reply(0, &[grant(STORE, 1, false)]);
        site.reopen();

        assert_eq!(forgotten(site), [(STORE.to_owned(), false)]);
        assert!(site.copy.session_state().unwrap().claims.grants.is_empty(), "it has its answer");
        assert!(!may_write(site, "new"));
        assert_eq!((site.shown("A"), site.copy.grants().unwrap().len()), ("{}".to_owned(), 1));
        // Also when everything is read once more.
        site.copy.begin_rebuild().unwrap();
        site.copy.remember_sync(7, None).unwrap();
        while site.copy.sweep_step().unwrap() {}
        assert_eq!(site.shown("A"), "{}");
        // Given again after all, it can be written.
        site.reply(0, &[grant(STORE, 5, true)]);
        assert!(may_write(site, "new"));
    });
}

#[test]
fn a_claim_that_was_declined_is_shown_again_to_a_central_that_was_set_back_once_more() {
    on_both(|site| {
        set_back(site);
        site.reply(0, &[grant(STORE, 1, false)]);

        site.reply(0, &[grant("T", 1, true), told(1)]);
        site.reopen();

        let shown = site.copy.session_state().unwrap().claims.grants;
        assert_eq!(shown.iter().map(|claim| claim.store.as_str()).collect::<Vec<_>>(), [STORE]);
        assert!(!may_write(site, "new"), "nothing is recorded before it is answered");
        // Declined once more, or met.
        site.reply(0, &[grant(STORE, 1, false)]);
        assert!(site.copy.session_state().unwrap().claims.grants.is_empty());
        assert_eq!(forgotten(site), [(STORE.to_owned(), false)]);
        site.reply(0, &[grant("T", 1, true), told(1), grant(STORE, 1, true)]);
        assert!(may_write(site, "new"));
        assert!(forgotten(site).is_empty());
    });
}

#[test]
fn a_store_that_is_simply_taken_away_is_no_claim() {
    on_both(|site| {
        site.reply(0, &[grant(STORE, 1, false)]);

        assert_eq!((forgotten(site), site.copy.grants().unwrap()), (Vec::new(), Vec::new()));
        assert_eq!(site.copy.session_state().unwrap().claims, protocol::control::Claims::default());
    });
}

#[test]
fn as_many_claims_as_a_head_holds_are_shown_at_once() {
    on_both(|site| {
        let many: Vec<Control> = (0..=CLAIMS_MAX).map(|number| grant(&format!("M{number:03}"), 1, true)).collect();
        site.reply(0, &many);
        site.reply(0, &[told(0)]);

        assert_eq!(site.copy.session_state().unwrap().claims.grants.len(), CLAIMS_MAX);
        assert_eq!(forgotten(site).len(), CLAIMS_MAX + 2);
    });
}

#[test]
fn what_was_refused_after_it_had_waited_is_shown_to_a_central_that_tells_all_grants_until_it_has_answered() {
    on_both(|site| {
        for id in ["A", "B", "C"] {
            site.put(id, "{}");
        }
        let (waits, first, second) = (site.place(1), site.refused(1, Image::NotHere), site.refused(2, Image::NotHere));
        site.reply(2, &[Control::Waiting(waits)]);
        site.reply(2, &[first, second]);
        site.copy.forget_refusals(JOURNAL, Sequence(2)).unwrap();
        assert!(site.copy.session_state().unwrap().claims.refused.is_empty(), "only after central was set back");

        site.reply(2, &[grant(STORE, 1, true), told(1)]);
        site.reopen();

        let shown = site.copy.session_state().unwrap().claims.refused;
        let shown: Vec<_> = shown.iter().map(|refused| (refused.place, refused.code.as_str())).collect();
        assert_eq!(shown, [(waits, "not_store_holder")]);
        site.reply(2, &[]);
        assert!(site.copy.session_state().unwrap().claims.refused.is_empty(), "a reply came to what showed it");
    });
}

#[test]
fn what_was_refused_is_shown_to_a_central_that_may_not_have_judged_it_in_turns_and_each_time_it_tells_all_grants() {
    on_both(|site| {
        let count = CLAIMS_MAX as u64 + 2;
        for number in 1..=count {
            site.put(&format!("P{number}"), "{}");
        }
        let refused: Vec<Control> = (1..=count).map(|number| site.refused(number, Image::NotHere)).collect();
        site.reply(count, &refused);
        site.copy.forget_refusals(JOURNAL, Sequence(count)).unwrap();
        let shown = |site: &mut Site| {
            let shown = site.copy.session_state().unwrap().claims.refused;
            shown.iter().map(|refused| refused.place.sequence.0).collect::<Vec<_>>()
        };

        for _ in 0..2 {
            // The central that was set back has judged the first.
            assert!(site.reply(1, &[grant(STORE, 1, true), told(1)]).has_claims);
            site.reopen();
            assert_eq!(shown(site), (2..count).collect::<Vec<_>>());
            assert!(site.reply(1, &[]).has_claims);
            site.reopen();
            assert_eq!(shown(site), [count]);
            assert!(!site.reply(1, &[]).has_claims);
            assert!(shown(site).is_empty());
        }
    });
}

#[test]
fn an_edit_that_was_accepted_and_is_refused_by_a_central_that_was_set_back_is_not_set_aside() {
    on_both(|site| {
        site.put("A", "{}");
        site.put("B", "{}");
        site.reply(1, &[]);

        let stored = site.reply(2, &[site.refused(1, Image::NotHere), site.refused(2, Image::NotHere)]);

        // The second had no verdict yet; the first is part of the record here, which is handed back or kept.
        assert_eq!((stored.refused, site.copy.set_aside_count().unwrap()), (1, 1));
        assert_eq!((site.shown("A"), site.shown("B")), ("{}".to_owned(), "-".to_owned()));
        assert_eq!(site.copy.refusals(JOURNAL, Sequence(0), Sequence(9)).unwrap().len(), 1);
        // Also where every cursor is of before the backup: it is read anew once the session is over.
        assert!(!site.copy.is_other_time_line().unwrap());
        site.reopen();
        site.copy.begin_owed_time_line().unwrap();
        assert!(site.copy.is_other_time_line().unwrap() && site.copy.session_state().unwrap().cursors.is_empty());
    });
}

#[test]
fn a_store_is_active_by_its_grant_a_collector_by_its_scope_and_transfer_by_its_record() {
    on_both(|site| {
        let record = |id: &str| image_of("store", id, 90, "{}");
        let page = site.page_of(&Scope::Visible.to_id(), vec![record(STORE), record("C"), record("T")], true);
        site.store_page(&page).unwrap();
        let line = image_of("item_line", "of C", 91, r#"{"store_ID":"C"}"#);
        let page = site.page_of(&Scope::Store(record_id("C")).to_id(), vec![line], true);
        site.store_page(&page).unwrap();
        site.page(Vec::new());

        let roles = [STORE, "C", "T", "N"].map(|store| site.copy.store_role(&record_id(store)).unwrap());

        assert_eq!(roles, [StoreRole::Active, StoreRole::Collector, StoreRole::Transfer, StoreRole::None]);
        let (collected, transfer, here) = site.copy.stores_here(5).unwrap();
        let here: Vec<_> = here.iter().map(|here| (here.store.as_str(), here.role)).collect();
        assert_eq!((collected, transfer, here), (1, 1, vec![("C", StoreRole::Collector), ("T", StoreRole::Transfer)]));
        assert_eq!(site.copy.stores_here(0).unwrap().2, []);
        // While everything is read anew what is here stays, and each store is what it was.
        site.copy.begin_rebuild().unwrap();
        let anew = [STORE, "C", "T", "N"].map(|store| site.copy.store_role(&record_id(store)).unwrap());
        assert_eq!((anew, site.copy.stores_here(5).unwrap().0), (roles, 1));
    });
}

#[test]
fn of_a_store_without_a_role_what_is_here_may_be_listed_and_nothing_else() {
    on_both(|site| {
        let has = |site: &mut Site, table: &str, store: &str| {
            let catalogue = Catalogue::embedded();
            let table = catalogue.table_by_name(table).unwrap();
            assert_eq!(site.copy.store_role(&record_id(store)).unwrap(), StoreRole::None);
            site.copy.has_of_store(table, &record_id(store)).unwrap()
        };
        assert!(!has(site, "item_line", "misspelled"));
        // A prescription of another store, which goes where its patient is visible.
        let page = site.page_of(
            &Scope::Visible.to_id(),
            vec![image_of("transact", "P", 90, r#"{"store_ID":"elsewhere"}"#)],
            true,
        );
        site.store_page(&page).unwrap();
        assert!(has(site, "transact", "elsewhere") && !has(site, "item_line", "elsewhere"));

        // What was recorded while the store was active here, and is not sent yet.
        site.reply(0, &[grant("gone", 2, true)]);
        assert!(site.try_edit(EditOp::Put, "item_line", "L", r#"{"store_ID":"gone"}"#));
        site.reply(0, &[grant("gone", 2, false)]);
        assert!(has(site, "item_line", "gone") && has(site, "Location", "gone"));
    });
}

/// The grant of central data, which a primary has.
fn primary(site: &mut Site, number: u32, is_held: bool) {
    site.reply(site.last(), &[grant(CENTRAL_DATA, number, is_held)]);
}

#[test]
fn central_data_is_recorded_where_its_grant_is_and_under_its_number() {
    on_both(|site| {
        let put =
            |site: &mut Site, table: &str, id: &str| site.try_edit(EditOp::Put, table, id, r#"{"comment":"mine"}"#);
        assert!(!put(site, "unit", "U"));
        primary(site, 3, true);
        let page = site.page_of(&Scope::DispensarySites.to_id(), Vec::new(), true);
        site.store_page(&page).unwrap();

        assert!(put(site, "unit", "U") && put(site, "abbreviation", "X"));
        assert!(!put(site, "dashboard_store_report", "D"), "that stays with central");
        assert!(site.journal.iter().all(|entry| entry.ownership == OwnershipNumber(3)));
        site.reply(2, &[]);
        // Accepted, they are members of the scopes that bring them: what comes of these later finds them.
        assert_eq!((site.count("pending"), site.count("membership")), (0, 2));
        let scopes =
            [Scope::AllSites, Scope::DispensarySites].map(|scope| site.copy.scope_number(&scope.to_id()).unwrap().0);
        assert_ne!(scopes[0], scopes[1]);
        // The last edit gets its verdict when the site is the primary no more, and receives nothing for dispensaries.
        assert!(put(site, "abbreviation", "Y"));
        site.reply(2, &[Control::Dropped(Dropped { scope: Scope::DispensarySites.to_id() })]);
        primary(site, 3, false);
        while site.copy.sweep_step().unwrap() {}
        assert!(site.view("abbreviation", "X").is_none() && site.view("abbreviation", "Y").is_none());
        assert!(site.view("unit", "U").is_some() && !put(site, "unit", "V"));
    });
}

#[test]
fn a_grant_of_central_data_that_is_declined_leaves_nothing_to_keep() {
    on_both(|site| {
        primary(site, 3, true);
        site.reply(0, &[grant(STORE, 1, true), told(1)]);
        assert_eq!(site.copy.session_state().unwrap().claims.grants[0].store, CENTRAL_DATA);

        primary(site, 3, false);

        assert_eq!(forgotten(site), []);
        assert!(!site.try_edit(EditOp::Put, "unit", "U", "{}"));
    });
}

#[test]
fn a_primary_hands_its_central_data_to_a_central_that_was_set_back() {
    on_both(|site| {
        primary(site, 3, true);
        assert!(site.try_edit(EditOp::Put, "unit", "U", r#"{"comment":"new"}"#));
        site.reply(1, &[]);
        site.copy.begin_other_time_line().unwrap();

        let older = image_of("unit", "U", 1, r#"{"comment":"old"}"#);
        let page = site.page_of(&Scope::AllSites.to_id(), vec![older], true);
        let outranked = site.copy.outranked_by(&page).unwrap();

        assert_eq!(outranked.len(), 1);
        assert_eq!(outranked[0].ownership, OwnershipNumber(3));
    });
}

#[test]
fn a_primary_hands_the_visibility_of_patients_to_a_central_that_was_set_back_and_no_others() {
    on_both(|site| {
        primary(site, 3, true);
        let visible = Scope::Visible.to_id();
        let patient = image_of("name", "P", 90, r#"{"type":"patient","supplying_store_id":"elsewhere"}"#);
        let joins = [("of P", "P"), ("of N", "N")].map(|(id, name)| {
            image_of("name_store_join", id, 91, &format!(r#"{{"name_ID":"{name}","store_ID":"elsewhere"}}"#))
        });
        let page = site.page_of(&visible, [patient].into_iter().chain(joins).collect(), true);
        site.store_page(&page).unwrap();
        site.copy.begin_other_time_line().unwrap();
        let empty = site.page_of(&visible, Vec::new(), true);
        site.store_page(&empty).unwrap();
        site.copy.remember_sync(6, None).unwrap();

        let lost = site.copy.lost_in_step().unwrap();

        let number = |id: &str| lost.iter().find(|lost| lost.id.as_str() == id).map(|lost| lost.ownership.0);
        assert_eq!((number("of P"), number("of N"), number("P")), (Some(3), Some(0), Some(0)));
    });
}

#[test]
fn what_another_store_shared_is_not_handed_back_to_a_central_that_was_set_back() {
    on_both(|site| {
        let visible = Scope::Visible.to_id();
        let shared = image_of("transact", "T", 90, r#"{"store_ID":"elsewhere","mode":"dispensary","name_ID":"P"}"#);
        let line = image_of("trans_line", "L", 91, r#"{"transaction_ID":"T"}"#);
        let page = site.page_of(&visible, vec![shared, line], true);
        site.store_page(&page).unwrap();
        site.copy.begin_other_time_line().unwrap();
        let empty = site.page_of(&visible, Vec::new(), true);
        site.store_page(&empty).unwrap();
        site.copy.remember_sync(6, None).unwrap();

        assert_eq!(site.copy.lost_in_step().unwrap(), []);

        while site.copy.sweep_step().unwrap() {}
        assert!(site.view("transact", "T").is_none() && site.view("trans_line", "L").is_none());
    });
}

/// Found by the simulator (seed 40000002): a device that was put back to a backup of before its store moved away went on recording in it.
#[test]
fn a_device_that_was_set_back_goes_on_until_a_session_has_told_it_what_went_to_another_site() {
    on_both(|site| {
        site.reply(0, &[grant(STORE, 1, true), grant("T", 1, true)]);
        assert!(may_write(site, "before"));

        site.journal.clear();
        site.journal_id = protocol::ids::JournalId([9; 16]);
        site.copy.use_journal(Kind::Shared, site.journal_id).unwrap();
        site.copy.begin_after_set_back().unwrap();
        assert!(may_write(site, "not told yet"), "people go on without a connection");

        site.reply(0, &[grant("T", 1, true)]);
        site.copy.remember_sync(6, None).unwrap();
        site.reopen();
        let held: Vec<_> = site.copy.grants().unwrap().into_iter().map(|(store, _)| store).collect();
        assert_eq!(held, ["T"], "the other one has gone to another site");

        site.reply(0, &[grant(STORE, 3, true)]);
        assert!(may_write(site, "come back"));
    });
}
