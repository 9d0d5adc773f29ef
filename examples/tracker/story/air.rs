//! In the air: no server, reads and edits all the same, and a killed process.

use serde_json::json;

use super::Story;
use crate::deeds::{Deed, short};
use crate::perform::new_id;
use crate::process::Problem;
use crate::protocol::Order;
use crate::server::{Change, Fields, Kind};

/// What somebody else calls the issue that is changed meanwhile.
pub(super) const MOVED: &str = "Changed on the ground, while you were in the air";
/// What somebody else says of the label that gets another colour here.
pub(super) const DESCRIBED: &str = "Described on the ground";
/// What the issue that both change is called here, and there.
pub(super) const OURS: &str = "Renamed in the air";
pub(super) const THEIRS: &str = "Renamed on the ground";

impl Story {
    /// The server goes; the user goes on.
    pub(super) async fn take_off(&mut self) -> Result<(), Problem> {
        self.read_before_take_off().await?;
        self.timeline.chapter("In the air: the server is gone");
        self.server.stop().await;
        self.timeline.say("server", "is gone; connections are refused");
        self.browse().await?;
        let cast = &self.cast;
        let deeds = [
            Deed::Retitle { id: cast.retitled.clone(), title: "Edited at 10,000 metres".to_owned() },
            Deed::Close { id: cast.closed.clone() },
            Deed::NewLabel {
                name: "in flight".to_owned(),
                color: "0b5394".to_owned(),
                description: Some("Found while flying".to_owned()),
            },
            Deed::NewLabel {
                name: "crew/paper & pen".to_owned(),
                color: "999999".to_owned(),
                description: None,
            },
            Deed::Relabel {
                id: cast.relabelled.clone(),
                labels: cast.labels.iter().cloned().chain(["in flight".to_owned()]).collect(),
            },
            Deed::OpenIssue {
                id: new_id()?,
                title: "Coffee on the tablet".to_owned(),
                body: "Row 14, during the climb.".to_owned(),
                labels: vec!["in flight".to_owned()],
            },
            Deed::Recolor { name: cast.painted.clone(), color: "ff8800".to_owned() },
            Deed::DeleteLabel { name: cast.dropped_label.clone() },
            Deed::DeleteIssue { id: cast.dropped.clone() },
        ];
        for deed in deeds {
            self.does(deed, false).await?;
        }
        // The server will have a word about these.
        let deeds = [
            Deed::Retitle { id: self.cast.disputed.clone(), title: OURS.to_owned() },
            Deed::Recolor { name: self.cast.garish.clone(), color: "orange".to_owned() },
            Deed::Retitle { id: self.cast.untitled.clone(), title: String::new() },
        ];
        for deed in deeds {
            self.tries(deed).await?;
        }
        let stock = self.client()?.stock().await?;
        self.says(format!(
            "{} mutations are queued; {} rows are marked pending",
            stock.queued, stock.pending
        ));
        Ok(())
    }

    /// What is read by itself comes with its version: a change of it is refused if somebody else has changed it since.
    async fn read_before_take_off(&mut self) -> Result<(), Problem> {
        self.timeline.chapter("The doors close");
        let id = self.cast.disputed.clone();
        self.timeline.say("you", format!("read issue {} once more", short(&id)));
        for line in self.client()?.look(Order::ReadIssue(id)).await? {
            self.says(line);
        }
        Ok(())
    }

    async fn browse(&mut self) -> Result<(), Problem> {
        for line in self.client()?.look(Order::Browse).await? {
            self.says(line);
        }
        Ok(())
    }

    /// Kill (a): offline, with work queued.
    pub(super) async fn killed_offline(&mut self) -> Result<(), Problem> {
        self.timeline.chapter("Killed offline, with work queued");
        if self.survives() {
            let before = self.client()?.stock().await?;
            self.kill_client().await?;
            self.start_client(false).await?;
            let after = self.client()?.stock().await?;
            if (after.queued, after.issues, after.labels) != (before.queued, before.issues, before.labels) {
                self.trouble.push(format!("the kill lost something: {before:?} became {after:?}"));
            }
        } else {
            self.skip_kill();
        }
        self.browse().await?;
        let opened = self.expected.iter().rev().find(|one| one.kind == Kind::Issue && one.id.contains('-'));
        let id = opened.map(|one| one.id.clone()).ok_or("no issue was opened")?;
        let title = "Coffee on the tablet, again".to_owned();
        self.does(Deed::Retitle { id, title }, false).await
    }

    pub(super) fn skip_kill(&mut self) {
        self.timeline.say("", "left out: a memory store goes with its process. `--store redb` survives it");
    }

    /// Somebody else works with the server, to which this client has no connection.
    pub(super) fn meanwhile(&mut self) -> Result<(), Problem> {
        self.timeline.chapter("Meanwhile, on the ground");
        let fields = |value: serde_json::Value| value.as_object().cloned().unwrap_or_default();
        let (moved, vanished, painted) =
            (self.cast.moved.clone(), self.cast.vanished.clone(), self.cast.painted.clone());
        let disputed = self.cast.disputed.clone();
        let edit = |kind, key: &str, fields: Fields| Change::Edit { kind, key: key.to_owned(), fields };
        let changes = [
            (
                format!("changes the title of issue {} and closes it", short(&moved)),
                edit(Kind::Issue, &moved, fields(json!({ "title": MOVED, "state": "closed" }))),
            ),
            (
                format!("describes the label {painted}, whose colour you have changed"),
                edit(Kind::Label, &painted, fields(json!({ "description": DESCRIBED }))),
            ),
            (
                format!(
                    "calls issue {} “{THEIRS}”, to which you have given a title as well",
                    short(&disputed)
                ),
                edit(Kind::Issue, &disputed, fields(json!({ "title": THEIRS }))),
            ),
            (
                format!("deletes issue {}", short(&vanished)),
                Change::Delete { kind: Kind::Issue, key: vanished.clone() },
            ),
            (
                "opens an issue".to_owned(),
                Change::Create {
                    kind: Kind::Issue,
                    fields: fields(json!({ "title": "Opened on the ground", "user": "a-colleague" })),
                },
            ),
        ];
        for (what, change) in changes {
            self.timeline.say("a colleague", what);
            self.server.change(change)?;
        }
        self.gone.push((Kind::Issue, vanished));
        Ok(())
    }
}
