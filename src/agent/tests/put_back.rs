//! One part of a data folder put back from a copy, or gone, without the others.

use std::fs;

use protocol::control::{Control, Image, Refused};
use protocol::ids::Sequence;

use super::bed::{Bed, STORE};
use crate::agent::Repair;
use crate::journal::JournalLimits;
use crate::local_copy::Kind;

fn code(bed: &mut Bed) -> String {
    match bed.open() {
        Ok(_) => "opened".to_owned(),
        Err(error) => error.code,
    }
}

#[test]
fn a_journal_that_was_set_back_goes_on_under_a_new_id_and_loses_nothing_that_the_local_copy_holds() {
    let mut bed = Bed::new();
    let agent = bed.open().unwrap();
    bed.record(&agent, "A", "before the copy");
    drop(agent);
    let kept = bed.keep("journal");
    let agent = bed.open().unwrap();
    bed.record(&agent, "A", "after the copy");
    bed.record(&agent, "B", "after the copy");
    let before = agent.recorder().unwrap().core().shared.identity().journal;
    drop(agent);
    bed.put_back("journal", &kept);
    assert_eq!(bed.findings(), ["journal_set_back"]);

    let agent = bed.open().unwrap();

    let set_back = Repair::JournalSetBack { kind: Kind::Shared, durable: Sequence(1), known: Sequence(3) };
    assert_eq!(agent.repairs().first(), Some(&set_back));
    assert!(
        matches!(&agent.repairs()[1], Repair::JournalReplaced { carried_over: 3, lost, .. } if lost.is_empty()),
        "{:?}",
        agent.repairs()
    );
    let predecessor = agent.recorder().unwrap().core().shared.identity().predecessor.unwrap();
    assert_eq!((predecessor.journal, predecessor.promised), (before, Sequence(3)));
    bed.assert_all_there(&agent);
    bed.record(&agent, "C", "goes on");
    drop(agent);
    assert_eq!(bed.open().unwrap().repairs(), [], "it is mended once");
    assert_eq!(bed.findings(), Vec::<String>::new());
}

#[test]
fn a_journal_that_was_set_back_behind_what_central_has_carries_over_only_the_rest() {
    let mut bed = Bed::new();
    let agent = bed.open().unwrap();
    bed.record(&agent, "A", "1");
    drop(agent);
    let kept = bed.keep("journal");
    let agent = bed.open().unwrap();
    for id in ["B", "C", "D"] {
        bed.record(&agent, id, "2");
    }
    bed.reply(&agent, 3, &[]);
    drop(agent);
    bed.put_back("journal", &kept);

    let agent = bed.open().unwrap();

    let replaced = agent.repairs().iter().find(|repair| matches!(repair, Repair::JournalReplaced { .. }));
    assert!(matches!(replaced, Some(Repair::JournalReplaced { carried_over: 1, lost, .. }) if lost.is_empty()));
    bed.assert_all_there(&agent);
    assert_eq!(agent.recorder().unwrap().core().shared.durable().sequence, Sequence(1), "D alone");
}

