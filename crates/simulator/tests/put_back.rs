//! What later issues need of the simulator is there: disks of both sides can be copied and put back.

use simulator::mix::{Mix, Profile};
use simulator::random::Random;
use simulator::world::World;

fn head(world: &World) -> u64 {
    world.devices[0].live().recorder.core().shared.durable().sequence.0
}

#[test]
fn a_device_and_a_central_that_are_put_back_are_as_they_were() {
    let mut random = Random::new(5);
    let mix =
        Mix { sites: 1, chaos_ms: 300_000, burst_every_ms: 20_000, ..Mix::draw(Profile::Calm, false, &mut random) };
    let mut world = World::new(mix, random.fork(), false).unwrap();
    world.run().unwrap();
    let (device, central, known) = (world.devices[0].image(), world.centre.disk.snapshot(), head(&world));
    assert!(known > 0, "nothing was recorded");
    world.settle().unwrap();

    world.devices[0].put_back(&device, &mut random);
    world.centre.put_back(central.clone());

    world.devices[0].open(300_000, &mut random).unwrap();
    assert_eq!(head(&world), known);
    assert_eq!(world.centre.disk.snapshot(), central);
    world.centre.open(1, &mut random).unwrap();
}
