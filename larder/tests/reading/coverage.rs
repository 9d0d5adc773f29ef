//! What is known completely, since when, and what that says about other queries.

use std::sync::Arc;
use std::time::Duration;

use larder::{ErrorKind, Memory, Repository, Select, Where};
use rstest::rstest;

use crate::support::{Net, Note, Switches, note, repo};

async fn filled(net: &Arc<Switches>) -> Repository {
    let repo = repo(net).await;
    for stars in 0..10 {
        net.elsewhere(note(&stars.to_string(), if stars < 5 { "low" } else { "high" }, stars)).await;
    }
    repo
}

/// How many requests `query` costs once `known` has been answered; what it gives is what the server would give.
async fn requests(known: Select<Note>, query: Select<Note>) -> usize {
    let net = Switches::new();
    let repo = filled(&net).await;
    repo.get(known).await.unwrap();
    let before = net.reads();
    let rows = repo.get(query.clone()).await.unwrap().into_vec();
    let asked = net.reads() - before;
    let known = repo.coverage(query.clone()).await.unwrap();
    assert!(known.is_some());
    let fresh = repo.reading(larder::ReadPolicy::RemoteOnly).get(query).await.unwrap().into_vec();
    assert_eq!(rows, fresh);
    asked
}

fn stars() -> larder::Field<Note, i64> {
    Note::STARS
}

fn all() -> Select<Note> {
    Select::all()
}

// Rules: r-coverage, r-included
#[rstest]
#[case::the_same(stars().gt(3).into(), stars().gt(3).into())]
#[case::everything_includes_all(all(), stars().gt(3).order_by(Note::TEXT.desc()).offset(1).limit(2))]
#[case::a_part_of_the_conditions(stars().gt(3).into(), stars().gt(3).and(Note::TEXT.eq("low")).into())]
#[case::another_order_of_conditions(
    Note::TEXT.eq("low").and(stars().gt(3)).into(), stars().gt(3).and(Note::TEXT.eq("low")).into()
)]
#[case::a_narrower_range(stars().gt(3).into(), stars().between(5, 7).into())]
#[case::a_range_within_a_range(stars().between(2, 8).into(), stars().between(2, 5).into())]
#[case::fewer_values(stars().is_in([1, 2, 3]).into(), stars().is_in([3, 1]).into())]
#[case::one_of_the_values(stars().is_in([1, 2, 3]).into(), stars().eq(2).into())]
#[case::one_of_the_alternatives(stars().lt(2).or(stars().gt(7)).into(), stars().eq(9).into())]
#[case::a_longer_prefix(Note::TEXT.starts_with("l").into(), Note::TEXT.starts_with("low").into())]
#[case::a_limit_of_what_is_known_whole(stars().gt(3).into(), stars().gt(3).limit(2))]
#[case::a_shorter_limit(all().order_by(stars().desc()).limit(5), all().order_by(stars().desc()).limit(3))]
#[case::a_window_within_a_limit(
    all().order_by(stars().desc()).limit(5), all().order_by(stars().desc()).offset(2).limit(3)
)]
#[case::a_key_of_everything(all(), Select::key("7"))]
#[case::a_missing_key_of_everything(all(), Select::key("77"))]
#[tokio::test]
async fn a_query_is_answered_from_one_that_includes_it(
    #[case] known: Select<Note>,
    #[case] query: Select<Note>,
) {
    assert_eq!(requests(known, query).await, 0);
}

// Rules: r-coverage, r-included
#[rstest]
#[case::a_wider_range(stars().gt(3).into(), stars().gt(2).into())]
#[case::more_values(stars().is_in([1, 2]).into(), stars().is_in([1, 2, 3]).into())]
#[case::fewer_conditions(stars().gt(3).and(Note::TEXT.eq("low")).into(), stars().gt(3).into())]
#[case::a_longer_limit(all().limit(3), all().limit(4))]
#[case::no_limit(all().limit(3), all())]
#[case::a_limit_in_another_order(all().order_by(stars().desc()).limit(5), all().order_by(stars().asc()).limit(5))]
#[case::a_window_beyond_a_limit(all().limit(5), all().offset(3).limit(3))]
#[case::a_narrower_condition_than_a_limited_one(stars().gt(3).limit(3), stars().gt(8).limit(3))]
#[case::the_complement(stars().gt(3).into(), (!stars().gt(3)).into())]
#[tokio::test]
async fn a_query_that_is_not_included_is_fetched(#[case] known: Select<Note>, #[case] query: Select<Note>) {
    assert_eq!(requests(known, query).await, 1);
}

// Rules: r-origin
#[tokio::test]
async fn a_result_tells_where_it_comes_from_how_old_it_is_and_whether_it_is_complete() {
    let net = Switches::new();
    let repo = filled(&net).await;
    let local = repo.reading(larder::ReadPolicy::LocalOnly);
    let before = local.get(all()).await.unwrap();
    assert_eq!((before.known_since(), before.is_complete()), (None, false));
    let fetched = repo.get(stars().gt(3)).await.unwrap();
    let since = fetched.known_since().unwrap();
    assert_eq!(repo.coverage(stars().gt(3)).await.unwrap(), Some(since));
    assert_eq!(fetched.age(since + Duration::from_secs(7)), Some(Duration::from_secs(7)));
    let part = local.get(all()).await.unwrap();
    assert_eq!((part.len(), part.is_complete()), (6, false));
    let narrower = local.get(stars().gt(8)).await.unwrap();
    assert_eq!(narrower.known_since(), Some(since));
}

