//! Values under names.

use larder_core::Op;

use crate::trial::{Trial, Verdict};

async fn get(trial: &Trial, scope: &str) -> Option<String> {
    trial.store().cursor(&trial.cx, scope).await.expect("an answer")
}

async fn set(trial: &Trial, scope: &str, value: Option<&str>) {
    trial.commit(vec![Op::Cursor { scope: scope.into(), value: value.map(Into::into) }]).await;
}

pub(super) async fn a_value_is_kept_under_its_name(trial: Trial) -> Verdict {
    assert_eq!(get(&trial, "a").await, None);
    set(&trial, "a", Some("1")).await;
    set(&trial, "ab", Some("2")).await;
    set(&trial, "", Some("")).await;
    assert_eq!(get(&trial, "a").await.as_deref(), Some("1"));
    assert_eq!(get(&trial, "ab").await.as_deref(), Some("2"));
    assert_eq!(get(&trial, "").await.as_deref(), Some(""));
    assert_eq!(get(&trial, "b").await, None);
    Verdict::Passed
}

pub(super) async fn it_can_be_replaced_and_removed(trial: Trial) -> Verdict {
    set(&trial, "a", Some("1")).await;
    set(&trial, "a", Some("2")).await;
    assert_eq!(get(&trial, "a").await.as_deref(), Some("2"));
    set(&trial, "a", None).await;
    set(&trial, "never", None).await;
    assert_eq!(get(&trial, "a").await, None);
    Verdict::Passed
}
