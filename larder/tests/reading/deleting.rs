//! Deleting all of a model, or all of it but some.

use larder::{ErrorKind, Key, Select, WritePolicy};

use crate::support::{Note, Switches, Turn, local, note, repo, settled};

async fn filled(net: &std::sync::Arc<Switches>) -> larder::Repository {
    let repo = repo(net).await;
    for stars in 0..6 {
        net.elsewhere(note(&stars.to_string(), "theirs", stars)).await;
    }
    repo.sync().await.unwrap();
    repo
}

// Rules: r-delete-all
#[tokio::test]
async fn all_are_deleted_here_and_at_the_remote_by_one_transaction() {
    let net = Switches::new();
    let repo = filled(&net).await;
    net.offline(true);
    let mut live = repo.reading(larder::ReadPolicy::LocalOnly).watch(Select::<Note>::all()).unwrap();
    assert_eq!(live.next().await.unwrap().unwrap().len(), 6);
    assert_eq!(repo.delete_all::<Note>().await.unwrap().count(), 6);
    assert!(live.next().await.unwrap().unwrap().is_empty(), "one notification");
    assert_eq!(repo.safe_to_wipe().await.unwrap().entries, 6);
    net.offline(false);
    settled(&repo).await;
    assert!(net.notes().await.is_empty());
    assert_eq!(repo.delete_all::<Note>().await.unwrap().count(), 0);
}

// Rules: r-delete-all
#[tokio::test]
async fn what_is_named_stays() {
    let net = Switches::new();
    let repo = filled(&net).await.writing(WritePolicy::LocalOnly);
    assert_eq!(repo.delete_all_except::<Note>(Note::STARS.lt(4)).await.unwrap().count(), 2);
    assert_eq!(local(&repo).await, ["0", "1", "2", "3"]);
    assert_eq!(
        repo.delete_all_except::<Note>(vec![Key::from("1"), "3".into(), "9".into()]).await.unwrap().count(),
        2
    );
    assert_eq!(local(&repo).await, ["1", "3"]);
    let three = repo.find::<Note>("3").await.unwrap().unwrap();
    assert_eq!(repo.delete_all_except(&three).await.unwrap().count(), 1);
    assert_eq!(repo.delete_all_except::<Note>("3").await.unwrap().count(), 0);
    assert_eq!(local(&repo).await, ["3"]);
    assert_eq!(net.notes().await.len(), 6, "written here alone");
    assert!(repo.safe_to_wipe().await.unwrap().nothing());
}

// Rules: r-delete-all
#[tokio::test]
async fn the_window_of_what_stays_counts() {
    let net = Switches::new();
    let repo = filled(&net).await.writing(WritePolicy::LocalOnly);
    let newest = Select::<Note>::all().order_by(Note::STARS.desc()).limit(2);
    assert_eq!(repo.delete_all_except(newest).await.unwrap().count(), 4);
    assert_eq!(local(&repo).await, ["4", "5"]);
}

// Rules: r-delete-all
#[tokio::test]
async fn a_remote_that_is_required_is_asked_row_by_row() {
    let net = Switches::new();
    let repo = filled(&net).await.writing(WritePolicy::RequireRemote);
    net.offline(true);
    assert_eq!(repo.delete_all::<Note>().await.unwrap_err().kind(), ErrorKind::Offline);
    assert_eq!(local(&repo).await.len(), 6);
    net.offline(false);
    assert_eq!(repo.delete_all_except::<Note>("5").await.unwrap().count(), 5);
    assert_eq!(local(&repo).await, ["5"]);
    net.next(Turn::Say(ErrorKind::Rejected, 422));
    assert_eq!(repo.delete_all::<Note>().await.unwrap_err().kind(), ErrorKind::Rejected);
    assert_eq!((local(&repo).await, net.notes().await.len()), (vec!["5".to_owned()], 1));
}

// Rules: r-delete-all
#[tokio::test]
async fn several_keys_are_deleted_by_one_call() {
    let net = Switches::new();
    let repo = filled(&net).await;
    let deleted = repo.delete::<Note>(vec![Key::from("0"), "2".into()]).await.unwrap();
    assert_eq!(deleted.count(), 2);
    deleted.accepted().await.unwrap();
    assert_eq!(net.notes().await.len(), 4);
}

/// A row that is put under protection while the rows are chosen is not deleted by what was chosen before.
// Rules: r-delete-all
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_ceases_to_answer_meanwhile_is_not_deleted() {
    let net = Switches::new();
    let repo = filled(&net).await.writing(WritePolicy::LocalOnly);
    for round in 0..50 {
        let stars = 100 + round;
        let _ = repo.upsert(&note("x", "free", stars)).await.unwrap();
        let protect = {
            let repo = repo.clone();
            tokio::spawn(async move {
                let row = note("x", "protected", stars);
                let _ = repo.upsert(&row).await.unwrap();
            })
        };
        let _ = repo.delete(Note::TEXT.eq("free")).await.unwrap();
        protect.await.unwrap();
        assert_eq!(repo.find::<Note>("x").await.unwrap().unwrap().text, "protected");
    }
}