// Rules: r-coverage
#[tokio::test]
async fn the_newest_of_the_answers_counts() {
    let net = Switches::new();
    let repo = filled(&net).await;
    repo.get(stars().gt(3)).await.unwrap();
    let first = repo.coverage(stars().gt(3)).await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(2)).await;
    repo.get(all()).await.unwrap();
    assert!(repo.coverage(stars().gt(3)).await.unwrap().unwrap() > first);
}

// Rules: r-forget
#[tokio::test]
async fn what_is_forgotten_is_fetched_again_and_rows_stay() {
    let net = Switches::new();
    let repo = filled(&net).await;
    repo.get(all()).await.unwrap();
    repo.get(stars().gt(7)).await.unwrap();
    repo.forget(stars().gt(3)).await.unwrap();
    for query in [all(), stars().gt(3).into(), stars().gt(7).into()] {
        assert_eq!(repo.coverage(query).await.unwrap(), None);
    }
    net.offline(true);
    let rows = repo.get(stars().gt(3)).await.unwrap();
    assert_eq!((rows.len(), rows.stale().map(larder::Error::kind)), (6, Some(ErrorKind::Offline)));
    net.offline(false);
    assert!(repo.get(stars().gt(3)).await.unwrap().stale().is_none());
    assert!(repo.coverage(stars().gt(3)).await.unwrap().is_some());
}

// Rules: r-forget
#[tokio::test]
async fn forgetting_one_query_leaves_unrelated_ones() {
    let net = Switches::new();
    let repo = filled(&net).await;
    let (low, high) = (|| Note::TEXT.eq("low"), || stars().gt(7));
    repo.get(low()).await.unwrap();
    repo.get(high()).await.unwrap();
    repo.forget(low()).await.unwrap();
    assert_eq!(repo.coverage(low()).await.unwrap(), None);
    assert!(repo.coverage(high()).await.unwrap().is_some());
}

// Rules: r-max-age
#[tokio::test]
async fn an_age_makes_rows_by_their_keys_expire_too() {
    let net = Switches::new();
    let repo = repo(&net).await;
    net.elsewhere(note("1", "old", 0)).await;
    repo.find::<Note>("1").await.unwrap();
    net.elsewhere(note("1", "new", 0)).await;
    tokio::time::sleep(Duration::from_millis(2)).await;
    let text = async |repo: Repository| repo.find::<Note>("1").await.unwrap().unwrap().text.clone();
    assert_eq!(text(repo.clone()).await, "old");
    assert_eq!(text(repo.max_age(Duration::from_secs(3600))).await, "old");
    assert_eq!(text(repo.max_age(Duration::ZERO)).await, "new");
    let before = net.reads();
    assert_eq!(text(repo.max_age(Duration::from_secs(3600))).await, "new");
    assert_eq!(net.reads(), before);
    net.offline(true);
    assert_eq!(text(repo.max_age(Duration::ZERO)).await, "new", "too old is still better than nothing");
}

// Rules: r-coverage
#[tokio::test]
async fn no_more_queries_are_remembered_than_fit() {
    let net = Switches::new();
    let repo = repo(&net).await;
    for stars in 0..200 {
        repo.get(Note::STARS.eq(stars)).await.unwrap();
    }
    assert!(repo.coverage(Note::STARS.eq(199)).await.unwrap().is_some());
    assert!(repo.coverage(Note::STARS.eq(0)).await.unwrap().is_none(), "the first ones are forgotten");
}

// Rules: r-coverage
#[tokio::test]
async fn queries_that_are_answered_at_the_same_time_are_all_remembered() {
    let net = Switches::new();
    let repo = repo(&net).await;
    let queries: Vec<Where<Note>> = (0..40).map(|stars| Note::STARS.eq(stars)).collect();
    futures_util::future::join_all(queries.iter().map(|query| repo.get(query.clone()))).await;
    for query in queries {
        // By implication: its own name would be found without the list.
        assert!(repo.coverage(query.limit(1)).await.unwrap().is_some());
    }
}

// Rules: r-coverage
#[cfg(feature = "redb")]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_survives_a_reopening() {
    let (folder, net) = (tempfile::tempdir().unwrap(), Switches::new());
    let open = async || {
        let store = larder::Redb::at(folder.path().join("app.redb"));
        let remote = Net(Arc::clone(&net));
        Repository::builder().store(store).remote(remote).model::<Note>().build().await.unwrap()
    };
    let repo = open().await;
    net.elsewhere(note("1", "theirs", 5)).await;
    repo.get(stars().gt(3)).await.unwrap();
    let since = repo.coverage(stars().gt(3)).await.unwrap();
    repo.close().await;

    let repo = open().await;
    net.offline(true);
    let rows = repo.get(stars().gt(4)).await.unwrap();
    assert_eq!((rows.len(), rows.known_since(), rows.stale().is_none()), (1, since, true));
    assert_eq!(repo.get(all()).await.unwrap().len(), 1);
    repo.close().await;
}

#[tokio::test]
async fn without_a_remote_there_is_no_coverage() {
    let repo = Repository::builder().store(Memory::new()).model::<Note>().build().await.unwrap();
    assert_eq!(repo.coverage(all()).await.unwrap(), None);
    repo.forget(all()).await.unwrap();
}
