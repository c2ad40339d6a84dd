//! Refused edits that are let go of.

use protocol::control::Image;

use super::site::*;

/// Refused edits of so many records, in the order of the letters.
fn refuse(site: &mut Site, ids: &str) {
    let first = site.last() + 1;
    for id in ids.split(' ') {
        site.put(id, "{}");
    }
    let refused: Vec<_> = (first..=site.last()).map(|sequence| site.refused(sequence, Image::NotHere)).collect();
    site.reply(site.last(), &refused);
}

fn numbers(site: &mut Site) -> Vec<u64> {
    site.copy.set_aside_list(0, 100).unwrap().items.iter().map(|about| about.number).collect()
}

#[test]
fn what_is_let_go_of_is_gone_after_a_restart_and_the_rest_is_there() {
    on_both(|site| {
        refuse(site, "P Q R");

        let removed = site.copy.set_aside_remove(&[1, 3, 7]).unwrap();
        site.reopen();

        assert_eq!((removed, numbers(site)), (2, vec![2]));
        assert_eq!(site.copy.set_aside_count().unwrap(), 1);
        // The verdict is told again to a central that was set back.
        assert_eq!(site.count("refusal"), 3);
    });
}

/// A person dismissed number 3 twice because the first answer was lost, and the second time another edit had that number.
#[test]
fn a_number_is_never_given_to_another_edit() {
    on_both(|site| {
        refuse(site, "P Q R");
        site.copy.set_aside_remove(&[3, 1, 2]).unwrap();
        site.reopen();

        refuse(site, "S T");
        assert_eq!(numbers(site), [4, 5]);
        site.copy.set_aside_remove(&[4]).unwrap();
        refuse(site, "U");

        assert_eq!(numbers(site), [5, 6]);
        assert_eq!(site.copy.set_aside_last().unwrap(), 6);
    });
}

#[test]
fn the_first_number_that_is_not_there_is_named() {
    on_both(|site| {
        assert_eq!(site.copy.set_aside_last().unwrap(), 0);
        refuse(site, "P Q R");
        site.copy.set_aside_remove(&[2]).unwrap();

        for (numbers, expected) in
            [(&[][..], None), (&[3, 1], None), (&[1, 2, 9], Some(2)), (&[u64::MAX], Some(u64::MAX)), (&[0], Some(0))]
        {
            assert_eq!(site.copy.set_aside_lacks(numbers).unwrap(), expected, "{numbers:?}");
        }
    });
}
