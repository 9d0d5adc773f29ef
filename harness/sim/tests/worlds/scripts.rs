//! Scripts: what happens when is written out.

use std::time::Duration;

use larder_sim::Disk;
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
