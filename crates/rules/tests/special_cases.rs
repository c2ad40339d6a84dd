//! One test for each special case of who may write what and who receives it (domain.md, "Data types" and "Special cases").

mod support;

use rules::*;
use support::*;

#[test]
fn central_data_is_the_primary_s_and_goes_to_every_site() {
    check(&example(), &Record::Central, &[1], &[1, 2, 3]);
    check(&mirrored_example(), &Record::Central, &[4], &[1, 2, 3, 4]);
    check(&example(), &Record::TravellingPreference, &[1], &[1, 2, 3]);
    check(&mirrored_example(), &Record::TravellingPreference, &[4], &[1, 2, 3, 4]);
}

#[test]
fn reports_of_the_dashboard_and_authorisers_stay_with_central_in_a_mirrored_system() {
    check(&mirrored_example(), &Record::CentralOfServer, &[1], &[1, 2, 3, 4]);
}

#[test]
fn dispensary_words_go_where_a_dispensary_is_active_and_leave_with_it() {
    let mut world = mirrored_example();
    check(&world, &Record::CentralDispensary, &[4], &[1, 4]);

    world.stores.get_mut("B").unwrap().mode = Mode::Dispensary;
    check(&world, &Record::CentralDispensary, &[4], &[1, 2, 4]);

    // The copies of a dispensary that are not active do not count.
    world.stores.get_mut("B").unwrap().active_site = REMOTE_2;
    check(&world, &Record::CentralDispensary, &[4], &[1, 3, 4]);
}

#[test]
fn names_are_made_visible_on_central_and_items_and_patients_on_the_primary() {
    let mut world = mirrored_example();
    world.patients.insert("Pia".to_owned(), Patient::default());
    world.prescribers.insert("Dr D".to_owned(), Prescriber::default());
    let store = "D".to_owned();

    check(&world, &Record::NameVisibility { name: "supplier".to_owned(), store: store.clone() }, &[1], &[1, 3, 4]);
    check(&world, &Record::ItemVisibility { store: store.clone() }, &[4], &[1, 3, 4]);
    let of_patient = Record::PatientVisibility { patient: "Pia".to_owned(), store: store.clone(), is_new: false };
    check(&world, &of_patient, &[4], &[1, 3, 4]);
    let of_prescriber = Record::PrescriberVisibility { prescriber: "Dr D".to_owned(), store, is_new: false };
    check(&world, &of_prescriber, &[4], &[1, 3, 4]);
}

#[test]
fn joins_to_a_name_go_where_the_name_is_visible() {
    let mut world = mirrored_example();
    show(&mut world, "supplier", "D");
    show(&mut world, "donor", "F");
    let join = |name: &str| Record::NameJoin { name: name.to_owned() };

    check(&world, &join("supplier"), &[4], &[1, 3, 4]);
    check(&world, &join("donor"), &[4], &[1, 2, 4]);
    check(&world, &join("nobody's"), &[4], &[1, 4]);
    // A store's own name is visible wherever the store is, as a transfer copy too.
    check(&world, &join(&name_of("C")), &[4], &[1, 2, 3, 4]);
    // A transfer copy of B does not show B's names on remote site 2.
    show(&mut world, "customer", "B");
    check(&world, &join("customer"), &[4], &[1, 2, 4]);
}

#[test]
fn a_patient_is_edited_on_its_home_site_and_goes_where_it_is_visible() {
    let mut world = clinic();
    check(&world, &patient("Pia"), &[2], &[1, 2]);

    show(&mut world, "Pia", "Q");
    check(&world, &patient("Pia"), &[2], &[1, 2, 3]);
    check(&world, &Record::Repeat { patient: "Pia".to_owned() }, &[2], &[1, 2, 3]);
}

#[test]
fn a_transfer_copy_of_a_store_brings_none_of_its_patients() {
    let mut world = clinic();
    show(&mut world, &name_of("P"), "Q");
    assert_eq!(role(&world, "P", REMOTE_2), Ok(Role::Transfer));
    check(&world, &patient("Pia"), &[2], &[1, 2]);

    set(&mut world, "P", REMOTE_2, Role::Collector);
    check(&world, &patient("Pia"), &[2], &[1, 2, 3]);
}

