//! Before take-off: the first sync, with a kill in the middle, and the recorded label scenario.

use super::Story;
use crate::deeds::Deed;
use crate::process::Problem;
use crate::protocol::Order;
use crate::server::{Fault, LabelStep, Scope};

impl Story {
    pub(super) async fn first_sync(&mut self) -> Result<(), Problem> {
        self.timeline.chapter("The first sync, page by page");
        if self.args.hang {
            self.server.plant(Fault::hang_before().times(u32::MAX));
        }
        self.start_client(false).await?;
        if self.survives() && !self.args.hang {
            self.server.plant(Fault::hang_before().only(Scope::Reads).skip(2));
            self.client()?.order(&Order::Sync).await?;
            self.wait_for("the third page should be asked for", |progress| progress.holding == 1).await?;
            self.kill_client().await?;
            self.timeline.say("", "page 3 was on its way; what had come before it is stored");
            self.wait_for("the server should notice", |progress| progress.holding == 0).await?;
            self.server.clear_faults();
            self.start_client(false).await?;
        } else {
            self.skip_kill();
        }
        self.sync().await
    }

    /// Push and pull, shown page by page.
    pub(super) async fn sync(&mut self) -> Result<(), Problem> {
        let client = self.client.as_mut().ok_or("no client is running")?;
        let name = client.name().to_owned();
        let timeline = &mut self.timeline;
        let synced = client.sync(|page| timeline.page(&name, page)).await?;
        let (pulled, changed) = (synced.pulled, synced.changed);
        self.says(format!("{pulled} rows came, {changed} of them new or different"));
        if let Some(after) = synced.open_after {
            let before = synced.open_before;
            self.says(format!("a live query of the open issues goes from {before} rows to {after}"));
        }
        if synced.left > 0 {
            self.trouble.push(format!("{} mutations were left in the queue after a sync", synced.left));
        }
        Ok(())
    }

    /// What the recording does with a label, by a client that is online: each step is done here, then at the server.
    pub(super) async fn label_scenario(&mut self) -> Result<(), Problem> {
        self.timeline.chapter("The recorded label scenario, online: each step waits for the server's word");
        for step in self.seeds.label_steps.clone() {
            if let LabelStep::Read(name) = &step {
                self.show_label(name.clone()).await?;
            } else if let Some(deed) = Deed::of_step(&step) {
                let renamed = match &deed {
                    Deed::RenameLabel { to, .. } => Some(to.clone()),
                    _ => None,
                };
                self.does(deed, true).await?;
                if let Some(name) = renamed {
                    self.show_label(name).await?;
                }
            }
        }
        Ok(())
    }

    async fn show_label(&mut self, name: String) -> Result<(), Problem> {
        for line in self.client()?.look(Order::ShowLabel(name)).await? {
            self.says(line);
        }
        Ok(())
    }
}
