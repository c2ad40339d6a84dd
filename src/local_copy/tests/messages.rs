//! Messages: records that stand in two scopes, of which this site may receive one (rules 5.13, 5.15 and 5.18).

use domain::edit::EditOp;
use domain::scope::Scope;
use protocol::control::{Control, Dropped, Grant, Image};
use protocol::ids::{OwnershipNumber, Position, ScopeId};
use protocol::page::PageRow;

use super::super::RecordState;
use super::site::*;

/// A second store that this site may hold.
const SECOND: &str = "S2";

fn scope(store: &str) -> ScopeId {
    Scope::Store(record_id(store)).to_id()
}

fn grant(store: &str, is_held: bool) -> Control {
    Control::Grant(Grant {
        store: store.to_owned(),
        ownership: OwnershipNumber(4),
        is_held,
        proof: protocol::ids::GrantProof([0; 16]),
        number_gaps: 0,
    })
}

fn with_second(test: impl Fn(&mut Site)) {
    on_both(|site| {
        site.reply(0, &[grant(SECOND, true)]);
        test(site);
    });
}

fn data(sender: &str, receiver: &str, status: &str) -> String {
    format!(r#"{{"toStoreID":"{receiver}","fromStoreID":"{sender}","body":{{"a":1}},"status":"{status}"}}"#)
}

fn send(site: &mut Site, id: &str, sender: &str, receiver: &str) -> bool {
    site.try_edit(EditOp::Put, "message", id, &data(sender, receiver, "new"))
}

fn process(site: &mut Site, id: &str) -> bool {
    site.try_edit(EditOp::Patch, "message", id, r#"{"status":"processed"}"#)
}

fn row(id: &str, position: u64, data: &str) -> PageRow {
    image_of("message", id, position, data)
}

fn gone(id: &str, position: u64) -> PageRow {
    PageRow { row: None, ..row(id, position, "{}") }
}

fn page(site: &mut Site, store: &str, rows: Vec<PageRow>, is_drained: bool) {
    let page = site.page_of(&scope(store), rows, is_drained);
    site.store_page(&page).unwrap();
}

/// The site hears that it does not receive a store any more, and lets go of what that leaves.
fn take_away(site: &mut Site, store: &str) {
    let judged = site.last();
    site.reply(judged, &[grant(store, false), Control::Dropped(Dropped { scope: scope(store) })]);
    while site.copy.sweep_step().unwrap() {}
}

/// The status as an application reads it; `-` if the message is not here.
fn status(site: &mut Site, id: &str) -> String {
    let Some(view) = site.view("message", id) else { return "-".to_owned() };
    let data: serde_json::Value = serde_json::from_str(&view.data).unwrap();
    data["status"].as_str().unwrap().to_owned()
}

fn state(site: &mut Site, id: &str) -> Option<RecordState> {
    site.view("message", id).map(|view| view.state)
}

#[test]
fn an_accepted_message_between_two_own_stores_is_in_the_scopes_of_both() {
    with_second(|site| {
        assert!(send(site, "M", STORE, SECOND));
        assert_eq!(state(site, "M"), Some(RecordState::Pending));
        site.reply(1, &[]);
        assert_eq!((state(site, "M"), site.count("membership")), (Some(RecordState::Central), 2));

        page(site, STORE, vec![gone("M", 20)], false);
        assert_eq!(status(site, "M"), "new", "the other scope holds it");
        page(site, SECOND, vec![gone("M", 20)], false);
        assert_eq!((status(site, "M"), site.count("membership")), ("-".to_owned(), 0));
    });
}

#[test]
fn an_accepted_message_to_a_store_elsewhere_is_in_the_own_scope_alone_and_goes_with_it() {
    on_both(|site| {
        assert!(send(site, "M", STORE, "elsewhere"));
        site.reply(1, &[]);
        assert_eq!((status(site, "M"), site.count("membership")), ("new".to_owned(), 1));

        take_away(site, STORE);

        assert_eq!((status(site, "M"), site.count("membership")), ("-".to_owned(), 0));
    });
}

#[test]
fn a_message_between_two_own_stores_stays_as_long_as_one_of_them_does() {
    for order in [[STORE, SECOND], [SECOND, STORE]] {
        with_second(|site| {
            assert!(send(site, "own", STORE, SECOND));
            site.reply(1, &[]);
            for store in [STORE, SECOND] {
                page(site, store, vec![row("read", 5, &data(SECOND, STORE, "new"))], false);
            }

            take_away(site, order[0]);
            assert_eq!((status(site, "own"), status(site, "read")), ("new".to_owned(), "new".to_owned()));

            take_away(site, order[1]);
            assert_eq!((status(site, "own"), status(site, "read")), ("-".to_owned(), "-".to_owned()));
            assert_eq!((site.count("record"), site.count("membership")), (0, 0));
        });
    }
}

#[test]
fn a_store_that_comes_to_the_site_brings_its_messages_and_they_outlast_the_other_store() {
    on_both(|site| {
        assert!(send(site, "M", STORE, SECOND));
        site.reply(1, &[grant(SECOND, true)]);
        page(site, SECOND, vec![row("M", 5, &data(STORE, SECOND, "new"))], true);

        take_away(site, STORE);

        assert_eq!(status(site, "M"), "new");
        assert!(process(site, "M"), "the second store is the receiver");
    });
}

#[test]
fn a_message_whose_store_was_taken_before_its_verdict_goes_with_the_verdict() {
    on_both(|site| {
        assert!(send(site, "M", STORE, "elsewhere"));
        site.reply(0, &[grant(STORE, false), Control::Dropped(Dropped { scope: scope(STORE) })]);
        while site.copy.sweep_step().unwrap() {}
        assert_eq!(status(site, "M"), "new", "what is pending is spared");

        site.reply(1, &[]);

        assert_eq!((status(site, "M"), site.count("base"), site.count("membership")), ("-".to_owned(), 0, 0));
    });
}

#[test]
fn a_refused_message_goes_and_is_kept_in_set_aside() {
    with_second(|site| {
        assert!(send(site, "M", STORE, SECOND));
        assert!(process(site, "M"));
        let refused = [site.refused(1, Image::NotHere), site.refused(2, Image::NotHere)];

        let stored = site.reply(2, &refused);

        assert_eq!((stored.refused, status(site, "M")), (2, "-".to_owned()));
        assert_eq!((site.count("base"), site.count("pending"), site.count("membership")), (0, 0, 0));
        assert_eq!(site.copy.set_aside_list(0, 10).unwrap().items.len(), 2);
    });
}

#[test]
fn a_refused_status_is_reverted_to_what_central_has() {
    on_both(|site| {
        site.page(vec![row("M", 5, &data("elsewhere", STORE, "new"))]);
        assert!(process(site, "M"));
        assert_eq!((status(site, "M"), state(site, "M")), ("processed".to_owned(), Some(RecordState::Pending)));
        let image = row("M", 6, &data("elsewhere", STORE, "new")).row.unwrap().to_bytes();
        let refused = site.refused(1, Image::Here { position: Position(6), row: image });

        site.reply(1, &[refused]);

        assert_eq!((status(site, "M"), state(site, "M")), ("new".to_owned(), Some(RecordState::Central)));
    });
}

#[test]
fn a_status_that_is_set_here_stays_on_top_of_a_page_until_it_is_accepted() {
    on_both(|site| {
        site.page(vec![row("M", 5, &data("elsewhere", STORE, "new"))]);
        assert!(process(site, "M"));
        site.page(vec![row("M", 5, &data("elsewhere", STORE, "new"))]);
        assert_eq!(status(site, "M"), "processed");

        site.reply(1, &[]);

        assert_eq!((status(site, "M"), site.count("membership")), ("processed".to_owned(), 1));
    });
}

#[test]
fn what_a_site_may_not_do_with_a_message_is_refused_at_once() {
    on_both(|site| {
        site.page(vec![row("M", 5, &data(STORE, "elsewhere", "new"))]);

        assert!(!send(site, "N", "", STORE));
        assert!(!send(site, "N", "elsewhere", STORE));
        assert!(!process(site, "M"), "the receiver is elsewhere");
        assert!(!site.try_edit(EditOp::Delete, "message", "M", ""));
        assert!(!site.try_edit(EditOp::Patch, "message", "M", r#"{"body":{"a":2}}"#));

        assert_eq!((site.count("pending"), status(site, "M")), (0, "new".to_owned()));
    });
}

#[test]
fn rule_5_18_a_message_that_comes_again_in_one_scope_stays_and_one_that_comes_in_none_goes() {
    with_second(|site| {
        for id in ["both", "one", "none"] {
            assert!(send(site, id, STORE, SECOND));
        }
        site.reply(3, &[]);
        site.copy.begin_rebuild().unwrap();

        page(site, STORE, vec![row("both", 5, &data(STORE, SECOND, "new"))], true);
        let rows = ["both", "one"].map(|id| row(id, 5, &data(STORE, SECOND, "new")));
        page(site, SECOND, rows.to_vec(), true);
        while site.copy.sweep_step().unwrap() {}

        assert_eq!(["both", "one", "none"].map(|id| status(site, id)), ["new", "new", "-"]);
        assert_eq!(site.count("membership"), 3);
    });
}

#[test]
fn what_was_recorded_and_not_applied_before_a_crash_is_applied_again_with_both_scopes() {
    with_second(|site| {
        site.copy.begin_edits().unwrap();
        assert!(site.apply(EditOp::Put, "message", "M", &data(STORE, SECOND, "new")));
        site.copy.rollback_edits().unwrap();
        site.reopen();
        assert_eq!(status(site, "M"), "-");

        let entry = site.journal[0].clone();
        site.copy.begin_edits().unwrap();
        site.reapply(super::super::Kind::Shared, 1, &entry).unwrap();
        site.commit();
        site.reply(1, &[]);

        assert_eq!((status(site, "M"), site.count("membership")), ("new".to_owned(), 2));
        assert_eq!(site.view("message", "M").unwrap().store.as_deref(), Some(STORE));
    });
}

/// Rule 5.12: of a message that central has, the receiver knows best how far it is; one that central lost its sender makes anew.
#[test]
fn a_central_that_was_set_back_is_handed_a_status_by_the_receiver_and_a_lost_message_by_the_sender() {
    on_both(|site| {
        site.page(vec![
            row("received", 90, &data("elsewhere", STORE, "processed")),
            row("sent", 91, &data(STORE, "elsewhere", "new")),
            row("lost", 92, &data(STORE, "elsewhere", "new")),
            row("to-central", 93, &data(STORE, "", "new")),
        ]);
        site.copy.begin_other_time_line().unwrap();
        let rows = vec![
            row("received", 3, &data("elsewhere", STORE, "new")),
            row("sent", 4, &data(STORE, "elsewhere", "processed")),
            row("to-central", 5, &data(STORE, "", "processed")),
        ];
        let page = site.page_of(&store_scope(), rows, true);

        let outranked = site.copy.outranked_by(&page).unwrap();
        site.store_page(&page).unwrap();
        let lost = site.copy.lost_in_step().unwrap();

        let named = |records: &[super::super::LostRecord]| {
            records.iter().map(|record| (record.id.to_string(), record.ownership.0)).collect::<Vec<_>>()
        };
        assert_eq!(named(&outranked), [("received".to_owned(), 1)]);
        assert_eq!(named(&lost), [("lost".to_owned(), 1)]);
        assert_eq!(["sent", "to-central"].map(|id| status(site, id)), ["processed", "processed"]);
    });
}

/// The simulator's find: the message came with what its receiver made of it before its own verdict did, and was put on top of that.
#[test]
fn a_message_whose_page_comes_before_its_verdict_stays_as_its_receiver_set_it() {
    on_both(|site| {
        assert!(send(site, "M", STORE, "elsewhere"));
        page(site, STORE, vec![row("M", 9, &data(STORE, "elsewhere", "processed"))], true);
        assert_eq!(status(site, "M"), "processed");

        site.reply(1, &[]);
        site.reopen();

        assert_eq!((status(site, "M").as_str(), state(site, "M")), ("processed", Some(RecordState::Central)));
    });
}

#[test]
fn a_message_that_is_handed_back_as_processed_is_processed_also_where_it_came_as_new_meanwhile() {
    on_both(|site| {
        assert!(site.try_edit(EditOp::Put, "message", "M", &data(STORE, STORE, "new")));
        assert!(process(site, "M"));
        site.reply(2, &[]);
        // As a device does that hands it back whole.
        site.copy.begin_other_time_line().unwrap();
        let older = site.page_of(&scope(STORE), vec![row("M", 3, &data(STORE, STORE, "new"))], true);
        let handed_back = site.copy.outranked_by(&older).unwrap();
        assert_eq!(handed_back.len(), 1);
        site.copy.begin_edits().unwrap();
        site.copy.begin_group().unwrap();
        let entry = handed_back[0].clone().into_entry();
        site.journal.push(entry.clone());
        site.reapply(super::super::Kind::Shared, 3, &entry).unwrap();
        site.copy.release_group().unwrap();
        site.commit();
        site.store_page(&older).unwrap();

        assert_eq!(status(site, "M"), "processed");
        site.reply(3, &[]);
        assert_eq!((status(site, "M").as_str(), state(site, "M")), ("processed", Some(RecordState::Central)));
    });
}

#[test]
fn a_sender_that_says_once_more_that_its_message_is_new_does_not_take_back_that_it_was_processed() {
    on_both(|site| {
        assert!(send(site, "M", STORE, "elsewhere"));
        site.reply(1, &[]);
        assert!(site.try_edit(EditOp::Patch, "message", "M", r#"{"status":"new"}"#));
        page(site, STORE, vec![row("M", 9, &data(STORE, "elsewhere", "processed"))], true);

        assert_eq!(status(site, "M"), "processed");
        site.reply(site.last(), &[]);
        assert_eq!((status(site, "M").as_str(), state(site, "M")), ("processed", Some(RecordState::Central)));
    });
}
