//! The journal's judge, on journals made by hand and on a server that lies.

use serde_json::{Value, json};

use crate::server::{
    Break, Change, Effect, Entry, ExpectedMutation, Journal, Kind, Origin, Server, Snapshot,
};

fn edit(id: &str, title: &str) -> ExpectedMutation {
    ExpectedMutation::new(Effect::Update, Kind::Issue, id).with("title", title)
}

/// A journal from lines such as `create 7 A key1`; `-` stands for no key. `~` before it marks a replay.
fn journal(lines: &[&str]) -> Journal {
    let mut journal = Journal::default();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let [effect, id, title, key] = words.as_slice() else { panic!("four words: {line}") };
        let (method, effect) = match effect.trim_start_matches('~') {
            "create" => ("POST", Effect::Create),
            "update" => ("PATCH", Effect::Update),
            _ => ("DELETE", Effect::Delete),
        };
        journal.push(Entry {
            seq: 0,
            origin: Origin::Client,
            method: method.to_owned(),
            path: format!("/repos/o/r/issues/{id}"),
            key: Some((*key).to_owned()).filter(|key| key != "-"),
            effect,
            kind: Kind::Issue,
            id: (*id).to_owned(),
            payload: if effect == Effect::Delete {
                Value::Null
            } else {
                json!({ "title": title, "body": null })
            },
            replayed: line.starts_with('~'),
        });
    }
    journal
}

#[track_caller]
fn check(lines: &[&str], expected: &[ExpectedMutation], lost: &[&str], doubled: &[u64], unexpected: &[u64]) {
    let verdict = journal(lines).judge(expected);
    let ids: Vec<&str> = verdict.lost.iter().map(|one| one.id.as_str()).collect();
    let seqs = |entries: &[Entry]| entries.iter().map(|entry| entry.seq).collect::<Vec<_>>();
    assert_eq!(
        (ids.as_slice(), seqs(&verdict.doubled), seqs(&verdict.unexpected)),
        (lost, doubled.to_vec(), unexpected.to_vec()),
        "{lines:?}: {verdict}"
    );
    assert_eq!(verdict.is_clean(), lost.is_empty() && doubled.is_empty() && unexpected.is_empty());
}

#[test]
fn once_each_is_clean() {
    check(&[], &[], &[], &[], &[]);
    check(&["update 7 A k1", "update 8 B -"], &[edit("7", "A").keyed("k1"), edit("8", "B")], &[], &[], &[]);
    // In another order, and with a replay, which applies nothing.
    check(
        &["update 8 B k2", "~update 8 B k2", "update 7 A k1"],
        &[edit("7", "A"), edit("8", "B")],
        &[],
        &[],
        &[],
    );
    // The same edit twice because the user made it twice.
    check(&["update 7 A k1", "update 7 A k2"], &[edit("7", "A"), edit("7", "A")], &[], &[], &[]);
    // Made, removed and made again.
    let made = ExpectedMutation::new(Effect::Create, Kind::Issue, "x");
    let removed = ExpectedMutation::new(Effect::Delete, Kind::Issue, "x");
    check(
        &["create x A k1", "delete x - k2", "create x A k3"],
        &[made.clone(), removed, made],
        &[],
        &[],
        &[],
    );
}

#[test]
fn what_was_never_applied_is_lost() {
    check(&["update 7 A k1"], &[edit("7", "A"), edit("8", "B")], &["8"], &[], &[]);
    check(&["~update 8 B k1"], &[edit("8", "B")], &["8"], &[], &[]);
    check(&["update 8 other k1"], &[edit("8", "B")], &["8"], &[], &[1]);
    check(&["update 8 B k1"], &[edit("8", "B").keyed("k2")], &["8"], &[], &[1]);
    // One of two equal edits.
    check(&["update 7 A k1"], &[edit("7", "A"), edit("7", "A")], &["7"], &[], &[]);
}

#[test]
fn what_was_applied_again_is_doubled() {
    // Under the same key.
    check(&["update 7 A k1", "update 7 A k1"], &[edit("7", "A").keyed("k1")], &[], &[2], &[]);
    check(
        &["delete 7 - k1", "delete 7 - k1"],
        &[ExpectedMutation::new(Effect::Delete, Kind::Issue, "7")],
        &[],
        &[2],
        &[],
    );
    // Under a new key: a client that forgot that it had sent it.
    check(&["update 7 A k1", "update 7 A k2"], &[edit("7", "A")], &[], &[2], &[]);
    check(&["update 7 A k1", "update 7 A k2"], &[edit("7", "A").keyed("k2")], &[], &[1], &[]);
    check(&["update 7 A -", "update 7 A -"], &[edit("7", "A")], &[], &[2], &[]);
    // A create of what exists, whatever its payload.
    let made = ExpectedMutation::new(Effect::Create, Kind::Issue, "x");
    check(&["create x A k1", "create x B k2"], &[made], &[], &[2], &[]);
}

