//! The judge of a torture: what was said to the applications against what central's log of entries holds.
//!
//! It believes nobody: hashes are computed anew from the bytes, and an edit is recognised by the text that it carries.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use protocol::chain;
use protocol::entry::{Entry, Operation};
use protocol::ids::Hash;

/// One edit, recognised by its label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The text that no other edit has; see [`label_of`].
    pub label: String,
    /// The record.
    pub record: String,
}

/// What the application was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Recorded, at these sequences.
    Recorded(RangeInclusive<u64>),
    /// Recorded by an earlier call whose answer was lost.
    Already,
    /// Nothing: the agent was killed first. It may be there or not, but only as a whole.
    Lost,
}

/// One request: edits that are recorded together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// In their order.
    pub edits: Vec<Edit>,
    /// What came back.
    pub answer: Answer,
    /// Whether central has to refuse it.
    pub is_planted: bool,
}

/// A row of central's log of entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Its place in the site's journal.
    pub sequence: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The hash that central keeps.
    pub hash: [u8; 32],
    /// Whether it was refused.
    pub is_refused: bool,
}

/// What the log shows when everything is right with it.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Each thing that is wrong, in a sentence.
    pub findings: Vec<String>,
    /// Edits whose answer was lost and that are there.
    pub unheard: u64,
    /// Label of the last accepted edit of each record; none if that deleted it.
    pub records: BTreeMap<String, Option<String>>,
    /// Sequences of the refused edits.
    pub refused: Vec<u64>,
}

/// The mark in an entry's bytes: `<site:number>` in the note that the rig gives each edit; a delete has its record's id only.
pub fn label_of(site: &str, bytes: &[u8]) -> Option<Edit> {
    let entry = Entry::decode(bytes).ok()?;
    let record = entry.record.as_str().to_owned();
    if matches!(entry.operation, Operation::Delete) {
        return Some(Edit { label: format!("delete {record}"), record });
    }
    let begin = format!("<{site}:");
    let at = bytes.windows(begin.len()).position(|window| window == begin.as_bytes())?;
    let rest = bytes.get(at..)?;
    let end = rest.iter().position(|byte| *byte == b'>')?;
    Some(Edit { label: String::from_utf8(rest.get(..=end)?.to_vec()).ok()?, record })
}

/// Compares. `journal` is what the device's own journal still has of its hashes.
pub fn judge(site: &str, genesis: Hash, sent: &[Sent], log: &[Logged], journal: &BTreeMap<u64, [u8; 32]>) -> Verdict {
    let mut verdict = Verdict::default();
    check_chain(site, genesis, log, journal, &mut verdict.findings);
    let mut position = 0;
    for request in sent {
        position += place(site, request, log.get(position..).unwrap_or_default(), &mut verdict);
    }
    for extra in log.get(position..).unwrap_or_default() {
        let what = label_of(site, &extra.bytes).map_or("bytes of nobody".to_owned(), |edit| edit.label);
        verdict.findings.push(format!("{site}: entry {} ({what}) is not where anybody recorded it", extra.sequence));
    }
    verdict
}

fn check_chain(
    site: &str,
    genesis: Hash,
    log: &[Logged],
    journal: &BTreeMap<u64, [u8; 32]>,
    findings: &mut Vec<String>,
) {
    let mut hash = genesis;
    for (expected, logged) in (1..).zip(log) {
        let sequence = logged.sequence;
        if sequence != expected {
            findings.push(format!("{site}: entry {sequence} stands where entry {expected} should"));
        }
        hash = chain::extend(hash, &logged.bytes);
        if hash.0 != logged.hash {
            findings
                .push(format!("{site}: the hash of entry {sequence} is not the one of its bytes and what precedes"));
            hash = Hash(logged.hash);
        }
        if journal.get(&sequence).is_some_and(|there| *there != logged.hash) {
            findings.push(format!("{site}: the journal and central have different hashes for entry {sequence}"));
        }
    }
    for sequence in journal.keys().filter(|sequence| **sequence > log.len() as u64) {
        findings.push(format!("{site}: entry {sequence} of the journal is not at central"));
    }
}

