//! Random graphs of rows that were created offline.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use larder::{Many, Memory, One, Redb, Repository};
use proptest::prelude::*;

use crate::club::{Member, Seat, Server, Task, Team, at_peace, builder, local, member, seat, task, team};
use crate::support::settled;

/// What the application does. Numbers choose among what it has made so far.
#[derive(Clone, Debug)]
enum Step {
    Team {
        parent: Option<usize>,
    },
    Member {
        team: Option<usize>,
        friends: Vec<usize>,
    },
    Task {
        member: usize,
    },
    Seat {
        team: usize,
        member: usize,
    },
    Move {
        member: usize,
        team: usize,
    },
    Befriend {
        member: usize,
        friend: usize,
    },
    Rename {
        team: usize,
    },
    Reparent {
        team: usize,
        parent: usize,
    },
    Leave {
        member: usize,
    },
    Unseat {
        team: usize,
        member: usize,
    },
    /// The server answers so many requests, of which it loses some replies.
    Online {
        requests: i64,
        lost: i64,
    },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let any = 0..64usize;
    prop_oneof![
        3 => proptest::option::of(any.clone()).prop_map(|parent| Step::Team { parent }),
        4 => (proptest::option::of(any.clone()), proptest::collection::vec(any.clone(), 0..3))
            .prop_map(|(team, friends)| Step::Member { team, friends }),
        2 => any.clone().prop_map(|member| Step::Task { member }),
        3 => (any.clone(), any.clone()).prop_map(|(team, member)| Step::Seat { team, member }),
        2 => (any.clone(), any.clone()).prop_map(|(member, team)| Step::Move { member, team }),
        2 => (any.clone(), any.clone()).prop_map(|(member, friend)| Step::Befriend { member, friend }),
        1 => any.clone().prop_map(|team| Step::Rename { team }),
        1 => (any.clone(), any.clone()).prop_map(|(team, parent)| Step::Reparent { team, parent }),
        1 => any.clone().prop_map(|member| Step::Leave { member }),
        1 => (any.clone(), any.clone()).prop_map(|(team, member)| Step::Unseat { team, member }),
        2 => (1..6i64, 0..2i64).prop_map(|(requests, lost)| Step::Online { requests, lost }),
        1 => Just(Step::Reopen),
    ]
}

/// What was made, by the keys that it had then: the application never learns others.
#[derive(Default)]
struct Made {
    teams: Vec<i64>,
    members: Vec<i64>,
    /// The names of each member's team and friends, as they should end.
    expected: BTreeMap<String, (Option<String>, Vec<String>)>,
    names: BTreeMap<i64, String>,
    count: usize,
}

impl Made {
    fn name(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}{}", self.count)
    }
}

fn pick(all: &[i64], at: usize) -> Option<i64> {
    (!all.is_empty()).then(|| all[at % all.len()])
}

async fn take(repo: &Repository, server: &Server, made: &mut Made, step: &Step) {
    match step {
        Step::Team { parent } => {
            let parent = parent.and_then(|at| pick(&made.teams, at));
            let row = team(repo, &made.name("team"), parent).await;
            made.names.insert(row.number, row.name.clone());
            made.teams.push(row.number);
            let _ = repo.upsert(&row).await.unwrap();
        }
        Step::Member { team, friends } => {
            let team = team.and_then(|at| pick(&made.teams, at));
            let mut row = member(repo, &made.name("member"), team).await;
            let friends: Vec<i64> = friends.iter().filter_map(|at| pick(&made.members, *at)).collect();
            row.friends = Many::to(friends.clone());
            made.names.insert(row.number, row.name.clone());
            let team = team.map(|team| made.names[&team].clone());
            let friends = row.friends.ids().map(|id| made.names[id].clone()).collect();
            made.expected.insert(row.name.clone(), (team, friends));
            made.members.push(row.number);
            let _ = repo.upsert(&row).await.unwrap();
        }
        Step::Task { member } => {
            let Some(member) = pick(&made.members, *member) else { return };
            let _ = repo.upsert(&task("do", member)).await.unwrap();
        }
        Step::Seat { team, member } => {
            let (Some(team), Some(member)) = (pick(&made.teams, *team), pick(&made.members, *member)) else {
                return;
            };
            let _ = repo.upsert(&seat(team, member)).await.unwrap();
        }
        Step::Unseat { team, member } => {
            let (Some(team), Some(member)) = (pick(&made.teams, *team), pick(&made.members, *member)) else {
                return;
            };
            let _ = repo.delete(&seat(team, member)).await.unwrap();
        }
        step => edit(repo, server, made, step).await,
    }
}

