//! Where entries stand: what is heard of one changes what may go, what counts as blocked, and nothing else.

use super::*;

const REF: &str = "Team";

/// An entry that refers to the team with this key.
fn refers(seq: u64, key: &str, team: &str) -> Head {
    let mut head = head(seq, key, KEYED);
    head.tied.refers = vec![(REF, Key::from(team))];
    head
}

/// An entry of the team with this key.
fn team(seq: u64, key: &str) -> Head {
    Head { model: REF, ..head(seq, key, KEYED) }
}

fn creating(mut head: Head) -> Head {
    head.tied.creates = true;
    head
}

fn deleting(mut head: Head) -> Head {
    head.tied.deletes = true;
    head
}

fn parked(head: Head, reason: ParkReason) -> Head {
    Head { parked: Some(reason), ..head }
}

/// An engine that has loaded these and sends nothing yet.
fn paused(heads: Vec<Head>) -> Engine {
    let mut engine = Engine::new(Settings::default());
    tell(&mut engine, at(0), Event::Pause);
    let last = heads.last().map_or(0, |head| head.seq);
    tell(&mut engine, at(0), Event::Loaded { heads, last, more: false, wipes: 0 });
    engine
}

fn resumed(engine: &mut Engine) -> Vec<Effect> {
    tell(engine, at(0), Event::Resume)
}

fn rebased(engine: &mut Engine, head: Head) {
    tell(engine, at(0), Event::Rebased(Moved { ended: Vec::new(), heads: vec![head] }));
}

fn sent(engine: &mut Engine, seq: u64) {
    assert_eq!(marked(engine, at(0), &[seq]), [Effect::Send { seq, repeated: false }]);
}

fn exchanged(seq: u64, from: &str, to: &str) -> Event {
    Event::Exchanged { seq, renames: vec![((REF, Key::from(from)), Key::from(to))] }
}

// Rules: o-discard
#[test]
fn one_about_which_the_remote_is_asked_is_on_its_way() {
    let was_in_flight = Head { marked: Some(at(0).wall), ..head(1, "a", Idempotency::Probe) };
    let (mut engine, effects) = loaded(at(0), vec![was_in_flight]);
    assert_eq!(effects, [Effect::Probe(1)]);
    assert!(!engine.withdraw(1) && !engine.at_rest());
    assert_eq!(engine.counts().in_flight, 1);
}

// Rules: o-accounts, o-status
#[test]
fn what_is_on_its_way_as_another_signs_in_is_not_blocked() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
    sent(&mut engine, 1);
    tell(&mut engine, at(0), Event::Account(Some("bob".into())));
    assert_eq!((engine.counts().in_flight, engine.counts().blocked), (1, 0));
}

// Rules: o-lanes
#[test]
fn what_is_read_twice_goes_once() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
    sent(&mut engine, 1);
    let heads = vec![head(1, "a", KEYED), head(2, "b", KEYED)];
    let again = tell(&mut engine, at(0), Event::Loaded { heads, last: 2, more: false, wipes: 0 });
    assert_eq!(again, [Effect::Mark(vec![2])]);
}

// Rules: m-key-server-refs, o-dependencies
#[test]
fn what_referred_to_a_row_under_its_former_key_holds_a_deletion_under_the_new_one_as_long_as_it_is_there() {
    for gone in [false, true] {
        let (mut engine, _) = loaded(at(0), vec![creating(team(1, "new")), refers(2, "a", "new")]);
        sent(&mut engine, 1);
        let next = tell(&mut engine, at(0), exchanged(1, "new", "17"));
        assert_eq!(next, [Effect::Mark(vec![2])]);
        sent(&mut engine, 2);
        if gone {
            answered(&mut engine, at(0), 2, Answer::Accepted);
            tell(&mut engine, at(0), Event::Settled { seq: 2, verdict: Verdict::Accept });
        }
        let heads = vec![deleting(team(3, "17"))];
        let next = tell(&mut engine, at(0), Event::Loaded { heads, last: 3, more: false, wipes: 0 });
        assert_eq!(next, if gone { vec![Effect::Mark(vec![3])] } else { vec![] });
    }
}

