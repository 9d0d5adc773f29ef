//! What can go wrong on purpose, decided apart from the sockets: see [`Faults::decide`].

use serde::{Deserialize, Serialize};

/// What happens to a request instead of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Act {
    /// An error status, perhaps with `Retry-After` in seconds.
    Refuse {
        status: u16,
        #[serde(default)]
        retry_after: Option<u32>,
    },
    /// The connection is closed without an answer.
    Drop,
    /// No answer until the faults are cleared or the client goes away.
    Hang,
}

/// At which point of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum When {
    /// Before the server looks at it: nothing is applied.
    #[default]
    Before,
    /// After it succeeded and before anything is answered: the lost reply.
    After,
}

/// To which requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scope {
    #[default]
    Any,
    /// GET.
    Reads,
    /// Everything else.
    Writes,
}

/// One planted fault.
///
/// As JSON for `POST /_control/faults`:
/// `{"act": {"refuse": {"status": 503, "retry_after": 1}}, "when": "before", "scope": "writes", "skip": 0, "times": 2}`
/// or `{"act": "hang", "when": "after", "scope": "writes"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    pub(crate) act: Act,
    #[serde(default)]
    pub(crate) when: When,
    #[serde(default)]
    pub(crate) scope: Scope,
    /// How many requests pass before the first that is hit.
    #[serde(default)]
    pub(crate) skip: u32,
    /// How many are hit.
    #[serde(default = "once")]
    pub(crate) times: u32,
}

fn once() -> u32 {
    1
}

impl Fault {
    /// The next request is answered with `status`.
    pub(crate) fn refuse(status: u16) -> Self {
        let act = Act::Refuse { status, retry_after: None };
        Self { act, when: When::Before, scope: Scope::Any, skip: 0, times: 1 }
    }

    /// The next write is applied, and the connection is closed before the answer.
    pub(crate) fn lost_reply() -> Self {
        Self { act: Act::Drop, when: When::After, scope: Scope::Writes, skip: 0, times: 1 }
    }

    /// The next write is applied, and its answer is held back.
    pub(crate) fn hang_after_accept() -> Self {
        Self { act: Act::Hang, ..Self::lost_reply() }
    }

    /// The next request is held before the server looks at it.
    pub(crate) fn hang_before() -> Self {
        Self { act: Act::Hang, ..Self::refuse(0) }
    }

    /// Adds `Retry-After` to a refusal.
    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        if let Act::Refuse { retry_after, .. } = &mut self.act {
            *retry_after = Some(seconds);
        }
        self
    }

    /// Hits only these requests.
    pub(crate) fn only(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Lets `requests` pass first.
    pub(crate) fn skip(mut self, requests: u32) -> Self {
        self.skip = requests;
        self
    }

    /// Hits so many requests.
    pub(crate) fn times(mut self, requests: u32) -> Self {
        self.times = requests;
        self
    }

    fn concerns(&self, when: When, write: bool) -> bool {
        let in_scope = match self.scope {
            Scope::Any => true,
            Scope::Reads => !write,
            Scope::Writes => write,
        };
        self.when == when && in_scope && self.times > 0
    }
}

/// The failure switch: whether the server is offline, and what is planted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    /// Every request is dropped unanswered, except those to `/_control`.
    pub(crate) offline: bool,
    planted: Vec<Fault>,
}

impl Faults {
    /// Adds a fault behind those that are planted.
    pub(crate) fn plant(&mut self, fault: Fault) {
        self.planted.push(fault);
    }

    /// Removes everything that is planted and goes online.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What happens to this request at this point; counts down what was used.
    ///
    /// The first planted fault that concerns the request and has nothing to skip wins.
    pub(crate) fn decide(&mut self, when: When, write: bool) -> Option<Act> {
        if self.offline {
            return Some(Act::Drop);
        }
        for fault in self.planted.iter_mut().filter(|fault| fault.concerns(when, write)) {
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            fault.times -= 1;
            return Some(fault.act);
        }
        None
    }
}

/// A lie that the server tells once, so that a test can see the judge notice it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Break {
    /// The next mutation is answered with success and not applied.
    Lose,
    /// The next mutation is applied twice.
    Double,
    /// After the next mutation its row changes behind everybody's back: same `ETag`, no line in the journal.
    Differ,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_skips_hits_and_is_used_up() {
        let mut faults = Faults::default();
        faults.plant(Fault::refuse(503).retry_after(2).only(Scope::Writes).skip(1).times(2));
        let hit = Some(Act::Refuse { status: 503, retry_after: Some(2) });
        assert_eq!(faults.decide(When::Before, false), None, "a read is out of scope");
        assert_eq!(faults.decide(When::Before, true), None, "the first write is skipped");
        assert_eq!(faults.decide(When::Before, true), hit);
        assert_eq!(faults.decide(When::After, true), None, "it acts before, not after");
        assert_eq!(faults.decide(When::Before, true), hit);
        assert_eq!(faults.decide(When::Before, true), None, "it is used up");
    }

    #[test]
    fn offline_drops_whatever_is_planted() {
        let mut faults = Faults { offline: true, ..Faults::default() };
        faults.plant(Fault::hang_after_accept());
        assert_eq!(faults.decide(When::Before, true), Some(Act::Drop));
        faults.offline = false;
        assert_eq!(faults.decide(When::After, true), Some(Act::Hang));
    }

    #[test]
    fn a_fault_reads_from_json_with_defaults() {
        let fault: Fault = serde_json::from_str(r#"{"act": {"refuse": {"status": 429}}}"#).unwrap();
        assert_eq!(fault, Fault::refuse(429));
        let fault: Fault =
            serde_json::from_str(r#"{"act": "drop", "when": "after", "scope": "writes"}"#).unwrap();
        assert_eq!(fault, Fault::lost_reply());
    }
}
