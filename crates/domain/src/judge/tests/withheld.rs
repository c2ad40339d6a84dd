//! What stays on a device although it is Store data.

use super::*;

fn dispensary(says: &str) -> World {
    let mut world = World::new();
    world.here("store", "S1", None, &format!(r#"{{"store_mode":"dispensary"{says}}}"#));
    world.here("name", "NS", None, r#"{"type":"store","code":"2"}"#);
    world.here("name", "NHERE", None, r#"{"type":"store","code":"3"}"#);
    world
}

/// Keeps its transactions.
fn keeps_transactions() -> World {
    dispensary(r#","outpost_withholds_transactions":true"#)
}

impl World {
    /// A record that is on the device and nowhere else.
    fn stays(&mut self, table: &str, record: &str, data: &str) {
        self.here(table, record, Some("S1"), data);
        let key = self.key(table, record);
        self.withheld.insert(key);
    }

    fn is_private(&mut self, edit: &str) -> bool {
        let outcome = self.outcome(Side::Device, HERE, edit);
        assert!(outcome.starts_with("accept"), "{edit}: {outcome}");
        outcome.ends_with("private")
    }
}

#[test]
fn a_dispensary_that_does_not_include_transactions_keeps_them_with_stock_lines_and_stocktakes() {
    for (edit, expected) in [
        (r#"put transact N {"store_ID":"S1","name_ID":"N1"}"#, true),
        (r#"put transact N {"store_ID":"S1","name_ID":"unknown"}"#, true),
        (r#"put transact N {"store_ID":"S1"}"#, true),
        (r#"put item_line N {"store_ID":"S1","name_ID":"NS"}"#, true),
        (r#"put Stock_take N {"store_ID":"S1"}"#, true),
        // What another store has a part in, and the rest.
        (r#"put transact N {"store_ID":"S1","name_ID":"NS"}"#, false),
        (r#"put transact N {"store_ID":"S1","name_ID":"NHERE"}"#, false),
        (r#"put requisition N {"store_ID":"S1","name_ID":"N1"}"#, false),
        (r#"put Location N {"store_ID":"S1"}"#, false),
        (r#"put number N {"name":"customer_invoice_for_store_S1"}"#, false),
        // What central has goes on.
        (r#"patch transact T1 {"status":"fn"}"#, false),
        ("delete transact T1", false),
        (r#"put trans_line N {"transaction_ID":"T1"}"#, false),
        // Another store.
        (r#"put#4 transact N {"store_ID":"S2","name_ID":"N1"}"#, false),
    ] {
        assert_eq!(keeps_transactions().is_private(edit), expected, "{edit}");
        assert!(!dispensary("").is_private(edit), "{edit}");
        let mut central = keeps_transactions();
        assert!(!central.outcome(Side::Central, HERE, edit).contains("private"), "central takes what comes: {edit}");
    }
}

#[test]
fn a_line_goes_where_its_header_goes() {
    for mut world in [keeps_transactions(), dispensary("")] {
        world.stays("transact", "W", r#"{"store_ID":"S1"}"#);
        assert!(world.is_private(r#"put trans_line N {"transaction_ID":"W"}"#));
        assert!(!world.is_private(r#"put trans_line N {"transaction_ID":"T1"}"#));
    }
}

#[test]
fn what_stayed_stays_until_its_store_or_its_name_says_otherwise() {
    let mut world = keeps_transactions();
    world.stays("transact", "W", r#"{"store_ID":"S1","name_ID":"N1"}"#);
    world.stays("trans_line", "WL", r#"{"transaction_ID":"W"}"#);

    assert!(world.is_private(r#"patch transact W {"status":"fn"}"#));
    assert!(world.is_private(r#"patch trans_line WL {"quantity":1}"#));
    assert!(!world.is_private(r#"patch transact W {"name_ID":"NS"}"#));
    world.here("store", "S1", None, r#"{"store_mode":"dispensary"}"#);
    assert!(!world.is_private(r#"patch transact W {"status":"fn"}"#));
    assert!(world.is_private("delete transact W"), "nobody else ever had it");
    assert!(world.is_private(r#"patch trans_line WL {"quantity":1}"#), "its header is not gone yet");
}

#[test]
fn a_store_that_is_a_transfer_store_on_central_keeps_all_its_data_but_transfers() {
    let keeps = || dispensary(r#","outpost_withholds_data":true"#);
    for (edit, expected) in [
        (r#"put transact N {"store_ID":"S1","name_ID":"N1"}"#, true),
        (r#"put transact N {"store_ID":"S1","name_ID":"NS"}"#, false),
        (r#"put transact N {"store_ID":"S1","name_ID":"NHERE"}"#, true),
        (r#"put requisition N {"store_ID":"S1","name_ID":"N1"}"#, true),
        (r#"put requisition N {"store_ID":"S1","name_ID":"NS"}"#, false),
        (r#"put purchase_order N {"store_ID":"S1","name_ID":"NS"}"#, false),
        (r#"put Location N {"store_ID":"S1"}"#, true),
        (r#"put number N {"name":"customer_invoice_for_store_S1"}"#, true),
        (r#"patch transact T1 {"status":"fn"}"#, false),
    ] {
        assert_eq!(keeps().is_private(edit), expected, "{edit}");
    }
    let mut world = keeps();
    world.here("Location", "L1", Some("S1"), r#"{"store_ID":"S1"}"#);
    world.here("Location", "L2", Some("S1"), r#"{"store_ID":"S1"}"#);
    world.stays("Location", "W", r#"{"store_ID":"S1"}"#);
    assert!(world.is_private(r#"put outpost_location_merge W {"store_ID":"S1","into_ID":"L2"}"#));
    assert!(!world.is_private(r#"put outpost_location_merge L1 {"store_ID":"S1","into_ID":"L2"}"#));
}

#[test]
fn halves_of_transfers_their_lines_and_log_entries_go_whatever_their_store_keeps() {
    for says in [r#","outpost_withholds_transactions":true"#, r#","outpost_withholds_data":true"#] {
        let mut world = dispensary(says);
        world.here("outpost_name_merge", "NOLD", None, r#"{"into_ID":"NS"}"#);
        world.here("purchase_order", "O", Some("S1"), r#"{"store_ID":"S1","name_ID":"NS","status":"cn"}"#);
        world.here("transact", "THEIRS", Some("S9"), r#"{"store_ID":"S9","type":"ci","status":"fn"}"#);
        world.here("transact", "H", Some("S1"), r#"{"store_ID":"S1","type":"si","name_ID":"NS"}"#);
        for edit in [
            r#"put transact N {"store_ID":"S1","name_ID":"NS","type":"ci","status":"fn"}"#,
            r#"put transact N {"store_ID":"S1","name_ID":"NOLD","type":"ci","status":"fn"}"#,
            r#"put transact N {"store_ID":"S1","name_ID":"NS","type":"si","status":"nw","hold":true}"#,
            r#"put trans_line N {"transaction_ID":"H"}"#,
            r#"patch transact H {"invoice_num":7}"#,
            r#"put Goods_received N {"store_ID":"S1","purchase_order_ID":"O"}"#,
            r#"put om_activity_log N {"store_ID":"S1","record_ID":"THEIRS","type":"INVOICE_NUMBER_ALLOCATED"}"#,
        ] {
            assert!(!world.is_private(edit), "{says}: {edit}");
        }
    }
}

#[test]
fn a_store_that_keeps_its_data_keeps_log_entries_and_goods_that_are_its_own_affair() {
    let mut world = dispensary(r#","outpost_withholds_data":true"#);
    world.here("purchase_order", "O", Some("S1"), r#"{"store_ID":"S1","name_ID":"N1","status":"cn"}"#);
    world.here("transact", "OURS", Some("S1"), r#"{"store_ID":"S1","type":"ci"}"#);
    for edit in [
        r#"put Goods_received N {"store_ID":"S1","purchase_order_ID":"O"}"#,
        r#"put Goods_received N {"store_ID":"S1"}"#,
        r#"put om_activity_log N {"store_ID":"S1","record_ID":"OURS"}"#,
        r#"put om_activity_log N {"store_ID":"S1","record_ID":"nowhere"}"#,
    ] {
        assert!(world.is_private(edit), "{edit}");
    }
}

#[test]
fn a_draft_that_stayed_goes_once_it_is_addressed_to_a_store() {
    let mut world = keeps_transactions();
    world.stays("transact", "W", r#"{"store_ID":"S1","name_ID":"N1","type":"ci","status":"nw"}"#);

    assert!(world.is_private(r#"patch transact W {"status":"cn"}"#));
    assert!(!world.is_private(r#"patch transact W {"name_ID":"NS","status":"fn"}"#));
}