// Rules: m-key-server-refs, o-dependencies
#[test]
fn what_was_being_read_as_a_row_got_its_key_refers_to_it_under_that() {
    let (mut engine, _) = loaded(at(0), vec![creating(team(1, "new"))]);
    sent(&mut engine, 1);
    assert_eq!(tell(&mut engine, at(0), Event::Stored).len(), 1, "it is read on");
    tell(&mut engine, at(0), exchanged(1, "new", "17"));
    let heads = vec![refers(2, "a", "new"), deleting(team(3, "17"))];
    let next = tell(&mut engine, at(0), Event::Loaded { heads, last: 3, more: false, wipes: 0 });
    assert_eq!(next, [Effect::Mark(vec![2])]);
}

// Rules: m-key-server, o-lanes
#[test]
fn entries_under_both_keys_of_a_row_go_in_their_order_once_it_has_one() {
    let mut engine = paused(vec![creating(team(1, "new")), team(2, "new"), team(3, "17")]);
    tell(&mut engine, at(0), exchanged(1, "new", "17"));
    assert_eq!(resumed(&mut engine), [Effect::Mark(vec![2])]);

    let stopped = parked(team(2, "new"), ParkReason::Rejected);
    let mut engine = paused(vec![creating(team(1, "new")), stopped, team(3, "17")]);
    assert_eq!(engine.counts().blocked, 0);
    tell(&mut engine, at(0), exchanged(1, "new", "17"));
    assert_eq!(engine.counts().blocked, 1);
}

// Rules: o-revert, o-dependencies
#[test]
fn nothing_waits_for_what_was_put_back() {
    let gone = parked(creating(team(1, "t")), ParkReason::Reverted);
    let (_, effects) = loaded(at(0), vec![gone, refers(2, "a", "t")]);
    assert_eq!(effects, [Effect::Mark(vec![2])]);
}

// Rules: o-halt, o-revert
#[test]
fn what_was_put_back_halts_nothing_whatever_is_to_become_of_refusals_today() {
    let halts = Head { on_failure: PermanentFailure::Halt, ..head(1, "a", KEYED) };
    let (engine, _) = loaded(at(0), vec![parked(halts, ParkReason::Reverted)]);
    assert!(!engine.halted());
}

// Rules: m-assoc-send
#[test]
fn what_goes_in_a_request_goes_with_it_though_the_request_was_written_again() {
    let (mut carrier, mut within) = (head(1, "a", KEYED), head(2, "b", KEYED));
    carrier.tied.carries = Some(carrier.id);
    within.tied.carrier = Some(carrier.id);
    let mut engine = paused(vec![carrier.clone(), within]);
    tell(&mut engine, at(0), Event::Revised { revised: vec![carrier], gone: Vec::new() });
    tell(&mut engine, at(0), Event::Settled { seq: 1, verdict: Verdict::Accept });
    assert!(!engine.tracks(1) && !engine.tracks(2));
}

// Rules: s-rebase, c-again
#[test]
fn what_is_put_on_news_goes_as_what_it_is_now() {
    let before = Head { marked: Some(at(0).wall), ..head(1, "a", Idempotency::Probe) };
    let mut engine = paused(vec![before.clone()]);
    rebased(&mut engine, Head { idempotency: KEYED, ..before.clone() });
    assert_eq!(resumed(&mut engine), [Effect::Send { seq: 1, repeated: true }], "nobody has to be asked");

    // Under another identity nothing of it was ever sent.
    let mut engine = paused(vec![before]);
    let renewed = Head { id: head(9, "", KEYED).id, ..head(1, "a", KEYED) };
    rebased(&mut engine, renewed.clone());
    assert_eq!(engine.head(1).unwrap().id, renewed.id);
    assert_eq!(resumed(&mut engine), [Effect::Mark(vec![1])]);
    sent(&mut engine, 1);
}

