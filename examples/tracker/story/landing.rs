//! The server comes back: killed before and after it accepts, then the queue drains and others' changes arrive.

use std::time::Duration;

use super::Story;
use super::air::{DESCRIBED, MOVED};
use crate::deeds::short;
use crate::process::Problem;
use crate::protocol::Order;
use crate::remote::PARALLEL;
use crate::server::{Fault, Scope};

impl Story {
    /// Kills (d) and (c): before the server gets it, and after it has accepted.
    pub(super) async fn killed_around_acceptance(&mut self) -> Result<(), Problem> {
        self.timeline.chapter("The server is back, and the client is killed before it gets anything");
        if !self.survives() {
            self.server.resume().await?;
            self.skip_kill();
            return Ok(());
        }
        let accepted = self.server.progress().accepted;
        self.server.plant(Fault::hang_before().only(Scope::Writes).times(PARALLEL));
        self.server.resume().await?;
        self.client()?.order(&Order::Settle).await?;
        let held = self.held().await?;
        self.says(format!("sends; the server holds {held} requests back and has looked at none"));
        self.kill_client().await?;
        self.released().await?;
        if self.server.progress().accepted != accepted {
            self.trouble.push("the server applied something that it was meant to hold back".to_owned());
        }

        self.timeline.chapter("Killed again, after the server accepted and before the client knows");
        self.server.plant(Fault::hang_after_accept().times(PARALLEL));
        self.start_client(false).await?;
        let held = self.held().await?;
        self.unknown = self.server.progress().accepted - accepted;
        self.says(format!(
            "sends at once; the server accepts {}, and holds {held} answers back",
            self.unknown
        ));
        self.kill_client().await?;
        self.released().await
    }

    /// Waits until all that the client sends at a time is held back.
    async fn held(&self) -> Result<u64, Problem> {
        let first = self.wait_for("the client should send", |progress| progress.holding >= 1).await?;
        // An attempt that was refused just before the server came back may leave fewer than that.
        let all = self.server.wait_for(|progress| progress.holding >= u64::from(PARALLEL));
        let all = tokio::time::timeout(Duration::from_millis(500), all).await;
        Ok(all.unwrap_or_else(|_| self.server.progress()).holding.max(first.holding))
    }

    /// Waits until the server has noticed that its client is dead.
    async fn released(&self) -> Result<(), Problem> {
        self.wait_for("the server should notice", |progress| progress.holding == 0).await?;
        self.server.clear_faults();
        Ok(())
    }

    /// Everything goes out, over a connection that is not at its best.
    pub(super) async fn drain(&mut self) -> Result<(), Problem> {
        self.timeline.chapter("The queue drains");
        if self.survives() {
            self.start_client(true).await?;
        }
        if let Some(lie) = self.args.lie.filter(|lie| *lie != crate::server::Break::Differ) {
            self.timeline.say("--break", format!("the server will {lie:?} a mutation").to_lowercase());
            self.server.plant_break(lie);
        }
        self.server.plant(Fault::refuse(503).retry_after(1).only(Scope::Writes));
        self.server.plant(Fault::lost_reply());
        self.timeline.say("server", "will refuse a request (503, Retry-After: 1) and lose an answer");
        let conflicts = self.client()?.settle().await?;
        let journal = self.server.journal();
        let replayed = journal.entries().iter().filter(|entry| entry.replayed).count() as u64;
        let applied = journal.applied().count();
        self.timeline.say("server", format!("has applied {applied} mutations of yours in all"));
        self.timeline.say(
            "server",
            format!("{replayed} came again under the same key, and got the first answer again"),
        );
        // One more than those of the killed client: the answer that was lost just now.
        if replayed < self.unknown + 1 {
            self.trouble
                .push(format!("{} answers were lost, and only {replayed} repeats came", self.unknown + 1));
        }
        let stock = self.client()?.stock().await?;
        self.says(format!(
            "{} mutations are queued, {} rows are pending; a watch has told of {conflicts} conflict",
            stock.queued, stock.pending
        ));
        match stock.surfed {
            Some(0) => self.trouble.push("nothing went through surf".to_owned()),
            Some(requests) => self.says(format!("{requests} of its requests went through surf's middleware")),
            None => {}
        }
        Ok(())
    }

    /// What others did arrives.
    pub(super) async fn arrivals(&mut self) -> Result<(), Problem> {
        self.timeline.chapter("What happened on the ground arrives");
        self.sync().await?;
        let (issues, labels) = self.client()?.rows().await?;
        let moved = self.cast.moved.clone();
        match issues.iter().find(|issue| issue.id == moved) {
            Some(issue) if issue.title == MOVED => {
                self.says(format!("issue {} is called “{MOVED}”", short(&moved)));
            }
            other => {
                self.trouble.push(format!("a colleague's change of issue {moved} did not arrive: {other:?}"));
            }
        }
        let vanished = self.cast.vanished.clone();
        match issues.iter().any(|issue| issue.id == vanished) {
            false => self.says(format!("issue {} is gone", short(&vanished))),
            true => self.trouble.push(format!("issue {vanished}, deleted by a colleague, is still here")),
        }
        let painted = self.cast.painted.clone();
        match labels.iter().find(|label| label.name == painted) {
            Some(label) if label.description.as_deref() == Some(DESCRIBED) && label.color == "ff8800" => {
                self.says(format!("the label {painted} has your colour and your colleague's description"));
            }
            other => self
                .trouble
                .push(format!("two people's changes of the label {painted} did not meet: {other:?}")),
        }
        Ok(())
    }
}
