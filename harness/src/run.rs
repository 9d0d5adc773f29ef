//! Runs a case of the suites over a provider.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use larder_core::Result;
use larder_core::runtime::BoxFuture;

use crate::outcome::{Outcome, VARIABLE};
use crate::subject::{Setup, Subject};
use crate::suites::{Case, Run, cases};
use crate::trial::{Trial, Verdict};

/// Makes subjects for cases.
pub type Make<'a> = &'a dyn Fn(Setup) -> BoxFuture<'static, Result<Subject>>;

/// A provider as its tests describe it.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    /// The row of the matrix.
    pub provider: &'a str,
    /// Makes an open, empty provider.
    pub make: Make<'a>,
    /// Cases that are left out, `suite::case`, each with its reason.
    pub exempt: &'a [(&'a str, &'a str)],
}

impl std::fmt::Debug for Candidate<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Candidate").field("provider", &self.provider).finish_non_exhaustive()
    }
}

/// Runs one case and records what became of it; `conformance!` calls this.
///
/// # Panics
/// If the case fails, or passes although it is exempt.
pub fn run(candidate: &Candidate<'_>, suite: &str, case: &str) {
    let directory = std::env::var_os(VARIABLE).map(PathBuf::from);
    let outcome = judge(candidate, suite, case);
    let written = outcome.record(directory.as_deref(), candidate.provider, suite, case);
    if let Outcome::Failed(why) = outcome {
        let known = cases().find(|known| known.suite == suite && known.name == case);
        let rules: Vec<&str> = known.into_iter().flat_map(Case::rules).collect();
        panic!("{suite}::{case} ({}) failed over {}: {why}", rules.join(", "), candidate.provider);
    }
    if let Err(error) = written {
        panic!("the outcome of {suite}::{case} can't be recorded: {error}");
    }
}

/// What becomes of a case.
#[must_use]
pub fn judge(candidate: &Candidate<'_>, suite: &str, case: &str) -> Outcome {
    let Some(found) = cases().find(|found| found.suite == suite && found.name == case) else {
        return Outcome::Failed(format!("there is no case {suite}::{case}"));
    };
    let name = format!("{suite}::{case}");
    let exempt = candidate.exempt.iter().find(|(exempt, _)| *exempt == name).map(|(_, reason)| *reason);
    let verdict = catch_unwind(AssertUnwindSafe(|| block_on(attempt(candidate, found))));
    match (verdict, exempt) {
        (Ok(Verdict::Passed), None) => Outcome::Passed,
        (Ok(Verdict::Refused(why)), None) => Outcome::Refused(why),
        (Ok(_), Some(reason)) => {
            Outcome::Failed(format!("it is exempt (\"{reason}\"), but does not fail: end the exemption"))
        }
        (Err(_), Some(reason)) => Outcome::Exempt(reason.to_owned()),
        (Err(panic), None) => Outcome::Failed(message(&*panic)),
    }
}

async fn attempt(candidate: &Candidate<'_>, case: &Case) -> Verdict {
    match case.run {
        Run::Once(run) => {
            let setup = Setup::new(seed(case));
            let runtime = setup.runtime.clone();
            let subject =
                (candidate.make)(setup).await.unwrap_or_else(|error| panic!("can't be opened: {error:?}"));
            run(Trial::new(runtime, subject)).await
        }
        Run::Often(run) => run(candidate, case.name).await,
    }
}

/// Cases differ in their seeds, runs don't.
fn seed(case: &Case) -> u64 {
    case.suite
        .bytes()
        .chain(case.name.bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Two workers, so that a case sees what happens at the same time.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a tokio runtime").block_on(future)
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}

/// Fails for exemptions that name no case of the faces that a provider has; `conformance!` calls this.
///
/// # Panics
/// If there is one.
pub fn check_exemptions(candidate: &Candidate<'_>, faces: &[&str]) {
    for (name, _) in candidate.exempt {
        let known = cases()
            .any(|case| format!("{}::{}", case.suite, case.name) == *name && faces.contains(&case.face));
        assert!(known, "the exemption `{name}` of {} names no case that it runs", candidate.provider);
    }
}
