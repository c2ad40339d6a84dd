//! Rule 5.18: mark and sweep, unsent edits spared.

use domain::edit::EditOp;
use domain::scope::Scope;
use domain::visibility::JOIN_TABLE;
use protocol::control::{Control, Dropped, Image, ReadAnew};
use protocol::ids::{Epoch, JournalId, Position};
use protocol::message::Cursor;
use protocol::page::PageRow;
use protocol::session::Page;

use super::super::limits::SWEEP_STEP_ROWS;
use super::super::{Kind, RecordState};
use super::site::*;

fn drain(site: &mut Site, rows: Vec<PageRow>) {
    let page = site.page_of(&store_scope(), rows, true);
    site.store_page(&page).unwrap();
}

fn sweep(site: &mut Site) -> usize {
    let mut steps = 0;
    while site.copy.sweep_step().unwrap() {
        steps += 1;
    }
    steps
}

#[test]
fn what_does_not_come_again_goes_and_what_is_pending_stays() {
    on_both(|site| {
        for id in ["gone", "kept", "patched"] {
            site.page(vec![image(id, 1, r#"{"comment":"old"}"#)]);
        }
        site.patch("patched", r#"{"comment":"mine"}"#);
        site.put("new", r#"{"comment":"mine"}"#);
        assert!(site.try_edit(EditOp::Put, "pref", "L", r#"{"item":"window"}"#));

        site.copy.begin_rebuild().unwrap();
        assert!(site.copy.session_state().unwrap().cursors.is_empty());
        assert!(site.copy.is_rebuilding().unwrap());
        assert_eq!(sweep(site), 0, "nothing goes before the scope is drained again");
        site.reopen();
        drain(site, vec![image("kept", 1, r#"{"comment":"old"}"#)]);
        assert!(sweep(site) > 0);

        assert_eq!((site.shown("gone"), site.shown("kept")), ("-".to_owned(), r#"{"comment":"old"}"#.to_owned()));
        assert_eq!(
            (site.shown("patched"), site.shown("new")),
            (r#"{"comment":"mine"}"#.to_owned(), r#"{"comment":"mine"}"#.to_owned())
        );
        assert!(site.view("pref", "L").is_some());
        assert!(!site.copy.is_rebuilding().unwrap());
        // The verdicts decide about what was spared.
        let refused = site.refused(1, Image::NotHere);
        site.reply(2, &[refused]);
        assert_eq!((site.shown("patched"), site.state("new")), ("-".to_owned(), Some(RecordState::Central)));
    });
}

#[test]
fn an_edit_that_is_accepted_during_a_rebuild_is_not_swept() {
    on_both(|site| {
        site.page(vec![image("P", 1, "{}")]);
        site.put("Q", "{}");
        site.copy.begin_rebuild().unwrap();
        site.reply(1, &[]);
        drain(site, vec![image("P", 1, "{}")]);
        sweep(site);

        assert_eq!((site.shown("P"), site.shown("Q")), ("{}".to_owned(), "{}".to_owned()));
    });
}

#[test]
fn a_sweep_goes_in_bounded_steps_and_goes_on_after_a_crash() {
    let mut site = Site::on_disk();
    let count = usize::try_from(SWEEP_STEP_ROWS).unwrap() * 2 + 10;
    let rows = |from: usize| (from..count).map(|index| image(&format!("R{index:05}"), 1, "{}")).collect::<Vec<_>>();
    site.page(rows(0));
    site.copy.begin_rebuild().unwrap();
    drain(&mut site, rows(count - 3));

    assert!(site.copy.sweep_step().unwrap());
    site.reopen();
    assert!(site.count("record") > i64::from(SWEEP_STEP_ROWS));
    assert_eq!(sweep(&mut site), 3, "two more steps and one that finds the end");

    assert_eq!(site.count("record"), 3);
    assert_eq!(site.count("membership"), 3);
}

#[test]
fn a_record_in_another_scope_stays() {
    on_both(|site| {
        site.page(vec![image("P", 1, "{}")]);
        let partners = Scope::StorePartners(record_id(STORE)).to_id();
        let page = site.page_of(&partners, vec![image("P", 1, "{}")], true);
        site.store_page(&page).unwrap();
        site.copy.begin_rebuild().unwrap();
        let page = site.page_of(&partners, vec![image("P", 1, "{}")], true);
        site.store_page(&page).unwrap();
        drain(site, Vec::new());
        sweep(site);

        assert_eq!((site.shown("P"), site.count("membership")), ("{}".to_owned(), 1));
    });
}

#[test]
fn a_scope_that_does_not_come_any_more_is_swept_once_everything_is_drained() {
    on_both(|site| {
        site.page(vec![image("P", 1, "{}")]);
        site.copy.begin_rebuild().unwrap();

        site.copy.remember_sync(5, Some(("offline", "no route"))).unwrap();
        sweep(site);
        assert_eq!(site.shown("P"), "{}");

        site.copy.remember_sync(6, None).unwrap();
        sweep(site);
        assert_eq!((site.shown("P"), site.copy.is_rebuilding().unwrap()), ("-".to_owned(), false));
    });
}

/// Rule 5.12: central was set back, and positions are used again.
#[test]
fn in_another_time_line_lower_positions_replace_and_what_central_lost_is_named_before_it_goes() {
    on_both(|site| {
        for id in ["both", "lost", "mine"] {
            site.page(vec![image(id, 90, r#"{"comment":"before"}"#)]);
        }
        site.patch("mine", r#"{"comment":"edited"}"#);
        site.copy.begin_other_time_line().unwrap();
        assert!(site.copy.lost_in_step().unwrap().is_empty(), "nothing is lost before the scope is drained again");
        drain(site, vec![image("both", 3, r#"{"comment":"after"}"#)]);

        let lost = site.copy.lost_in_step().unwrap();

        assert_eq!(lost.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(), ["lost"]);
        assert_eq!(site.shown("both"), r#"{"comment":"after"}"#);
        site.reopen();
        assert!(site.copy.is_other_time_line().unwrap());
        sweep(site);
        assert!(!site.copy.is_other_time_line().unwrap());
        assert_eq!((site.shown("lost"), site.shown("mine")), ("-".to_owned(), r#"{"comment":"edited"}"#.to_owned()));
        // From here on positions say again what is newer.
        site.page(vec![image("both", 2, r#"{"comment":"older"}"#)]);
        assert_eq!(site.shown("both"), r#"{"comment":"after"}"#);
    });
}

/// The simulator's find: a journal was damaged after central had received its entries, and central was set back to before them.
#[test]
fn in_another_time_line_what_a_journal_before_had_counts_as_lost_unless_it_comes() {
    on_both(|site| {
        site.page(vec![image("known", 90, "{}")]);
        site.put("lost", "{}");
        site.put("comes", "{}");
        site.reply(0, &[]);
        site.journal.clear();
        site.journal_id = JournalId([9; 16]);
        site.copy.use_journal(Kind::Shared, site.journal_id).unwrap();
        site.copy.begin_other_time_line().unwrap();

        site.reply(0, &[]);
        drain(site, vec![image("known", 3, "{}"), image("comes", 4, "{}")]);

        let lost = site.copy.lost_in_step().unwrap();
        assert_eq!(lost.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(), ["lost"]);
    });
}

#[test]
fn what_a_scope_brought_that_the_site_does_not_receive_any_more_goes_unless_another_holds_it_or_it_was_edited() {
    on_both(|site| {
        let lost = Scope::DispensarySites.to_id();
        let rows = ["alone", "shared", "edited"].map(|id| image(id, 90, "{}")).to_vec();
        let page = site.page_of(&lost, rows, true);
        site.store_page(&page).unwrap();
        site.page(vec![image("shared", 90, "{}")]);
        site.patch("edited", r#"{"comment":"here"}"#);
        let dropped = Control::Dropped(Dropped { scope: lost.clone() });

        site.reply(0, std::slice::from_ref(&dropped));

        let shown =
            |site: &mut Site| site.copy.session_state().unwrap().cursors.iter().any(|shown| shown.scope == lost);
        assert!(!shown(site), "it is read from 0 if it comes back");
        assert_eq!(site.shown("alone"), "{}", "it goes step by step");
        site.reopen();
        assert!(site.copy.lost_in_step().unwrap().is_empty());
        sweep(site);
        let left = ["alone", "shared", "edited"].map(|id| site.shown(id));
        assert_eq!(left, ["-", "{}", r#"{"comment":"here"}"#]);
        assert!(!site.copy.is_rebuilding().unwrap());

        // It comes back, and is lost again while it is being read.
        let page = site.page_of(&lost, vec![image("alone", 95, "{}")], false);
        site.store_page(&page).unwrap();
        assert!(shown(site));
        assert_eq!(site.shown("alone"), "{}");
        site.reply(1, &[dropped]);
        site.copy.begin_rebuild().unwrap();
        sweep(site);
        assert_eq!((site.shown("alone"), shown(site)), ("-".to_owned(), false));
    });
}

#[test]
fn a_scope_that_comes_back_before_its_rows_are_gone_keeps_those_that_came_again() {
    on_both(|site| {
        let lost = Scope::DispensarySites.to_id();
        let page = site.page_of(&lost, vec![image("stays", 90, "{}"), image("goes", 91, "{}")], true);
        site.store_page(&page).unwrap();
        site.reply(0, &[Control::Dropped(Dropped { scope: lost.clone() })]);

        let page = site.page_of(&lost, vec![image("stays", 90, "{}")], true);
        site.store_page(&page).unwrap();
        sweep(site);

        assert_eq!((site.shown("stays"), site.shown("goes")), ("{}".to_owned(), "-".to_owned()));
        assert!(site.copy.session_state().unwrap().cursors.iter().any(|shown| shown.scope == lost));
    });
}

/// The simulator's find: a device was set back to a backup of while a record was being handed back to central.
#[test]
fn a_record_that_was_being_handed_back_goes_with_its_edit_when_the_journal_is_given_up() {
    on_both(|site| {
        site.page(vec![image("kept", 90, "{}"), image("lost", 91, "{}")]);
        site.copy.begin_other_time_line().unwrap();
        drain(site, vec![image("kept", 3, "{}")]);
        assert_eq!(site.copy.lost_in_step().unwrap().len(), 1);
        site.patch("lost", r#"{"comment":"handed back"}"#);
        sweep(site);
        assert_ne!(site.shown("lost"), "-", "until its verdict");

        site.journal.clear();
        site.journal_id = JournalId([9; 16]);
        site.copy.use_journal(Kind::Shared, site.journal_id).unwrap();
        site.copy.begin_after_set_back().unwrap();

        assert_eq!((site.shown("lost"), site.shown("kept")), ("-".to_owned(), "{}".to_owned()));
    });
}

/// Sweeps, as after a session; the ids of what is handed back meanwhile, in order.
fn handed_back(site: &mut Site) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        ids.extend(site.copy.lost_in_step().unwrap().into_iter().map(|lost| lost.id.to_string()));
        if !site.copy.sweep_step().unwrap() {
            break;
        }
    }
    ids.sort_unstable();
    ids
}

/// Found by a tester: what central had made since, and the site had by a mode of a store that central forgot, was nowhere afterwards. What
/// central has all the same it refuses as `already_here`.
#[test]
fn central_data_that_came_by_what_a_central_that_was_set_back_forgot_is_handed_back() {
    on_both(|site| {
        let shared = Scope::DispensarySites.to_id();
        let page = site.page_of(&shared, vec![image("D", 89, "{}"), image_of("abbreviation", "AB", 90, "{}")], true);
        site.store_page(&page).unwrap();
        site.page(vec![image("kept", 91, "{}"), image("lost", 92, "{}")]);
        site.copy.begin_other_time_line().unwrap();
        drain(site, vec![image("kept", 3, "{}")]);
        site.copy.remember_sync(6, None).unwrap();

        let handed_back = handed_back(site);

        assert_eq!(handed_back, ["AB", "lost"], "of a store that is not to be here its site knows best");
        assert!(site.view("abbreviation", "AB").is_none());
        assert_eq!((site.shown("D"), site.shown("kept")), ("-".to_owned(), "{}".to_owned()));
    });
}

#[test]
fn what_hangs_on_a_name_that_central_which_was_set_back_does_not_show_is_handed_back() {
    on_both(|site| {
        let visible = Scope::Visible.to_id();
        let own = format!(r#"{{"name_ID":"nS","code":"{STORE}"}}"#);
        let join =
            |id: &str, name: &str| image_of(JOIN_TABLE, id, 92, &format!(r#"{{"store_ID":"S","name_ID":"{name}"}}"#));
        let contact = |id: &str, name: &str| image_of("contact", id, 93, &format!(r#"{{"name_ID":"{name}"}}"#));
        let before = vec![
            image_of("store", STORE, 91, &own),
            join("J1", "seen"),
            join("J2", "lost"),
            contact("kept", "seen"),
            contact("lost", "seen"),
            contact("own", "nS"),
            contact("of_lost", "lost"),
        ];
        let page = site.page_of(&visible, before, true);
        site.store_page(&page).unwrap();
        site.copy.begin_other_time_line().unwrap();
        let again = [image_of("store", STORE, 3, &own), join("J1", "seen"), contact("kept", "seen")];
        // What it has come to see is one scope with what it sees.
        let gained = site.page_of(&Scope::Gained(SITE).to_id(), vec![again[2].clone()], true);
        site.store_page(&gained).unwrap();
        let page = site.page_of(&visible, again[..2].to_vec(), true);
        site.store_page(&page).unwrap();

        let handed_back = handed_back(site);

        // Whether central has lost what hangs on the name, or only that it is visible here, it alone knows.
        assert_eq!(handed_back, ["J2", "lost", "of_lost", "own"]);
        assert!(site.view("contact", "kept").is_some() && site.view("contact", "of_lost").is_none());
    });
}

#[test]
fn a_scope_that_is_read_anew_keeps_what_it_has_until_it_is_read_and_then_what_came_again() {
    on_both(|site| {
        drain(site, vec![image("stays", 1, "{}"), image("goes", 2, "{}"), image("edited", 3, "{}")]);
        site.patch("edited", r#"{"comment":"mine"}"#);
        let anew = Control::ReadAnew(ReadAnew { scope: store_scope() });

        site.reply(0, &[anew]);
        site.reopen();

        let state = site.copy.session_state().unwrap();
        assert!(state.cursors.iter().all(|read| read.scope != store_scope()), "it is read from 0");
        assert_eq!((site.shown("stays"), site.shown("goes")), ("{}".to_owned(), "{}".to_owned()));
        drain(site, vec![image("stays", 1, "{}"), image("new", 9, "{}")]);
        sweep(site);
        let shown = ["stays", "new", "goes"].map(|id| site.shown(id));
        assert_eq!(shown, ["{}", "{}", "-"]);
        assert_eq!(site.shown("edited"), r#"{"comment":"mine"}"#, "an edit stays on top");
    });
}

/// The simulator's find (seed 27000016): it stayed for ever, of a store that the site was not given any more.
#[test]
fn what_has_its_verdict_while_everything_is_read_anew_goes_if_its_store_does_not_come() {
    on_both(|site| {
        site.copy.begin_other_time_line().unwrap();
        site.force("transact", "B", r#"{"store_ID":"elsewhere"}"#);
        site.reply(site.last(), &[]);
        assert_ne!(site.shown("B"), "-");

        site.copy.remember_sync(6, None).unwrap();
        while site.copy.sweep_step().unwrap() {}

        assert_eq!((site.shown("B"), site.count("membership")), ("-".to_owned(), 0));
    });
}

/// The simulator's find (seed 98300494): an order had been a primary's to see, and was in its store's lane from before; while an edit of it
/// was pending on a copy that was begun anew, the tombstone of the one lane kept the other one's row out.
#[test]
fn a_tombstone_of_one_lane_does_not_keep_out_the_older_row_of_another() {
    on_both(|site| {
        site.put("B", r#"{"comment":"mine"}"#);
        let visible = site.page_of(&Scope::Visible.to_id(), vec![tombstone("B", 9)], true);
        site.store_page(&visible).unwrap();

        drain(site, vec![image("B", 5, r#"{"hold":true}"#)]);
        assert_eq!(site.shown("B"), r#"{"comment":"mine"}"#);
        site.reply(1, &[site.refused(1, here("B", 3, "{}"))]);

        assert_eq!(site.shown("B"), r#"{"hold":true}"#);
    });
}

/// Found by the simulator (seed 70001342): a device took two exports, and kept what its site had ceased to see between them.
#[test]
fn a_later_export_lets_go_of_what_went_since_the_earlier_one() {
    on_both(|site| {
        let export = |began: u64, number: u64, rows: Vec<PageRow>| {
            let cursor = Cursor { epoch: Epoch(7), number: Position(number), began: Position(began) };
            Page { scope: store_scope(), cursor, rows, is_drained: number == began }
        };
        let earlier = export(5, 5, vec![image("stays", 1, "{}"), image("goes", 2, "{}")]);
        let later = [export(9, 3, vec![image("stays", 1, "{}")]), export(9, 9, vec![image("new", 8, "{}")])];

        let mut stored = Vec::new();
        for page in [&earlier, &later[0], &later[1], &earlier, &later[0], &later[1]] {
            stored.push(site.copy.import_page(page).unwrap());
            site.reopen();
        }
        sweep(site);

        assert_eq!(stored, [true, true, true, false, false, false], "what is here is passed over");
        assert_eq!(["stays", "goes", "new"].map(|id| site.shown(id)), ["{}", "-", "{}"]);
        assert!(!site.copy.is_rebuilding().unwrap());
    });
}
