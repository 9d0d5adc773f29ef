//! A pull of a model: of what has changed, where the remote tells, else of everything.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_core::{Batch, DeltaScope, Error, ErrorKind, Key, Op, Query, Result, Schema};

use super::limits::Limits;
use super::page::{Asides, Asked, Kept, Note, Part};
use super::state::{Remark, Source, Stage, Strays};
use super::steps::{Progress, Steps};
use crate::repository::Repository;
use crate::repository::lookup::Above;

/// One pull of a model at a time.
#[derive(Debug)]
pub(in crate::repository) struct Pulls {
    /// For each model, the ticket of the last complete pull.
    models: HashMap<&'static str, tokio::sync::Mutex<u64>>,
    /// What came first: no clock tells that.
    tickets: AtomicU64,
}

impl Pulls {
    pub(in crate::repository) fn new(schemas: &[&'static Schema]) -> Self {
        let models = schemas.iter().map(|schema| (schema.model, tokio::sync::Mutex::new(0))).collect();
        Self { models, tickets: AtomicU64::new(1) }
    }

    /// A greater one than all before.
    pub(in crate::repository) fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::SeqCst)
    }
}

/// How a model is pulled.
#[derive(Debug)]
pub(in crate::repository) struct Pulling<'a> {
    /// Everything, whatever the remote tells of changes.
    pub(in crate::repository) full: bool,
    /// Of the one who asks: a pull that begins later will do.
    pub(in crate::repository) ticket: u64,
    pub(in crate::repository) limits: &'a mut Limits,
    pub(in crate::repository) steps: &'a Steps,
    /// Models that are complete, and models that are pulled.
    pub(in crate::repository) models: (usize, usize),
}

/// What a pull came to.
#[derive(Debug, Default)]
pub(in crate::repository) struct Pulled {
    pub(in crate::repository) rows: u64,
    pub(in crate::repository) changed: u64,
    pub(in crate::repository) pages: u64,
    /// It came to its end; else it goes on where it is.
    pub(in crate::repository) complete: bool,
    pub(in crate::repository) remarks: Vec<Remark>,
    /// Pages and rows that were here already, of a pull that was broken off.
    pub(super) before: (u64, u64),
    /// Pages and rows that have come since, and do not count any more: the pull began anew.
    pub(super) void: (u64, u64),
    /// How many rows there are in all, as the remote says.
    total: Option<u64>,
}

/// A pull that is under way.
pub(super) struct Run<'a, 'p> {
    pub(super) repo: &'a Repository,
    pub(super) schema: &'static Schema,
    pub(super) pulling: &'a mut Pulling<'p>,
    pub(super) pulled: Pulled,
    pub(super) asked: Asked,
    /// Rows that could not be stored, to be tried again.
    pub(super) asides: Asides,
}

impl Repository {
    /// Pulls what there is of a model. A pull that was broken off goes on.
    pub(in crate::repository) async fn pull(
        &self,
        schema: &'static Schema,
        pulling: &mut Pulling<'_>,
    ) -> Result<Pulled> {
        let Some(turn) = self.shared.pulls.models.get(schema.model) else { return Ok(Pulled::default()) };
        let Some(mut last) = self.in_time(pulling.limits, turn.lock()).await else {
            return Ok(Pulled::default());
        };
        // Who waited for a pull that began after he came has what he wants.
        if !pulling.full && *last > pulling.ticket {
            return Ok(Pulled { complete: true, ..Pulled::default() });
        }
        let began = self.shared.pulls.ticket();
        let (asked, asides) = (self.asking(schema), Asides::default());
        let mut run = Run { repo: self, schema, pulling, pulled: Pulled::default(), asked, asides };
        run.run().await?;
        if run.pulled.complete {
            *last = began;
            run.pulling.models.0 += 1;
            run.tell().await;
        }
        Ok(run.pulled)
    }
}

impl Run<'_, '_> {
    /// Pulls. What a former run had received and not finished says nothing of today: if nothing else was left of it, the
    /// remote is asked all the same.
    async fn run(&mut self) -> Result<()> {
        self.go_on().await?;
        if self.pulled.complete && self.pulled.pages == 0 && self.pulled.before != (0, 0) {
            self.asked = self.repo.asking(self.schema);
            (self.pulled.complete, self.pulled.before) = (false, (0, 0));
            // What is not here as the remote has it, that answer tells.
            self.pulled.remarks.retain(|remark| !remark.is_of_rows());
            self.go_on().await?;
        }
        Ok(())
    }

    async fn go_on(&mut self) -> Result<()> {
        let (repo, schema) = (self.repo, self.schema);
        let remote = &repo.remote()?.provider;
        let delta = remote.delta().filter(|delta| delta.scope(schema) != DeltaScope::Nothing);
        let source = if delta.is_some() { Source::Delta } else { Source::Pages };
        let mut broken = repo.broken_off(schema).await?;
        // What is done, or came by another way, does not go on.
        if let Some(other) = broken.take_if(|at| at.stage == Stage::Clear || at.source != source) {
            repo.clear_notes(schema, other, self.asked.wipes).await?;
        }
        if let (Some(delta), None, false) = (delta, &broken, self.pulling.full) {
            let strays = repo.strays(schema).await?;
            let cursor = repo.delta_cursor(schema).await?.filter(|_| !strays.lost);
            if let Some(cursor) = cursor
                && self.changes(delta, cursor, strays).await?
            {
                return Ok(());
            }
        }
        self.everything(source, broken).await
    }