#[test]
fn a_mirrored_primary_has_every_patient() {
    let mut world = clinic();
    world.sites.insert(PRIMARY, SiteKind::Standalone);
    world.mirrored_primary = Some(PRIMARY);

    check(&world, &patient("Pia"), &[2], &[1, 2, 4]);
}

#[test]
fn a_home_site_without_an_active_dispensary_edits_no_patients() {
    let mut world = clinic();
    world.patients.get_mut("Pia").unwrap().home_store = Some("D".to_owned());
    // The home store is no dispensary, but there is one on its site.
    check(&world, &patient("Pia"), &[3], &[1, 2, 3]);

    world.stores.get_mut("Q").unwrap().active_site = REMOTE_1;
    assert_eq!(may_write(&world, REMOTE_2, &patient("Pia")), Err(Rule::NoActiveDispensary));
}

#[test]
fn the_latest_prescription_gives_a_home_only_to_a_patient_without_one() {
    let mut world = clinic();
    let facts = Patient { home_store: None, latest_prescription_store: Some("Q".to_owned()) };
    world.patients.insert("Nina".to_owned(), facts);
    world.patients.get_mut("Pia").unwrap().latest_prescription_store = Some("Q".to_owned());
    world.patients.insert("Nobody".to_owned(), Patient::default());

    check(&world, &patient("Nina"), &[3], &[1, 3]);
    check(&world, &patient("Pia"), &[2], &[1, 2]);
    check(&world, &patient("Nobody"), &[], &[1]);
}

#[test]
fn a_home_store_changes_through_central_alone() {
    check(&clinic(), &Record::HomeStoreChange { of: "Pia".to_owned() }, &[1], &[1, 2]);
}

#[test]
fn a_new_patient_becomes_visible_in_the_dispensaries_of_its_home_site_that_want_it() {
    let mut world = clinic();
    world.stores.extend([store("P2", Mode::Dispensary, REMOTE_1), store("P3", Mode::Dispensary, REMOTE_1)]);
    world.stores.get_mut("P2").unwrap().shows_new_patients = true;
    world.stores.get_mut("Q").unwrap().shows_new_patients = true;
    let join =
        |store: &str| Record::PatientVisibility { patient: "Pia".to_owned(), store: store.to_owned(), is_new: true };

    assert!(stores_for_new_patient(&world, "P").iter().eq(["P", "P2"]));
    check(&world, &join("P"), &[2], &[1, 2]);
    check(&world, &join("P2"), &[2], &[1, 2]);
    check(&world, &join("P3"), &[], &[1, 2]);
    check(&world, &join("Q"), &[], &[1, 3]);
    // Afterwards it is controlled centrally.
    assert_eq!(may_change(&world, REMOTE_1, &join("P2"), &join("P2")), Err(Rule::PrimaryOnly));
    assert_eq!(may_change(&world, CENTRAL, &join("P2"), &join("P2")), Ok(()));
}

#[test]
fn prescribers_are_edited_at_home_and_go_to_the_dispensaries_where_they_have_prescribed() {
    let mut world = clinic();
    let mut facts = Prescriber { home_store: Some("P".to_owned()), ..Prescriber::default() };
    world.prescribers.insert("Dr D".to_owned(), facts.clone());
    let record = Record::PrescriberData { prescriber: "Dr D".to_owned() };
    check(&world, &record, &[2], &[1, 2]);

    // D is active on the same site as Q, and no dispensary.
    facts.prescribed_in = ["D".to_owned()].into();
    world.prescribers.insert("Dr D".to_owned(), facts.clone());
    check(&world, &record, &[2], &[1, 2]);
    facts.prescribed_in = ["Q".to_owned()].into();
    world.prescribers.insert("Dr D".to_owned(), facts.clone());
    check(&world, &record, &[2], &[1, 2, 3]);
    facts.prescribed_in.clear();
    facts.visible_in = ["Q".to_owned()].into();
    world.prescribers.insert("Dr D".to_owned(), facts);
    check(&world, &record, &[2], &[1, 2, 3]);
}