#[test]
fn a_double_does_not_make_up_for_a_loss() {
    let expected = [edit("7", "A"), edit("7", "A")];
    check(&["update 7 A k1", "update 7 A k1"], &expected, &["7"], &[2], &[]);
}

#[test]
fn what_nobody_asked_for_is_told() {
    check(&["update 7 A k1", "update 9 C k3"], &[edit("7", "A")], &[], &[], &[2]);
}

/// Edits issue 7, makes a label and deletes issue 9 while the server tells this lie with the first, second or third.
async fn with_lie(lie: Break, at: usize) -> (Server, crate::server::Verdict) {
    let server = Server::shipped().await;
    let calls = [
        server.repo_call("PATCH", "issues/7").key("k1").json(&json!({ "title": "A" })),
        server.repo_call("POST", "labels").key("k2").json(&json!({ "name": "new", "color": "ffffff" })),
        server.repo_call("DELETE", "issues/9").key("k3"),
    ];
    for (index, call) in calls.into_iter().enumerate() {
        if index == at {
            server.plant_break(lie);
        }
        let reply = call.send().await;
        assert!((200..300).contains(&reply.status), "a lie is told with success: {reply:?}");
    }
    // Somebody else's deeds are not the client's.
    server.change(Change::Delete { kind: Kind::Label, key: "docs".to_owned() }).unwrap();
    let expected = [
        edit("7", "A").keyed("k1"),
        ExpectedMutation::new(Effect::Create, Kind::Label, "new").with("color", "ffffff"),
        ExpectedMutation::new(Effect::Delete, Kind::Issue, "9"),
    ];
    let verdict = server.journal().judge(&expected);
    (server, verdict)
}

/// Which of the three mutations show in the server's rows.
fn done(server: &Server) -> [bool; 3] {
    let Snapshot { issues, labels } = server.snapshot();
    let nine_is_gone = !issues.iter().any(|issue| issue["id"] == "9");
    [
        issues.iter().any(|issue| issue["id"] == "7" && issue["title"] == "A"),
        labels.iter().any(|label| label["name"] == "new"),
        nine_is_gone,
    ]
}

#[tokio::test]
async fn an_honest_server_is_clean() {
    let (server, verdict) = with_lie(Break::Lose, usize::MAX).await;
    assert_eq!(done(&server), [true; 3]);
    assert!(verdict.is_clean(), "{verdict}");
    assert_eq!(server.journal().entries().len(), 4);
}

#[tokio::test]
async fn a_lost_mutation_is_seen() {
    for at in 0..3 {
        let (server, verdict) = with_lie(Break::Lose, at).await;
        assert_eq!((verdict.lost.len(), verdict.doubled.len()), (1, 0), "lie {at}: {verdict}");
        assert_eq!(server.progress().accepted, 3, "the client believes in three");
        assert_eq!(done(&server).into_iter().filter(|done| !done).count(), 1, "lie {at}");
    }
}

#[tokio::test]
async fn a_doubled_mutation_is_seen() {
    for at in 0..3 {
        let (_, verdict) = with_lie(Break::Double, at).await;
        assert_eq!((verdict.lost.len(), verdict.doubled.len()), (0, 1), "lie {at}: {verdict}");
    }
}

#[tokio::test]
async fn a_changed_row_is_not_in_the_journal() {
    for at in 0..3 {
        let (server, verdict) = with_lie(Break::Differ, at).await;
        assert!(verdict.is_clean(), "lie {at}: {verdict}");
        let snapshot = server.snapshot();
        let changed = |row: &&crate::server::Fields| row.values().any(|value| value == "changed by nobody");
        assert_eq!(snapshot.issues.iter().chain(&snapshot.labels).filter(changed).count(), 1, "lie {at}");
    }
}

#[tokio::test]
async fn an_altered_row_keeps_its_tag() {
    let server = Server::shipped().await;
    let before = server.repo_call("GET", "issues/3").send().await;
    server.alter(Kind::Issue, "3");
    let after = server.repo_call("GET", "issues/3").send().await;
    assert_eq!(before.header("etag"), after.header("etag"));
    assert_ne!(before.body["title"], after.body["title"]);
}
