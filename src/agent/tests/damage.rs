//! Flipped bits, cut files and emptied files, at each region of a data folder.
//!
//! What holds each time: no panic; a record reads as it was recorded, or its loss is named; a journal that has lost something
//! goes on under another id; edits are taken as soon as the folder opens.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use super::bed::Bed;
use crate::agent::Repair;

/// Records of the site; every third is local data.
const RECORDS: u64 = 60;

fn site() -> Bed {
    let mut bed = Bed::new();
    let agent = bed.open().unwrap();
    for number in 0..RECORDS {
        if number % 3 == 0 {
            bed.record_local(&agent, &format!("L{number}"), "value");
        } else {
            bed.record(&agent, &format!("R{number}"), &"note ".repeat(40));
        }
    }
    bed
}

fn flip(path: &Path, offset: u64) {
    let mut bytes = fs::read(path).unwrap();
    let at = usize::try_from(offset).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path, length: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// Reads every record. A damaged part may be noticed only now; then the agent is started again, as its error says.
fn check(bed: &mut Bed, what: &str) -> Vec<Repair> {
    let mut repairs = Vec::new();
    for start in 0..3 {
        let agent = match bed.open() {
            Ok(agent) => agent,
            Err(error) => panic!("{what}: {error}"),
        };
        repairs.extend_from_slice(agent.repairs());
        let recorded = bed.recorded.clone();
        let mut codes = Vec::new();
        for ((table, id), data) in &recorded {
            let found = Bed::read(&agent, table, id);
            let is_right = serde_json::from_str::<serde_json::Value>(&found).ok() == serde_json::from_str(data).ok();
            if !is_right {
                codes.push((id.clone(), found));
            }
        }
        if codes.iter().any(|(_, code)| code == "local_copy_damaged" || code == "journal_damaged") && start < 2 {
            continue;
        }
        for (id, code) in &codes {
            assert_eq!(code, "-", "{what}: {id} reads as something else");
        }
        let names_losses = repairs.iter().any(|repair| match repair {
            Repair::JournalReplaced { lost, .. } | Repair::PrivateJournalReplaced { lost, .. } => !lost.is_empty(),
            Repair::LocalData { .. } => true,
            _ => false,
        });
        assert!(codes.is_empty() || names_losses, "{what}: {codes:?} are lost and nobody says so: {repairs:?}");
        bed.grant(&agent);
        bed.record(&agent, "afterwards", what);
        assert_ne!(Bed::read(&agent, "item_line", "afterwards"), "-", "{what}");
        return repairs;
    }
    panic!("{what}: it is damaged again after each start")
}

/// What is done to a folder, and its name.
type Damage = (&'static str, Box<dyn Fn(&Path)>);

/// Copies of the site's folder, one for each kind of damage.
fn each(what: &[Damage]) {
    let original = site();
    let kept = original.keep("");
    for (name, damage) in what {
        let mut bed = Bed::of_kept(&kept, &original.recorded);
        damage(&bed.root());
        check(&mut bed, name);
    }
}

fn segment(root: &Path, journal: &str) -> PathBuf {
    root.join(journal).join("segment-00000000000000000001")
}

#[test]
fn bits_flipped_anywhere_in_the_journals_are_mended_or_named() {
    let mut cases: Vec<Damage> = Vec::new();
    for journal in ["journal", "private"] {
        for part in 0..12_u64 {
            cases.push((
                "a bit of db",
                Box::new(move |root| {
                    let db = segment(root, journal).join("db");
                    flip(&db, length(&db) * part / 12 + part);
                }),
            ));
        }
        for slot in [0, 4096] {
            cases.push(("a slot of the mark", Box::new(move |root| flip(&root.join(journal).join("mark"), slot + 60))));
        }
        cases.push((
            "both slots of the mark",
            Box::new(move |root| {
                flip(&root.join(journal).join("mark"), 60);
                flip(&root.join(journal).join("mark"), 4096 + 60);
            }),
        ));
        cases.push(("conf", Box::new(move |root| flip(&segment(root, journal).join("conf"), 3))));
    }
    each(&cases);
}

#[test]
fn cut_emptied_and_missing_files_of_the_journals_are_mended_or_named() {
    let mut cases: Vec<Damage> = Vec::new();
    for journal in ["journal", "private"] {
        for name in ["db", "conf"] {
            cases.push(("emptied", Box::new(move |root| cut(&segment(root, journal).join(name), 0))));
            cases.push(("missing", Box::new(move |root| fs::remove_file(segment(root, journal).join(name)).unwrap())));
        }
        cases.push((
            "cut",
            Box::new(move |root| {
                let db = segment(root, journal).join("db");
                cut(&db, length(&db) / 2);
            }),
        ));
        cases.push(("no segment", Box::new(move |root| fs::remove_dir_all(segment(root, journal)).unwrap())));
        cases.push(("no mark", Box::new(move |root| fs::remove_file(root.join(journal).join("mark")).unwrap())));
        cases.push(("an empty mark", Box::new(move |root| cut(&root.join(journal).join("mark"), 0))));
        cases.push(("half a mark", Box::new(move |root| cut(&root.join(journal).join("mark"), 4096))));
        cases.push((
            "a stale snapshot",
            Box::new(move |root| {
                fs::write(segment(root, journal).join("snap.00000000000000FF.generating"), "half").unwrap();
            }),
        ));
    }
    each(&cases);
}

#[test]
fn bits_flipped_anywhere_in_the_local_copy_never_read_as_another_value() {
    let mut cases: Vec<Damage> = Vec::new();
    // Byte 68 is the start of the number that says whose file it is: one of another program is refused and not touched.
    for at in [0_u64, 16, 18, 24, 28, 40, 60, 63, 92, 96, 100, 103, 105] {
        cases.push(("a bit of the header", Box::new(move |root| flip(&root.join("local_copy.sqlite"), at))));
    }
    for part in 0..40_u64 {
        cases.push((
            "a bit of a page",
            Box::new(move |root| {
                let path = root.join("local_copy.sqlite");
                let pages = length(&path) / 4096;
                // Each page once, each time at another place in it.
                flip(&path, (part * 7 % pages) * 4096 + (part * 677 + 8) % 4096);
            }),
        ));
    }
    each(&cases);
}

#[test]
fn a_local_copy_that_is_cut_emptied_or_gone_is_built_anew() {
    each(&[
        ("cut", Box::new(|root| cut(&root.join("local_copy.sqlite"), 3 * 4096))),
        ("cut within a page", Box::new(|root| cut(&root.join("local_copy.sqlite"), 5 * 4096 + 100))),
        ("emptied", Box::new(|root| cut(&root.join("local_copy.sqlite"), 0))),
        ("gone", Box::new(|root| fs::remove_file(root.join("local_copy.sqlite")).unwrap())),
        ("not a database", Box::new(|root| fs::write(root.join("local_copy.sqlite"), "text ".repeat(3000)).unwrap())),
    ]);
}

/// As a kill leaves it: the log beside the file holds what the file does not.
#[test]
fn a_log_of_the_local_copy_that_is_damaged_or_gone_costs_nothing() {
    let original = site();
    let agent = crate::agent::Agent::open(original.config()).unwrap();
    let mut live = original;
    live.record(&agent, "in the log", "alone");
    live.record_local(&agent, "local in the log", "alone");
    let kept = live.keep("");
    let wal = "local_copy.sqlite-wal";
    assert!(length(&kept.join(wal)) > 4096, "there is a log");
    drop(agent);
    let damages: [Damage; 4] = [
        ("gone", Box::new(|path| fs::remove_file(path).unwrap())),
        ("emptied", Box::new(|path| cut(path, 0))),
        ("a bit of its header", Box::new(|path| flip(path, 10))),
        ("a bit of a frame", Box::new(|path| flip(path, 32 + 24 + 200))),
    ];
    for (what, damage) in damages {
        let mut bed = Bed::of_kept(&kept, &live.recorded);
        damage(&bed.root().join(wal));

        let repairs = check(&mut bed, what);

        assert!(!repairs.iter().any(|repair| matches!(repair, Repair::JournalReplaced { .. })), "{what}: {repairs:?}");
        let agent = bed.open().unwrap();
        bed.assert_all_there(&agent);
    }
}

/// Damage in a segment that opening does not look at is found when it is sent; the next start mends it.
#[test]
fn damage_in_an_old_segment_that_is_noted_while_the_agent_runs_is_mended_at_the_next_start() {
    let mut bed = Bed::new();
    let agent = bed.open().unwrap();
    let limits = crate::journal::JournalLimits { segment_entries_max: 10, ..Default::default() };
    agent.recorder().unwrap().core().shared.set_limits(limits);
    for number in 0..30 {
        bed.record(&agent, &format!("R{number}"), "x");
    }
    drop(agent);
    fs::remove_file(segment(&bed.root(), "journal").join("db")).unwrap();
    let agent = bed.open().unwrap();
    let read = agent
        .recorder()
        .unwrap()
        .core()
        .shared
        .read(protocol::ids::Sequence::ZERO, &mut |_| std::ops::ControlFlow::Continue(()));
    let error = crate::error::AgentError::from(read.unwrap_err());
    assert_eq!(error.code, "journal_damaged");
    agent.note_damage(&error);
    drop(agent);

    let agent = bed.open().unwrap();

    // The local copy still holds what was not sent.
    let is_whole =
        |repair: &Repair| matches!(repair, Repair::JournalReplaced { carried_over: 30, lost, .. } if lost.is_empty());
    assert!(agent.repairs().iter().any(is_whole), "{:?}", agent.repairs());
    bed.assert_all_there(&agent);
    drop(agent);
    assert_eq!(bed.open().unwrap().repairs(), []);
}

/// The simulator's find: without a local copy everything is applied again, which met the damage, and no start mended it.
#[test]
fn damage_in_an_old_segment_does_not_keep_an_agent_down_whose_local_copy_is_gone() {
    let mut bed = Bed::new();
    let agent = bed.open().unwrap();
    let limits = crate::journal::JournalLimits { segment_entries_max: 10, ..Default::default() };
    agent.recorder().unwrap().core().shared.set_limits(limits);
    for number in 0..30 {
        bed.record(&agent, &format!("R{number}"), "x");
    }
    drop(agent);
    fs::remove_file(segment(&bed.root(), "journal").join("db")).unwrap();
    fs::remove_file(bed.root().join("local_copy.sqlite")).unwrap();
    let _ = fs::remove_file(bed.root().join("local_copy.sqlite-wal"));

    let agent = bed.open().unwrap();

    let is_named = |repair: &Repair| {
        matches!(repair, Repair::JournalReplaced { carried_over: 20, lost, .. }
            if lost.iter().map(|loss| loss.last.0 + 1 - loss.first.0).sum::<u64>() == 10)
    };
    assert!(agent.repairs().iter().any(is_named), "{:?}", agent.repairs());
}

#[test]
fn a_large_journal_is_carried_over_in_steps_and_its_groups_stay_whole() {
    let mut bed = Bed::new();
    let agent = bed.open().unwrap();
    for number in 0..7_u64 {
        let edits = (0..200).map(|line| {
            let id = format!("G{number}-{line}");
            let text =
                format!(r#"{{"table":"item_line","op":"put","id":"{id}","data":{{"ID":"{id}","store_ID":"S1"}}}}"#);
            domain::edit::Edit::parse(&text).unwrap()
        });
        let group = crate::recorder::Group { edits: edits.collect(), request_id: None, recorded_at_ms: 0 };
        agent.recorder().unwrap().record(group).unwrap();
    }
    drop(agent);
    fs::remove_file(bed.layout().journal().join("mark")).unwrap();

    let agent = bed.open().unwrap();

    assert!(matches!(agent.repairs(), [Repair::JournalReplaced { carried_over: 1400, lost, .. }] if lost.is_empty()));
    let mut ends = Vec::new();
    let mut core = agent.recorder().unwrap().core();
    let visit = &mut |stored: crate::journal::Stored| {
        if stored.is_group_end {
            ends.push(stored.sequence.0);
        }
        std::ops::ControlFlow::Continue(())
    };
    core.shared.read(protocol::ids::Sequence::ZERO, visit).unwrap();
    assert_eq!(ends, (1..=7).map(|group| group * 200).collect::<Vec<_>>());
}

/// How far central has received the journal decides what is carried over and what is let go of.
#[test]
fn a_number_of_the_local_copy_that_decayed_is_noticed_and_loses_no_unsent_edit() {
    for name in ["received", "judged", "applied_shared", "applied_private"] {
        let mut bed = site();
        let engine = sql::SqliteEngine::open(
            bed.layout().local_copy(),
            &sql::Options::new(crate::local_copy::APPLICATION_ID, crate::local_copy::SCHEMA_VERSION),
        );
        let mut engine = engine.unwrap();
        sql::Sql::begin(&mut engine, sql::Durability::Full).unwrap();
        let decayed = "UPDATE meta SET number = number + 1048576 WHERE name = ?1";
        assert_eq!(sql::Sql::execute(&mut engine, decayed, &[name.into()]).unwrap(), 1);
        sql::Sql::commit(&mut engine).unwrap();
        drop(engine);

        let repairs = check(&mut bed, name);

        assert!(repairs.iter().any(|repair| matches!(repair, Repair::LocalCopyReplaced { .. })), "{name}: {repairs:?}");
        assert!(!repairs.iter().any(|repair| matches!(repair, Repair::JournalSetBack { .. })), "{name}");
        let agent = bed.open().unwrap();
        bed.assert_all_there(&agent);
    }
}
