//! What becomes of a refused change, cell by cell, as the reference has it.

use std::fmt::Write as _;
use std::path::PathBuf;

use larder::{Conflict, ErrorKind, ParkReason, Resolution, Strategy};

use super::*;
use crate::support::{Turn, drained};

const STATUSES: [(u16, ErrorKind); 6] = [
    (409, ErrorKind::Conflict),
    (412, ErrorKind::Conflict),
    (404, ErrorKind::NotFound),
    (410, ErrorKind::NotFound),
    (428, ErrorKind::Conflict),
    // The answer itself is a success, and what stands in it is none.
    (200, ErrorKind::Rejected),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Op {
    Create,
    Update,
    Delete,
}

const COLUMNS: [&str; 6] = ["last write", "client", "server", "fields", "custom", "ask"];

fn custom(sides: Conflict<Note>) -> Resolution<Note> {
    match (sides.mine, sides.theirs) {
        (Some(mine), Some(theirs)) => {
            Resolution::Merged(Note { text: format!("{} and {}", theirs.text, mine.text), ..theirs })
        }
        (Some(_), None) => Resolution::Mine,
        _ => Resolution::Theirs,
    }
}

fn configured(net: &Arc<Switches>, column: usize) -> larder::Builder {
    let strategy = match column {
        0 => Strategy::LastWriteWins { by: 2 },
        1 => Strategy::ClientWins,
        2 => Strategy::ServerWins,
        3 => Strategy::MergeFields,
        4 => return builder(net).on_conflict(custom),
        _ => Strategy::Ask,
    };
    builder(net).conflict_strategy::<Note>(strategy)
}

/// One cell: the row is "base" with one star; here it gets the text "mine" and nine stars, or is deleted; there it has
/// the text "theirs" and a tag by now, or is gone if the status says so.
async fn cell((status, kind): (u16, ErrorKind), op: Op, column: usize) -> String {
    let net = Switches::new();
    let repo = configured(&net, column).build().await.unwrap();
    if op != Op::Create {
        net.elsewhere(note("1", "base", 1)).await;
        repo.sync().await.unwrap();
    }
    repo.outbox().pause();
    let mine = note("1", "mine", 9);
    if op == Op::Delete {
        let _ = repo.delete::<Note>("1").await.unwrap();
    } else {
        let _ = repo.upsert(&mine).await.unwrap();
    }
    let theirs = tagged("theirs", 1, "tag");
    match (status, op) {
        (404 | 410, Op::Create) => {}
        (404 | 410, _) => net.delete_elsewhere("1").await,
        _ => net.elsewhere(theirs.clone()).await,
    }
    net.next(Turn::Say(kind, status));
    repo.outbox().resume();
    drained(&repo).await;
    let told = match repo.outbox().parked().await.unwrap().pop().and_then(|parked| parked.parked) {
        Some(ParkReason::Conflict) => "asks".to_owned(),
        Some(reason) => format!("parked: {reason:?}").to_lowercase(),
        None => {
            let (here, there) = (here(&repo).await, there(&net).await);
            assert_eq!(here, there, "{status} {op:?} {}", COLUMNS[column]);
            assert!(repo.safe_to_wipe().await.unwrap().nothing());
            match here {
                None => "gone".to_owned(),
                Some(row) if row == mine => "mine".to_owned(),
                Some(row) if row == theirs => "theirs".to_owned(),
                Some(row) if row == tagged("mine", 9, "tag") => "merged".to_owned(),
                Some(row) if row.text == "theirs and mine" => "custom".to_owned(),
                Some(row) => panic!("{row:?}"),
            }
        }
    };
    // What is sent again has a key of its own.
    let applied = net.applied.lock().unwrap();
    assert!(applied.len() <= 1, "{applied:?}");
    told
}

async fn table() -> String {
    let mut table = format!("| refused with | of | {} |\n", COLUMNS.join(" | "));
    writeln!(table, "|{}", "---|".repeat(2 + COLUMNS.len())).unwrap();
    for refusal in STATUSES {
        for op in [Op::Create, Op::Update, Op::Delete] {
            let (status, verb) = (refusal.0, format!("{op:?}").to_lowercase());
            let status = if status == 200 { "200 with an error".to_owned() } else { status.to_string() };
            let mut cells = Vec::new();
            for column in 0..COLUMNS.len() {
                cells.push(within(cell(refusal, op, column)).await);
            }
            writeln!(table, "| {status} | {verb} | {} |", cells.join(" | ")).unwrap();
        }
    }
    table
}

// Rules: c-table
#[tokio::test]
async fn every_cell_is_as_the_reference_has_it() {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/src/reference/conflicts.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once("<!-- begin -->\n\n").unwrap();
    let (known, after) = rest.split_once("\n<!-- end -->").unwrap();
    let found = table().await;
    if std::env::var_os("LARDER_BLESS").is_some() {
        std::fs::write(&page, format!("{before}<!-- begin -->\n\n{found}\n<!-- end -->{after}")).unwrap();
    }
    assert_eq!(known, found, "LARDER_BLESS=1 writes what was found into {}", page.display());
}
