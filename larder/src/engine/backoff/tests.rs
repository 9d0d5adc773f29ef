//! Waits below their ceilings, turns that stay where they are, and a fleet after an outage.

use proptest::prelude::*;

use super::*;

proptest! {
    // Rules: o-backoff
    #[test]
    fn a_wait_stays_below_its_ceiling_and_the_cap(
        base in 1..2_000_u64, cap in 1..600_000_u64, failures in 1..u32::MAX, jitter: u64
    ) {
        let backoff = Backoff { base: Duration::from_millis(base), cap: Duration::from_millis(cap) };
        let wait = backoff.wait(failures, jitter);
        prop_assert!(wait <= backoff.cap);
        if let Some(ceiling) = 1_u64.checked_shl(failures - 1).map(|times| base.saturating_mul(times)) {
            prop_assert!(wait <= Duration::from_millis(ceiling));
        }
    }

    /// Whatever the attempts take: the next comes within half of the cap, and in the end in one and the same rhythm.
    // Rules: o-turns
    #[test]
    fn a_client_keeps_its_turn_however_long_its_attempts_take(
        base in 1..2_000_u64, cap in 0..600_000_u64, attempts in prop::collection::vec((any::<u64>(), 0..400_000_u64), 1..60)
    ) {
        let backoff = Backoff { base: Duration::from_millis(base), cap: Duration::from_millis(cap) };
        let (mut turns, mut mono, mut turn) = (Turns::default(), Duration::ZERO, None);
        for (jitter, takes) in attempts {
            mono += Duration::from_millis(takes);
            let next = turns.next(&backoff, mono, jitter);
            prop_assert!(next >= mono && next - mono <= backoff.cap / 2);
            if turns.last.is_some() && cap > 1 {
                let moment = next.as_nanos() % backoff.period().as_nanos();
                prop_assert_eq!(*turn.get_or_insert(moment), moment);
            }
            mono = next;
        }
    }
}

// Rules: o-backoff
#[test]
fn all_of_the_room_is_used() {
    let backoff = Backoff::default();
    let ends = |failures| [0, u64::MAX].map(|jitter| backoff.wait(failures, jitter).as_millis());
    assert_eq!(ends(1), [0, 500]);
    assert_eq!(ends(10), [0, 256_000]);
    assert_eq!(ends(u32::MAX), [0, 300_000]);
}

/// When each of ten thousand clients is heard after an outage of 40 minutes, in seconds since its end, and how many attempts one
/// makes until then. `begin` says when a client makes its first one, and `fails` when one that is made at a moment has failed.
fn fleet(begin: impl Fn(u32) -> Duration, fails: impl Fn(Duration) -> Duration) -> (Vec<u64>, u32) {
    let (backoff, outage) = (Backoff::default(), Duration::from_secs(40 * 60));
    let (mut load, mut attempts) = (Vec::new(), 0);
    // Xorshift.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut chance = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    };
    for client in 0..10_000 {
        let (mut turns, mut mono) = (Turns::default(), begin(client));
        while mono < outage {
            attempts += 1;
            mono = turns.next(&backoff, fails(mono), chance());
        }
        let second = (mono - outage).as_secs() as usize;
        load.resize(load.len().max(second + 1), 0);
        load[second] += 1;
    }
    (load, attempts / 10_000)
}

// Rules: o-turns
#[test]
fn ten_thousand_are_heard_evenly_after_an_outage_whatever_befell_them_together() {
    let at_once = |moment: Duration| moment + Duration::from_millis(50);
    let one_by_one = |client: u32| Duration::from_secs(20 * 60) * client / 10_000;
    // A gateway breaks all off at each full minute.
    let together = |moment: Duration| Duration::from_secs((moment.as_secs() / 60 + 1) * 60);
    for (load, attempts) in
        [fleet(one_by_one, at_once), fleet(|_| Duration::ZERO, at_once), fleet(|_| Duration::ZERO, together)]
    {
        let mean = 10_000.0 / load.len() as f64;
        let busiest = load.iter().copied().max().unwrap_or_default() as f64;
        assert!(busiest <= 1.5 * mean, "{busiest} of {mean} a second: {load:?}");
        assert_eq!(load.len(), 150, "all of them are heard within half of the cap");
        assert!(attempts <= 26, "{attempts}");
    }
}
