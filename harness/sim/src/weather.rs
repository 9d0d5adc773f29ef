//! What goes wrong: what befalls requests and steps of stores, and until when a device lacks something.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::errand::Host;
use crate::network::Network;
use crate::schedule::{Event, Fate, Schedule, What, When};

/// Until when a device lacks what.
#[derive(Clone, Copy, Default)]
pub(crate) struct Lacks {
    /// The network.
    pub(crate) network: Duration,
    /// The way to each host.
    pub(crate) server: Duration,
    pub(crate) elsewhere: Duration,
    /// A network without a portal.
    pub(crate) passage: Duration,
    /// Credentials that the server accepts.
    pub(crate) credentials: Duration,
    /// Room on its disk.
    pub(crate) room: Duration,
}

/// The way to a host at some moment.
pub(crate) enum Way {
    Open,
    Cut,
    Portal,
    /// The server is there, and refuses the credentials.
    Refused,
}

impl Lacks {
    /// The way to a host is cut until then.
    pub(crate) fn cut_from(&mut self, host: Host, until: Duration) {
        match host {
            Host::Server => self.server = until,
            Host::Elsewhere => self.elsewhere = until,
        }
    }

    /// Whether it lacks nothing, or nothing but the way to this host.
    pub(crate) fn has_all_but(&self, host: Host, now: Duration) -> bool {
        let others = self.network.max(self.passage).max(self.credentials).max(self.room);
        let other = if host == Host::Server { self.elsewhere } else { self.server };
        others.max(other) <= now
    }

    pub(crate) fn way(&self, host: Host, now: Duration) -> Way {
        let of_host = match host {
            Host::Server => self.server,
            Host::Elsewhere => self.elsewhere,
        };
        match () {
            () if self.network.max(of_host) > now => Way::Cut,
            () if self.passage > now => Way::Portal,
            () if self.credentials > now => Way::Refused,
            () => Way::Open,
        }
    }
}

/// What befalls requests and steps.
#[derive(Default)]
pub(crate) struct Weather {
    /// Nothing goes wrong any more.
    fair: bool,
    /// What befalls which requests, where that is not drawn.
    fates: Option<BTreeMap<(usize, u64), Fate>>,
    /// What happens at which steps of which stores.
    steps: BTreeMap<(usize, u64), What>,
    /// What befell requests.
    befell: Vec<Event>,
}

impl Weather {
    /// As `schedule` says. What befalls requests is drawn unless it is `told`.
    pub(crate) fn of(schedule: &Schedule, told: bool) -> Self {
        let mut weather = Self { fates: told.then(BTreeMap::new), ..Self::default() };
        for event in &schedule.events {
            match (event.when, event.what) {
                (When::Step(step), what) => drop(weather.steps.insert((event.device, step), what)),
                (When::Request(nth), What::Fate(fate)) => {
                    weather.fates.get_or_insert_default().insert((event.device, nth), fate);
                }
                _ => {}
            }
        }
        weather
    }

    pub(crate) fn clear_up(&mut self) {
        self.fair = true;
    }

    /// What happens at a step of a device's store.
    pub(crate) fn at(&self, device: usize, step: u64) -> Option<What> {
        self.steps.get(&(device, step)).copied().filter(|_| !self.fair)
    }

    /// What befalls a request.
    pub(crate) fn fate(&mut self, network: &Network, seed: u64, device: usize, nth: u64) -> Option<Fate> {
        if self.fair {
            return None;
        }
        let fate = match &self.fates {
            Some(told) => told.get(&(device, nth)).copied(),
            None => network.fate(seed, device, nth),
        }?;
        self.befell.push(Event { device, when: When::Request(nth), what: What::Fate(fate) });
        Some(fate)
    }

    /// What befell requests so far.
    pub(crate) fn befell(&self) -> Vec<Event> {
        self.befell.clone()
    }
}
