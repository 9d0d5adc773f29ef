//! An issue tracker that works on a plane: `cargo run --example tracker`.
//!
//! The process that is started holds a server, in the form of GitHub's REST interface, on a loopback port. It starts
//! itself again as the client, a process with a Larder repository, and kills that at the worst moments.
//!
//! - The client is what an application looks like: `models` (what is stored), `remote` (where it lives), `screens` (reads), `perform` (writes),
//!   `desk` (what waits for its user: conflicts and refusals), `client` (the rest: sync, status, the queue).
//! - The story around it: `story` (the chapters), `deeds` (what the user does), `process` and `protocol` (the hold on
//!   the client), `timeline` and `table` (what is printed), `server`.
#![allow(clippy::disallowed_methods, reason = "an application: the clock and the tasks are tokio's")]

mod client;
mod deeds;
mod desk;
mod models;
mod perform;
mod process;
mod protocol;
mod remote;
mod screens;
mod server;
mod story;
mod surfing;
mod table;
mod timeline;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use client::ClientArgs;
use server::{Break, Seeds, Server};
use story::StoryArgs;

/// An issue tracker that works on a plane: a server, a client that is killed at the worst moments, and what became of
/// everything. Exits with 1 if a mutation was lost or applied twice, or if server and client differ in the end.
///
/// With `LARDER_REAL_FIXTURES=<folder>` the server is seeded from recordings of GitHub's own traffic.
#[derive(Debug, Parser)]
#[command(name = "tracker", args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    story: StoryArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs only the server, until it is interrupted; its first line on stdout is its address.
    #[command(hide = true)]
    Serve {
        /// The loopback port; 0 takes any that is free.
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// A lie that the server tells with the first write.
        #[arg(long = "break", value_name = "LIE")]
        lie: Option<Break>,
    },
    /// The client process of the story.
    #[command(hide = true)]
    Client(ClientArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Args { command, story } = Args::parse();
    let done = match command {
        Some(Command::Serve { port, lie }) => serve(port, lie).await.map(|()| true),
        Some(Command::Client(args)) => client::run(args).await.map(|()| true),
        None => tell(story).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("tracker: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn tell(args: StoryArgs) -> Result<bool, process::Problem> {
    let well = story::tell(args).await?;
    println!(
        "\n{}",
        if well { "Nothing was lost, nothing was done twice." } else { "This did not end well." }
    );
    Ok(well)
}

async fn serve(port: u16, lie: Option<Break>) -> Result<(), process::Problem> {
    let seeds = Seeds::from_env()?;
    let server = Server::start(&seeds, port).await?;
    if let Some(lie) = lie {
        server.plant_break(lie);
    }
    println!("{}", server.url());
    eprintln!("{}", seeds.source);
    tokio::signal::ctrl_c().await?;
    Ok(())
}
