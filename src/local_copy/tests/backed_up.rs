//! What a backup is told of unsent edits.

use super::super::{ImageDigest, KeptCounts, LocalCopyError, UnsentGroup};
use super::site::*;

fn unsent(site: &mut Site) -> Vec<UnsentGroup> {
    let mut groups = Vec::new();
    let visited = site.copy.each_unsent(|group| {
        groups.push(group);
        Ok::<_, LocalCopyError>(())
    });
    visited.unwrap();
    groups
}

#[test]
fn each_unsent_edit_says_what_its_record_was_before_it_and_behind_it_and_is_in_the_end() {
    on_both(|site| {
        site.put("P", r#"{"comment":"a"}"#);
        site.reply(1, &[]);
        let sent = site.copy.digest_here("transact", &record_id("P")).unwrap().unwrap();
        site.patch("P", r#"{"comment":"b"}"#);
        site.put("Q", r#"{"comment":"new"}"#);
        site.patch("P", r#"{"comment":"c"}"#);
        let last = site.copy.digest_here("transact", &record_id("P")).unwrap().unwrap();

        let groups = unsent(site);

        let sequences: Vec<_> = groups.iter().map(|group| (group.sequence.0, group.edits.len())).collect();
        assert_eq!(sequences, [(2, 1), (3, 1), (4, 1)]);
        let [first, other, second] = [0, 1, 2].map(|index: usize| groups[index].edits[0].clone());
        assert_eq!((first.before, first.last), (sent, last));
        assert_eq!((second.before, second.after, second.last), (first.after, last, last));
        assert_eq!(other.before, ImageDigest::ABSENT);
        assert_eq!(Some(other.after), site.copy.digest_of_whole(&other.edit));
        assert_eq!(site.copy.kept_in_backup().unwrap(), KeptCounts { unsent: 3, ..KeptCounts::default() });
    });
}
