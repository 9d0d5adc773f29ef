//! Scripts: what happens when is written out.

use std::time::Duration;

use larder_sim::{Disk, Network};
use rstest::rstest;

use crate::notes::{Note, note, quiet};

const SECOND: Duration = Duration::from_secs(1);

#[rstest]
#[case::memory(Disk::Memory)]
#[case::redb(Disk::Redb)]
fn what_is_written_offline_survives_a_kill_and_reaches_the_other_device(#[case] disk: Disk) {
    let run = quiet().disk(disk).script(1, |world| async move {
        world.cut_off(0, 60 * SECOND).await;
        let ada = world.device(0).await;
        drop(ada.repo().upsert(&note("n1", "written offline", 1)).await.unwrap());
        world.kill(0, SECOND).await;
        let ada = world.device(0).await;
        world.expect(ada.life() == 2, "it lives again");
        world.expect(ada.rows::<Note>().unwrap() == [note("n1", "written offline", 1)], "it is still here");
        world.expect(world.at_server::<Note>().await.unwrap().is_empty(), "the server has not heard of it");
        world.comes_to_rest().await;
        let bob = world.device(1).await;
        bob.repo().sync().await.unwrap();
        world.expect(
            bob.rows::<Note>().unwrap() == [note("n1", "written offline", 1)],
            "the other one has it",
        );
    });
    run.expect_success();
    assert_eq!((run.tally.effects, run.tally.lives), (1, 3));
}

// Rules: o-success, o-entry
#[test]
fn what_is_written_again_behind_a_lost_reply_stays_visible() {
    let lossy = Network::calm().losing_replies(100);
    let run = quiet().network(lossy).script(1, |world| async move {
        let (ada, bob) = (world.device(0).await, world.device(1).await);
        let first = ada.repo().upsert(&note("n1", "a", 1)).await.unwrap().into_row();
        world.sleep(SECOND / 2).await;
        world.cut_off(0, 60 * SECOND).await;
        drop(bob.repo().upsert(&note("n1", "z", 1)).await.unwrap());
        world.sleep(SECOND).await;
        // The answer to the first one will say "z"; the last one says "a" once more.
        for text in ["b", "a"] {
            drop(ada.repo().update(&first, |note| note.text = text.into()).await.unwrap());
        }
        world.comes_to_rest().await;
        world.expect(
            world.at_server::<Note>().await.unwrap()[0].text == "a",
            "what was written last is there",
        );
    });
    run.expect_success();
}
