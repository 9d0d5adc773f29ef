//! Models of which no server gives the keys, beside those of which it does.

use larder::Repository;

use super::*;

/// Who was in it, as a list of keys alone, and what came after it.
#[derive(Model, Clone, Debug, PartialEq)]
struct Show {
    #[model(key)]
    year: i64,
    #[model(keys)]
    cast: Many<Member>,
    next: Option<One<Show>>,
}

/// Its key is made of that of a show.
#[derive(Model, Clone, Debug, PartialEq)]
struct Evening {
    #[model(key)]
    show: One<Show>,
    #[model(key)]
    nth: i64,
}

fn show(year: i64, next: Option<i64>) -> Show {
    Show { year, cast: Many::new(), next: next.map(One::to) }
}

/// One that sends nothing yet.
async fn paused() -> Repository {
    let repo = builder(&Server::default()).model::<Show>().model::<Evening>().store(Memory::new());
    repo.paused().build().await.unwrap()
}

/// What is queued.
async fn queued(repo: &Repository) -> Vec<(&'static str, Key)> {
    let list = repo.outbox().list(0, 9).await.unwrap();
    list.into_iter().map(|entry| (entry.model, entry.key)).collect()
}

// Rules: m-key-server-refs
#[tokio::test]
async fn a_row_that_names_others_by_a_list_of_keys_alone_names_none_whose_key_no_row_has() {
    let repo = paused().await;
    let nobody = repo.new_key(Member::NUMBER).await.unwrap();
    let cast = |number| Show { cast: Many::to([number]), ..show(1926, None) };
    let refused = repo.upsert(&cast(nobody)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    let ada = repo.upsert(&member(&repo, "Ada", None).await).await.unwrap();
    drop(repo.upsert(&cast(ada.number)).await.unwrap());
}

// Rules: m-key-server-refs
#[tokio::test]
async fn rows_with_keys_of_their_own_are_named_whatever_is_here_of_them() {
    let repo = paused().await;
    // In a circle, which nothing keeps from being sent.
    drop(repo.upsert_many(&[show(1926, Some(1927)), show(1927, Some(1926))]).await.unwrap());
    // One that is kept here alone, and one that is not here: a negative key is one like any other.
    drop(repo.writing(WritePolicy::LocalOnly).upsert(&show(1928, None)).await.unwrap());
    drop(repo.upsert_many(&[show(1929, Some(1928)), show(1930, Some(-44))]).await.unwrap());
    assert_eq!(queued(&repo).await.len(), 4);
}

// Rules: m-key-server-refs, w-delete
#[tokio::test]
async fn what_is_not_here_is_deleted_at_the_remote_unless_its_key_is_one_that_the_remote_is_still_to_give() {
    let repo = paused().await;
    drop(repo.upsert(&show(1926, None)).await.unwrap());
    let ada = repo.upsert(&member(&repo, "Ada", None).await).await.unwrap();
    let before = queued(&repo).await.len();
    // Another device may have made them.
    let evening = Key::Composite([Key::from(1926), Key::from(1)].into());
    drop(repo.delete::<Evening>(evening.clone()).await.unwrap());
    drop(repo.delete::<Show>(-44).await.unwrap());
    // Whatever its other part is, a key that is made of a temporary one is of no row there.
    drop(repo.delete::<Seat>(Key::Composite([Key::from(17), Key::from(ada.number)].into())).await.unwrap());
    assert_eq!(queued(&repo).await[before..], [("Evening", evening), ("Show", Key::from(-44))]);
}
