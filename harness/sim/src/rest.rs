//! The end of a run: fair weather, until nothing is left to send, and then both sides are compared.

use std::sync::Arc;
use std::time::Duration;

use larder_core::association::references;
use larder_core::{EntryState, Key, Operation, ParkReason, RowState};

use crate::device::World;
use crate::kernel::lock;
use crate::overseer::{entries, lane, same};
use crate::world::Shared;

type Place = (&'static str, Key);

/// How often one looks.
const LOOK: Duration = Duration::from_millis(100);

/// Ends all faults, and waits until every device is on and has nothing more to send.
pub(crate) async fn come_to_rest(world: &Arc<Shared>) {
    world.clear_up();
    let since = world.kernel.now();
    let within = world.plan.rest_within;
    while !is_at_rest(world) {
        if world.kernel.now().saturating_sub(since) > within {
            for device in 0..world.slots.len() {
                let left = left(world, device);
                world.note(crate::world::Of(device), format_args!("has left: {left:?}"));
            }
            let left: Vec<usize> =
                (0..world.slots.len()).filter(|device| !left(world, *device).is_empty()).collect();
            let what =
                format!("devices {left:?} still have something to send after {within:?} of fair weather");
            return world.fail("the queue is empty at rest", what);
        }
        world.kernel.sleep(LOOK).await;
    }
    lock(&world.tally).rested_after = world.kernel.now().saturating_sub(since);
}

fn is_at_rest(world: &Arc<Shared>) -> bool {
    let on = (0..world.slots.len()).all(|device| world.device(device).is_some());
    // A request may arrive long after its device has given it up.
    let quiet = !world.kernel.has_task("act") && !world.kernel.has_task("delivery");
    on && quiet && (0..world.slots.len()).all(|device| left(world, device).is_empty())
}

/// The mutations of a device that are still to be sent: all but those that wait for a decision, or for one that does.
pub(crate) fn left(world: &Shared, device: usize) -> Vec<u64> {
    let Some(store) = world.store(device) else { return vec![0] };
    let (mut left, mut stuck) = (Vec::new(), Vec::<(Place, Vec<Place>)>::new());
    for entry in world.kernel.block(|| entries(&*store)).unwrap_or_default() {
        let place = lane(&entry);
        let refers = entry.row.as_deref().map(|row| references(entry.schema, row).unwrap_or_default());
        let refers: Vec<Place> =
            refers.unwrap_or_default().into_iter().map(|(schema, key)| (schema.model, key)).collect();
        let waits_for = |(other, of_other): &(Place, Vec<Place>)| {
            let deletes = entry.operation == Operation::Delete && of_other.contains(&place);
            *other == place || refers.contains(other) || deletes
        };
        // What was refused and is in no lane holds nothing up.
        if matches!(entry.state, EntryState::Parked(ParkReason::Refused)) {
            continue;
        }
        if matches!(entry.state, EntryState::Parked(_)) || stuck.iter().any(waits_for) {
            stuck.push((place, refers));
        } else {
            left.push(entry.seq);
        }
    }
    left
}

/// Comes to rest, pulls everything everywhere, and compares.
pub(crate) async fn conclude(world: &Arc<Shared>) {
    if !world.plan.concluded {
        return;
    }
    come_to_rest(world).await;
    for device in 0..world.slots.len() {
        if world.has_failed() {
            return;
        }
        let Some(on) = world.device(device) else { continue };
        // The first one may go on where a pull of a former life stopped, with pages that are old by now.
        for _ in 0..2 {
            if let Err(error) = on.repo.sync().await {
                return world.fail("a device syncs in fair weather", format!("device {device}: {error}"));
            }
        }
    }
    for device in 0..world.slots.len() {
        let lost = world.server().map_or(0, |server| lock(&world.overseer).lost(device, &server));
        if lost > 0 {
            let what = format!("device {device}: {lost} neither reached the server nor wait for a decision");
            return world.fail("no acknowledged request is lost", what);
        }
        if let Err(what) = compare(world, device).await {
            return world.fail("client = server at rest", format!("device {device}: {what}"));
        }
    }
    for (name, check) in &world.plan.at_rest {
        if let Err(what) = check(World(Arc::clone(world))).await {
            return world.fail(name.as_str(), what);
        }
    }
}

/// What a device has is what the server has; rows with a parked mutation are its own matter.
async fn compare(world: &Arc<Shared>, device: usize) -> Result<(), String> {
    let (Some(server), Some(store)) = (world.server(), world.store(device)) else { return Ok(()) };
    let parked = world.kernel.block(|| entries(&*store)).map_err(|error| error.to_string())?;
    lock(&world.tally).parked += parked.len() as u64;
    let schemas = lock(&world.overseer).schemas.clone();
    for schema in schemas {
        let told = |error: larder_core::Error| error.to_string();
        let (cx, all) = (larder_core::Context::new(), larder_core::Query::all());
        let local = store.get(&cx, schema, &all).await.map_err(told)?;
        let remote = server.all(schema).await.map_err(told)?;
        let keyed =
            |row: larder_core::PageRow| Ok::<_, String>((schema.key_of(&*row.row).map_err(told)?, row));
        let ours =
            |key: &larder_core::Key| parked.iter().any(|entry| entry.schema == schema && entry.key == *key);
        let mut here: std::collections::BTreeMap<_, _> =
            local.rows.into_iter().map(keyed).collect::<Result<_, _>>()?;
        for there in remote.rows {
            let (key, there) = keyed(there)?;
            let here = here.remove(&key);
            if ours(&key) {
                continue;
            }
            let Some(here) = here else {
                return Err(format!("{} {key} is at the server alone", schema.model));
            };
            if here.meta.sync.state != RowState::Synced || here.meta.tail != 0 {
                let what = format!(
                    "{} {key} is {:?} and nothing of it is queued",
                    schema.model, here.meta.sync.state
                );
                return Err(what);
            }
            let differs = |at: &usize| !same(&*here.row, &*there.row, *at);
            if let Some(at) = (0..schema.fields.len()).find(differs) {
                let name = schema.fields[at].name;
                let what = format!(
                    "`{name}` of {} {key} differs: {:?}, the server has {:?}",
                    schema.model, here.row, there.row
                );
                return Err(what);
            }
        }
        here.retain(|key, row| !ours(key) && row.meta.sync.state != RowState::Local);
        if let Some((key, _)) = here.first_key_value() {
            return Err(format!("{} {key} is not at the server", schema.model));
        }
    }
    Ok(())
}