#[test]
fn a_prescription_is_written_in_a_dispensary_where_the_patient_is_visible() {
    let mut world = clinic();
    check(&world, &prescription("P", "Pia"), &[2], &[1, 2]);
    assert_eq!(may_write(&world, REMOTE_2, &prescription("Q", "Pia")), Err(Rule::PatientUnseen("Pia".to_owned())));
    assert_eq!(may_write(&world, REMOTE_1, &prescription("B", "Pia")), Err(Rule::NotADispensary("B".to_owned())));

    show(&mut world, "Pia", "Q");
    check(&world, &prescription("Q", "Pia"), &[3], &[1, 3]);
    // Central is a collector of P and Q, so that the patient is visible there.
    check(&world, &prescription("R", "Pia"), &[1], &[1]);
}

#[test]
fn prescriptions_go_where_the_patient_is_visible_only_when_the_preference_says_so() {
    let mut world = clinic();
    show(&mut world, "Pia", "Q");
    check(&world, &prescription("P", "Pia"), &[2], &[1, 2]);

    world.has_prescriptions_everywhere = true;
    check(&world, &prescription("P", "Pia"), &[2], &[1, 2, 3]);
    check(&world, &prescription("P", "Paul"), &[2], &[1, 2]);
}

#[test]
fn repeats_are_processed_at_home_unless_the_preference_allows_more() {
    let mut world = clinic();
    show(&mut world, "Pia", "Q");
    let repeat = Record::Repeat { patient: "Pia".to_owned() };
    let dispensed = Record::Prescription { store: "Q".to_owned(), patient: "Pia".to_owned(), is_repeat: true };
    check(&world, &repeat, &[2], &[1, 2, 3]);
    check(&world, &dispensed, &[], &[1, 3]);

    world.has_repeats_everywhere = true;
    check(&world, &repeat, &[1, 2, 3], &[1, 2, 3]);
    check(&world, &dispensed, &[3], &[1, 3]);
}

#[test]
fn a_dispensary_that_does_not_include_transactions_keeps_them_on_its_site() {
    let mut world = clinic();
    show(&mut world, "Pia", "Q");
    world.has_prescriptions_everywhere = true;
    world.stores.get_mut("P").unwrap().includes_transactions = false;
    let goods = || StoreKind::GoodsReceived { order: None };

    for kind in [StoreKind::Transaction, StoreKind::StockLine, StoreKind::Stocktake] {
        check(&world, &data_of("P", kind, None), &[2], &[2]);
    }
    check(&world, &prescription("P", "Pia"), &[2], &[2]);
    // The rest still syncs, and so do transfers.
    check(&world, &data("P"), &[2], &[1, 2]);
    check(&world, &data_of("P", goods(), None), &[2], &[1, 2]);
    check(&world, &transaction("P", Some("C")), &[2], &[1, 2, 3]);
    check(&world, &transaction("P", Some("B")), &[2], &[1, 2]);

    world.stores.get_mut("P").unwrap().includes_transactions = true;
    check(&world, &transaction("P", None), &[2], &[1, 2]);
}

#[test]
fn include_transactions_says_nothing_about_a_store_that_is_no_dispensary() {
    let mut world = example();
    world.stores.get_mut("B").unwrap().includes_transactions = false;

    check(&world, &transaction("B", None), &[2], &[1, 2]);
}

