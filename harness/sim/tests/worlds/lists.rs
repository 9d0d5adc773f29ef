//! Lists that are paged by number: rows move from page to page while others write.

use std::time::Duration;

use larder_sim::{Disk, Network, Server};
use rstest::rstest;

use crate::notes::{Note, crowded, note, quiet};
use crate::troubles::seeds;

const SECOND: Duration = Duration::from_secs(1);

/// So slow that a list of some pages takes seconds.
fn slow() -> Network {
    Network::calm().latency(SECOND / 20, SECOND / 2)
}

// Rules: s-paged, s-delete, s-delete-moved, s-pending
#[rstest]
#[case::by_number(Server::honouring_keys().numbered_pages_of(2))]
#[case::by_number_with_versions(Server::honouring_keys().checking_versions().numbered_pages_of(2))]
#[case::by_cursor(Server::honouring_keys().pages_of(2))]
fn lists(#[case] server: Server) {
    let numbered = format!("{server:?}").contains("numbered: true");
    let worlds = crowded().server(server);
    let mut moved = 0;
    for seed in seeds() {
        let run = worlds.clone().network(slow()).run(seed);
        run.expect_success();
        moved += run.tally.moved;
    }
    assert_eq!(moved > 0, numbered, "{moved} pages have moved");
    let flaky =
        worlds.network(slow().refusing(5).losing_replies(5).resetting(5).duplicating(3).cuts(1)).kills(1);
    flaky.check(seeds());
    flaky.disk(Disk::Redb).power_cuts(1).check(seeds());
}

// Rules: s-delete-moved
#[test]
fn a_row_that_moves_past_a_page_stays_and_one_that_is_gone_goes() {
    let server = Server::honouring_keys().numbered_pages_of(2);
    let run = quiet().server(server).network(slow()).script(1, |world| async move {
        let (ada, bob) = (world.device(0).await, world.device(1).await);
        for id in ["a", "b", "c", "d", "e"] {
            drop(ada.repo().upsert(&note(id, "here", 1)).await.unwrap());
        }
        world.sleep(5 * SECOND).await;
        bob.repo().sync().await.unwrap();
        world.expect(bob.rows::<Note>().unwrap().len() == 5, "all are here");
        // While Bob reads the list, what is on its first page goes, and the third row moves to where he has been.
        let pull = async { bob.repo().sync().await };
        let delete = async {
            world.sleep(3 * SECOND / 10).await;
            drop(ada.repo().delete::<Note>("a").await.unwrap());
        };
        let (pulled, ()) = futures_util::join!(pull, delete);
        pulled.unwrap();
        let ids = |rows: Vec<Note>| rows.into_iter().map(|note| note.id).collect::<Vec<_>>();
        let here = ids(bob.rows::<Note>().unwrap());
        world.expect(here.ends_with(&["b", "c", "d", "e"].map(String::from)), format_args!("{here:?}"));
        bob.repo().sync().await.unwrap();
        let here = ids(bob.rows::<Note>().unwrap());
        world.expect(here == ["b", "c", "d", "e"], format_args!("{here:?}"));
    });
    run.expect_success();
    assert_eq!(run.tally.moved, 1, "{}", run.trace.as_str());
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let worlds =
        crowded().server(Server::honouring_keys().numbered_pages_of(2)).network(Network::flaky()).kills(1);
    for seed in 0..3 {
        assert_eq!(worlds.run(seed).trace.as_str(), worlds.run(seed).trace.as_str());
    }
}
