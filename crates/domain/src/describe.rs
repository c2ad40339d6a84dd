//! The catalogue as a page for people: `docs/data-types.md`.

use crate::catalogue::{Catalogue, DataType, Table};
use crate::seed_rows::{SeedRow, seed_rows};

/// Every table with its type, who writes it, who receives it, its header, and what is not carried yet. A test compares it with
/// `docs/data-types.md`.
pub fn data_types_page(catalogue: &Catalogue) -> String {
    let mut page = String::from(HEAD);
    for data_type in TYPES {
        let words = [data_type.as_str(), data_type.written_by(), data_type.goes_to(), state(*data_type)];
        push_line(&mut page, &words);
    }
    page.push_str(SEEDS_HEAD);
    for row in seed_rows() {
        push_seed_row(&mut page, &row);
    }
    page.push_str(TABLES_HEAD);
    for table in catalogue.tables() {
        push_table(&mut page, catalogue, table);
    }
    page
}

const HEAD: &str = "\
# Data types

<!-- Made from crates/domain/src/catalogue.toml; `UPDATE_GOLDEN=1 cargo test -p domain` writes it anew. -->

Every record belongs to a table, and the table's data type says who may write the record and who receives it. The agent asks
these rules before it records an edit, central asks the same rules before it applies one.

| Type | Written by | Goes to | Now |
| --- | --- | --- | --- |
";

const SEEDS_HEAD: &str = "
## What the seeds list

Every row of mSupply's own list (seed 000, \"Data types\"; one row of seed 001), with the tables that hold it. A row without a table has none
that we know. Whoever has one may declare it in the configuration: it gets the rule of store, central or local data, and no other. So
repeats, medication records, patient event types and prescription categories cannot get the rule of their row that way, and a declared
central table is the primary's in a mirrored system, also that of a row which stays with central. There a remote site, the primary, writes
central data (`outpost-central mirror enable`).

| Data | Type | Written by, mirrored | Tables | Remarks |
| --- | --- | --- | --- | --- |
";

const TABLES_HEAD: &str = "
## Rules

Rules that hold beside the table:

- The store of a record of store data never changes by an edit; an edit that would do it is refused (`owner_change`). Columns of central
  data that name a store are central's to change, like its other columns.
- In a mirrored system the primary writes central data, under the number of its grant (`central_data`, `ownership_number`), and central
  does not. Stores, their preferences, visibility of names but for patients, and dashboard reports are central's all the same; so are
  messages without a sender. The primary receives everything that hangs on stores and names, all patients, and what dispensaries need,
  whatever it sees itself; of the stores' own data it receives what any site does.
- A store is a dispensary while its `store_mode` is `dispensary`. When a site gets its first active dispensary it receives everything of
  type central_dispensary, and when it has lost the last one the records go from it.
- A line belongs to the store of its header. Without the header a device refuses it (`header_missing`); central waits for
  the header. A line whose header was deleted is refused (`header_deleted`), but it may be deleted.
- A record that was deleted may be made again, in the same store. That it was deleted stays at central for ever, a row in each lane that
  had the record, so that a site hears of it however long it was away.
- A message is made by the site that holds its sending store; with a blank sender by central alone (`sender_blank`). The receiving store
  must be one that central has (`receiver_unknown`). Between which stores it goes never changes (`owner_change`), nor what it says
  (`message_fixed`). Its status is `new` or `processed` and goes from the one to the other (`message_status`), set by the site that
  holds the receiving store, or by central where the receiver is blank (`not_receiver`). It may be made as `processed`: so a site hands
  it back to a central that was set back. Central alone deletes it, because two sites may have it, and central alone makes it again.
  It goes with the data of both stores, so that a collector of either receives its messages too.
- A patient is a record of `name` with type patient, and belongs to its home store, `supplying_store_id` (`home_store_missing`).
  Central may take one over without (`home_store_missing` for anybody else, and for what would hang on it `not_a_patient`): it alone
  writes it, and the first prescription that it accepts of the patient gives it the store of that, once, if a dispensary is active
  on the store's site; or `patient set-home-store` does. So it is with prescribers, but that no prescription decides.
  The site that holds that store writes it and what hangs on it (`not_home_site`), while some store that is active there is a
  dispensary (`no_dispensary`). The home store does not change by an edit (`owner_change`): central gives a patient another one
  (`outpost-central patient set-home-store`), and until the old home site has read that and sent what it had recorded, its
  device takes no more edits of the patient (`home_transfer`). What was recorded before and comes afterwards is refused
  (`ownership_number`). The columns `outpost_home_goes_to` and `outpost_home_transfers` say where a patient goes and how often
  it has done so; central alone sets them (`central_column`). A record does not go to another patient. What hangs on a patient
  needs it as a line needs its header (`header_missing`, `header_deleted`), and hangs on no other name (`not_a_patient`). A
  patient is no store's name (`patient_of_store`). It goes to the site of its home store, and where central or its own site made
  it visible in a store that is active or a collector there. A site makes visibility (`name_store_join`) only of its own
  patients, in a store that it holds (`not_store_holder`), and only new: what is there central alone changes (`central_data`). A
  new patient becomes visible by itself in the other dispensaries that are active on its site, in the same group, unless their
  records say otherwise (`outpost_hides_new_patients`; `outpost-central preference set new-patients-visible off --store ID`). One
  that central imports does not: it is visible where central says so (`outpost-central visibility add`).