// Rules: s-rebase, c-ask
#[test]
fn what_asks_after_news_waits_and_what_is_about_to_be_given_up_goes_on_doing_so() {
    let asks = || parked(head(1, "a", KEYED), ParkReason::Conflict);
    let mut engine = paused(vec![head(1, "a", KEYED), head(2, "a", KEYED)]);
    rebased(&mut engine, asks());
    let counts = engine.counts();
    assert_eq!((counts.conflicts, counts.parked, counts.blocked), (1, 1, 1));
    assert_eq!(resumed(&mut engine), []);

    let mut engine = paused(vec![head(1, "a", KEYED)]);
    assert!(engine.withdraw(1));
    rebased(&mut engine, asks());
    assert_eq!(engine.counts().parked, 0, "it is not seen any more");
}

// Rules: o-status, o-parked
#[test]
fn what_waited_behind_a_parked_one_is_blocked_no_more_once_that_is_gone() {
    let mut engine = paused(vec![parked(head(1, "a", KEYED), ParkReason::Rejected), head(2, "a", KEYED)]);
    assert_eq!(engine.counts().blocked, 1);
    tell(&mut engine, at(0), Event::Discarded(1));
    assert_eq!(engine.counts().blocked, 0);
}

// Rules: o-discard
#[test]
fn what_is_not_given_up_after_all_stands_where_it_did() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
    sent(&mut engine, 1);
    assert_eq!(tell(&mut engine, at(0), Event::Kept(1)), [], "it was on its way");

    let mut engine = paused(vec![parked(head(1, "a", KEYED), ParkReason::Rejected)]);
    assert!(engine.withdraw(1));
    tell(&mut engine, at(0), Event::Kept(1));
    assert_eq!((engine.counts().parked, resumed(&mut engine)), (1, vec![]));

    // It is written again afterwards.
    let mut engine = paused(vec![head(1, "a", KEYED)]);
    assert!(engine.withdraw(1));
    tell(&mut engine, at(0), Event::Kept(1));
    let revised = vec![head(1, "a", KEYED)];
    tell(&mut engine, at(0), Event::Revised { revised, gone: Vec::new() });
    assert_eq!(resumed(&mut engine), [Effect::Mark(vec![1])]);
}

// Rules: s-rebase, o-idempotency
#[test]
fn what_is_on_its_way_may_have_arrived_whatever_is_heard_meanwhile() {
    let (mut engine, _) = loaded(at(0), vec![head(1, "a", KEYED)]);
    sent(&mut engine, 1);
    rebased(&mut engine, head(1, "a", KEYED));
    answered(&mut engine, at(0), 1, LOST);
    assert!(tell(&mut engine, at(0), Event::Nudge).contains(&Effect::Send { seq: 1, repeated: true }));
}

// Rules: o-discard, o-coalesce
#[test]
fn what_is_about_to_be_given_up_does_not_go_though_its_row_is_written_meanwhile() {
    let mut engine = paused(vec![head(1, "a", KEYED)]);
    assert!(engine.withdraw(1));
    tell(&mut engine, at(0), Event::Revised { revised: vec![head(1, "a", KEYED)], gone: Vec::new() });
    assert_eq!(resumed(&mut engine), []);
    assert_eq!(tell(&mut engine, at(0), Event::Kept(1)), [Effect::Mark(vec![1])]);
}

