//! A real process is killed at a random moment.
//!
//! The server lives in the parent and honours keys; the child speaks to it over a loopback socket, a line of JSON each
//! way, and tells it of each write that the repository has acknowledged. After the kill another child opens what is left.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::disk::Random;
use crate::report::Outcome;
use crate::server::Phase;
use crate::story::Verdict;

/// From how many kills on each phase has to have its share of them …
const MANY: u64 = 1000;
/// … and which part of all that is at least.
const SHARE: u64 = 20;

mod child;

pub use child::live;

/// What a child says.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Said {
    /// It is in this phase.
    Phase(String),
    /// It wants a note to say this.
    Wants(String, Option<String>),
    /// The last wish of a note is stored.
    Stored(String),
    /// Apply this.
    Apply { id: String, key: String, text: Option<String> },
    /// Give all notes.
    All,
    /// It has come to rest, with these notes.
    Rest(BTreeMap<String, String>),
    /// Something is wrong.
    Wrong(String),
}

/// What a child is told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Told {
    notes: BTreeMap<String, String>,
}

/// What the server and the parent know.
#[derive(Debug, Default)]
struct Known {
    notes: BTreeMap<String, String>,
    effects: BTreeMap<String, u64>,
    wishes: BTreeMap<String, Vec<Option<String>>>,
    acknowledged: u64,
    phase: Option<Phase>,
    rest: Option<BTreeMap<String, String>>,
    wrong: Option<String>,
}

impl Known {
    fn hear(&mut self, said: Said) -> Told {
        match said {
            Said::Phase(name) => self.phase = Phase::ALL.into_iter().find(|phase| phase.name() == name),
            Said::Wants(key, text) => self.wishes.entry(key).or_insert_with(|| vec![None]).push(text),
            Said::Stored(key) => {
                self.acknowledged += 1;
                if let Some(wishes) = self.wishes.get_mut(&key) {
                    *wishes = vec![wishes.pop().unwrap_or_default()];
                }
            }
            Said::Apply { id, key, text } => {
                let effects = self.effects.entry(id).or_default();
                // A key that is known has had its effect.
                if *effects == 0 {
                    *effects += 1;
                    match text {
                        Some(text) => self.notes.insert(key, text),
                        None => self.notes.remove(&key),
                    };
                }
            }
            Said::All => return Told { notes: self.notes.clone() },
            Said::Rest(notes) => self.rest = Some(notes),
            Said::Wrong(what) => self.wrong = Some(what),
        }
        Told::default()
    }
}

/// The server's end: hears each child, one after another.
struct Server {
    known: Arc<Mutex<Known>>,
    address: String,
}

fn held(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    fn new() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let known = Arc::<Mutex<Known>>::default();
        let hearing = known.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let hearing = hearing.clone();
                std::thread::spawn(move || drop(hear(&stream, &hearing)));
            }
        });
        Ok(Self { known, address })
    }
}

fn hear(stream: &TcpStream, known: &Mutex<Known>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    for line in BufReader::new(stream).lines() {
        let said: Said = serde_json::from_str(&line?)?;
        let told = held(known).hear(said);
        let mut line = serde_json::to_string(&told)?;
        line.push('\n');
        writer.write_all(line.as_bytes())?;
    }
    Ok(())
}