- A record of `name_store_join` or `clinician_store_join` in which `inactive` is true makes nothing visible: it takes away what it gave
  before, as its delete would.
- A prescriber is a record of `clinician`, and belongs to its home store, `store_ID`, as a patient does: the site that holds that store
  and a dispensary writes it, and central gives it another home store (`outpost-central prescriber set-home-store`). It goes to the
  site of its home store, where a record of `clinician_store_join` makes it visible in a store that is active or a collector there,
  and to the sites with an active or collector copy of a dispensary in which it has prescribed (`prescriber_ID` of a transaction of
  that store). A site makes such visibility as it does that of patients; central, or the primary, writes the rest.
- A prescription is a transaction with mode `dispensary`; its patient is `name_ID`. It goes where its store goes, and while the
  preference `prescriptions-where-visible` is on (`outpost-central preference set`; central's also in a mirrored system) with its
  lines to the site of the patient's home store, and to every site with a store, active or collector, in which the patient is
  visible, or one that was merged with it. It is written by its store's site alone all the same.
- A prescription is made on a device in a store that is a dispensary (`no_dispensary`), for a patient that the site sees
  (`patient_not_seen`); an edit of one that is there needs neither. Central takes what was dispensed all the same: a device may not
  have heard that it sees a patient no more. A transaction of the same mode whose name is no patient's, such as a supplier's, is none.
- A purchase order is written, with its lines, by the site that holds its store. While the preference `centralised-procurement` is on
  (`outpost-central preference set`) the primary writes the orders of all stores: central, or the primary of a mirrored system, which
  then receives them beside those who receive the store's data. Anybody else is refused (`not_purchaser`), also the site of the
  store. A store whose site keeps procurement (`preference set local-procurement on --store ID`, `outpost_orders_locally` in the
  store's record) is closed to the primary. With the preference `supervisor-orders` the primary may make orders of any store beside
  the store's own: it says `\"outpost_ordered_by\":\"supervisor\"` in them. Until it is confirmed, nobody can
  edit or delete such an order (`not_purchaser`) while that preference is off, until it is on again, nor while procurement is
  centralised and its store's site keeps it. An order that is confirmed (`status` is `cn` or `fn`)
  stays with who confirmed it when procurement changes hands; every other one goes to the new owner, and what the old one sends of
  it afterwards is refused, also when procurement has come back meanwhile (`ownership_number`). Who confirmed stands in the order
  (`outpost_ordered_by`: `store` or `primary`): the edit that confirms it says it, which the device and central see to by
  themselves (`central_column`). Orders of before go to the primary, or from it, step by step while the server runs. What was
  received is store data all the same. An order that its site keeps for itself is that site's; if it is to go while procurement is
  centralised, or one is handed back by another than its writer to a central that was set back, it is refused and set aside for
  somebody to decide. Not built: that goods received go to who ordered; tenders, quotes and payments have no table.
- A store may keep data on its site. A dispensary that does not include its transactions in sync (`outpost-central preference
  set include-transactions off --store ID`) keeps transactions, with prescriptions and builds, stock lines and stocktakes; a
  store that is a transfer store on central (`outpost-central store set-role ID --site central transfer`) keeps all its Store
  data. Transactions, requisitions and purchase orders whose name is a store's (`name` with type `store`, or merged into one) go all
  the same, with goods received for such an order and log entries about a record of another site's store; of the second kind of store only
  if that store is not active on the same site; a line goes where its header goes; and what
  central has already goes on being synced. The store's record says it (`outpost_withholds_transactions`,
  `outpost_withholds_data`), so it holds from when its site has heard of it; that it ever kept all of its data the record says for good
  (`outpost_has_withheld_data`). What stays has the state `local` on its device, and
  no backup on central. Once it is to go, it goes whole with the next syncs, but for lines whose header was deleted while it
  stayed. A line that central has goes under no header that stays (`header_stays`), and a merge of locations stays as long as one
  of them does.
- A user (`user`) that a site makes goes to central, and is that site's for good: it alone writes it, and receives it again when its
  device is replaced (`user_of_other_site`). The record says where it was made (`outpost_made_on`), which the device sees to by
  itself (`central_column`). An application that records a user which exists elsewhere as well, out of a data file that its site
  starts with, says `\"outpost_is_existing\":true` in it: that user is Local, and central never hears of it. What a user is does
  not change afterwards. Central's own users are Local.
- A merge makes two records one. It is a record of ours (mSupply has no table for it that we know), in a table beside that of the
  records: its id is the record that goes, `into_ID` the one that stays. `outpost-central merge` writes it, in a mirrored system
  the primary by an edit, for items, units and names that are not those of stores (`merge_of_store`); both
  records must be there (`merge_record_missing`). No other site writes it (`central_data`). Patients are merged in a table of their
  own (`merge_table`), as prescribers are: by an edit of the site where both home stores are active, and where they are at two
  sites by central, or the primary (`not_home_site`). Each keeps its home store, and so whoever may edit it. References to a merged
  record are not rewritten: `get` and `records` say what it stands for, lists leave it out. Merges are taken in central's order, and
  each joins what the two records are by then; one that says nothing new, or the opposite of what is said (`merge_circle`), changes nothing.
  A row does not change (`merge_fixed`); central undoes a merge by deleting it. Neither record needs to stay: what was merged into
  a record that is deleted stands for that all the same. A store gets no name that was merged. Names, patients and prescribers
  that are one are visible wherever one of them is. Locations are merged by the site that holds their store, by an edit of
  `outpost_location_merge`; both are of that store (`merge_store_differs`).
- A table that is not listed is refused (`unknown_table`) until the configuration declares it with its name, its type (store,
  central or local) and its store column or header.
- A column that is not listed is kept and travels by its name. A column that only a newer program can name is shown as `#`
  and its number.

## Tables

\"Store\" is the column that holds the record's store, \"Header\" the table and column of the header that a line needs. A number
never changes its meaning.

| No. | Table | Type | Written by | Goes to | Store | Header | Remarks |
| --- | --- | --- | --- | --- | --- | --- | --- |
";

/// Who merges patients, and prescribers, for people.
pub const MERGED_BY: &str = "the site where both home stores are active, else central or the primary";

const TYPES: &[DataType] = &[
    DataType::Central,
    DataType::CentralDispensary,
    DataType::CentralStore,
    DataType::Name,
    DataType::Store,
    DataType::Patient,
    DataType::Message,
    DataType::NewUser,
    DataType::Sync,
    DataType::Local,
];

/// What of a type is there now.
fn state(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Central
        | DataType::CentralDispensary
        | DataType::CentralStore
        | DataType::Name
        | DataType::Message
        | DataType::NewUser
        | DataType::Local => "complete",
        DataType::Store => "complete but for transfers",
        DataType::Patient => "complete but for repeats",
        DataType::Sync => "refused (`not_supported`)",
    }
}

