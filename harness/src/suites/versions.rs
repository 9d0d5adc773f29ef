//! The remote's versions of rows.

use larder_core::{ErrorKind, Mutation, Operation, RemoteVersion};

use crate::models::{SPECIMEN, specimen, text, with};
use crate::plain::plain;
use crate::trial::{Trial, Verdict, fails};

async fn version(trial: &Trial, id: i64) -> Option<RemoteVersion> {
    trial.find(&SPECIMEN, &id.into()).await.expect("the row").meta.version
}

/// A write of `title` that was made from a version.
fn based_on(trial: &Trial, operation: Operation, title: &str, base: Option<RemoteVersion>) -> Mutation {
    let changed = with(&SPECIMEN, specimen(1), "title", text(title));
    Mutation { base_version: base, ..trial.mutation(operation, &SPECIMEN, &changed) }
}

/// The verdict on a provider that keeps no versions: no row has one. `None` if it keeps them.
async fn keeps_none(trial: &Trial) -> Option<Verdict> {
    if trial.capabilities().versions {
        return None;
    }
    assert_eq!(version(trial, 1).await, None, "it says that it keeps no versions");
    Some(Verdict::Refused("keeps no versions".into()))
}

pub(super) async fn each_write_makes_one(trial: Trial) -> Verdict {
    trial.put_by_apply(&SPECIMEN, [specimen(1)]).await;
    if let Some(refused) = keeps_none(&trial).await {
        return refused;
    }
    let first = version(&trial, 1).await.expect("a version");
    let update = based_on(&trial, Operation::Update, "changed", Some(first.clone()));
    let applied = trial.provider().apply(&trial.cx, &update).await.expect("an update of the newest version");
    let second = version(&trial, 1).await.expect("a version");
    assert_ne!(first, second);
    if let Some(row) = applied.row {
        assert_eq!(row.meta.version, Some(second), "what the write answered");
    }
    Verdict::Passed
}

pub(super) async fn a_write_based_on_another_conflicts(trial: Trial) -> Verdict {
    trial.put_by_apply(&SPECIMEN, [specimen(1)]).await;
    if let Some(refused) = keeps_none(&trial).await {
        return refused;
    }
    let first = version(&trial, 1).await;
    let theirs = based_on(&trial, Operation::Update, "theirs", first.clone());
    trial.provider().apply(&trial.cx, &theirs).await.expect("an update");
    for operation in [Operation::Update, Operation::Delete] {
        let mine = based_on(&trial, operation, "mine", first.clone());
        fails(trial.provider().apply(&trial.cx, &mine).await, ErrorKind::Conflict);
    }
    let expected = with(&SPECIMEN, specimen(1), "title", text("theirs"));
    assert_eq!(trial.all(&SPECIMEN).await, [plain(&SPECIMEN, &expected)]);
    let newest = version(&trial, 1).await;
    let delete = based_on(&trial, Operation::Delete, "", newest);
    trial.provider().apply(&trial.cx, &delete).await.expect("a delete of the newest version");
    assert!(trial.all(&SPECIMEN).await.is_empty());
    Verdict::Passed
}

pub(super) async fn a_write_without_one_is_not_asked(trial: Trial) -> Verdict {
    trial.put_by_apply(&SPECIMEN, [specimen(1)]).await;
    let update = based_on(&trial, Operation::Update, "changed", None);
    trial.provider().apply(&trial.cx, &update).await.expect("an update");
    Verdict::Passed
}
