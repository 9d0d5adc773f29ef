//! What the tracker shows: reads, which need no server.

use larder::{ReadPolicy, Repository, Result, Select};

use crate::deeds::short;
use crate::models::{Issue, Label, State};

/// The list of open issues, the labels with the number of their issues, one issue; and the list again, for somebody who
/// would rather have it fresh.
pub(crate) async fn browse(repo: &Repository) -> Result<Vec<String>> {
    let newest =
        Issue::STATE.eq(State::Open).order_by(Issue::CREATED_AT.desc()).order_by(Issue::NUMBER.desc());
    let open = repo.get(newest.clone()).await?;
    let titles: Vec<String> = open.iter().take(3).map(|issue| format!("“{}”", issue.title)).collect();
    let mut seen = vec![format!("{} open issues, newest first: {}, …", open.len(), titles.join(", "))];
    let labels = repo.get(Select::<Label>::all()).await?;
    let mut counts = Vec::new();
    for label in &labels {
        let labelled = repo.get(Issue::LABELS.contains(label.name.as_str())).await?.len();
        if labelled > 0 {
            counts.push(format!("{} {labelled}", label.name));
        }
    }
    let used = if counts.is_empty() { "none is in use".to_owned() } else { counts.join(", ") };
    seen.push(format!("{} labels: {used}", labels.len()));
    if let Some(first) = open.first()
        && let Some(issue) = repo.find::<Issue>(&first.id).await?
    {
        let text = issue.body.as_deref().unwrap_or("no text");
        seen.push(format!("issue {}: {} comments; {text}", short(&issue.id), issue.comments));
    }
    let asked = repo.reading(ReadPolicy::RemoteFirst).get(newest).await?;
    let fresh = if asked.stale().is_some() { "its own, marked as stale" } else { "fresh" };
    seen.push(format!("asked to ask the server first, it answers with {} rows: {fresh}", asked.len()));
    Ok(seen)
}

/// One issue, as the server has it now.
pub(crate) async fn read_issue(repo: &Repository, id: &str) -> Result<String> {
    Ok(match repo.reading(ReadPolicy::RemoteFirst).find::<Issue>(id).await? {
        Some(issue) => format!("issue {} is called “{}”", short(&issue.id), issue.title),
        None => format!("there is no issue {}", short(id)),
    })
}

/// One label.
pub(crate) async fn show_label(repo: &Repository, name: &str) -> Result<String> {
    Ok(match repo.find::<Label>(name).await? {
        Some(label) => format!("the label {} is #{}", label.name, label.color),
        None => format!("there is no label {name}"),
    })
}
