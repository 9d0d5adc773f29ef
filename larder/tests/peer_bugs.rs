//! What users of comparable systems have complained about: a scenario for each, that fails if the rule is taken out that
//! is meant to prevent it.
//!
//! The modules are named after parts of the library, and the tests after the complaints.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may fail, and waits in real time")]

#[cfg(feature = "redb")]
#[path = "exchange/club.rs"]
mod club;
#[path = "peer_bugs/queue.rs"]
mod queue;
#[path = "peer_bugs/reading.rs"]
mod reading;
#[cfg(feature = "redb")]
#[path = "peer_bugs/store.rs"]
mod store;
mod support;

/// The outbox's schedule and what is done about failures.
mod schedule {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use larder::core::runtime::BoxFuture;
    use larder::{
        ErrorKind, Idempotency, OutboxSettings, ParkReason, Repository, RowState, Runtime, Timestamp,
        TokioRuntime,
    };

    use crate::support::{self, Note, Switches, Turn, drained, note, parked, repo, settled, soon};

    fn settings() -> OutboxSettings {
        OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(20))
    }

    /// Brick's queue, `PowerSync`'s and amplify-android's stood still behind it.
    // Rules: o-parked
    #[tokio::test]
    async fn one_permanently_failing_write_at_the_head_blocks_every_later_one_for_ever() {
        let net = Switches::new();
        let repo = support::builder(&net).outbox(settings().strikes(2, Duration::ZERO)).paused().build();
        let repo = repo.await.unwrap();
        let bad = repo.upsert(&note("bad", "", 0)).await.unwrap();
        let worse = repo.upsert(&note("worse", "", 0)).await.unwrap();
        for nth in 0..20 {
            let _ = repo.upsert(&note(&format!("good {nth}"), "", 0)).await.unwrap();
        }
        net.poison("bad", Turn::Say(ErrorKind::Rejected, 422));
        net.poison("worse", Turn::Say(ErrorKind::Http { status: 500 }, 500));
        repo.outbox().resume();
        let status = soon(repo.outbox().settled()).await;
        assert_eq!((status.parked, status.pending), (2, 0));
        assert_eq!(net.notes().await.len(), 20);
        assert!(bad.accepted().await.is_err() && worse.accepted().await.is_err());
    }

    /// Dropped on 500 or 422, with a warning on the console, or after so many retries.
    // Rules: o-parked
    #[tokio::test]
    async fn a_rejected_write_vanishes() {
        let net = Switches::new();
        let repo =
            support::builder(&net).outbox(settings().strikes(2, Duration::ZERO)).build().await.unwrap();
        let answers = [
            (ErrorKind::Rejected, 400, ParkReason::Rejected),
            (ErrorKind::Rejected, 403, ParkReason::Rejected),
            (ErrorKind::NotFound, 404, ParkReason::Rejected),
            (ErrorKind::Rejected, 422, ParkReason::Rejected),
            (ErrorKind::Http { status: 500 }, 500, ParkReason::Exhausted),
            (ErrorKind::Http { status: 501 }, 501, ParkReason::Rejected),
        ];
        for (kind, status, _) in answers {
            let key = status.to_string();
            net.poison(&key, Turn::Say(kind, status));
            soon(repo.upsert(&note(&key, "precious", 0)).await.unwrap().accepted()).await.unwrap_err();
        }
        let kept = parked(&repo, answers.len()).await;
        for (kept, (kind, status, reason)) in kept.iter().zip(answers) {
            let failure = kept.failure.as_ref().unwrap();
            assert_eq!((failure.kind, failure.status), (kind, Some(status)));
            assert_eq!((kept.parked, failure.body.as_deref()), (Some(reason), Some("no")));
            let here = repo.find::<Note>(kept.key.clone()).await.unwrap().unwrap();
            assert_eq!(here.text, "precious");
        }
    }

    /// After a failed round the backlog slept until the next local write (`PowerSync`, Store, `TanStack` Query).
    // Rules: o-next-step
    #[tokio::test]
    async fn the_retry_never_comes() {
        let net = Switches::new();
        let repo = repo(&net).await;
        net.offline(true);
        let stored = repo.upsert(&note("1", "waits", 0)).await.unwrap();
        soon(async {
            while repo.status().online {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        // Nobody writes, syncs, or tells of a connection.
        net.offline(false);
        soon(stored.accepted()).await.unwrap();
    }

    /// One promise for "stored" and "accepted", which hangs while there is no connection (firebase-js-sdk).
    // Rules: w-stored-accepted
    #[tokio::test]
    async fn stored_and_accepted_are_one_promise_that_hangs_offline() {
        let net = Switches::new();
        let repo = repo(&net).await;
        net.offline(true);
        let stored = soon(repo.upsert(&note("1", "offline", 0))).await.unwrap();
        let mut accepted = Box::pin(stored.accepted());
        let early = tokio::time::timeout(Duration::from_millis(30), &mut accepted).await;
        assert!(early.is_err(), "the remote has not said a word");
        net.offline(false);
        assert_eq!(soon(accepted).await.unwrap().text, "offline");
    }

    /// Replicache, Store, Brick: no way to tell whether it is safe to log out.
    // Rules: o-status, s-safe
    #[tokio::test]
    async fn nobody_can_tell_how_much_is_pending_or_whether_it_is_safe_to_log_out() {
        let net = Switches::new();
        let repo = repo(&net).await;
        assert!(repo.safe_to_wipe().await.unwrap().nothing());
        net.poison("bad", Turn::Say(ErrorKind::Rejected, 422));
        repo.upsert(&note("bad", "", 0)).await.unwrap().accepted().await.unwrap_err();
        net.offline(true);
        let _ = repo.upsert(&note("1", "", 0)).await.unwrap();
        let _ = repo.delete::<Note>("2").await.unwrap();
        drained(&repo).await;
        let lost = repo.safe_to_wipe().await.unwrap();
        assert_eq!((lost.entries, lost.parked, lost.nothing()), (3, 1, false));
        let status = repo.status();
        assert_eq!((status.pending, status.parked, status.is_settled()), (2, 1, false));
        assert_eq!(repo.outbox().len().await.unwrap(), 3);
    }

    /// Brick: the queue of whoever was logged in before went out with the next user's token.
    // Rules: o-accounts
    #[tokio::test]
    async fn after_logout_the_next_users_login_sends_the_former_users_queue() {
        let net = Switches::new();
        let repo = support::builder(&net).account("ada").build().await.unwrap();
        net.offline(true);
        let _ = repo.upsert(&note("1", "ada's secret", 0)).await.unwrap();
        drained(&repo).await;
        repo.sign_out();
        repo.sign_in("bob");
        net.offline(false);
        repo.upsert(&note("2", "bob's", 0)).await.unwrap().accepted().await.unwrap();
        drained(&repo).await;
        assert_eq!(net.seen(), ["insert 2"]);
        let in_the_name_of = net.accounts.lock().unwrap().clone();
        assert!(in_the_name_of.iter().all(|account| account.as_deref() == Some("bob")));
        assert_eq!(repo.outbox().list(0, 10).await.unwrap()[0].account.as_deref(), Some("ada"));
    }

    /// Brick 657.
    // Rules: s-wipe
    #[tokio::test(flavor = "multi_thread")]
    #[cfg(feature = "redb")]
    async fn reopening_after_a_reset_fails() {
        let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
        let open = || support::builder(&net).store(larder::Redb::at(folder.path().join("app.redb"))).build();
        let repo = open().await.unwrap();
        net.offline(true);
        let _ = repo.upsert(&note("1", "unsent", 0)).await.unwrap();
        repo.wipe().await.unwrap();
        let _ = repo.upsert(&note("2", "after it", 0)).await.unwrap();
        repo.close().await;
        let repo = open().await.unwrap();
        assert_eq!(support::local(&repo).await, ["2"]);
        net.offline(false);
        soon(settled(&repo)).await;
        assert_eq!(net.seen(), ["insert 2"]);
        repo.close().await;
    }

    /// `RxDB` 7259.
    // Rules: o-lanes
    #[tokio::test]
    async fn pausing_while_a_retry_runs_marks_unsent_documents_as_sent() {
        let net = Switches::new();
        let repo = repo(&net).await;
        net.offline(true);
        for nth in 0..10 {
            let _ = repo.upsert(&note(&nth.to_string(), "", 0)).await.unwrap();
        }
        for _ in 0..20 {
            repo.outbox().pause();
            tokio::time::sleep(Duration::from_millis(1)).await;
            repo.outbox().resume();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        repo.outbox().pause();
        drained(&repo).await;
        assert_eq!((net.seen().len(), repo.outbox().len().await.unwrap()), (0, 10));
        for nth in 0..10 {
            let state = repo.sync_state::<Note>(nth.to_string()).await.unwrap().unwrap().state;
            assert_eq!(state, RowState::Pending);
        }
        net.offline(false);
        drained(&repo).await;
        assert!(net.seen().is_empty(), "it is paused");
        repo.outbox().resume();
        soon(settled(&repo)).await;
        assert_eq!(net.notes().await.len(), 10);
    }

    /// Tokio's time, with a wall clock that is set by hand.
    #[derive(Debug)]
    struct Jumping(TokioRuntime, Arc<AtomicI64>);

    impl Runtime for Jumping {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(self.1.load(Ordering::SeqCst)).unwrap()
        }

        fn monotonic(&self) -> Duration {
            self.0.monotonic()
        }

        fn random(&self) -> u64 {
            self.0.random()
        }

        fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
            self.0.sleep(duration)
        }

        fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
            self.0.spawn(name, task);
        }

        fn blocking(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
            self.0.blocking(name, work);
        }

        fn in_place(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
            self.0.in_place(name, work);
        }
    }

    async fn jumping(net: &Arc<Switches>) -> (Repository, Arc<AtomicI64>) {
        let clock = Arc::new(AtomicI64::new(1_700_000_000));
        let runtime = Arc::new(Jumping(TokioRuntime::current().unwrap(), Arc::clone(&clock)));
        (support::builder(net).runtime(runtime).build().await.unwrap(), clock)
    }

    /// Milliseconds of the wall clock decided (`TanStack` DB, Brick).
    // Rules: o-order
    #[tokio::test]
    async fn order_by_wall_clock_milliseconds() {
        let net = Switches::new();
        let (repo, clock) = jumping(&net).await;
        repo.outbox().pause();
        for stars in 0..5 {
            let _ = repo.upsert(&note("1", "", stars)).await.unwrap();
            let _ = repo.delete::<Note>("1").await.unwrap();
            // Back to 1970, and on: a year earlier each time.
            clock.fetch_sub(31_536_000, Ordering::SeqCst);
        }
        let _ = repo.upsert(&note("1", "last", 9)).await.unwrap();
        repo.outbox().resume();
        soon(settled(&repo)).await;
        let seen = net.seen();
        assert_eq!(seen.len() % 2, 1, "{seen:?}");
        assert!(
            seen.chunks(2).all(|pair| pair.last().unwrap() == "delete 1" || pair == ["insert 1"]),
            "{seen:?}"
        );
        assert_eq!(net.notes().await, [("1".to_owned(), "last".to_owned())]);
    }

    /// Brick: a lock in the database expired after two minutes of the wall clock.
    // Rules: o-lanes
    #[tokio::test]
    async fn two_uploads_of_a_slow_request_because_the_lock_expired_by_wall_clock() {
        let net = Switches::new();
        *net.idempotency.lock().unwrap() = Some(Idempotency::Idempotent);
        let (repo, clock) = jumping(&net).await;
        net.hang(true);
        let stored = repo.upsert(&note("1", "slow", 0)).await.unwrap();
        soon(async {
            while net.seen().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        for jump in [7200, -315_360_000, 630_720_000] {
            clock.fetch_add(jump, Ordering::SeqCst);
            repo.credentials_renewed();
            let outbox = repo.outbox();
            let nudge = tokio::time::timeout(Duration::from_millis(10), outbox.drain());
            assert!(nudge.await.is_err(), "it is on its way");
        }
        net.hang(false);
        soon(stored.accepted()).await.unwrap();
        assert_eq!(net.seen(), ["insert 1"]);
    }
}

/// Credentials and statuses, over REST.
#[cfg(feature = "rest")]
mod over_rest {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use larder::rest::{Body, Credential, Refreshing, http};
    use larder::{Memory, OutboxSettings, Repository, Rest, Select};

    use crate::support::{Note, note, soon};

    type Seen = Arc<Mutex<Vec<http::Request<Body>>>>;

    /// A remote that answers as `answer` says, and keeps what it was asked.
    fn rest(
        answer: impl Fn(&http::Request<Body>) -> http::Response<Body> + Clone + Send + 'static,
    ) -> (Rest, Seen) {
        let seen = Seen::default();
        let log = Arc::clone(&seen);
        let server = tower::service_fn(move |request: http::Request<Body>| {
            let response = answer(&request);
            log.lock().unwrap().push(request);
            async move {
                tokio::task::yield_now().await;
                Ok::<_, Infallible>(response)
            }
        });
        (Rest::at("https://api.example.com").transport(server), seen)
    }

    fn reply(status: u16, body: &str) -> http::Response<Body> {
        let response = http::Response::builder().status(status).header("content-type", "application/json");
        response.body(Body::from(body.to_owned())).unwrap()
    }

    fn token(request: &http::Request<Body>) -> String {
        request.headers()["authorization"].to_str().unwrap().to_owned()
    }

    fn builder(rest: Rest) -> larder::Builder {
        let settings = OutboxSettings::new().backoff(Duration::from_millis(1), Duration::from_millis(20));
        Repository::builder().store(Memory::new()).remote(rest).model::<Note>().outbox(settings)
    }

    /// Brick: the header of the moment of writing was stored with the request.
    // Rules: o-entry, o-credentials
    #[tokio::test]
    async fn the_stored_bearer_token_is_replayed_after_it_expired() {
        let (rest, seen) = rest(|request| match token(request).as_str() {
            "Bearer new" => reply(204, ""),
            _ => reply(401, ""),
        });
        let current = Arc::new(Mutex::new("old"));
        let source = Arc::clone(&current);
        let rest = rest.credentials(move |_| {
            let token = *source.lock().unwrap();
            async move { Ok(Credential::bearer(token)) }
        });
        let repo = builder(rest).build().await.unwrap();
        let writes = repo.upsert_many(&[note("1", "", 0), note("2", "", 0), note("3", "", 0)]).await.unwrap();
        let mut status = repo.status();
        while !status.unauthorized {
            status = soon(repo.status_changed(&status)).await;
        }
        let mut exported = String::new();
        let keep = |line: String| {
            exported.push_str(&line);
            Ok(())
        };
        repo.outbox().export(keep).await.unwrap();
        assert!(!exported.to_lowercase().contains("bearer") && !exported.contains("old"), "{exported}");
        let refused = seen.lock().unwrap().len();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(seen.lock().unwrap().len(), refused, "nothing is tried with what was refused");
        *current.lock().unwrap() = "new";
        repo.credentials_renewed();
        for write in writes {
            soon(write.accepted()).await.unwrap();
        }
        assert!(repo.outbox().is_empty().await.unwrap());
    }

    /// Many requests are refused at once, and each of them uses the refresh token.
    // Rules: o-refresh
    #[tokio::test]
    async fn a_hundred_requests_refresh_the_token_a_hundred_times() {
        let (rest, _) = rest(|request| match token(request).as_str() {
            "Bearer token-1" if request.method() == http::Method::GET => reply(200, "[]"),
            "Bearer token-1" => reply(204, ""),
            _ => reply(401, ""),
        });
        let refreshed = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&refreshed);
        let tokens = Refreshing::new(move |_| {
            let nth = count.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::task::yield_now().await;
                Ok(Credential::bearer(format!("token-{nth}")))
            }
        });
        let repo = builder(rest.credentials(tokens))
            .outbox(OutboxSettings::new().parallel(50))
            .build()
            .await
            .unwrap();
        let notes: Vec<_> = (0..50).map(|nth| note(&nth.to_string(), "", 0)).collect();
        let reads: Vec<_> = (0..50)
            .map(|nth| {
                let repo = repo.reading(larder::ReadPolicy::RemoteOnly);
                tokio::spawn(
                    async move { repo.get(Select::<Note>::from(Note::STARS.eq(nth))).await.map(drop) },
                )
            })
            .collect();
        for write in repo.upsert_many(&notes).await.unwrap() {
            soon(write.accepted()).await.unwrap();
        }
        for read in reads {
            soon(read).await.unwrap().unwrap();
        }
        assert_eq!(refreshed.load(Ordering::SeqCst), 2, "the first one, and one more");
        assert!(!repo.status().unauthorized);
    }

    /// matrix-rust-sdk 6843; `message.includes("401")` in `TanStack` DB.
    // Rules: e-transient
    #[tokio::test]
    async fn a_520_was_read_as_permanent_by_matching_text() {
        let turns = Arc::new(AtomicUsize::new(0));
        let (rest, _) = rest({
            let turns = Arc::clone(&turns);
            move |_| match turns.fetch_add(1, Ordering::SeqCst) {
                0 => reply(520, r#"{"error": "400 Bad Request"}"#),
                1 => reply(503, r#"{"error": "401 Unauthorized: M_FORBIDDEN"}"#),
                2 => reply(500, r#"{"error": "422 permanently rejected"}"#),
                _ => reply(204, ""),
            }
        });
        let repo = builder(rest).build().await.unwrap();
        let stored = repo.upsert(&note("1", "", 0)).await.unwrap();
        soon(stored.accepted()).await.unwrap();
        assert_eq!(turns.load(Ordering::SeqCst), 4);
        assert!(!repo.status().unauthorized);
    }
}

/// Keys that the server gives.
#[cfg(feature = "redb")]
mod keys {
    use crate::club::{Server, at_peace, member, memory, seat, task, team};
    use crate::support::settled;

    // Rules: m-key-server-refs
    #[tokio::test]
    async fn temporary_ids_leak_into_later_requests() {
        let server = Server::default();
        let repo = memory(&server).await;
        server.offline(true);
        let blue = repo.upsert(&team(&repo, "blue", None).await).await.unwrap();
        let ada = repo.upsert(&member(&repo, "Ada", Some(blue.number)).await).await.unwrap();
        let _ = repo.upsert(&task("before", ada.number)).await.unwrap();
        server.offline(false);
        blue.accepted().await.unwrap();
        // The application has not looked since.
        let _ = repo.upsert(&task("after", ada.number)).await.unwrap();
        let _ = repo.upsert(&seat(-1, 1)).await.unwrap_err();
        settled(&repo).await;
        at_peace(&repo, &server).await;
    }
}

/// Rows that were changed here and at the remote.
mod conflicts {
    use std::time::Duration;

    use crate::support::{Note, Switches, Turn, drained, local, note, repo, settled, soon};
    use larder::{ReadPolicy, RowState, Select};

    // Rules: s-pending, s-rebase
    #[tokio::test]
    async fn a_pull_overwrites_an_edit_that_is_still_queued() {
        let net = Switches::new();
        let repo = repo(&net).await;
        net.elsewhere(note("1", "as it was", 1)).await;
        repo.sync().await.unwrap();
        repo.outbox().pause();
        let _ = repo.upsert(&note("1", "edited", 1)).await.unwrap();
        net.elsewhere(note("1", "as it was", 5)).await;
        repo.sync().await.unwrap();
        let row = repo.reading(ReadPolicy::LocalOnly).find::<Note>("1").await.unwrap().unwrap();
        assert_eq!(*row, note("1", "edited", 5), "the edit stands, on the row that came");
        repo.outbox().resume();
        settled(&repo).await;
        assert_eq!(net.notes().await, [("1".to_owned(), "edited".to_owned())]);
    }

    // Rules: w-merge
    #[tokio::test]
    async fn two_overlapping_writes_the_acknowledgement_of_one_clears_the_other() {
        let net = Switches::new();
        let repo = repo(&net).await;
        net.hang(true);
        let first = repo.upsert(&note("1", "first", 1)).await.unwrap();
        while net.applied.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let second = repo.upsert(&note("1", "second", 2)).await.unwrap();
        // The first one arrives, and the other one has to wait.
        net.next(Turn::Later(Duration::from_secs(3600)));
        net.hang(false);
        soon(first.accepted()).await.unwrap();
        let here = repo.reading(ReadPolicy::LocalOnly).find::<Note>("1").await.unwrap().unwrap();
        assert_eq!(*here, note("1", "second", 2));
        let state = repo.sync_state::<Note>("1").await.unwrap().unwrap().state;
        assert!(matches!(state, RowState::Pending | RowState::InFlight), "{state:?}");
        assert_eq!(repo.safe_to_wipe().await.unwrap().entries, 1);
        drained(&repo).await;
        assert_eq!(soon(second.accepted()).await.unwrap().text, "second");
        settled(&repo).await;
        assert_eq!(net.seen(), ["insert 1", "update 1"], "both have gone");
        assert_eq!(net.notes().await, [("1".to_owned(), "second".to_owned())]);
    }

    // Rules: s-delete, s-pending
    #[tokio::test]
    async fn a_destructive_sync_deletes_rows_that_were_created_offline() {
        let net = Switches::new();
        let repo = repo(&net).await;
        net.elsewhere(note("1", "old", 1)).await;
        repo.sync().await.unwrap();
        repo.outbox().pause();
        let _ = repo.upsert(&note("2", "created offline", 1)).await.unwrap();
        net.delete_elsewhere("1").await;
        repo.reading(ReadPolicy::RemoteOnly).get(Select::<Note>::all()).await.unwrap();
        assert_eq!(local(&repo).await, ["2"], "what is gone there goes, and what was never there stays");
        repo.outbox().resume();
        settled(&repo).await;
        assert_eq!(net.notes().await, [("2".to_owned(), "created offline".to_owned())]);
    }
}
