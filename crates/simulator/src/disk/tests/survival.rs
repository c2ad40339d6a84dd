//! What a power cut may leave, without SQLite: every legal outcome is met, and no other.

use std::collections::BTreeSet;

use super::super::content::{Content, SECTOR_BYTES};
use super::super::state::{Access, State};
use super::*;

/// As letters: a sector that holds one byte throughout is that letter, zeros are a dot, and a torn one is a question mark.
fn letters(content: &Content) -> String {
    let sectors = content.bytes().chunks(512);
    sectors
        .map(|sector| match sector[0] {
            first if sector.iter().any(|byte| *byte != first) => '?',
            0 => '.',
            letter => char::from(letter),
        })
        .collect()
}

fn put(content: &mut Content, sector: u64, text: &str) {
    let bytes: Vec<u8> = text.bytes().flat_map(|letter| [letter; 512]).collect();
    content.write(sector * SECTOR_BYTES, &bytes, false);
}

/// Checks the outcomes over many cuts, torn sectors aside.
fn check(change: impl Fn(&mut Content), legal: &[&str]) {
    let mut met = BTreeSet::new();
    for seed in 0..3_000 {
        let mut content = Content::durable(Vec::new());
        change(&mut content);
        content.cut_power(&mut chooser(seed));
        met.insert(letters(&content));
    }
    met.retain(|outcome| !outcome.contains('?'));

    assert_eq!(met, legal.iter().map(|outcome| (*outcome).to_owned()).collect());
}

#[test]
fn what_was_synced_survives() {
    check(
        |content| {
            put(content, 0, "abc");
            content.sync();
        },
        &["abc"],
    );
}

#[test]
fn sectors_survive_one_by_one_and_each_in_the_order_of_its_writes() {
    check(
        |content| {
            put(content, 0, "aa");
            content.sync();
            put(content, 0, "bb");
            put(content, 1, "c");
        },
        &["aa", "ab", "ac", "ba", "bb", "bc"],
    );
}

#[test]
fn what_was_appended_may_be_missing_or_hold_zeros() {
    check(
        |content| {
            put(content, 0, "a");
            content.sync();
            put(content, 1, "bc");
        },
        &["a", "a..", "ab.", "a.c", "abc"],
    );
}

#[test]
fn a_cut_takes_the_old_bytes_along_or_shields_them() {
    check(
        |content| {
            put(content, 0, "abc");
            content.sync();
            content.set_len(SECTOR_BYTES, false);
            put(content, 1, "d");
        },
        &["abc", "a", "a.", "ad"],
    );
}

#[test]
fn what_a_failed_sync_gave_up_is_kept_only_by_writing_it_again() {
    check(
        |content| {
            put(content, 0, "aaa");
            content.sync();
            put(content, 0, "bb");
            content.give_up();
            put(content, 1, "c");
            put(content, 2, "c");
            content.sync();
        },
        &["acc", "bcc"],
    );
}

#[test]
fn names_that_were_not_synced_may_be_as_before() {
    let access = Access { creates: true, must_be_new: false, is_deleted_on_close: false, syncs_folder: true };
    let mut met = BTreeSet::new();
    for seed in 0..200 {
        let mut state = State::new(1);
        let mut kept = state.open(0, Some("a/kept"), access).unwrap();
        state.sync(&mut kept).unwrap();
        state.open(0, Some("b/deleted"), Access { syncs_folder: false, ..access }).unwrap();
        let mut deleted = state.open(0, Some("b/deleted"), access).unwrap();
        state.sync(&mut deleted).unwrap();
        state.delete(0, "b/deleted", false).unwrap();
        state.open(0, Some("a/new"), access).unwrap();

        state.restart(&mut chooser(seed));

        met.insert(state.lengths().into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" "));
    }
    assert_eq!(met, ["a/kept", "a/kept b/deleted", "a/kept a/new", "a/kept a/new b/deleted"].map(str::to_owned).into());
}
