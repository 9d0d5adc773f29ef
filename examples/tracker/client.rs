//! The client process: a repository, and the orders that come in on stdin. It may be killed at any moment.

use std::path::PathBuf;
use std::time::Duration;

use larder::{ReadPolicy, Repository, Result, Select};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::desk::{decide, settle, waiting};
use crate::models::{Issue, Label, State};
use crate::perform::perform;
use crate::protocol::{Order, Page, Reply, Stock, Synced};
use crate::remote::{self, StoreKind, TransportKind};
use crate::screens::{browse, read_issue, show_label};
use crate::surfing::Counter;

/// What a client process is started with.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ClientArgs {
    #[arg(long)]
    pub(crate) store: StoreKind,
    #[arg(long)]
    pub(crate) file: PathBuf,
    #[arg(long)]
    pub(crate) transport: TransportKind,
    /// The server's address.
    #[arg(long)]
    pub(crate) server: String,
    /// The repository's path there.
    #[arg(long)]
    pub(crate) repo: String,
    /// Sends nothing before it is told to settle.
    #[arg(long)]
    pub(crate) paused: bool,
}

/// Opens the repository and obeys until stdin ends.
pub(crate) async fn run(args: ClientArgs) -> Result<(), crate::process::Problem> {
    let counter = Counter::default();
    let repo = remote::open(&args, &counter).await?;
    let surfing = (args.transport == TransportKind::Surf).then_some(&counter);
    say(&Reply::Open)?;
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = orders.next_line().await? {
        let order = serde_json::from_str(&line)?;
        if matches!(order, Order::Quit) {
            repo.close().await;
            say(&Reply::Done)?;
            return Ok(());
        }
        let reply = obey(&repo, surfing, order).await;
        say(&reply.unwrap_or_else(|error| Reply::Failed(error.to_string())))?;
    }
    Ok(())
}

fn say(reply: &Reply) -> serde_json::Result<()> {
    println!("{}", serde_json::to_string(reply)?);
    Ok(())
}

async fn obey(repo: &Repository, surfing: Option<&Counter>, order: Order) -> Result<Reply> {
    Ok(match order {
        Order::Stock => Reply::Stock(stock(repo, surfing).await?),
        Order::Sync => Reply::Synced(sync(repo).await?),
        Order::Browse => Reply::Seen(browse(repo).await?),
        Order::ReadIssue(id) => Reply::Seen(vec![read_issue(repo, &id).await?]),
        Order::ShowLabel(name) => Reply::Seen(vec![show_label(repo, &name).await?]),
        Order::Do { deed, accepted } => {
            perform(repo, deed, accepted).await?;
            Reply::Done
        }
        Order::Settle => Reply::Settled { conflicts: settle(repo).await? },
        Order::Waiting => Reply::Waiting(waiting(repo).await?),
        Order::Decide(decision) => {
            decide(repo, decision).await?;
            Reply::Done
        }
        Order::Rows => {
            let local = repo.reading(ReadPolicy::LocalOnly);
            let issues = local.get(Select::<Issue>::all()).await?;
            let labels = local.get(Select::<Label>::all()).await?;
            Reply::Rows {
                issues: issues.iter().map(|issue| (**issue).clone()).collect(),
                labels: labels.iter().map(|label| (**label).clone()).collect(),
            }
        }
        Order::Quit => Reply::Done,
    })
}

/// What is stored and queued, without asking anybody.
async fn stock(repo: &Repository, surfing: Option<&Counter>) -> Result<Stock> {
    let local = repo.reading(ReadPolicy::LocalOnly);
    let issues = local.get(Select::<Issue>::all()).await?;
    let labels = local.get(Select::<Label>::all()).await?;
    Ok(Stock {
        issues: issues.len(),
        labels: labels.len(),
        pending: issues.pending() + labels.pending(),
        surfed: surfing.map(Counter::count),
        queued: repo.safe_to_wipe().await?.entries,
    })
}

/// Pushes and pulls, page by page, while a live query watches.
async fn sync(repo: &Repository) -> Result<Synced> {
    let mut open = repo.reading(ReadPolicy::LocalOnly).watch(Issue::STATE.eq(State::Open))?;
    let open_before = match open.next().await {
        Some(rows) => rows?.len(),
        None => 0,
    };
    let report = repo.sync().on_progress(|at| tell_page(&at)).await?;
    // A change is told at once; where there is none, nothing comes.
    let told = tokio::time::timeout(Duration::from_millis(200), open.next()).await;
    let open_after = told.ok().flatten().transpose()?.map(|rows| rows.len());
    Ok(Synced { pulled: report.pulled, changed: report.changed, left: report.left, open_before, open_after })
}

fn tell_page(progress: &larder::Progress) {
    let page = Page { model: progress.model.to_owned(), rows: progress.rows, complete: progress.done };
    // A parent that is gone closes stdin as well.
    let _ = say(&Reply::Page(page));
}
