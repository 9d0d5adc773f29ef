//! Group commit through the repository: counted, not timed.

use std::time::Duration;

use larder_benches::medium::Medium;
use larder_benches::model::User;
use larder_benches::subject::{Config, Subject};

const WRITERS: usize = 16;

/// Sixteen writers on a disk whose syncs take a while: at least five mutations a commit, each with its entry.
#[test]
fn writers_that_wait_share_commits() {
    let directory = tempfile::tempdir().unwrap();
    let medium = Medium::plain(directory.path().join("a.redb")).pause(Duration::from_millis(3));
    let config = Config { remote: true, ..Config::default() };
    let subject = Subject::open(medium, config).unwrap();
    let users: Vec<User> = (0..320).map(User::nth).collect();
    let before = subject.counts.syncs();
    subject.write_together(&users, WRITERS).unwrap();
    let each = users.len() as f64 / (subject.counts.syncs() - before) as f64;
    assert!(each >= 5.0, "{each:.1} mutations a commit");
    let queued = subject.runtime.block_on(subject.repo.outbox().list(0, 1000)).unwrap();
    assert_eq!(queued.len(), users.len());
}
