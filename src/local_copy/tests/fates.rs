//! What became of an edit, for whoever waits for it.

use protocol::control::{Control, Image};
use protocol::ids::Sequence;

use super::super::Fate;
use super::site::*;

fn fate(site: &mut Site, sequence: u64) -> Fate {
    site.copy.fate(Sequence(sequence), Sequence::ZERO).unwrap()
}

#[test]
fn an_edit_is_unsent_received_waiting_and_accepted_as_central_says() {
    on_both(|site| {
        site.put("A", "{}");
        assert_eq!(fate(site, 1), Fate::Unsent);
        site.reply(0, &[]);
        assert_eq!(fate(site, 1), Fate::Received);
        let waiting = Control::Waiting(site.place(1));
        site.reply(1, &[waiting]);
        assert_eq!(fate(site, 1), Fate::Waiting);
        let accepted = Control::Accepted(site.place(1));
        site.reply(1, &[accepted]);
        assert_eq!(fate(site, 1), Fate::Accepted);
        assert_eq!(site.copy.fate(Sequence(1), Sequence(1)).unwrap(), Fate::Judged, "its verdict may be forgotten");
    });
}

#[test]
fn a_refused_edit_says_why_and_where_it_is_as_long_as_it_is_there() {
    on_both(|site| {
        site.put("A", "{}");
        site.put("B", "{}");
        let refused = site.refused(1, Image::NotHere);
        site.reply(2, &[refused]);

        let Fate::Refused { number: Some(number), code, reason } = fate(site, 1) else { panic!("{:?}", fate(site, 1)) };
        assert_eq!((code.as_str(), reason.is_empty()), ("not_store_holder", false));
        assert_eq!(fate(site, 2), Fate::Accepted);
        site.copy.set_aside_remove(&[number]).unwrap();
        assert!(matches!(fate(site, 1), Fate::Refused { number: None, .. }));
        assert!(matches!(site.copy.fate(Sequence(1), Sequence(2)).unwrap(), Fate::Refused { .. }), "still known");
    });
}