// Rules: o-order, o-coalesce
#[test]
fn late_news_under_a_former_key_lets_nobody_overtake() {
    let (mut engine, _) = loaded(
        at(0),
        vec![head(1, "temporary", KEYED), head(2, "temporary", KEYED), head(3, "temporary", KEYED)],
    );
    sent(&mut engine, 1);
    answered(&mut engine, at(0), 1, Answer::Accepted);
    tell(&mut engine, at(0), Event::Connectivity { connected: false, jitter: 0 });
    let renames = vec![((head(1, "", KEYED).model, Key::from("temporary")), Key::from("given"))];
    tell(&mut engine, at(0), Event::Exchanged { seq: 1, renames });
    let revised = vec![head(2, "temporary", KEYED)];
    tell(&mut engine, at(0), Event::Revised { revised, gone: Vec::new() });
    let regained = Event::Connectivity { connected: true, jitter: 0 };
    assert_eq!(tell(&mut engine, at(0), regained), [Effect::Mark(vec![2])]);
    assert_eq!(engine.head(2).unwrap().key, Key::from("given"));
}

/// How what is on its way comes to its end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    Accepted,
    Unreachable,
    Unauthorized,
    Failed,
    Refused,
    GoneMeanwhile,
}

/// An engine with a team that gets its key while the third entry is on its way under that, and the second one was queued
/// under the temporary one.
fn beside() -> Engine {
    let (mut engine, effects) = loaded(at(0), vec![creating(team(1, "new")), team(2, "new"), team(3, "17")]);
    assert_eq!(effects, [Effect::Mark(vec![1, 3])]);
    assert_eq!(marked(&mut engine, at(0), &[1, 3]).len(), 2);
    answered(&mut engine, at(0), 1, Answer::Accepted);
    assert_eq!(tell(&mut engine, at(0), exchanged(1, "new", "17")), [], "the third is on its way");
    engine
}

// Rules: m-key-server-refs, o-lanes
#[rstest]
fn what_is_on_its_way_when_two_queues_become_one_is_waited_for(
    #[values(
        Ends::Accepted,
        Ends::Unreachable,
        Ends::Unauthorized,
        Ends::Failed,
        Ends::Refused,
        Ends::GoneMeanwhile
    )]
    ends: Ends,
) {
    let mut engine = beside();
    // Written again, and heard of, the second one goes on waiting.
    let revised = vec![team(2, "17")];
    assert_eq!(tell(&mut engine, at(0), Event::Revised { revised, gone: Vec::new() }), []);
    rebased(&mut engine, team(2, "17"));
    let mut settled = |answer, verdict| {
        assert_eq!(answered(&mut engine, at(0), 3, answer), [Effect::Settle(3, verdict)]);
        tell(&mut engine, at(0), Event::Settled { seq: 3, verdict })
    };
    let next = match ends {
        Ends::Accepted => settled(Answer::Accepted, Verdict::Accept),
        Ends::Refused => settled(Answer::Refused, Verdict::Park(ParkReason::Rejected)),
        Ends::Failed => {
            answered(&mut engine, at(0), 3, BROKEN);
            let verdict = Verdict::Note;
            assert_eq!(tell(&mut engine, at(0), Event::Settled { seq: 3, verdict }), []);
            tell(&mut engine, at(9), Event::Tick)
        }
        Ends::Unreachable => {
            assert_eq!(answered(&mut engine, at(0), 3, LOST), []);
            tell(&mut engine, at(0), Event::Nudge)
        }
        Ends::Unauthorized => {
            assert_eq!(answered(&mut engine, at(0), 3, Answer::Unauthorized), []);
            tell(&mut engine, at(0), Event::Credentials)
        }
        Ends::GoneMeanwhile => tell(&mut engine, at(0), Event::Discarded(3)),
    };
    let mut next: Vec<_> = next.into_iter().filter(|effect| !matches!(effect, Effect::Load { .. })).collect();
    if matches!(ends, Ends::Unreachable | Ends::Unauthorized | Ends::Failed) {
        // It goes again before what was never sent: that is put on what comes of it.
        assert_eq!(next, [Effect::Send { seq: 3, repeated: ends != Ends::Unauthorized }]);
        answered(&mut engine, at(9), 3, Answer::Accepted);
        next = tell(&mut engine, at(9), Event::Settled { seq: 3, verdict: Verdict::Accept });
    }
    assert_eq!(next, [Effect::Mark(vec![2])]);
}

