//! The story: a flight with the tracker, told chapter by chapter.
//!
//! ```text
//! mod      the story: server, client, what is expected; and the order of the chapters
//! ground   before take-off: the first sync, the recorded label scenario
//! air      a last look at an issue; then without a server: reads, edits, a killed process
//! landing  the server comes back: killed before and after it accepts, the queue drains, others' changes arrive
//! desk     what waits for the user by then: a conflict and two refusals, each settled in its way
//! verdict  the table, and the judgement over the server's journal
//! cast     which seeded rows play which part
//! ```

mod air;
mod cast;
mod desk;
mod ground;
mod landing;
mod verdict;

use std::time::Duration;

use tempfile::TempDir;

use crate::deeds::Deed;
use crate::process::{Client, Problem, Setup, within};
use crate::remote::{StoreKind, TransportKind};
use crate::server::{Break, ExpectedMutation, Kind, Progress, Seeds, Server};
use crate::timeline::Timeline;
use cast::Cast;

/// What the story is told with.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct StoryArgs {
    /// Where the client keeps its rows and its queue; memory can't survive a kill, which is then left out.
    #[arg(long, default_value = "redb")]
    store: StoreKind,
    /// What carries the client's requests.
    #[arg(long, default_value = "hyper")]
    transport: TransportKind,
    /// Plants a fault that the end must notice.
    #[arg(long = "break", value_name = "FAULT")]
    lie: Option<Break>,
    /// How long anything may take before it is given up.
    #[arg(long, hide = true, default_value_t = 20_000)]
    patience_ms: u64,
    /// Lets the server answer nothing at all.
    #[arg(long, hide = true)]
    hang: bool,
}

/// Everything that the chapters share.
#[derive(Debug)]
struct Story {
    args: StoryArgs,
    timeline: Timeline,
    seeds: Seeds,
    server: Server,
    cast: Cast,
    setup: Setup,
    client: Option<Client>,
    /// How many clients were started.
    clients: usize,
    /// What the server must have done exactly once, in the order in which the user acted.
    expected: Vec<ExpectedMutation>,
    /// Rows that were removed, whoever did it.
    gone: Vec<(Kind, String)>,
    /// Mutations that the server accepted and whose answer the client never saw.
    unknown: u64,
    /// What went wrong without ending the story.
    trouble: Vec<String>,
    /// Removed with everything in it when the story ends.
    _dir: TempDir,
}

/// Tells the story; true if it ends well.
pub(crate) async fn tell(args: StoryArgs) -> Result<bool, Problem> {
    let mut story = Story::begin(args).await?;
    story.first_sync().await?;
    story.label_scenario().await?;
    story.take_off().await?;
    story.killed_offline().await?;
    story.meanwhile()?;
    story.killed_around_acceptance().await?;
    story.drain().await?;
    story.decisions().await?;
    story.arrivals().await?;
    story.verdict().await
}

impl Story {
    async fn begin(args: StoryArgs) -> Result<Self, Problem> {
        let seeds = Seeds::from_env()?;
        let server = Server::start(&seeds, 0).await?;
        let dir = tempfile::Builder::new().prefix("larder-tracker-").tempdir()?;
        let setup = Setup {
            store: args.store,
            file: dir.path().join("tracker.redb"),
            transport: args.transport,
            server: server.url(),
            repo: server.repo().path(),
            patience: Duration::from_millis(args.patience_ms),
        };
        let snapshot = server.snapshot();
        let mut timeline = Timeline::default();
        timeline.chapter("A server on the ground");
        timeline.say("server", seeds.source.to_string());
        let (issues, labels) = (snapshot.issues.len(), snapshot.labels.len());
        timeline
            .say("server", format!("{issues} issues and {labels} labels at {}{}", server.url(), setup.repo));
        let cast = Cast::of(&snapshot)?;
        Ok(Self {
            args,
            timeline,
            seeds,
            server,
            cast,
            setup,
            client: None,
            clients: 0,
            expected: Vec::new(),
            gone: Vec::new(),
            unknown: 0,
            trouble: Vec::new(),
            _dir: dir,
        })
    }

    /// Whether what the client stored is there after a kill.
    fn survives(&self) -> bool {
        self.args.store != StoreKind::Memory
    }

    fn client(&mut self) -> Result<&mut Client, Problem> {
        self.client.as_mut().ok_or_else(|| "no client is running".into())
    }

    fn says(&mut self, what: impl AsRef<str>) {
        let name = self.client.as_ref().map_or("client", Client::name).to_owned();
        self.timeline.say(&name, what);
    }

    /// Starts a client, with what it finds.
    async fn start_client(&mut self, paused: bool) -> Result<(), Problem> {
        self.clients += 1;
        let name = format!("client {}", self.clients);
        self.client = Some(Client::start(&self.setup, name, paused).await?);
        let stock = self.client()?.stock().await?;
        let found = if stock.issues + stock.labels == 0 && stock.queued == 0 {
            "starts with nothing".to_owned()
        } else {
            let (issues, labels) = (stock.issues, stock.labels);
            let queued = stock.queued;
            format!("starts on the same file: {issues} issues, {labels} labels, {queued} mutations queued")
        };
        self.says(found);
        Ok(())
    }

    /// SIGKILL.
    async fn kill_client(&mut self) -> Result<(), Problem> {
        let client = self.client.take().ok_or("no client is running")?;
        let name = client.name().to_owned();
        for page in client.kill().await? {
            self.timeline.page(&name, &page);
        }
        self.timeline.say(&name, "is killed (SIGKILL)");
        Ok(())
    }

    /// Lets the user do something, and remembers what the server will have to do for it.
    async fn does(&mut self, deed: Deed, accepted: bool) -> Result<(), Problem> {
        self.timeline.say("you", deed.to_string());
        self.expected.extend(deed.expected());
        self.gone.extend(deed.removed().map(|(kind, key)| (kind, key.to_owned())));
        self.client()?.does(deed, accepted).await
    }

    /// Lets the user do something that the server will not simply do: nothing is expected of it before it is settled.
    async fn tries(&mut self, deed: Deed) -> Result<(), Problem> {
        self.timeline.say("you", deed.to_string());
        self.client()?.does(deed, false).await
    }

    /// Waits for the server, but not for ever.
    async fn wait_for(
        &self,
        what: &str,
        reached: impl FnMut(&Progress) -> bool,
    ) -> Result<Progress, Problem> {
        within(self.setup.patience, what, self.server.wait_for(reached)).await
    }
}
