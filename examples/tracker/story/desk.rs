//! What waits for the user when the queue has drained: an issue that two people have renamed, and two refusals.

use super::Story;
use super::air::{OURS, THEIRS};
use crate::deeds::{Deed, short};
use crate::process::Problem;
use crate::protocol::{Decision, Disputed, Refused, Waiting};

/// What both say to in the end.
const SETTLED: &str = "Renamed in the air and on the ground";

impl Story {
    /// Shows what waits, and settles each: by hand, by another intent, by giving it up.
    pub(super) async fn decisions(&mut self) -> Result<(), Problem> {
        self.timeline.chapter("What waits for you");
        let waiting = self.client()?.waiting().await?;
        self.says(format!("{} mutations are parked, {} in a conflict", waiting.parked, waiting.conflicts));
        for (name, title) in waiting.disputed.iter().flat_map(sides) {
            self.says(format!("{name:<22} {title}"));
        }
        for one in &waiting.refused {
            let (status, answer) =
                (one.status.unwrap_or_default(), one.answer.as_deref().unwrap_or_default());
            self.says(format!("{}: {status} {answer}", one.what));
        }
        let (disputed, garish, untitled) = (&self.cast.disputed, &self.cast.garish, &self.cast.untitled);
        let found = |key: &str| waiting.refused.iter().find(|one| one.key == key);
        let (Some(conflict), Some(garish), Some(untitled)) =
            (waiting.disputed.iter().find(|one| one.id == *disputed), found(garish), found(untitled))
        else {
            return Err(format!("something else waits than the story is about: {waiting:?}").into());
        };
        self.trouble.extend(surprise(&waiting, conflict, [garish, untitled]));
        self.settle(conflict, garish, untitled).await?;
        let (waiting, stock) = (self.client()?.waiting().await?, self.client()?.stock().await?);
        self.says(format!("{} mutations are parked, {} are queued", waiting.parked, stock.queued));
        if waiting.parked + usize::try_from(stock.queued)? > 0 {
            self.trouble.push(format!("something is left that was settled: {waiting:?}"));
        }
        Ok(())
    }

    async fn settle(
        &mut self,
        conflict: &Disputed,
        garish: &Refused,
        untitled: &Refused,
    ) -> Result<(), Problem> {
        let title = Deed::Retitle { id: conflict.id.clone(), title: SETTLED.to_owned() };
        self.decides("settle", title, Decision::Title { seq: conflict.seq, title: SETTLED.to_owned() })
            .await?;
        let color = Deed::Recolor { name: garish.key.clone(), color: "ffa500".to_owned() };
        self.decides("edit", color, Decision::Color { seq: garish.seq, color: "ffa500".to_owned() }).await?;
        self.timeline.say("you", format!("discard: give up the title of issue {}", short(&untitled.key)));
        self.client()?.decide(Decision::GiveUp { seq: untitled.seq }).await?;
        let (issues, _) = self.client()?.rows().await?;
        let before = &self.cast.title;
        match issues.iter().find(|issue| issue.id == untitled.key) {
            Some(issue) if issue.title == *before => {
                self.says(format!("issue {} is called “{before}” again", short(&untitled.key)));
            }
            other => self.trouble.push(format!("a change that was given up is still there: {other:?}")),
        }
        self.client()?.settle().await?;
        Ok(())
    }

    /// What the user wants now is what the server must do.
    async fn decides(&mut self, how: &str, deed: Deed, decision: Decision) -> Result<(), Problem> {
        self.timeline.say("you", format!("{how}: {deed}"));
        self.expected.extend(deed.expected());
        self.client()?.decide(decision).await
    }
}

/// The three sides of a conflict, each with its name.
fn sides(one: &Disputed) -> [(String, String); 3] {
    let title = |side: &Option<String>| side.as_ref().map_or("gone".to_owned(), |title| format!("“{title}”"));
    [
        (format!("issue {} was called", short(&one.id)), title(&one.base)),
        ("is called here".to_owned(), title(&one.mine)),
        ("at the server".to_owned(), title(&one.theirs)),
    ]
}

/// What does not stand there as the story has it.
fn surprise(waiting: &Waiting, conflict: &Disputed, refused: [&Refused; 2]) -> Option<String> {
    let titles = (conflict.mine.as_deref(), conflict.theirs.as_deref()) == (Some(OURS), Some(THEIRS));
    let answers = refused.iter().all(|one| {
        one.status == Some(422) && one.answer.as_ref().is_some_and(|body| body.contains("Validation Failed"))
    });
    let counts = (waiting.parked, waiting.conflicts, waiting.refused.len()) == (3, 1, 2);
    let well = titles && answers && counts;
    (!well).then(|| format!("what waits is not what was done: {waiting:?}"))
}