// Rules: m-key-server-refs, o-lanes, o-coalesce-sent
#[test]
fn what_is_being_marked_when_two_queues_become_one_is_waited_for_though_it_is_written_again() {
    let heads = vec![creating(team(1, "new")), team(2, "new"), team(3, "17")];
    let (mut engine, effects) = with(Settings { marks: 1, ..Settings::default() }, heads);
    assert_eq!(effects, [Effect::Mark(vec![1])]);
    // The third is being marked as the answer to the first is stored.
    assert!(marked(&mut engine, at(0), &[1]).contains(&Effect::Mark(vec![3])));
    answered(&mut engine, at(0), 1, Answer::Accepted);
    assert_eq!(tell(&mut engine, at(0), exchanged(1, "new", "17")), []);
    let written = vec![team(3, "17"), team(2, "17")];
    assert_eq!(tell(&mut engine, at(0), Event::Revised { revised: written, gone: Vec::new() }), []);
    // Whatever was marked: the second one goes, and the third is marked anew in its turn.
    assert_eq!(marked(&mut engine, at(0), &[3]), [Effect::Mark(vec![2])]);
    sent(&mut engine, 2);
    answered(&mut engine, at(0), 2, Answer::Accepted);
    let next = tell(&mut engine, at(0), Event::Settled { seq: 2, verdict: Verdict::Accept });
    assert_eq!(next, [Effect::Mark(vec![3])]);
}

// Rules: m-key-server-refs, o-lanes
#[rstest]
fn where_something_is_on_its_way_under_both_keys_what_comes_next_waits_for_both(
    #[values([3, 4], [4, 3])] order: [u64; 2],
) {
    // A row whose own key has that of the team in it.
    let heads = vec![creating(team(1, "new")), team(3, "new/a"), team(4, "17/a"), team(5, "17/a")];
    let (mut engine, _) = loaded(at(0), heads);
    assert_eq!(marked(&mut engine, at(0), &[1, 3, 4]).len(), 3);
    answered(&mut engine, at(0), 1, Answer::Accepted);
    let renames = [("new", "17"), ("new/a", "17/a")];
    let renames = renames.map(|(from, to)| ((REF, Key::from(from)), Key::from(to))).to_vec();
    assert_eq!(tell(&mut engine, at(0), Event::Exchanged { seq: 1, renames }), []);
    let next = order.map(|seq| {
        answered(&mut engine, at(0), seq, Answer::Accepted);
        tell(&mut engine, at(0), Event::Settled { seq, verdict: Verdict::Accept })
    });
    assert_eq!(next, [vec![], vec![Effect::Mark(vec![5])]]);
}

// Rules: m-key-server-refs, o-lanes
#[test]
fn what_is_found_to_have_the_given_key_as_it_is_marked_waits_for_what_is_on_its_way_under_that() {
    let (mut engine, _) = loaded(at(0), vec![creating(team(1, "new")), team(2, "new"), team(3, "17")]);
    marked(&mut engine, at(0), &[1, 3]);
    // The answer is stored, and the engine does not know yet.
    let gone = vec![1];
    let marks = Event::Marked { seqs: Vec::new(), at: at(0).wall, revised: vec![team(2, "17")], gone };
    assert_eq!(tell(&mut engine, at(0), marks), []);
    assert_eq!(tell(&mut engine, at(0), exchanged(1, "new", "17")), []);
    answered(&mut engine, at(0), 3, Answer::Accepted);
    let next = tell(&mut engine, at(0), Event::Settled { seq: 3, verdict: Verdict::Accept });
    assert_eq!(next, [Effect::Mark(vec![2])]);
}

