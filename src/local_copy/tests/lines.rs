//! Lines of a header that central has in another store than this site had read when they were recorded.

use std::ops::ControlFlow;

use domain::edit::EditOp;
use domain::scope::Scope;
use protocol::control::{Control, Grant, Image};
use protocol::ids::{GrantProof, OwnershipNumber, Position};

use super::site::*;

const OTHER_STORE: &str = "S2";

/// The site holds another store too.
fn grant_other_store(site: &mut Site) {
    let grant = Grant {
        store: OTHER_STORE.to_owned(),
        ownership: OwnershipNumber(1),
        is_held: true,
        proof: GrantProof([0; 16]),
        number_gaps: 0,
    };
    site.reply(0, &[Control::Grant(grant)]);
}

/// Central refuses the first entry, a transaction of [`STORE`], because it has one under the id in the other store.
fn refused_for_one_of_other_store(site: &Site, id: &str) -> Control {
    let row = image_of("transact", id, 5, &format!(r#"{{"store_ID":"{OTHER_STORE}"}}"#)).row.unwrap();
    site.refused(1, Image::Here { position: Position(5), row: row.to_bytes() })
}

fn put_line(site: &mut Site, id: &str, header: &str) {
    let data = format!(r#"{{"transaction_ID":"{header}"}}"#);
    assert!(site.try_edit(EditOp::Put, "trans_line", id, &data));
}

fn store_of(site: &mut Site, table: &str, id: &str) -> Option<String> {
    site.view(table, id).unwrap().store
}

/// The members of a store's scope.
fn members(site: &mut Site, store: &str) -> Vec<String> {
    let (scope, mut ids) = (Scope::Store(record_id(store)).to_id(), Vec::new());
    let sql = "SELECT membership.id FROM membership JOIN scope ON scope.number = membership.scope
        WHERE scope.scope_id = ?1 ORDER BY membership.id";
    let read = &mut |row: &dyn sql::Row| {
        ids.push(row.text(0)?.to_owned());
        Ok(ControlFlow::Continue(()))
    };
    site.copy.sql.query(sql, &[scope.as_bytes().into()], read).unwrap();
    ids
}

/// Found by the simulator (seed 19003997): a device recovered, recorded a prescription and a line before it had read anything, and central
/// had the prescription in another store. It took the line under that, and `verify` found it in the scope of the first store for ever.
#[test]
fn a_line_that_central_accepts_is_of_the_store_of_the_header_that_central_has() {
    on_both(|site| {
        grant_other_store(site);
        site.put("H", "{}");
        put_line(site, "L", "H");
        assert_eq!(store_of(site, "trans_line", "L").as_deref(), Some(STORE));

        let refused = refused_for_one_of_other_store(site, "H");
        site.reply(2, &[refused]);

        assert_eq!(store_of(site, "trans_line", "L").as_deref(), Some(OTHER_STORE));
        assert_eq!((members(site, STORE), members(site, OTHER_STORE)), (vec![], vec!["H".to_owned(), "L".to_owned()]));
    });
}

#[test]
fn so_is_one_with_edits_that_have_no_verdict_yet() {
    on_both(|site| {
        grant_other_store(site);
        site.put("H", "{}");
        put_line(site, "L", "H");
        assert!(site.try_edit(EditOp::Patch, "trans_line", "L", r#"{"quantity":2}"#));

        let refused = refused_for_one_of_other_store(site, "H");
        site.reply(2, &[refused]);
        assert_eq!(members(site, STORE), Vec::<String>::new());
        site.reply(3, &[]);

        assert_eq!(store_of(site, "trans_line", "L").as_deref(), Some(OTHER_STORE));
        assert_eq!((members(site, STORE), members(site, OTHER_STORE)), (vec![], vec!["H".to_owned(), "L".to_owned()]));
    });
}

#[test]
fn a_change_that_central_accepts_leaves_a_header_in_the_store_that_central_has_it_in() {
    on_both(|site| {
        grant_other_store(site);
        site.put("H", "{}");
        site.patch("H", r#"{"comment":"changed"}"#);
        put_line(site, "L", "H");

        let refused = refused_for_one_of_other_store(site, "H");
        site.reply(3, &[refused]);

        assert_eq!(store_of(site, "transact", "H").as_deref(), Some(OTHER_STORE));
        assert!(site.view("transact", "H").unwrap().data.contains("changed"));
        assert_eq!((members(site, STORE), members(site, OTHER_STORE)), (vec![], vec!["H".to_owned(), "L".to_owned()]));
    });
}