/// The simulator's find: the new journal began in the middle of the group, and central refuses the beginning that it has as
/// `group_incomplete`.
#[test]
fn a_group_that_central_has_received_in_part_is_carried_over_whole() {
    let mut bed = Bed::new();
    let agent = bed.open().unwrap();
    bed.record(&agent, "A", "1");
    let data = |id: &str| format!(r#"{{"ID":"{id}","store_ID":"{STORE}","note":"group"}}"#);
    bed.record_group(&agent, &[("item_line", "B", &data("B")), ("item_line", "C", &data("C"))]);
    let mut core = agent.recorder().unwrap().core();
    let before = core.shared.identity().journal;
    core.local.store_receipt(before, Sequence(2)).unwrap();
    drop(core);
    drop(agent);
    bed.remove("journal/mark");

    let agent = bed.open().unwrap();

    let is_whole =
        |repair: &Repair| matches!(repair, Repair::JournalReplaced { carried_over: 2, lost, .. } if lost.is_empty());
    assert!(agent.repairs().iter().any(is_whole), "{:?}", agent.repairs());
    bed.assert_all_there(&agent);
    assert_eq!(agent.recorder().unwrap().core().shared.durable().sequence, Sequence(2), "B and C");
    drop(agent);
    assert_eq!(bed.open().unwrap().repairs(), [], "it is mended once");
}

/// The journal that was put back then records as many entries as the local copy had seen: its end alone tells nothing.
#[test]
fn a_journal_with_other_entries_under_the_same_numbers_is_refused() {
    let mut bed = Bed::new();
    let agent = bed.open().unwrap();
    bed.record(&agent, "A", "both");
    drop(agent);
    let twin = bed.keep("");
    let agent = bed.open().unwrap();
    bed.record(&agent, "B", "here");
    drop(agent);
    let original = bed.keep("journal");
    bed.put_back("", &twin);
    let mut other = Bed::new();
    std::mem::swap(&mut other.recorded, &mut bed.recorded);
    let agent = crate::agent::Agent::open(bed.config()).unwrap();
    let recorder = agent.recorder().unwrap();
    let edit = domain::edit::Edit::parse(
        r#"{"table":"item_line","op":"put","id":"X","data":{"ID":"X","store_ID":"S1","note":"there"}}"#,
    );
    let group = crate::recorder::Group { edits: vec![edit.unwrap()], request_id: None, recorded_at_ms: 0 };
    recorder.record(group).unwrap();
    drop(agent);
    bed.put_back("journal", &original);

    assert_eq!(code(&mut bed), "journal_forked");
    assert!(bed.findings().contains(&"journal_forked".to_owned()), "{:?}", bed.findings());
}

#[test]
fn a_local_copy_that_was_set_back_is_brought_up_to_date_by_the_journal() {
    let mut bed = Bed::new();
    let agent = bed.open().unwrap();
    bed.record(&agent, "A", "1");
    drop(agent);
    let kept = bed.keep("local_copy.sqlite");
    let agent = bed.open().unwrap();
    bed.record(&agent, "A", "2");
    bed.record_local(&agent, "L", "2");
    drop(agent);
    bed.remove("local_copy.sqlite");
    bed.put_back("local_copy.sqlite", &kept);

    let agent = bed.open().unwrap();

    bed.assert_all_there(&agent);
    assert_eq!(agent.repairs(), []);
}

/// Central forgets a verdict once the site has acknowledged it. A copy from before would take the refused edit for accepted.
#[test]
fn a_local_copy_from_before_a_verdict_is_built_anew_and_shows_no_refused_edit() {
    let mut bed = Bed::new();
    let agent = bed.open().unwrap();
    bed.record(&agent, "refused", "1");
    bed.record(&agent, "accepted", "1");
    drop(agent);
    let kept = bed.keep("local_copy.sqlite");
    let agent = bed.open().unwrap();
    let refused = Refused {
        journal: agent.recorder().unwrap().core().shared.identity().journal,
        sequence: Sequence(1),
        code: "no".to_owned(),
        reason: "no".to_owned(),
        image: Image::NotHere,
    };
    bed.reply(&agent, 2, &[Control::Refused(refused)]);
    assert_eq!(Bed::read(&agent, "item_line", "refused"), "-");
    drop(agent);
    bed.remove("local_copy.sqlite");
    bed.put_back("local_copy.sqlite", &kept);
    assert_eq!(bed.findings(), ["local_copy_set_back"]);

    let agent = bed.open().unwrap();

    assert!(matches!(agent.repairs(), [Repair::LocalCopySetBack { .. }]), "{:?}", agent.repairs());
    // The next reply says again how far central has judged; what became of it comes with the pages.
    bed.reply(&agent, 2, &[]);
    assert_eq!(Bed::read(&agent, "item_line", "refused"), "-");
}

#[test]
fn a_local_copy_that_is_gone_shows_what_was_not_sent_and_awaits_the_rest_from_central() {
    let mut bed = Bed::new();
    let agent = bed.open().unwrap();
    bed.record(&agent, "sent", "1");
    bed.record(&agent, "unsent", "1");
    bed.reply(&agent, 1, &[]);
    drop(agent);
    bed.remove("local_copy.sqlite");

    drop(bed.open().unwrap());
    let agent = bed.open().unwrap();
    assert_eq!(agent.repairs(), [], "it is new once, also before the next sync");
    bed.assert_all_there(&agent);
    bed.grant(&agent);
    bed.reply(&agent, 1, &[]);

    assert_ne!(Bed::read(&agent, "item_line", "unsent"), "-");
    assert_eq!(Bed::read(&agent, "item_line", "sent"), "-", "central's image comes with its page");
    bed.record(&agent, "unsent", "2");
    drop(agent);
    bed.recorded.remove(&("item_line".to_owned(), "sent".to_owned()));
    let agent = bed.open().unwrap();
    bed.assert_all_there(&agent);
}

#[test]
fn a_journal_that_is_gone_is_never_begun_anew_under_its_old_id() {
    for also_local_copy in [false, true] {
        for is_emptied in [false, true] {
            let mut bed = Bed::new();
            let agent = bed.open().unwrap();
            bed.record(&agent, "A", "1");
            drop(agent);
            bed.remove("journal");
            if is_emptied {
                fs::create_dir(bed.layout().journal()).unwrap();
            }
            if also_local_copy {
                bed.remove("local_copy.sqlite");
            }

            assert_eq!(code(&mut bed), "journal_missing");
            assert_eq!(bed.findings(), ["journal_missing"]);
        }
    }
}

#[test]
fn a_private_journal_that_is_gone_or_set_back_costs_nothing_that_the_local_copy_holds() {
    for is_gone in [true, false] {
        let mut bed = Bed::new();
        let agent = bed.open().unwrap();
        bed.record_local(&agent, "L1", "1");
        drop(agent);
        let kept = bed.keep("private");
        let agent = bed.open().unwrap();
        bed.record_local(&agent, "L1", "2");
        bed.record_local(&agent, "L2", "2");
        drop(agent);
        bed.remove("private");
        if !is_gone {
            bed.put_back("private", &kept);
        }

        let agent = bed.open().unwrap();

        let replaced = agent.repairs().iter().any(
            |repair| matches!(repair, Repair::PrivateJournalReplaced { carried_over: 0, lost, .. } if lost.is_empty()),
        );
        assert!(replaced, "{:?}", agent.repairs());
        bed.assert_all_there(&agent);
        bed.record_local(&agent, "L3", "3");
        drop(agent);
        let agent = bed.open().unwrap();
        assert_eq!(agent.repairs(), []);
        bed.assert_all_there(&agent);
    }
}

/// What the private journal has let go of has no other place than the local copy.
#[test]
fn local_data_that_is_lost_with_the_local_copy_is_named() {
    let mut bed = Bed::new();
    let agent = bed.open().unwrap();
    let limits = JournalLimits { segment_entries_max: 2, ..JournalLimits::default() };
    agent.recorder().unwrap().core().private.set_limits(limits);
    for number in 0..5 {
        bed.record_local(&agent, &format!("L{number}"), "1");
    }
    Bed::prune(&agent, 0);
    drop(agent);
    bed.remove("local_copy.sqlite");

    let agent = bed.open().unwrap();

    assert_eq!(agent.repairs(), [Repair::LocalData { floor: Sequence(4), rescued: 0 }]);
    assert_eq!(Bed::read(&agent, "pref", "L0"), "-");
    assert_ne!(Bed::read(&agent, "pref", "L4"), "-");
}

#[test]
fn an_identity_that_is_gone_is_not_made_anew_beside_the_journals_of_a_site() {
    let mut bed = Bed::new();
    let agent = bed.open().unwrap();
    bed.record(&agent, "A", "1");
    drop(agent);
    let kept = bed.keep("identity");
    for (what, expected) in
        [("identity", "identity_missing"), ("identity/identity", "identity_missing"), ("identity/key", "key_missing")]
    {
        bed.remove(what);
        assert_eq!(code(&mut bed), expected, "{what}");
        assert_eq!(bed.findings(), [expected], "{what}");
        bed.put_back("identity", &kept);
    }
    for what in ["identity/identity", "identity/key"] {
        fs::write(bed.root().join(what), "").unwrap();
        assert_eq!(code(&mut bed), "identity_damaged", "{what}");
        bed.put_back("identity", &kept);
    }
    let agent = bed.open().unwrap();
    bed.assert_all_there(&agent);
}

#[test]
fn a_token_that_is_gone_emptied_or_old_stops_no_edit() {
    let mut bed = Bed::new();
    let token = bed.root().join("identity/token");
    let old = fs::read(&token).unwrap();
    let agent = bed.open().unwrap();
    bed.reply(&agent, 0, &[]);
    drop(agent);
    for content in [None, Some(Vec::new()), Some(old)] {
        match &content {
            None => fs::remove_file(&token).unwrap(),
            Some(content) => crate::durable_file::replace_private(&token, content).unwrap(),
        }
        let agent = bed.open().unwrap();
        bed.record(&agent, "A", "1");
        bed.assert_all_there(&agent);
    }
}

#[test]
fn an_identity_from_before_a_repair_carries_nothing_over_twice() {
    let mut bed = Bed::new();
    let agent = bed.open().unwrap();
    bed.record(&agent, "A", "old");
    drop(agent);
    let kept = bed.keep("identity");
    fs::remove_file(bed.layout().journal().join("mark")).unwrap();
    let agent = bed.open().unwrap();
    bed.record(&agent, "A", "new");
    drop(agent);
    bed.put_back("identity", &kept);

    let agent = bed.open().unwrap();

    bed.assert_all_there(&agent);
    assert_eq!(agent.recorder().unwrap().core().shared.durable().sequence, Sequence(2));
}

#[test]
fn a_journal_from_before_a_repair_is_refused() {
    let mut bed = Bed::new();
    let agent = bed.open().unwrap();
    bed.record(&agent, "A", "old");
    drop(agent);
    let kept = bed.keep("journal");
    fs::remove_file(bed.layout().journal().join("mark")).unwrap();
    let agent = bed.open().unwrap();
    bed.record(&agent, "B", "new");
    drop(agent);
    bed.put_back("journal", &kept);

    assert_eq!(code(&mut bed), "journal_foreign");
    assert!(bed.findings().contains(&"journal_foreign".to_owned()));
}

#[test]
fn a_journal_of_another_site_is_refused() {
    let mut bed = Bed::new();
    let mut other = Bed::new();
    let agent = other.open().unwrap();
    other.record(&agent, "A", "elsewhere");
    drop(agent);
    bed.put_back("journal", &other.keep("journal"));

    assert_eq!(code(&mut bed), "journal_foreign");
}

/// The entries that lie in the journal that was set aside were carried over once, and newer ones followed them.
#[test]
fn a_local_copy_that_is_lost_after_a_repair_does_not_bring_old_entries_back() {
    let mut bed = Bed::new();
    let agent = bed.open().unwrap();
    for number in 0..4 {
        bed.record(&agent, "A", &format!("old {number}"));
    }
    bed.reply(&agent, 2, &[]);
    drop(agent);
    fs::remove_file(bed.layout().journal().join("mark")).unwrap();
    let agent = bed.open().unwrap();
    bed.record(&agent, "A", "new");
    let head = agent.recorder().unwrap().core().shared.durable();
    drop(agent);
    bed.remove("local_copy.sqlite");

    let agent = bed.open().unwrap();

    assert_eq!(agent.recorder().unwrap().core().shared.durable(), head, "nothing was journaled anew");
    bed.assert_all_there(&agent);
}

/// The simulator's find: what a private entry names was a sequence of a journal that had been replaced twice since.
#[test]
fn a_private_part_outlives_two_repairs_of_the_shared_journal_and_the_loss_of_the_local_copy() {
    let mut bed = Bed::new();
    let agent = bed.open().unwrap();
    for number in 0..4 {
        bed.record(&agent, "A", &format!("old {number}"));
    }
    bed.record_mixed(&agent, "L1", "B");
    bed.reply(&agent, 5, &[]);
    drop(agent);
    for id in ["C", "D"] {
        fs::remove_file(bed.layout().journal().join("mark")).unwrap();
        let agent = bed.open().unwrap();
        bed.record(&agent, id, "after a repair");
    }
    bed.remove("local_copy.sqlite");

    let agent = bed.open().unwrap();

    let is_named = agent.repairs().iter().any(|repair| matches!(repair, Repair::LocalData { .. }));
    assert!(is_named || Bed::read(&agent, "pref", "L1") != "-", "{:?}", agent.repairs());
    assert!(!agent.repairs().iter().any(|repair| matches!(repair, Repair::PrivateGroupRemoved { .. })));
}

/// The simulator's find: what was carried over to a new private journal was taken for applied where the local copy was new too.
#[test]
fn local_data_behind_the_floor_comes_back_when_the_local_copy_and_the_shared_journal_are_damaged_at_once() {
    let mut bed = Bed::new();
    let agent = bed.open().unwrap();
    let limits = JournalLimits { segment_entries_max: 2, ..JournalLimits::default() };
    agent.recorder().unwrap().core().private.set_limits(limits);
    for number in 0..5 {
        bed.record_local(&agent, &format!("L{number}"), "1");
    }
    bed.record(&agent, "A", "unsent");
    Bed::prune(&agent, 0);
    drop(agent);
    bed.remove("local_copy.sqlite");
    fs::remove_file(bed.layout().journal().join("mark")).unwrap();

    let agent = bed.open().unwrap();

    assert!(agent.repairs().contains(&Repair::LocalData { floor: Sequence(4), rescued: 0 }), "{:?}", agent.repairs());
    assert_eq!(Bed::read(&agent, "pref", "L0"), "-");
    assert_ne!(Bed::read(&agent, "pref", "L4"), "-");
}
