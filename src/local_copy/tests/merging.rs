//! What merges of central's do to reading (rule 5.19).

use domain::catalogue::Catalogue;
use domain::edit::EditOp;
use domain::merge::Merged;
use domain::scope::Scope;
use protocol::page::PageRow;

use super::site::*;

/// The row of a merge at a place in central's order.
fn merge(from: &str, into: &str, position: u64) -> PageRow {
    image_of("outpost_item_merge", from, position, &format!(r#"{{"into_ID":"{into}"}}"#))
}

fn item(id: &str) -> PageRow {
    image_of("item", id, 1, r#"{"item_name":"x"}"#)
}

impl Site {
    /// Rows of what every site receives.
    fn shared(&mut self, rows: Vec<PageRow>) {
        let page = self.page_of(&Scope::AllSites.to_id(), rows, false);
        self.store_page(&page).unwrap();
    }

    /// What each of these items stands for.
    fn ends(&mut self, ids: &[&str]) -> Vec<String> {
        let catalogue = Catalogue::embedded();
        let table = catalogue.table_by_name("item").unwrap();
        let end = |id: &&str| self.copy.stands_for(table, id).unwrap().map_or(id.to_string(), |end| end.to_string());
        ids.iter().map(end).collect()
    }

    /// The ids of the listed items, `limit` at a time.
    fn items(&mut self, merged: Merged, limit: u32) -> Vec<String> {
        let catalogue = Catalogue::embedded();
        let table = catalogue.table_by_name("item").unwrap();
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = self.copy.list(table, None, merged, after.as_deref(), limit).unwrap();
            ids.extend(page.items.iter().map(|view| view.id.clone()));
            after = page.next(|view| view.id.clone());
            if after.is_none() {
                return ids;
            }
        }
    }
}

#[test]
fn a_merged_record_keeps_its_data_and_is_left_out_of_lists() {
    on_both(|site| {
        site.shared(["A", "B", "C", "D"].map(item).to_vec());
        let before = site.view("item", "A");
        site.shared(vec![merge("A", "C", 5), merge("B", "C", 6)]);

        assert_eq!(site.view("item", "A"), before);
        assert_eq!(site.ends(&["A", "B", "C", "D"]), ["C", "C", "C", "D"]);
        for limit in [1, 2, 9] {
            assert_eq!(site.items(Merged::LeftOut, limit), ["C", "D"]);
            assert_eq!(site.items(Merged::Listed, limit), ["A", "B", "C", "D"]);
        }
        let catalogue = Catalogue::embedded();
        let unit = catalogue.table_by_name("unit").unwrap();
        assert_eq!(site.copy.stands_for(unit, "A").unwrap(), None, "a unit of the same id is another matter");
    });
}

#[test]
fn merges_that_come_before_their_records_and_in_any_order_have_the_same_end() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut site = Site::in_memory();
        let rows = [merge("A", "B", 5), merge("C", "D", 6), merge("B", "D", 7)];
        for index in order {
            site.shared(vec![rows[index].clone()]);
            site.shared(vec![rows[index].clone()]);
        }
        assert!(site.items(Merged::Listed, 9).is_empty());
        assert_eq!(site.ends(&["A", "B", "C", "D"]), ["D"; 4], "{order:?}");

        site.shared(["A", "B", "C", "D"].map(item).to_vec());

        assert_eq!(site.items(Merged::LeftOut, 9), ["D"]);
    }
}

#[test]
fn what_was_merged_into_a_deleted_record_stands_for_it_all_the_same() {
    on_both(|site| {
        site.shared(vec![item("A"), item("B"), merge("A", "B", 5)]);

        site.shared(vec![PageRow { row: None, ..image_of("item", "B", 6, "{}") }]);

        assert_eq!(site.ends(&["A"]), ["B"]);
        assert!(site.items(Merged::LeftOut, 9).is_empty());
    });
}

#[test]
fn a_merge_that_central_undid_is_gone_here() {
    on_both(|site| {
        site.shared(vec![item("A"), item("B"), item("C"), merge("A", "B", 5), merge("B", "C", 6)]);

        site.shared(vec![PageRow { row: None, ..merge("B", "C", 7) }]);

        assert_eq!(site.ends(&["A", "B"]), ["B", "B"]);
        assert_eq!(site.items(Merged::LeftOut, 9), ["B", "C"]);
        // Made again the other way round.
        site.shared(vec![merge("C", "A", 8)]);
        assert_eq!(site.ends(&["A", "B", "C"]), ["B"; 3]);
    });
}

#[test]
fn rows_of_two_time_lines_that_make_a_circle_have_an_end() {
    on_both(|site| {
        site.shared(vec![merge("A", "B", 5), merge("B", "C", 6), merge("C", "A", 7), merge("D", "A", 3)]);

        assert_eq!(site.ends(&["A", "B", "C", "D"]), ["C"; 4]);
    });
}

#[test]
fn an_edit_that_names_a_merged_record_stays_as_it_was_written() {
    on_both(|site| {
        site.shared(vec![item("A"), item("B")]);
        site.page(vec![image("T", 1, "{}")]);
        assert!(site.try_edit(EditOp::Put, "trans_line", "L", r#"{"transaction_ID":"T","item_ID":"A"}"#));

        site.shared(vec![merge("A", "B", 5)]);

        assert!(site.try_edit(EditOp::Put, "trans_line", "M", r#"{"transaction_ID":"T","item_ID":"A"}"#));
        for line in ["L", "M"] {
            assert!(site.view("trans_line", line).unwrap().data.contains(r#""item_ID":"A""#));
        }
        assert!(!site.try_edit(EditOp::Put, "outpost_item_merge", "B", r#"{"into_ID":"A"}"#), "a site merges nothing");
    });
}
