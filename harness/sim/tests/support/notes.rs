//! The application that is simulated: few notes, and what their users do.

use std::time::Duration;

use larder::{Model, ReadPolicy, Repository, RequestSettings, Select};
use larder_sim::{Device, Random, Simulation};

#[derive(Model, Clone, Debug, PartialEq)]
pub(crate) struct Note {
    #[model(key)]
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) stars: i64,
}

pub(crate) fn note(id: &str, text: &str, stars: i64) -> Note {
    Note { id: id.into(), text: text.into(), stars }
}

/// Two devices that do nothing by themselves.
pub(crate) fn quiet() -> Simulation {
    Simulation::new(|_| Repository::builder().model::<Note>())
}

/// Users who write, edit, delete and read few notes. One note of each is written by nobody else.
pub(crate) fn busy() -> Simulation {
    acting(quiet())
}

/// The same users, whose devices listen to what the server pushes.
#[allow(dead_code, reason = "not all who include this listen")]
pub(crate) fn listening() -> Simulation {
    acting(Simulation::new(|_| Repository::builder().model::<Note>().live()))
}

/// The same users, who make requests that are no models as well.
#[allow(dead_code, reason = "not all who include this make requests")]
pub(crate) fn busy_with_errands() -> Simulation {
    acting(Simulation::new(|_| Repository::builder().model::<Note>().requests(RequestSettings::new())))
        .errands(6)
}

/// Users who add and remove notes anywhere in a list of some dozen, and read all of it, over a slow network.
#[allow(dead_code, reason = "not all who include this page by number")]
pub(crate) fn crowded() -> Simulation {
    quiet().devices_between(2, 4).acting(30, Duration::from_secs(60), |device, mut chance| async move {
        let (repo, id) = (device.repo(), format!("n{:02}", chance.below(16)));
        let stars = i64::try_from(device.elapsed().as_millis()).unwrap_or(0);
        match chance.below(10) {
            0..=2 => drop(repo.upsert(&note(&id, "added", stars)).await?),
            3..=5 => drop(repo.delete::<Note>(id.as_str()).await?),
            6 | 7 => _ = repo.sync().await?,
            _ => drop(repo.reading(ReadPolicy::RemoteOnly).get(Select::<Note>::all()).await?),
        }
        Ok(())
    })
}

fn acting(devices: Simulation) -> Simulation {
    devices.devices_between(2, 4).acting(12, Duration::from_secs(120), act)
}

async fn act(device: Device, mut chance: Random) -> larder::Result<()> {
    let (repo, own) = (device.repo(), format!("own{}", device.number()));
    let local = repo.reading(ReadPolicy::LocalOnly);
    let id = format!("n{}", chance.below(4));
    // Later writes of a device have more stars.
    let stars = i64::try_from(device.elapsed().as_millis()).unwrap_or(0);
    match chance.below(11) {
        0..=2 => drop(repo.upsert(&note(&id, &format!("by {}", device.number()), stars)).await?),
        3 | 4 => {
            drop(repo.upsert(&note(&own, "mine", stars)).await?);
            let seen = local.find::<Note>(own.as_str()).await?.map(|note| note.stars);
            assert!(seen >= Some(stars), "{own} was written with {stars} and reads {seen:?}");
        }
        5 | 6 => {
            if let Some(found) = local.find::<Note>(id.as_str()).await? {
                drop(repo.update(&found, |note| note.stars = stars).await?);
            }
        }
        7 => drop(repo.delete::<Note>(id.as_str()).await?),
        8 => _ = repo.sync().await?,
        9 => drop(repo.reading(ReadPolicy::RemoteOnly).get(Select::<Note>::all()).await?),
        _ => drop(repo.reading(ReadPolicy::RemoteFirst).find::<Note>(id.as_str()).await?),
    }
    Ok(())
}
