//! Mutations of which nobody knows whether they have arrived: the remote is asked.

use super::*;

// Rules: o-key-life, o-idempotency
#[tokio::test]
async fn a_question_that_is_refused_is_what_is_kept_with_an_uncertain_mutation() {
    let (net, disk) = (Switches::new(), support::chaos::memory().await);
    *net.idempotency.lock().unwrap() = Some(Idempotency::Probe);
    let open = || support::builder(&net).store(Arc::clone(&disk)).outbox(settings());
    let repo = open().paused().build().await.unwrap();
    drop(repo.upsert(&note("1", "mine", 0)).await.unwrap());
    repo.close().await;
    // It was killed behind the mark.
    let cx = larder::core::Context::new();
    let mut entry = disk.outbox(&cx, 0, 1).await.unwrap().entries.remove(0);
    entry.mark = Some(larder::core::SendMark { first: entry.created });
    let ops = vec![larder::core::Op::Revise(Box::new(entry))];
    disk.commit(&cx, larder::core::Batch { expect: Vec::new(), ops }).await.unwrap();
    net.next(Turn::Say(ErrorKind::Rejected, 403));
    let repo = open().build().await.unwrap();
    let parked = parked(&repo, 1).await;
    assert_eq!(parked[0].parked, Some(ParkReason::Uncertain));
    assert_eq!(parked[0].failure.as_ref().unwrap().status, Some(403));
    assert!(net.seen().is_empty());
}

// Rules: o-fate, o-idempotency
#[tokio::test]
async fn a_creation_under_anothers_key_says_that_it_is_in_conflict_whatever_came_of_its_attempts() {
    let net = Switches::new();
    *net.idempotency.lock().unwrap() = Some(Idempotency::Probe);
    let repo = support::builder(&net).outbox(settings()).paused().build().await.unwrap();
    let created = repo.upsert(&note("1", "mine", 0)).await.unwrap();
    net.elsewhere(note("1", "theirs", 5)).await;
    net.next(Turn::Say(ErrorKind::Timeout, 408));
    repo.outbox().resume();
    let told = soon(created.accepted()).await.unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Conflict, "{told}");
    let attempt = std::error::Error::source(&told).expect("what it was asked about for").to_string();
    assert!(attempt.contains("timed out"), "{attempt}");
    assert_eq!((told.model_name(), told.row_key()), (Some("Note"), Some("1")));
    let parked = parked(&repo, 1).await.remove(0);
    assert_eq!(parked.parked, Some(ParkReason::Conflict));
    assert_eq!(parked.failure.unwrap().kind, ErrorKind::Conflict, "that is what is kept with it");
    assert!(net.seen().is_empty(), "what it would do there is not known");
}

// Rules: o-fate, o-key-life
#[tokio::test]
async fn what_could_not_be_asked_about_says_what_the_question_was_answered() {
    let net = Switches::new();
    *net.idempotency.lock().unwrap() = Some(Idempotency::Probe);
    let repo = support::builder(&net).outbox(settings()).paused().build().await.unwrap();
    let created = repo.upsert(&note("1", "mine", 0)).await.unwrap();
    net.next(Turn::Say(ErrorKind::Timeout, 408));
    net.next(Turn::Say(ErrorKind::Rejected, 403));
    repo.outbox().resume();
    let told = soon(created.accepted()).await.unwrap_err();
    assert_eq!((told.kind(), told.status()), (ErrorKind::Rejected, Some(403)), "{told}");
    let parked = parked(&repo, 1).await.remove(0);
    assert_eq!(parked.parked, Some(ParkReason::Uncertain));
    assert_eq!(parked.failure.unwrap().status, Some(403));
}

// Rules: o-retry-after
#[tokio::test]
async fn what_the_remote_asks_for_when_it_is_asked_about_a_mutation_is_kept_over_a_restart() {
    // Whether the attempt before was lost, or refused: then the question is what it was refused for.
    for before in [Turn::Say(ErrorKind::Timeout, 408), Turn::Say(ErrorKind::Conflict, 409)] {
        let (net, disk) = (Switches::new(), support::chaos::memory().await);
        *net.idempotency.lock().unwrap() = Some(Idempotency::Probe);
        let open = || support::builder(&net).store(Arc::clone(&disk)).outbox(settings());
        let repo = open().paused().build().await.unwrap();
        drop(repo.upsert(&note("1", "mine", 0)).await.unwrap());
        net.elsewhere(note("1", "theirs", 0)).await;
        let wait = Duration::from_secs(1000);
        [before.clone(), Turn::Later(wait)].into_iter().for_each(|turn| net.next(turn));
        let begun = larder::Timestamp::now();
        repo.outbox().resume();
        let cx = larder::core::Context::new();
        let noted = soon(async {
            loop {
                let entry = disk.outbox(&cx, 0, 1).await.unwrap().entries.remove(0);
                if let Some(until) = entry.not_before {
                    return until;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let noted = noted.await;
        assert!(noted >= begun + wait, "{before:?}");
        assert_eq!(repo.status().resting[0].until, Some(noted), "with this device's place, {before:?}");
        repo.close().await;
        let repo = open().build().await.unwrap();
        let mut status = repo.status();
        while status.resting.is_empty() {
            status = soon(repo.status_changed(&status)).await;
        }
        assert!(net.turns.lock().unwrap().is_empty() && net.seen().is_empty());
    }
}
