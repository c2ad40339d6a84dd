//! What a change would bring to which site, without the change.

use super::sites::new_site;
use super::*;

contract!(
    a_rehearsal_changes_nothing,
    a_store_that_would_move_says_what_comes_and_what_goes,
    a_collector_copy_says_what_comes,
    a_site_to_add_receives_what_goes_to_all,
    a_change_that_is_refused_is_refused_in_a_rehearsal_too,
    what_a_batch_did_before_a_rehearsal_stays,
);

/// Two sites; the first has a store with two transactions, the second sees nothing of it.
fn two_sites(world: &mut World) -> (Device, Device) {
    let (mut one, mut two) = two_dispensaries(world);
    one.record(&[r#"put transact T1 {"store_ID":"A"}"#, r#"put transact T2 {"store_ID":"A"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);
    (one, two)
}

fn rehearse<T>(
    world: &mut World,
    work: impl FnOnce(&mut Batch<'_>) -> Result<T, StoreError>,
) -> Result<Forecast, StoreError> {
    Ok(world.try_job(|batch| batch.rehearse(work))?.1)
}

fn flows(flows: &[Flow]) -> Vec<(&str, u64)> {
    flows.iter().map(|flow| (flow.what.as_str(), flow.records)).collect()
}

fn dump(world: &mut World) -> Vec<Option<i64>> {
    let tables =
        ["site", "store_site", "store_move", "control", "lane", "record", "site_sees", "store_role", "backfill"];
    let mut counts: Vec<_> = tables
        .iter()
        .map(|table| world.store.sql.query_integer(&format!("SELECT count(*) FROM {table}"), &[]).unwrap())
        .collect();
    counts.push(world.store.sql.query_integer("SELECT value FROM counter WHERE name = 'position'", &[]).unwrap());
    counts
}

fn a_rehearsal_changes_nothing(world: &mut World) {
    let (mut one, mut two) = two_sites(world);
    world.write(&[r#"upsert name nB {"name":"B"}"#]);
    let before = (dump(world), world.store.position());
    let (from, to) = (one.site, two.site);

    rehearse(world, |batch| batch.move_store(&id("A"), to, true)).unwrap();
    rehearse(world, |batch| batch.set_visible(&id("nB"), &id("A"), true)).unwrap();
    rehearse(world, |batch| batch.add_site(&new_site("third", SiteKind::Standalone, &[]))).unwrap();

    assert_eq!((dump(world), world.store.position()), before);
    assert_eq!(world.store.reading().stores_of(from).unwrap().len(), 1);
    one.record(&[r#"put transact T3 {"store_ID":"A"}"#]);
    settle(world, &mut one);
    settle(world, &mut two);
    assert_ne!(world.data("transact", "T3"), "unknown");
    assert!(two.scopes.iter().all(|scope| scope.scope != domain::scope::Scope::Store(id("A")).to_id()));
}

fn a_store_that_would_move_says_what_comes_and_what_goes(world: &mut World) {
    let (one, two) = two_sites(world);
    let to = two.site;

    let forecast = rehearse(world, |batch| batch.move_store(&id("A"), to, true)).unwrap();

    assert!(!forecast.is_cut);
    let [from_forecast, to_forecast] = &forecast.sites[..] else { panic!("{forecast:?}") };
    assert_eq!((from_forecast.site, to_forecast.site), (one.site, two.site));
    assert_eq!(flows(&to_forecast.comes)[0], ("store A", 2));
    assert!(to_forecast.comes[0].bytes > 20, "{forecast:?}");
    assert_eq!(flows(&from_forecast.comes), []);
    let goes = flows(&from_forecast.goes);
    assert!(goes.contains(&("store A", 2)) && goes.iter().any(|(what, _)| *what == "dispensary sites"), "{goes:?}");
    assert!(to_forecast.comes.iter().any(|flow| flow.what.ends_with("that it comes to see")), "{forecast:?}");
}

fn a_collector_copy_says_what_comes(world: &mut World) {
    let (_, two) = two_sites(world);
    let site = two.site;
    world.write(&[r#"upsert name_store_join J1 {"name_ID":"nA","store_ID":"B"}"#]);

    let forecast = rehearse(world, |batch| batch.set_collector(&id("A"), site, true)).unwrap();

    assert_eq!(forecast.sites.len(), 1, "{forecast:?}");
    assert_eq!((forecast.sites[0].site, flows(&forecast.sites[0].comes)[0]), (site, ("store A", 2)));
    assert_eq!(forecast.sites[0].goes, []);
}

fn a_site_to_add_receives_what_goes_to_all(world: &mut World) {
    world.write(&[r#"upsert item I1 {"code":"one"}"#, r#"upsert item I2 {"code":"two"}"#]);

    let forecast = rehearse(world, |batch| batch.add_site(&new_site("third", SiteKind::Standalone, &[]))).unwrap();

    assert_eq!((forecast.sites[0].name.as_str(), flows(&forecast.sites[0].comes)), ("third", vec![("all sites", 2)]));
    let site = world.job(|batch| batch.add_site(&new_site("third", SiteKind::Standalone, &[])));
    assert_eq!(site, SiteId(2), "the rehearsal gave no id away");
}

fn a_change_that_is_refused_is_refused_in_a_rehearsal_too(world: &mut World) {
    let (one, _) = two_sites(world);
    let site = one.site;

    assert_eq!(rehearse(world, |batch| batch.delete_site(site)).unwrap_err().code(), "site_has_stores");
    assert_eq!(rehearse(world, |batch| batch.move_store(&id("Z"), site, true)).unwrap_err().code(), "unknown_store");

    world.job(|batch| batch.move_store(&id("A"), CENTRAL, true));
    assert_eq!(rehearse(world, |batch| batch.delete_site(site)).unwrap().sites, []);
    assert!(world.store.reading().site(site).unwrap().unwrap().deleted_ms.is_none());
}

fn what_a_batch_did_before_a_rehearsal_stays(world: &mut World) {
    let now_ms = world.now_ms;

    let done = world.store.batch(now_ms, |batch| {
        let site = batch.add_site(&new_site("first", SiteKind::Standalone, &[]))?;
        batch.rehearse(|batch| batch.add_site(&new_site("second", SiteKind::Standalone, &[])))?;
        batch.disable_site(site)?;
        Ok::<_, StoreError>(site)
    });

    let site = done.unwrap().unwrap();
    let row = world.store.reading().site(site).unwrap().unwrap();
    assert!(row.pause.is_some());
    assert_eq!(world.store.reading().sites().unwrap().len(), 1);
}