/// Looks for one request at the beginning of `log`; how many entries it takes there.
fn place(site: &str, request: &Sent, log: &[Logged], verdict: &mut Verdict) -> usize {
    let is_next = |(edit, logged): (&Edit, &Logged)| label_of(site, &logged.bytes).as_ref() == Some(edit);
    let matching = request.edits.iter().zip(log).take_while(|pair| is_next(*pair)).count();
    let wanted = request.edits.len();
    let name = request.edits.first().map_or("nothing", |edit| edit.label.as_str());
    if matching == 0 && request.answer == Answer::Lost {
        return 0;
    }
    if matching < wanted {
        let found = log.get(matching).and_then(|logged| label_of(site, &logged.bytes));
        let found = found.map_or("nothing".to_owned(), |edit| edit.label);
        verdict.findings.push(format!(
            "{site}: of the {wanted} edits from {name} on only {matching} are in their place, then comes {found}"
        ));
    }
    let taken = log.get(..matching).unwrap_or_default();
    if let (Answer::Recorded(sequences), Some(first)) = (&request.answer, taken.first())
        && first.sequence != *sequences.start()
    {
        let (told, there) = (sequences.start(), first.sequence);
        verdict.findings.push(format!("{site}: {name} was recorded at {told} and is at central's {there}"));
    }
    if request.answer == Answer::Lost {
        verdict.unheard += matching as u64;
    }
    for (at, (edit, logged)) in request.edits.iter().zip(taken).enumerate() {
        let is_end = Entry::ends_group(&logged.bytes).unwrap_or(false);
        if is_end != (at + 1 == wanted) {
            verdict.findings.push(format!("{site}: the group of {name} does not end where it did"));
        }
        if logged.is_refused != request.is_planted {
            let fate = if logged.is_refused { "was refused and is good" } else { "should have been refused" };
            verdict.findings.push(format!("{site}: {} {fate}", edit.label));
        }
        if logged.is_refused {
            verdict.refused.push(logged.sequence);
        } else {
            let label = (!edit.label.starts_with("delete ")).then(|| edit.label.clone());
            verdict.records.insert(edit.record.clone(), label);
        }
    }
    matching
}

#[cfg(test)]
mod tests {
    use protocol::ids::{OwnershipNumber, RecordId, TableRef};

    use super::*;

    const GENESIS: Hash = Hash([7; 32]);

    /// Three requests: one edit, a group of two, one edit that is refused; the log and the journal that belong to them.
    struct History {
        sent: Vec<Sent>,
        log: Vec<Logged>,
        journal: BTreeMap<u64, [u8; 32]>,
    }

    fn entry(number: u64, is_group_end: bool) -> Vec<u8> {
        let entry = Entry {
            is_group_end,
            ownership: OwnershipNumber(1),
            table: TableRef::Named(format!("<north:{number}>")),
            record: RecordId::new(&format!("R{number}")).expect("short"),
            operation: Operation::Put(protocol::row::Row::default()),
        };
        entry.encode()
    }

    fn chained(entries: Vec<Vec<u8>>) -> Vec<Logged> {
        let mut hash = GENESIS;
        let chain = (1..).zip(entries).map(|(sequence, bytes)| {
            hash = chain::extend(hash, &bytes);
            Logged { sequence, bytes, hash: hash.0, is_refused: sequence == 4 }
        });
        chain.collect()
    }

    fn edit(number: u64) -> Edit {
        Edit { label: format!("<north:{number}>"), record: format!("R{number}") }
    }

    fn history() -> History {
        let sent = |numbers: RangeInclusive<u64>, is_planted| Sent {
            edits: numbers.clone().map(edit).collect(),
            answer: Answer::Recorded(numbers),
            is_planted,
        };
        let log = chained(vec![entry(1, true), entry(2, false), entry(3, true), entry(4, true)]);
        let journal = log.iter().map(|logged| (logged.sequence, logged.hash)).collect();
        History { sent: vec![sent(1..=1, false), sent(2..=3, false), sent(4..=4, true)], log, journal }
    }

