//! Invariant 10 on a small scale: whatever two sites and central do, in whatever pieces it travels, in the end every site has
//! what central has for it, nothing is unsent and nothing waits whose header exists.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use protocol::ids::ScopeId;

use super::*;

const TABLES: [&str; 4] = ["transact", "trans_line", "item", "store"];

/// What happens; numbers are reduced to what there is.
#[derive(Debug, Clone)]
enum Event {
    /// A site records a group of edits: kind, record, header.
    Record(bool, Vec<(u8, u8, u8)>),
    /// A site pushes at most so many entries, and reads so many pages of so many rows.
    Sync(bool, usize, usize, usize),
    /// Central writes an item.
    Item(u8, bool),
    /// Central starts again.
    Restart,
    /// A site loses its local copy.
    Wipe(bool),
}

fn any_event() -> impl Strategy<Value = Event> {
    let group = proptest::collection::vec((0..9_u8, 0..5_u8, 0..4_u8), 1..4);
    prop_oneof![
        5 => (any::<bool>(), group).prop_map(|(site, edits)| Event::Record(site, edits)),
        5 => (any::<bool>(), 0..6_usize, 0..5_usize, 1..4_usize)
            .prop_map(|(site, entries, pages, rows)| Event::Sync(site, entries, pages, rows)),
        2 => (0..3_u8, any::<bool>()).prop_map(|(item, delete)| Event::Item(item, delete)),
        1 => Just(Event::Restart),
        1 => any::<bool>().prop_map(Event::Wipe),
    ]
}

fn line(site: usize, (kind, record, header): (u8, u8, u8)) -> String {
    match kind {
        0 | 1 => format!(r#"put transact {site}T{header} {{"store_ID":"S{site}","status":"{record}"}}"#),
        2 => format!(r#"patch transact {site}T{header} {{"comment":"{record}"}}"#),
        3 => format!("delete transact {site}T{header}"),
        4 | 5 => {
            format!(r#"put trans_line {site}L{record} {{"transaction_ID":"{site}T{header}","quantity":{record}}}"#)
        }
        6 => format!(r#"patch trans_line {site}L{record} {{"quantity":{header}}}"#),
        7 => format!("delete trans_line {site}L{record}"),
        // Refused: central's data.
        _ => format!(r#"patch item I{} {{"code":"mine"}}"#, header % 3),
    }
}

struct Run {
    world: World,
    devices: [Device; 2],
    epoch: u64,
}

impl Run {
    fn new() -> Self {
        let mut world = World::in_memory();
        let devices = [world.device(&["S0"]), world.device(&["S1"])];
        Self { world, devices, epoch: 100 }
    }

    fn step(&mut self, event: &Event) {
        match event {
            Event::Record(site, edits) => {
                let site = usize::from(*site);
                let lines: Vec<String> = edits.iter().map(|edit| line(site, *edit)).collect();
                self.devices[site].record(&lines.iter().map(String::as_str).collect::<Vec<_>>());
            }
            Event::Sync(site, entries, pages, rows) => {
                let device = &mut self.devices[usize::from(*site)];
                device.push_some(&mut self.world, *entries);
                for index in 0..*pages {
                    let scope: ScopeId = device.scopes[index % device.scopes.len()].scope.clone();
                    device.read(&mut self.world, &scope, *rows, 400);
                }
            }
            Event::Item(item, true) => {
                self.world.import(ImportMode::Continue, &[&format!("delete item I{item}")]);
            }
            Event::Item(item, false) => {
                let line = format!(r#"upsert item I{item} {{"code":"{}"}}"#, self.world.now_ms);
                self.world.write(&[&line]);
            }
            Event::Restart => {
                self.epoch += 1;
                self.world.restart(self.epoch);
            }
            Event::Wipe(site) => {
                // Only when nothing is under way: a device that has unsent edits keeps them apart from its local copy.
                let device = &mut self.devices[usize::from(*site)];
                device.push(&mut self.world);
                device.wipe_copy();
            }
        }
        self.world.now_ms += 1;
    }

    fn check_end(&mut self) {
        for device in &mut self.devices {
            for _ in 0..3 {
                device.sync(&mut self.world);
            }
            assert_eq!(device.received, device.entries.len() as u64);
            assert_eq!(device.judged, device.received);
        }
        for (site, device) in self.devices.iter().enumerate() {
            let mut here = BTreeMap::new();
            for ((table, record), (_, row)) in &device.base {
                let catalogue = self.world.store.catalogue();
                let table = catalogue.table(table).unwrap();
                let data = domain::json::row_to_json(table, record, row);
                here.insert((table.name().to_owned(), record.to_string()), data);
            }
            let mut there = BTreeMap::new();
            for table in TABLES {
                for row in self.world.store.reading().records(table, Merged::Listed, None, 1000).unwrap() {
                    // No store sees another here: each site has its own store's record alone.
                    let own = Some(id(&format!("S{site}")));
                    let is_for_site =
                        if table == "store" { Some(&row.id) == own.as_ref() } else { row.store.is_none() };
                    if is_for_site || row.store == own {
                        there.insert((table.to_owned(), row.id.to_string()), row.data.unwrap());
                    }
                }
            }
            assert_eq!(here, there, "site {site}");
            let status = self.world.store.reading().site_status(device.site).unwrap().unwrap();
            assert_eq!((status.rows_waiting, status.unjudged_entries), (0, 0));
        }
        self.check_waiting();
    }

    /// Nothing waits for a header that is here, and each verdict was told once at the most.
    fn check_waiting(&mut self) {
        let mut waits_for = Vec::new();
        let sql = &mut self.world.store.sql;
        // A record for which earlier entries wait is waited for too, here or not.
        let for_headers = "SELECT for_record FROM waiting WHERE for_table = 'transact' AND NOT EXISTS (
            SELECT 1 FROM waiting other WHERE other.table_name = 'transact' AND other.record = waiting.for_record)";
        sql.query(for_headers, &[], &mut |row| {
            waits_for.push(row.text(0)?.to_owned());
            Ok(std::ops::ControlFlow::Continue(()))
        })
        .unwrap();
        let kept = sql.query_integer("SELECT count(*) FROM waiting", &[]).unwrap().unwrap();
        assert_eq!(kept.cast_unsigned(), self.world.store.state.waiting);
        for header in waits_for {
            assert_eq!(self.world.data("transact", &header), "unknown");
        }
        for device in &self.devices {
            let mut seen = BTreeSet::new();
            for (sequence, code) in &device.told {
                assert!(seen.insert((sequence, code == "waiting")), "{sequence} {code} in {:?}", device.told);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_site_ends_with_what_central_has(events in proptest::collection::vec(any_event(), 1..40)) {
        let mut run = Run::new();
        for event in &events {
            run.step(event);
        }
        run.check_end();
    }
}