    /// The page with the references of its rows looked up, for which the remote may be asked; `None` if the time is up
    /// before.
    pub(super) async fn looked_up(&self, part: Part) -> Result<Option<Part>> {
        // A page that is here by then, and asks for nothing, is stored.
        if !part.looks_up() {
            return Ok(Some(part));
        }
        let above = Above::default();
        let looking = self.repo.looked_up(self.schema, part, &above);
        self.repo.in_time(self.pulling.limits, looking).await.transpose()
    }

    /// Stores a page, and counts it.
    pub(super) async fn store(&mut self, part: Part, note: Note<'_>) -> Result<Kept> {
        let rows = (part.rows.len() + part.deleted.len()) as u64;
        let above = Above::default();
        let kept = self.repo.store_page(self.schema, part, &mut self.asked, &above, note).await?;
        self.pulled.rows += rows;
        self.pulled.changed += kept.changed;
        self.pulled.pages += 1;
        self.asides.add(self.schema, &kept);
        self.pulling.limits.spend(rows);
        self.tell().await;
        Ok(kept)
    }

    /// Says how far it is.
    async fn tell(&self) {
        let Pulled { complete, total, before, void, .. } = self.pulled;
        let (pages, rows) = (before.0 + self.pulled.pages - void.0, before.1 + self.pulled.rows - void.1);
        let (model, models) = (self.schema.model, self.pulling.models);
        self.pulling.steps.tell(Progress { model, pages, rows, total, done: complete, models }).await;
    }

    /// Whether to stop here.
    pub(super) fn is_spent(&self) -> bool {
        self.pulling.limits.are_spent(self.repo.shared.runtime.monotonic())
    }

    pub(super) fn expects(&mut self, total: Option<u64>) {
        self.pulled.total = self.pulled.total.or(total);
    }

    /// Tries the rows again that could not be stored of these pages.
    pub(super) async fn try_again(&mut self) -> Result<()> {
        self.pulled.changed += self.repo.try_again(self.schema, &mut self.asides, &mut self.asked).await?;
        Ok(())
    }

    /// Asks for single rows again. Gives those that still can't be stored, and those that something is pending for; `None`
    /// if the time is up before.
    pub(super) async fn ask_again(&mut self, keys: Vec<Key>) -> Result<Option<Strays>> {
        let mut left = Strays::default();
        if keys.is_empty() {
            return Ok(Some(left));
        }
        let asking = self.repo.ask_each(self.schema, keys);
        let Some(asked) = self.repo.in_time(self.pulling.limits, asking).await else { return Ok(None) };
        for (key, outcome) in asked {
            match outcome {
                Ok(()) => {
                    let stored = self.repo.shared.store.load(&self.repo.cx(), self.schema, &key).await?;
                    if stored.is_some_and(|stored| stored.meta.tail != 0) {
                        left.pending.push(key);
                    }
                }
                Err(error) if error.is_transient() || error.kind() == ErrorKind::Unauthorized => {
                    return Err(error);
                }
                Err(error) => {
                    let (model, error) = (self.schema.model, Arc::new(error));
                    self.pulled.remarks.push(Remark::Row { model, key: Some(key.clone()), error });
                    left.keys.push(key);
                }
            }
        }
        Ok(Some(left))
    }

    /// What is known from here on, in one transaction: that everything is here, unless it is not.
    pub(super) async fn finish(&mut self, mut ops: Vec<Op>, tag: Option<&str>, whole: bool) -> Result<()> {
        let Self { repo, schema, asked, .. } = self;
        let _turn = repo.shared.known.changing.lock().await;
        if whole {
            ops.extend(repo.covered(schema, &Query::all(), asked.at, asked.started, tag).await?);
        }
        if !ops.is_empty() {
            repo.commit_fetched(Batch { expect: Vec::new(), ops }, asked.wipes).await?;
        }
        repo.pulled_at(asked.at);
        let model = schema.model;
        let Asides { rows, more } = std::mem::take(&mut self.asides);
        for aside in rows {
            let (model, key, error) = (aside.schema.model, aside.key, aside.error);
            self.pulled.remarks.push(Remark::Row { model, key, error });
        }
        if more > 0 {
            self.pulled.remarks.push(Remark::MoreRows { model, rows: more });
        }
        self.pulled.complete = true;
        Ok(())
    }
}

/// Whether an answer says that the list does not go on from there: not that the remote can't be asked.
pub(super) fn refuses(error: &Error) -> bool {
    let about_the_place = matches!(
        error.kind(),
        ErrorKind::Invalid
            | ErrorKind::NotFound
            | ErrorKind::Rejected
            | ErrorKind::Conflict
            | ErrorKind::Http { .. }
    );
    about_the_place && !error.is_transient()
}