// Rules: m-key-server-refs, o-lanes
#[test]
fn what_may_have_been_sent_does_not_overtake_what_may_have_been_sent_before_though_that_waits_for_another_row()
 {
    let was_sent = |head: Head| Head { marked: Some(at(0).wall), ..head };
    // The row that the first one refers to is to be made anew.
    let heads = vec![creating(team(1, "a")), was_sent(refers(2, "17", "a")), was_sent(head(3, "17", KEYED))];
    let (mut engine, effects) = loaded(at(0), heads);
    assert_eq!(effects, [Effect::Mark(vec![1])]);
    sent(&mut engine, 1);
    answered(&mut engine, at(0), 1, Answer::Accepted);
    let next = tell(&mut engine, at(0), Event::Settled { seq: 1, verdict: Verdict::Accept });
    assert_eq!(next, [Effect::Send { seq: 2, repeated: true }]);
}

// Rules: m-key-server-refs, o-serial, o-marked
#[test]
fn in_one_order_what_is_to_be_made_anew_counts_as_a_creation_once_it_is_marked() {
    let heads = vec![head(1, "new", KEYED), head(2, "other", KEYED), head(3, "17", KEYED)];
    let (mut engine, _) = with(Settings { serial: true, marks: 1, ..Settings::default() }, heads);
    // The row is gone over there: what changed it makes it anew.
    let anew = Head { gets_key: true, ..head(1, "new", KEYED) };
    rebased(&mut engine, anew);
    assert_eq!(marked(&mut engine, at(0), &[1]), [Effect::Send { seq: 1, repeated: false }]);
    answered(&mut engine, at(0), 1, BROKEN);
    let next = tell(&mut engine, at(0), Event::Settled { seq: 1, verdict: Verdict::Note });
    assert_eq!(next, [], "neither of the others is marked before its turn");
}

// Rules: m-key-server-refs, o-serial, o-marked
#[test]
fn in_one_order_a_creation_that_goes_once_more_counts_as_one_though_its_mark_is_gone() {
    let creation = Head { gets_key: true, ..head(1, "new", Idempotency::AtMostOnce) };
    let (mut engine, _) = with(Settings { serial: true, ..Settings::default() }, vec![creation]);
    sent(&mut engine, 1);
    tell(&mut engine, at(0), Event::Pause);
    let verdict = Verdict::Park(ParkReason::Uncertain);
    assert_eq!(answered(&mut engine, at(0), 1, LOST), [Effect::Settle(1, verdict)]);
    assert_eq!(tell(&mut engine, at(0), Event::Settled { seq: 1, verdict }), []);
    assert_eq!(tell(&mut engine, at(0), Event::Retried(1)), []);
    // The row has come by a pull, and was written again.
    tell(&mut engine, at(0), Event::Stored);
    let heads = vec![head(2, "17", KEYED)];
    assert_eq!(tell(&mut engine, at(0), Event::Loaded { heads, last: 2, more: false, wipes: 0 }), []);
    assert_eq!(resumed(&mut engine), [Effect::Mark(vec![1])]);
}

// Rules: m-key-server-refs, o-lanes, o-status
#[test]
fn what_was_sent_is_blocked_no_more_once_nothing_that_comes_before_it_waits_for_a_decision() {
    let stopped = creating(parked(team(1, "a"), ParkReason::Rejected));
    let was_sent = Head { marked: Some(at(0).wall), ..head(4, "17", KEYED) };
    let heads =
        vec![stopped, parked(head(2, "17", KEYED), ParkReason::Rejected), refers(3, "17", "a"), was_sent];
    let (mut engine, effects) = loaded(at(0), heads);
    assert_eq!((effects, engine.counts().blocked), (vec![], 2));
    // It goes before the second, which was never sent; the third waits for the first.
    assert_eq!(tell(&mut engine, at(0), Event::Retried(2)), [Effect::Send { seq: 4, repeated: true }]);
    assert_eq!(engine.counts().blocked, 1);
}
