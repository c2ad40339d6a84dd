//! What a record is called after merges.

use std::collections::{BTreeMap, BTreeSet};

use crate::world::World;

/// The id of the record that an id stands for now.
///
/// "A merge is an alias row, ordered by central; stored references are not rewritten, readers resolve" (architecture, 5.19), and
/// "any order of arrival, duplicates and cycles: same end" (domain.md, "Merging"). So the merges are taken in central's order,
/// whatever the order of their arrival. Each joins all that `from` is by then to what `into` is by then, and what `into` is
/// stays. One that joins what is joined already says nothing new: that is a duplicate, and it is also the merge that would
/// close a cycle. So the earlier word of central stands.
pub fn resolve(world: &World, id: &str) -> String {
    ends(world).remove(id).unwrap_or_else(|| id.to_owned())
}

/// All ids that stand for the same record, the id itself among them.
pub fn same_as(world: &World, id: &str) -> BTreeSet<String> {
    let end = resolve(world, id);
    let mut ids: BTreeSet<String> =
        ends(world).into_iter().filter(|(_, other)| *other == end).map(|(id, _)| id).collect();
    ids.insert(id.to_owned());
    ids
}

/// What each id that was ever part of a merge stands for.
fn ends(world: &World) -> BTreeMap<String, String> {
    let mut in_order = world.merges.clone();
    in_order.sort();
    let mut ends = BTreeMap::new();
    for merge in in_order {
        let gone = ends.entry(merge.from.clone()).or_insert(merge.from).clone();
        let stays = ends.entry(merge.into.clone()).or_insert(merge.into).clone();
        for end in ends.values_mut().filter(|end| **end == gone) {
            end.clone_from(&stays);
        }
    }
    ends
}
