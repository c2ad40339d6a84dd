//! Stores that central takes away, to give them to another site: nobody records in them, and what is here of them goes in order.

use domain::edit::EditOp;
use protocol::control::{Control, Dropped, Grant, GrantsTold};
use protocol::ids::{GrantProof, OwnershipNumber};

use super::super::StoreRole;
use super::site::*;

fn grant(number: u32, is_held: bool) -> Control {
    let (store, ownership) = (STORE.to_owned(), OwnershipNumber(number));
    Control::Grant(Grant { store, ownership, is_held, proof: GrantProof([1; 16]), number_gaps: 0 })
}

fn told() -> Control {
    Control::GrantsTold(GrantsTold { grants: 1 })
}

fn may_write(site: &mut Site, id: &str) -> bool {
    site.try_edit(EditOp::Put, "transact", id, &with_store("{}"))
}

/// The store is taken away while its records are here.
fn frozen(site: &mut Site) {
    site.page(vec![image("A", 90, "{}")]);
    site.reply(0, &[grant(1, false)]);
}

fn shown(site: &mut Site) -> Vec<(String, u32)> {
    let taken = site.copy.session_state().unwrap().claims.taken.into_iter();
    taken.map(|taken| (taken.store, taken.ownership.0)).collect()
}

#[test]
fn a_store_that_is_taken_away_can_be_read_until_it_is_dropped_and_comes_back_under_a_higher_number() {
    on_both(|site| {
        frozen(site);
        site.reopen();

        assert_eq!(site.copy.frozen_stores().unwrap(), [STORE]);
        assert!(!may_write(site, "new") && site.copy.grants().unwrap().is_empty());
        assert_eq!((site.shown("A"), shown(site)), ("{}".to_owned(), vec![]));
        assert_eq!(site.copy.store_role(&record_id(STORE)).unwrap(), StoreRole::Collector);

        site.reply(0, &[Control::Dropped(Dropped { scope: store_scope() })]);
        while site.copy.sweep_step().unwrap() {}

        assert!(site.copy.frozen_stores().unwrap().is_empty());
        assert_eq!(site.shown("A"), "-");
        let catalogue = domain::catalogue::Catalogue::embedded();
        let table = catalogue.table_by_name("transact").unwrap();
        assert!(!site.copy.has_of_store(table, &record_id(STORE)).unwrap());
        site.reply(0, &[grant(3, true)]);
        assert!(may_write(site, "new"));
        assert_eq!(site.copy.grants().unwrap(), [(STORE.to_owned(), OwnershipNumber(3))]);
    });
}

#[test]
fn a_grant_that_was_taken_away_and_is_told_again_is_not_taken_up_but_shown() {
    on_both(|site| {
        frozen(site);

        site.reply(0, &[grant(1, true), told()]);
        site.reopen();

        assert!(!may_write(site, "new"));
        assert_eq!(shown(site), [(STORE.to_owned(), 1)]);
        assert!(site.copy.session_state().unwrap().claims.grants.is_empty());
        site.reply(0, &[grant(1, false)]);
        assert_eq!((shown(site), site.copy.frozen_stores().unwrap()), (vec![], vec![STORE.to_owned()]));
        // Also where it was dropped already, and given back as it was before that.
        site.reply(0, &[Control::Dropped(Dropped { scope: store_scope() }), grant(1, true), told()]);
        assert_eq!(shown(site), [(STORE.to_owned(), 1)]);
        site.reply(0, &[grant(1, false)]);
        assert_eq!((shown(site), site.copy.frozen_stores().unwrap()), (vec![], vec![]));
        site.reply(0, &[grant(2, true)]);
        assert!(may_write(site, "new"));
    });
}

#[test]
fn what_central_lost_of_a_store_that_is_being_taken_away_is_handed_back_and_of_one_that_is_gone_is_not() {
    on_both(|site| {
        for is_dropped in [false, true] {
            frozen(site);
            if is_dropped {
                // A collector copy came since.
                site.reply(0, &[Control::Dropped(Dropped { scope: store_scope() })]);
                while site.copy.sweep_step().unwrap() {}
                site.page(vec![image("A", 90, "{}")]);
            }
            site.copy.begin_other_time_line().unwrap();

            let page = site.page_of(&store_scope(), vec![image("A", 3, r#"{"comment":"old"}"#)], true);
            let outranked = site.copy.outranked_by(&page).unwrap();

            assert_eq!(outranked.len(), usize::from(!is_dropped));
            assert!(outranked.iter().all(|record| record.ownership == OwnershipNumber(1)));
            site.store_page(&page).unwrap();
            while site.copy.sweep_step().unwrap() {}
        }
    });
}

/// The simulator's find (seed 155): the record stayed for ever, of a store that was elsewhere.
#[test]
fn what_gets_its_verdict_with_the_row_that_takes_its_store_away_goes_with_the_store() {
    on_both(|site| {
        for number in [9, 10] {
            site.reply(site.last(), &[grant(number, true)]);
            if number == 10 {
                site.page(vec![image("A", 90, "{}")]);
            }
            site.put("B", "{}");
            let judged = site.last() - 1;
            site.reply(judged, &[grant(number, false)]);
            assert_eq!(site.shown("B"), "{}");

            let last = site.last();
            site.reply(last, &[Control::Dropped(Dropped { scope: store_scope() })]);
            while site.copy.sweep_step().unwrap() {}

            assert_eq!((site.shown("A"), site.shown("B")), ("-".to_owned(), "-".to_owned()));
            assert_eq!((site.count("membership"), site.count("pending")), (0, 0));
        }
    });
}
