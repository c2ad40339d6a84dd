//! Who holds which store, found by store and by site.

use std::collections::BTreeMap;

use domain::judge::Holding;
use protocol::ids::{OwnershipNumber, RecordId, SiteId};

/// See the module. What a site holds is asked whenever a site is read, so it may not take longer for every site that there is.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    by_store: BTreeMap<RecordId, Holding>,
    by_site: BTreeMap<SiteId, BTreeMap<RecordId, OwnershipNumber>>,
}

impl Holdings {
    pub(super) fn get(&self, store: &RecordId) -> Option<&Holding> {
        self.by_store.get(store)
    }

    /// The site that a store is active at: central, if it was never given away.
    pub(super) fn holder(&self, store: &RecordId) -> SiteId {
        self.get(store).map_or(SiteId::CENTRAL, |holding| holding.site)
    }

    /// The stores of a site, in order, each with the number under which it holds it.
    pub(super) fn of_site(&self, site: SiteId) -> impl Iterator<Item = (&RecordId, OwnershipNumber)> {
        self.by_site.get(&site).into_iter().flatten().map(|(store, ownership)| (store, *ownership))
    }

    /// From now on a store is held so.
    pub(super) fn insert(&mut self, store: RecordId, holding: Holding) {
        if let Some(before) = self.by_store.insert(store.clone(), holding)
            && let Some(stores) = self.by_site.get_mut(&before.site)
        {
            stores.remove(&store);
        }
        self.by_site.entry(holding.site).or_default().insert(store, holding.ownership);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_only_among_those_of_the_site_that_was_named_last() {
        let id = |text| RecordId::new(text).unwrap();
        let mut holdings = Holdings::default();
        for (store, site, number) in [("B", 2, 1), ("A", 2, 1), ("B", 3, 2), ("A", 2, 2)] {
            holdings.insert(id(store), Holding { site: SiteId(site), ownership: OwnershipNumber(number) });
        }

        let of_site =
            |site| holdings.of_site(SiteId(site)).map(|(store, number)| (store.as_str(), number.0)).collect::<Vec<_>>();

        assert_eq!((of_site(2), of_site(3), of_site(4)), (vec![("A", 2)], vec![("B", 2)], vec![]));
        let held = holdings.get(&id("B")).copied();
        assert_eq!(held, Some(Holding { site: SiteId(3), ownership: OwnershipNumber(2) }));
    }
}
