//! Remotes that ask to be left alone: nobody comes earlier, and not all at one moment.

use proptest::prelude::*;

use super::*;

/// Until when the remote is left alone that has asked each of the requests for this, with these draws, one second after the other.
fn left_alone(asked: &[(u64, u64)]) -> Duration {
    let count = u64::try_from(asked.len()).unwrap();
    let heads = (1..=count).map(|seq| head(seq, &seq.to_string(), KEYED)).collect();
    let (mut engine, _) = loaded(at(0), heads);
    marked(&mut engine, at(0), &(1..=count).collect::<Vec<_>>());
    for ((seq, second), (wait, jitter)) in (1..).zip(0..).zip(asked) {
        let answer = Answer::Unreachable { sent: Sent::Never, wait: Some(Duration::from_secs(*wait)) };
        tell(&mut engine, at(second), Event::Answered { seq, answer, jitter: *jitter });
    }
    engine.wait_until().unwrap()
}

proptest! {
    // Rules: o-retry-after
    #[test]
    fn nobody_comes_back_before_he_was_asked_to_or_much_later(wait in 1..3600_u64, jitter: u64) {
        let (until, told) = (left_alone(&[(wait, jitter)]), Duration::from_secs(wait));
        prop_assert!(until >= told && until <= told + (told / 10).min(Duration::from_secs(150)), "{until:?}");
    }

    /// Else those that have more on their way than others would come back later than these.
    // Rules: o-retry-after
    #[test]
    fn a_device_has_one_place_however_many_of_its_requests_are_told(wait in 100..1000_u64, jitters: [u64; 8]) {
        let alone = left_alone(&[(wait, jitters[0])]);
        let together = left_alone(&jitters.map(|jitter| (wait, jitter)));
        prop_assert_eq!(together, alone + Duration::from_secs(7));
    }
}

// Rules: o-retry-after
#[test]
fn all_of_the_time_after_it_is_used() {
    let ends = |wait| [0, u64::MAX].map(|jitter| left_alone(&[(wait, jitter)]).as_secs());
    assert_eq!(ends(30), [30, 33]);
    assert_eq!(ends(3600), [3600, 3750], "no more than the turns of those that were told nothing are apart");
}

// Rules: o-retry-after
#[test]
fn the_place_is_kept_over_a_restart() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
    marked(&mut engine, at(0), &[1]);
    let answer = Answer::Unreachable { sent: Sent::Never, wait: Some(LONG) };
    tell(&mut engine, at(0), Event::Answered { seq: 1, answer, jitter: u64::MAX });
    let until = engine.asked(1, at(0).mono).unwrap();
    assert_eq!(engine.asked(1, until), None, "it is over then");
    let noted = Head { not_before: Some(at(until.as_secs()).wall), ..head(1, "a", KEYED) };
    assert_eq!(loaded(at(0), vec![noted]).0.wait_until(), Some(until));
}