fn push_seed_row(page: &mut String, row: &SeedRow) {
    let tables: Vec<String> = row
        .tables()
        .map(|(name, data_type)| {
            let other = (data_type != row.data_type).then(|| format!(" ({})", data_type.as_str()));
            format!("`{name}`{}", other.unwrap_or_default())
        })
        .collect();
    let tables = if row.is_without_table() { "none that we know".to_owned() } else { tables.join(", ") };
    push_line(page, &[&row.data, row.data_type.as_str(), row.mirrored.as_str(), &tables, &row.note]);
}

fn push_table(page: &mut String, catalogue: &Catalogue, table: &Table) {
    let number = match table.reference() {
        protocol::ids::TableRef::Known(number) => number.to_string(),
        protocol::ids::TableRef::Named(_) => String::new(),
    };
    let merges_housed = table.merges().is_some() && table.data_type() == DataType::Patient;
    let writer = if merges_housed { MERGED_BY } else { table.data_type().written_by() };
    let receivers = table.data_type().goes_to();
    let store = match (table.data_type(), table.store_column()) {
        (DataType::Central, _) | (_, None) => String::new(),
        (_, Some(column)) => format!("`{column}`"),
    };
    let header = table.parent().map_or_else(String::new, |parent| {
        format!("`{}` by `{}`", catalogue.table_name(&parent.table), table.name_of(&parent.column))
    });
    let mut remarks = Vec::new();
    if !table.is_supported() {
        remarks.push("Not carried yet.".to_owned());
    }
    for (condition, data_type) in table.exceptions() {
        let state = if table.supports(data_type) { "" } else { ", not carried yet" };
        remarks.push(format!("Where {condition}: {}{state}.", data_type.as_str()));
    }
    if table.is_dispensary() {
        remarks.push("Dispensary.".to_owned());
    }
    remarks.extend(table.note().map(str::to_owned));
    let name = format!("`{}`", table.name());
    let remarks = remarks.join(" ");
    push_line(page, &[&number, &name, table.data_type().as_str(), writer, receivers, &store, &header, &remarks]);
}

fn push_line(page: &mut String, cells: &[&str]) {
    for cell in cells {
        page.push_str("| ");
        // A bar would end the cell, and an angle bracket would be taken for markup.
        page.push_str(&cell.replace('|', "\\|").replace('<', "&lt;"));
        page.push(' ');
    }
    page.push_str("|\n");
}
