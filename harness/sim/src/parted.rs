//! A device that does not reach one host and reaches another: what goes to the other one goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use larder_core::{Error, MutationId};

use crate::errand::Host;
use crate::kernel::{Owner, lock};
use crate::overseer::{entries, host_of};
use crate::world::{Of, Shared};

/// How long what waits for nothing takes to be sent.
const PROMPT: Duration = Duration::from_secs(10);

/// With which hosts a life of a device has had trouble, and has not heard of since.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    server: AtomicBool,
    elsewhere: AtomicBool,
}

impl Troubles {
    fn with(&self, host: Host) -> &AtomicBool {
        match host {
            Host::Server => &self.server,
            Host::Elsewhere => &self.elsewhere,
        }
    }

    /// A life begins.
    pub(crate) fn begin_anew(&self) {
        self.server.store(false, Ordering::Relaxed);
        self.elsewhere.store(false, Ordering::Relaxed);
    }

    /// It reaches nobody, and of what is on its way it may never hear.
    pub(crate) fn with_all(&self) {
        self.server.store(true, Ordering::Relaxed);
        self.elsewhere.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    /// What a device wanted a host to do came to an end: the host has done it or said no, or it was put off.
    pub(crate) fn heard(&self, device: usize, host: Host, error: Option<&Error>) {
        let put_off = error.is_some_and(|error| error.is_transient() || error.status() == Some(401));
        self.slots[device].troubles.with(host).store(put_off, Ordering::Relaxed);
    }

    /// A device does not reach a host for a while. In the end it is looked at what goes to the other one.
    pub(crate) fn part(self: &Arc<Self>, device: usize, host: Host, lasts: Duration) {
        self.note(Of(device), format_args!("does not reach {host}"));
        let slot = &self.slots[device];
        slot.troubles.with(host).store(true, Ordering::Relaxed);
        lock(&slot.lacks).cut_from(host, self.kernel.now() + lasts);
        let Some(wait) = lasts.checked_sub(PROMPT) else { return };
        let world = Arc::clone(self);
        let look = async move {
            world.kernel.sleep(wait).await;
            let Some((life, before)) = world.waiting(device, host.other()) else { return };
            world.kernel.sleep(PROMPT).await;
            let Some((now, after)) = world.waiting(device, host.other()) else { return };
            if life != now {
                return;
            }
            lock(&world.tally).parted += 1;
            if let Some(id) = before.iter().find(|id| after.contains(id)) {
                let what = format!("device {device}: {id} waits for {}, and {host} is away", host.other());
                world.fail("a host that is away holds up no other", what);
            }
        };
        self.kernel.spawn(Owner::World, "look", Box::pin(look));
    }

    /// What a device still has to send to a host, if nothing keeps it from there, and in which life.
    fn waiting(self: &Arc<Self>, device: usize, host: Host) -> Option<(u64, Vec<MutationId>)> {
        let slot = &self.slots[device];
        let hindered = slot.troubles.with(host).load(Ordering::Relaxed)
            || self.plan.network.befalls()
            || !lock(&slot.lacks).has_all_but(host.other(), self.kernel.now())
            || self.hinders(device);
        let on = self.device(device).filter(|_| !hindered)?;
        let left = crate::rest::left(self, device);
        let all = self.kernel.block(|| entries(&*on.store)).ok()?;
        let there = all.iter().filter(|entry| left.contains(&entry.seq) && host_of(entry) == host);
        Some((on.life, there.map(|entry| entry.id).collect()))
    }
}