/// Kills `runs` children, each at a random moment, all over one file until that is done with.
#[must_use]
pub fn processes(program: &Path, seed: u64, runs: u64) -> Outcome {
    let mut outcome = Outcome::new("kill", "a process gets SIGKILL at a random moment");
    outcome.points = runs;
    let mut random = Random::new(seed);
    while outcome.runs < runs && outcome.is_clean() {
        let (Ok(folder), Ok(server)) = (tempfile::tempdir_in(crate::damaged::shared_memory()), Server::new())
        else {
            outcome.fault(Verdict::Wrong, "there is no place for files, or no socket");
            return outcome;
        };
        let file = folder.path().join("a.redb");
        // A life of ten kills, and then rest.
        for _ in 0..10.min(runs - outcome.runs) {
            outcome.runs += 1;
            if let Err(error) = one(program, &file, &server, &mut random, &mut outcome) {
                outcome.fault(Verdict::Wrong, error.to_string());
            }
        }
        let how = format!("after {} kills of seed {seed}", outcome.runs);
        if let Err((verdict, error)) = rest(program, &file, &server) {
            outcome.fault(verdict, format!("{how}: {error}"));
        }
        outcome.acknowledged += held(&server.known).acknowledged;
    }
    if runs >= MANY {
        for phase in [Phase::Enqueue, Phase::Send, Phase::Pull, Phase::Compact] {
            let hits = outcome.phases.get(phase.name()).copied().unwrap_or_default();
            if hits < runs / SHARE {
                outcome.fault(
                    Verdict::Wrong,
                    format!("only {hits} kills of {runs} came during {}", phase.name()),
                );
            }
        }
    }
    outcome
}

fn start(program: &Path, file: &Path, server: &Server, mode: &str) -> std::io::Result<Child> {
    let mut command = Command::new(program);
    command.arg("child").arg(mode).arg(file).arg(&server.address);
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()
}
fn one(
    program: &Path,
    file: &Path,
    server: &Server,
    random: &mut Random,
    outcome: &mut Outcome,
) -> std::io::Result<()> {
    held(&server.known).phase = None;
    // Each phase gets its share of the kills: the wait begins when the child has come to it.
    let wanted = {
        use Phase::{Compact, Enqueue, Open, Pull, Send};
        [Enqueue, Send, Send, Send, Pull, Pull, Compact, Compact, Compact, Open, Open][random.below(11)]
    };
    let mut child = start(program, file, server, wanted.name())?;
    let comes = |child: &mut Child| -> std::io::Result<()> {
        for _ in 0..20_000 {
            if held(&server.known).phase == Some(wanted) || child.try_wait()?.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        Ok(())
    };
    comes(&mut child)?;
    let within = match wanted {
        Phase::Compact | Phase::Pull => 400,
        Phase::Send => 700,
        _ => 1500,
    };
    if wanted != Phase::Open {
        // Not always in the first round of its life.
        std::thread::sleep(Duration::from_micros(random.below(6000) as u64));
        comes(&mut child)?;
    }
    std::thread::sleep(Duration::from_micros(random.below(within) as u64));
    child.kill()?;
    child.wait()?;
    let known = held(&server.known);
    outcome.hit(known.phase.unwrap_or(Phase::Open));
    match &known.wrong {
        Some(what) => Err(std::io::Error::other(what.clone())),
        None => Ok(()),
    }
}

/// Lets a child come to rest, and looks.
fn rest(program: &Path, file: &Path, server: &Server) -> Result<(), (Verdict, String)> {
    let failed = |error: std::io::Error| (Verdict::Wrong, error.to_string());
    let mut child = start(program, file, server, "rest").map_err(failed)?;
    let status = child.wait().map_err(failed)?;
    let known = held(&server.known);
    if let Some(what) = &known.wrong {
        let verdict = if what.starts_with("unopenable") { Verdict::Unopenable } else { Verdict::Wrong };
        return Err((verdict, what.clone()));
    }
    let Some(rest) = known.rest.clone().filter(|_| status.success()) else {
        return Err((Verdict::Wrong, "the last child did not come to rest".to_owned()));
    };
    for (key, wishes) in &known.wishes {
        let there = known.notes.get(key).cloned();
        if !wishes.contains(&there) {
            return Err((Verdict::Lost, format!("{key} is {there:?} and should be one of {wishes:?}")));
        }
    }
    if rest != known.notes {
        return Err((Verdict::Wrong, "here and on the server it is not the same".to_owned()));
    }
    match known.effects.iter().find(|(_, effects)| **effects > 1) {
        Some((id, effects)) => Err((Verdict::Doubled, format!("{id} had {effects} effects"))),
        None => Ok(()),
    }
}
