//! What the state of the interfaces means to whoever wants to send a request.

use std::net::IpAddr;

use netwatch::interfaces::Interface;
use netwatch::netmon::State;
use tokio::time::Instant;

/// What of the state matters here. Interfaces come and go on a machine that runs containers: what counts is the way that
/// requests take.
#[derive(Clone, Debug)]
pub(crate) struct Outlook {
    pub(crate) online: bool,
    pub(crate) metered: bool,
    /// The interface of the default route, and its addresses.
    way: Option<(String, Vec<IpAddr>)>,
    /// When the device was seen to have slept; told once, with the state that comes of it.
    woken: Option<Instant>,
}

impl Outlook {
    pub(crate) fn of(state: &State) -> Self {
        let default = state.default_route_interface.as_ref();
        let interface = default.and_then(|name| state.interfaces.get(name));
        let addresses = || interface.into_iter().flat_map(Interface::addrs).map(|net| net.addr()).collect();
        // Not even the loopback: nothing could be read, so nothing is known to be hopeless.
        let blind = state.interfaces.is_empty();
        let reaches = state.have_v4 || state.have_v6 || interface.is_some_and(Interface::is_up);
        Self {
            online: blind || reaches,
            metered: state.is_expensive,
            way: default.map(|name| (name.clone(), addresses())),
            woken: state.last_unsuspend,
        }
    }

    /// Whether what failed before may succeed now: the connection is back, or is another one, or the device has slept.
    pub(crate) fn is_better_than(&self, former: &Self) -> bool {
        let slept = self.woken.is_some() && self.woken != former.woken;
        self.online && (!former.online || self.way != former.way || slept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connected machine with one interface.
    fn connected() -> State {
        State::fake()
    }

    /// The interfaces are there, and lead nowhere.
    fn unplugged() -> State {
        State { have_v4: false, have_v6: false, default_route_interface: None, ..State::fake() }
    }

    #[track_caller]
    fn check_online(state: &State, online: bool) {
        assert_eq!(Outlook::of(state).online, online, "{state}");
    }

    // Rules: s-netwatch
    #[test]
    fn offline_is_what_is_known_to_be_hopeless() {
        check_online(&connected(), true);
        check_online(&unplugged(), false);
        // One family of addresses is enough, and so is a local network that leads no further.
        check_online(&State { have_v4: true, ..unplugged() }, true);
        check_online(&State { have_v6: true, ..unplugged() }, true);
        // Where addresses are not told, the default route is.
        let default_route_interface = connected().default_route_interface;
        check_online(&State { default_route_interface, ..unplugged() }, true);
        check_online(&State { default_route_interface: Some("gone0".to_owned()), ..unplugged() }, false);
        // Nothing could be read.
        check_online(&State { interfaces: [].into(), ..unplugged() }, true);
    }

    // Rules: s-netwatch
    #[test]
    fn only_what_is_known_to_be_paid_for_is_metered() {
        assert!(!Outlook::of(&connected()).metered);
        assert!(Outlook::of(&State { is_expensive: true, ..connected() }).metered);
    }

    #[track_caller]
    fn check_better(former: &State, state: &State, better: bool) {
        assert_eq!(Outlook::of(state).is_better_than(&Outlook::of(former)), better, "{former} -> {state}");
    }

    // Rules: s-netwatch
    #[tokio::test]
    async fn another_way_is_worth_a_try_and_another_interface_is_not() {
        check_better(&unplugged(), &connected(), true);
        check_better(&connected(), &unplugged(), false);
        check_better(&connected(), &connected(), false);
        let mut roamed = connected();
        roamed.default_route_interface = Some("wwan0".to_owned());
        check_better(&connected(), &roamed, true);
        // Back, though nothing says by which way.
        check_better(&unplugged(), &State { have_v4: true, ..unplugged() }, true);
        // The same interface, and what it is called there has changed.
        let unnamed = State { interfaces: [].into(), ..connected() };
        check_better(&unnamed, &connected(), true);
        // A container has started beside.
        let mut crowded = connected();
        let interface = crowded.interfaces.values().next().cloned().unwrap();
        crowded.interfaces.insert("veth0".to_owned(), interface);
        check_better(&connected(), &crowded, false);
        // The same network after a sleep; what is told of it later is no second sleep.
        let slept = State { last_unsuspend: Some(Instant::now()), ..connected() };
        check_better(&connected(), &slept, true);
        check_better(&slept, &connected(), false);
        check_better(&slept, &State { last_unsuspend: slept.last_unsuspend, ..connected() }, false);
    }
}