async fn edit(repo: &Repository, server: &Server, made: &mut Made, step: &Step) {
    let ada = |made: &Made, at: &usize| pick(&made.members, *at);
    match step {
        Step::Move { member, team } => {
            let (Some(number), Some(team)) = (ada(made, member), pick(&made.teams, *team)) else { return };
            let held = Member { number, name: String::new(), team: None, friends: Many::new() };
            let row = repo.update(&held, |row| row.team = Some(One::to(team))).await.unwrap().into_row();
            made.expected.get_mut(&row.name).unwrap().0 = Some(made.names[&team].clone());
        }
        Step::Befriend { member, friend } => {
            let (Some(number), Some(friend)) = (ada(made, member), ada(made, friend)) else { return };
            let held = Member { number, name: String::new(), team: None, friends: Many::new() };
            let row = repo.update(&held, |row| row.friends = Many::to([friend])).await.unwrap().into_row();
            made.expected.get_mut(&row.name).unwrap().1 = vec![made.names[&friend].clone()];
        }
        Step::Rename { team } => {
            let Some(number) = pick(&made.teams, *team) else { return };
            let found = repo.find::<Team>(number).await.unwrap().expect("a held key finds its row");
            assert_eq!(found.name, made.names[&number]);
            let name = format!("{}'", found.name);
            let row = Team { number, name: name.clone(), ..(*found).clone() };
            let _ = repo.upsert(&row).await.unwrap();
            let old = made.names.insert(number, name.clone()).unwrap();
            for (team, _) in made.expected.values_mut() {
                if team.as_ref() == Some(&old) {
                    *team = Some(name.clone());
                }
            }
        }
        Step::Reparent { team, parent } => {
            let (Some(number), Some(parent)) = (pick(&made.teams, *team), pick(&made.teams, *parent)) else {
                return;
            };
            let found = repo.find::<Team>(number).await.unwrap().expect("a held key finds its row");
            let _ = repo.update(&found, |row| row.parent = Some(One::to(parent))).await.unwrap();
        }
        Step::Leave { member } => {
            let Some(number) = ada(made, member) else { return };
            let held = Member { number, name: String::new(), team: None, friends: Many::new() };
            let row = repo.update(&held, |row| row.team = None).await.unwrap().into_row();
            made.expected.get_mut(&row.name).unwrap().0 = None;
        }
        Step::Online { requests, lost } => {
            server.lose.store(*lost, Ordering::Relaxed);
            server.budget.store(*requests, Ordering::Relaxed);
            server.offline(false);
            repo.outbox().drain().await;
            server.offline(true);
            server.lose.store(0, Ordering::Relaxed);
        }
        _ => {}
    }
}

/// Takes `steps`, sends everything, and looks.
async fn run(steps: Vec<Step>, durable: bool) {
    let (server, folder) = (Server::default(), tempfile::tempdir().unwrap());
    let open = || async {
        let builder = builder(&server);
        match durable {
            true => builder.store(Redb::at(folder.path().join("club.redb"))).build().await.unwrap(),
            false => builder.store(Memory::new()).build().await.unwrap(),
        }
    };
    let mut repo = open().await;
    server.offline(true);
    let mut made = Made::default();
    for step in &steps {
        match step {
            // Who closes the application lets go of the keys that were given since.
            Step::Reopen if durable => {
                server.budget.store(-1, Ordering::Relaxed);
                let given = numbers(&repo).await;
                repo.close().await;
                repo = open().await;
                let now = |key: &mut i64, kind: &BTreeMap<String, i64>, names: &BTreeMap<i64, String>| {
                    *key = kind[&names[key]];
                };
                let mut names = BTreeMap::new();
                for key in made.teams.iter_mut().chain(&mut made.members) {
                    let name = made.names[key].clone();
                    now(key, &given, &made.names);
                    names.insert(*key, name);
                }
                made.names = names;
            }
            step => take(&repo, &server, &mut made, step).await,
        }
    }
    server.budget.store(-1, Ordering::Relaxed);
    server.offline(false);
    settled(&repo).await;
    at_peace(&repo, &server).await;
    let teams: BTreeMap<i64, String> =
        local::<Team>(&repo).await.iter().map(|team| (team.number, team.name.clone())).collect();
    let members = local::<Member>(&repo).await;
    let names: BTreeMap<i64, String> =
        members.iter().map(|member| (member.number, member.name.clone())).collect();
    let ended: BTreeMap<String, (Option<String>, Vec<String>)> = members
        .iter()
        .map(|member| {
            let team = member.team.as_ref().map(|team| teams[team.id()].clone());
            (member.name.clone(), (team, member.friends.ids().map(|id| names[id].clone()).collect()))
        })
        .collect();
    assert_eq!(ended, made.expected);
    for row in local::<Seat>(&repo).await {
        assert!(teams.contains_key(row.team.id()) && names.contains_key(row.member.id()));
    }
    for row in local::<Task>(&repo).await {
        assert!(names.contains_key(row.member.id()));
    }
}

/// The keys under which teams and members stand now, by their names.
async fn numbers(repo: &Repository) -> BTreeMap<String, i64> {
    let teams: Vec<Arc<Team>> = local(repo).await;
    let members: Vec<Arc<Member>> = local(repo).await;
    let teams = teams.iter().map(|team| (team.name.clone(), team.number));
    teams.chain(members.iter().map(|member| (member.name.clone(), member.number))).collect()
}

fn block(run: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    // Rules: m-key-server-refs, m-key-server-held
    #[test]
    fn no_temporary_key_is_left_anywhere(steps in proptest::collection::vec(step(), 1..40)) {
        block(run(steps, false));
    }

    // Rules: m-key-server-refs
    #[test]
    fn no_temporary_key_survives_being_closed(steps in proptest::collection::vec(step(), 1..24)) {
        block(run(steps, true));
    }
}

// Rules: o-order, m-key-server-refs
/// What was merged into a change is told after its row has got another key: the change keeps its place before the next one.
#[test]
fn a_change_that_names_its_own_row_does_not_overtake_the_one_before() {
    let member = || Step::Member { team: None, friends: Vec::new() };
    let befriend = |friend| Step::Befriend { member: 0, friend };
    let online = Step::Online { requests: 1, lost: 0 };
    block(run(vec![member(), member(), member(), befriend(0), befriend(1), befriend(0), online], false));
}