#[test]
fn a_message_goes_by_its_sender_and_receiver_and_is_never_edited() {
    let world = example();
    let message = |from: Option<&str>, to: Option<&str>| Record::Message {
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
    };
    let status = |from: Option<&str>, to: Option<&str>| Record::MessageStatus {
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
    };

    check(&world, &message(Some("B"), Some("C")), &[2], &[1, 2, 3]);
    check(&world, &message(Some("B"), None), &[2], &[1, 2]);
    check(&world, &message(None, Some("C")), &[1], &[1, 3]);
    check(&world, &message(None, None), &[1], &[1]);
    // A is a collector on remote site 1, and that is not where it gets its messages.
    check(&world, &message(Some("C"), Some("A")), &[3], &[1, 3]);
    check(&world, &status(Some("B"), Some("C")), &[3], &[1, 2, 3]);
    check(&world, &status(Some("B"), None), &[1], &[1, 2]);
    let sent = message(Some("B"), Some("C"));
    assert_eq!(may_change(&world, REMOTE_1, &sent, &sent), Err(Rule::MessageIsNotEdited));
}

#[test]
fn sync_settings_are_central_s_and_local_data_goes_nowhere() {
    let world = mirrored_example();

    check(&world, &Record::Sync, &[1], &[1]);
    check(&world, &Record::Local { on: REMOTE_2 }, &[3], &[3]);
    check(&world, &Record::NewUser { made_on: REMOTE_2 }, &[3], &[1, 3]);
}

#[test]
fn the_log_entry_about_a_transfer_goes_to_the_other_site() {
    check(&example(), &data_of("C", StoreKind::Other, Some("B")), &[3], &[1, 2, 3]);
}

#[test]
fn an_edit_needs_both_the_stored_and_the_incoming_keys_and_moves_nothing() {
    let mut world = example();
    world.stores.extend([store("C2", Mode::Store, REMOTE_2)]);

    assert_eq!(may_change(&world, REMOTE_2, &transaction("C", None), &transaction("C", Some("B"))), Ok(()));
    assert_eq!(may_change(&world, REMOTE_2, &data("C"), &data("C2")), Err(Rule::KeysChange));
    for (stored, incoming) in [("B", "C"), ("C", "B")] {
        let refused = may_change(&world, REMOTE_2, &data(stored), &data(incoming));
        assert_eq!(refused, Err(Rule::StoreActiveElsewhere { store: "B".to_owned(), active_on: REMOTE_1 }));
    }
}

#[test]
fn a_resync_sends_the_active_site_what_the_store_sees() {
    let mut world = clinic();
    show(&mut world, "Pia", "Q");
    let facts = Prescriber { prescribed_in: ["Q".to_owned()].into(), ..Prescriber::default() };
    world.prescribers.insert("Dr D".to_owned(), facts);

    let sent = resync(&world, "Q").unwrap();

    assert_eq!(
        sent,
        Resync { site: REMOTE_2, patients: ["Pia".to_owned()].into(), prescribers: ["Dr D".to_owned()].into() }
    );
    assert_eq!(resync(&world, "Z"), None);
}

#[test]
fn a_record_starts_a_transfer_from_its_status_on() {
    for (half, status, response) in [
        (Half::CustomerInvoice, Status::Confirmed, None),
        (Half::CustomerInvoice, Status::Finalised, Some(Response::SupplierInvoice)),
        (Half::RequestRequisition, Status::Draft, None),
        (Half::RequestRequisition, Status::Finalised, Some(Response::ResponseRequisition)),
        (Half::PurchaseOrder, Status::Draft, None),
        (Half::PurchaseOrder, Status::Confirmed, Some(Response::CustomerInvoiceOfOrder)),
        (Half::CustomerInvoiceOfOrder, Status::Confirmed, None),
        (Half::CustomerInvoiceOfOrder, Status::Finalised, Some(Response::GoodsReceived)),
    ] {
        assert_eq!(response_to(half, status), response, "{half:?} {status:?}");
    }
}

#[test]
fn what_is_unknown_is_written_and_held_by_nobody() {
    let world = example();

    check(&world, &data("Z"), &[], &[]);
    check(&world, &patient("Nobody"), &[], &[]);
    check(&world, &prescription("Z", "Nobody"), &[], &[]);
    assert_eq!(may_write(&world, PRIMARY, &Record::Central), Err(Rule::UnknownSite(PRIMARY)));
}
