//! The parent's hold on a client process: starts it, gives it orders, kills it. Everything that waits has a limit.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::deeds::Deed;
use crate::models::{Issue, Label};
use crate::protocol::{Decision, Order, Page, Reply, Stock, Synced, Waiting};
use crate::remote::{StoreKind, TransportKind};

/// Why the story can't go on.
pub(crate) type Problem = Box<dyn std::error::Error + Send + Sync>;

/// Waits for at most `patience`; names what it waited for if that was not enough.
pub(crate) async fn within<T>(
    patience: Duration,
    what: &str,
    done: impl Future<Output = T>,
) -> Result<T, Problem> {
    let late = |_| format!("{what}: nothing for {} ms", patience.as_millis());
    Ok(tokio::time::timeout(patience, done).await.map_err(late)?)
}

/// What each client process of a story has in common.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) store: StoreKind,
    pub(crate) file: PathBuf,
    pub(crate) transport: TransportKind,
    pub(crate) server: String,
    pub(crate) repo: String,
    pub(crate) patience: Duration,
}

/// A running client process. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Client {
    child: Child,
    orders: ChildStdin,
    replies: Lines<BufReader<ChildStdout>>,
    patience: Duration,
    name: String,
}

impl Client {
    /// Starts this very program as the client `name`, and waits until its repository is open.
    pub(crate) async fn start(setup: &Setup, name: String, paused: bool) -> Result<Self, Problem> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("client").arg("--file").arg(&setup.file);
        command.args(["--store", &word(&setup.store)?, "--transport", &word(&setup.transport)?]);
        command.args(["--server", &setup.server, "--repo", &setup.repo]);
        if paused {
            command.arg("--paused");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let piped = "the client's stdin and stdout are piped";
        let orders = child.stdin.take().ok_or(piped)?;
        let replies = BufReader::new(child.stdout.take().ok_or(piped)?).lines();
        let patience = setup.patience;
        let mut client = Self { child, orders, replies, patience, name };
        match client.reply("open its repository").await? {
            Reply::Open => Ok(client),
            other => Err(client.surprised(&other)),
        }
    }

    /// `client 1`, `client 2`, …
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Gives an order and does not wait for the answer.
    pub(crate) async fn order(&mut self, order: &Order) -> Result<(), Problem> {
        let line = serde_json::to_string(order)? + "\n";
        self.orders.write_all(line.as_bytes()).await?;
        Ok(self.orders.flush().await?)
    }

    async fn ask(&mut self, order: Order) -> Result<Reply, Problem> {
        self.order(&order).await?;
        let what = format!("obey {order:?}");
        match self.reply(&what).await? {
            Reply::Failed(why) => Err(format!("{} could not {what}: {why}", self.name).into()),
            reply => Ok(reply),
        }
    }

    /// The next line that the client says.
    async fn reply(&mut self, what: &str) -> Result<Reply, Problem> {
        let what = format!("{} should {what}", self.name);
        match within(self.patience, &what, self.replies.next_line()).await?? {
            Some(line) => Ok(serde_json::from_str(&line)?),
            None => Err(format!("{what}, and ended instead ({})", self.child.wait().await?).into()),
        }
    }

    fn surprised(&self, reply: &Reply) -> Problem {
        format!("{} answered something else: {reply:?}", self.name).into()
    }

    /// What is stored and queued.
    pub(crate) async fn stock(&mut self) -> Result<Stock, Problem> {
        match self.ask(Order::Stock).await? {
            Reply::Stock(stock) => Ok(stock),
            other => Err(self.surprised(&other)),
        }
    }

    /// Pushes and pulls; `told` hears of each page.
    pub(crate) async fn sync(&mut self, mut told: impl FnMut(&Page)) -> Result<Synced, Problem> {
        let mut reply = self.ask(Order::Sync).await?;
        loop {
            match reply {
                Reply::Page(page) => told(&page),
                Reply::Synced(synced) => return Ok(synced),
                Reply::Failed(why) => return Err(format!("{} could not sync: {why}", self.name).into()),
                other => return Err(self.surprised(&other)),
            }
            reply = self.reply("go on with its sync").await?;
        }
    }

    /// What a screen shows.
    pub(crate) async fn look(&mut self, order: Order) -> Result<Vec<String>, Problem> {
        match self.ask(order).await? {
            Reply::Seen(lines) => Ok(lines),
            other => Err(self.surprised(&other)),
        }
    }

    /// Does something, here or (with `accepted`) at the server.
    pub(crate) async fn does(&mut self, deed: Deed, accepted: bool) -> Result<(), Problem> {
        match self.ask(Order::Do { deed, accepted }).await? {
            Reply::Done => Ok(()),
            other => Err(self.surprised(&other)),
        }
    }

    /// Sends until nothing goes by itself; gives how many conflicts it was told of.
    pub(crate) async fn settle(&mut self) -> Result<usize, Problem> {
        match self.ask(Order::Settle).await? {
            Reply::Settled { conflicts } => Ok(conflicts),
            other => Err(self.surprised(&other)),
        }
    }

    /// What waits for the user.
    pub(crate) async fn waiting(&mut self) -> Result<Waiting, Problem> {
        match self.ask(Order::Waiting).await? {
            Reply::Waiting(waiting) => Ok(waiting),
            other => Err(self.surprised(&other)),
        }
    }

    /// Carries out what the user has decided.
    pub(crate) async fn decide(&mut self, decision: Decision) -> Result<(), Problem> {
        match self.ask(Order::Decide(decision)).await? {
            Reply::Done => Ok(()),
            other => Err(self.surprised(&other)),
        }
    }

    /// Every stored row.
    pub(crate) async fn rows(&mut self) -> Result<(Vec<Issue>, Vec<Label>), Problem> {
        match self.ask(Order::Rows).await? {
            Reply::Rows { issues, labels } => Ok((issues, labels)),
            other => Err(self.surprised(&other)),
        }
    }

    /// SIGKILL. Gives the pages that it had told of and nobody had read yet.
    pub(crate) async fn kill(mut self) -> Result<Vec<Page>, Problem> {
        within(self.patience, "a killed client should end", self.child.kill()).await??;
        let mut pages = Vec::new();
        while let Some(line) = self.replies.next_line().await? {
            if let Ok(Reply::Page(page)) = serde_json::from_str(&line) {
                pages.push(page);
            }
        }
        Ok(pages)
    }

    /// Lets it close its repository and end.
    pub(crate) async fn quit(mut self) -> Result<(), Problem> {
        self.ask(Order::Quit).await?;
        let what = format!("{} should end", self.name);
        let ended = within(self.patience, &what, self.child.wait()).await??;
        if ended.success() { Ok(()) } else { Err(format!("{} ended with {ended}", self.name).into()) }
    }
}

/// The word that stands for a value on the command line.
fn word(value: &impl clap::ValueEnum) -> Result<String, Problem> {
    let word = value.to_possible_value().ok_or("a hidden value can't be passed on")?;
    Ok(word.get_name().to_owned())
}
