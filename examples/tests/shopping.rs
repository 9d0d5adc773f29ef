//! The shopping list on several devices with a bad network and phones that die: nothing is lost, and in the end everybody
//! has the same list.

#[path = "../shopping/list.rs"]
mod list;

use std::time::Duration;

use larder_sim::{Device, Disk, Network, Random, Server, Simulation, World};
use list::{Item, List, repository};

const THINGS: [&str; 5] = ["bread", "eggs", "milk", "soap", "tea"];

/// What somebody does at a moment of chance.
async fn act(device: Device, mut chance: Random) -> larder::Result<()> {
    let list = List::new(device.repo());
    let thing = *chance.pick(&THINGS);
    match chance.below(6) {
        0..=2 => list.needs(thing, 1 + u32::try_from(chance.below(3)).unwrap_or(0)).await?,
        3 => device.note(format_args!("bought {thing}: {}", list.buys(thing).await?)),
        4 => device.note(format_args!("threw {} away", list.tidies().await?)),
        _ => list.syncs().await?,
    }
    Ok(())
}

/// A household of two to four for ten minutes.
fn household() -> Simulation {
    Simulation::new(|_| repository())
        .devices_between(2, 4)
        .server(Server::honouring_keys())
        .network(Network::flaky())
        .kills(1)
        .acting(15, Duration::from_secs(600), act)
        .always("nothing is needed in no amount", |device| {
            let items = device.rows::<Item>().map_err(|error| error.to_string())?;
            match items.iter().find(|item| item.amount == 0) {
                Some(item) => Err(format!("{item:?}")),
                None => Ok(()),
            }
        })
}

#[test]
fn a_household_comes_to_agree() {
    household().check(0..40);
}

#[test]
fn it_does_on_files_whose_phones_lose_power() {
    household().disk(Disk::Redb).power_cuts(1).clock_jumps(1).check(0..10);
}

#[test]
fn what_is_put_down_in_the_cellar_reaches_the_shop() {
    let run = household().network(Network::calm()).script(1, |world: World| async move {
        let cellar = world.device(0).await;
        world.cut_off(0, Duration::from_secs(120)).await;
        List::new(cellar.repo()).needs("jam", 3).await.expect("it is stored here");
        world.kill(0, Duration::from_secs(5)).await;
        world.comes_to_rest().await;
        let shop = world.device(1).await;
        List::new(shop.repo()).syncs().await.expect("the weather is fair");
        let missing = List::new(shop.repo()).missing().await.expect("it is here");
        world.expect(missing.iter().any(|item| item.name == "jam" && item.amount == 3), "jam is on the list");
    });
    run.expect_success();
}