    /// What is found after `doctor` was at a right history, whose log is then chained anew so that only the doctoring shows.
    fn found(doctor: impl FnOnce(&mut History)) -> Vec<String> {
        let mut history = history();
        doctor(&mut history);
        judge("north", GENESIS, &history.sent, &history.log, &history.journal).findings
    }

    fn relog(history: &mut History, numbers: &[(u64, bool)]) {
        history.log = chained(numbers.iter().map(|(number, is_end)| entry(*number, *is_end)).collect());
        for logged in &mut history.log {
            logged.is_refused = label_of("north", &logged.bytes) == Some(edit(4));
        }
        history.journal.clear();
    }

    fn check(doctor: impl FnOnce(&mut History), expected: &str) {
        let findings = found(doctor);

        assert!(findings.iter().any(|finding| finding.contains(expected)), "{findings:?}");
    }

    #[test]
    fn a_right_history_has_no_findings() {
        assert_eq!(found(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn a_missing_edit_is_found() {
        check(|history| relog(history, &[(2, false), (3, true), (4, true)]), "only 0 are in their place");
        check(|history| relog(history, &[(1, true), (2, false), (3, true)]), "then comes nothing");
    }

    #[test]
    fn an_edit_that_is_there_twice_is_found() {
        let twice = [(1, true), (1, true), (2, false), (3, true), (4, true)];

        check(|history| relog(history, &twice), "(<north:1>) is not where anybody");
        // The same when its answer was lost: there at most once.
        check(
            |history| {
                relog(history, &twice);
                history.sent[0].answer = Answer::Lost;
            },
            "then comes <north:1>",
        );
    }

    #[test]
    fn edits_out_of_order_are_found() {
        check(|history| relog(history, &[(2, false), (3, true), (1, true), (4, true)]), "then comes <north:2>");
    }

    #[test]
    fn a_wrong_hash_is_found() {
        check(|history| history.log[1].hash[0] ^= 1, "the hash of entry 2");
        check(|history| history.log[1].bytes.push(0), "the hash of entry 2");
        check(|history| history.journal.extend([(3, [0; 32])]), "different hashes for entry 3");
    }

    #[test]
    fn an_extra_entry_is_found() {
        let extra = [(1, true), (2, false), (3, true), (4, true), (9, true)];

        check(|history| relog(history, &extra), "(<north:9>) is not where anybody");
    }

    #[test]
    fn an_entry_of_the_journal_that_central_lacks_is_found() {
        check(|history| history.journal.extend([(5, [0; 32])]), "entry 5 of the journal is not at central");
    }

    #[test]
    fn a_gap_in_the_sequences_is_found() {
        check(|history| history.log[2].sequence = 9, "entry 9 stands where entry 3 should");
    }

    #[test]
    fn half_a_group_is_found_also_when_its_answer_was_lost() {
        let half = [(1, true), (2, true), (4, true)];

        check(|history| relog(history, &half), "only 1 are in their place");
        check(
            |history| {
                relog(history, &half);
                history.sent[1].answer = Answer::Lost;
            },
            "only 1 are in their place",
        );
        check(|history| relog(history, &[(1, true), (2, true), (3, true), (4, true)]), "does not end where it did");
    }

    #[test]
    fn an_edit_at_another_sequence_than_the_acknowledged_one_is_found() {
        check(|history| history.sent[0].answer = Answer::Recorded(2..=2), "was recorded at 2");
    }

    #[test]
    fn a_refusal_of_a_good_edit_and_a_planted_one_that_was_accepted_are_found() {
        check(|history| history.log[0].is_refused = true, "was refused and is good");
        check(|history| history.log[3].is_refused = false, "should have been refused");
    }

    #[test]
    fn an_edit_whose_answer_was_lost_may_be_there_whole_or_not_at_all() {
        let lost = |history: &mut History| history.sent[1].answer = Answer::Lost;
        let is_gone = found(|history| {
            lost(history);
            relog(history, &[(1, true), (4, true)]);
            history.sent[2].answer = Answer::Already;
        });

        assert_eq!(found(lost), Vec::<String>::new());
        assert_eq!(is_gone, Vec::<String>::new());
    }
}
