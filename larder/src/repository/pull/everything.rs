//! A pull of everything, page by page: it goes on where it was broken off, and removes what the remote does not have.

use std::collections::HashSet;
use std::sync::Arc;

use larder_core::{
    Context, Delta, DeltaAnswer, Error, ErrorKind, Key, Page, PageToken, Query, Result, Schema,
};

use super::page::{Asides, Kept, Part};
use super::run::{Run, refuses};
use super::seen::{Seen, noted};
use super::state::{Course, Remark, Source, Stage, Strays, delta_op, strays_op};
use crate::repository::fetch::{PAGES, circling, endless, is_unchanged};

/// A page of either kind.
#[derive(Default)]
struct Got {
    part: Part,
    /// Where it goes on.
    next: Option<String>,
    /// After which cursor the changes go on.
    cursor: Option<String>,
    total: Option<u64>,
    tag: Option<String>,
    unchanged: bool,
    /// No row is left out between this page and the next.
    steady: bool,
}

/// What came of asking for a page.
enum Asking {
    Got(Box<Got>),
    /// The remote does not go on from there.
    Refused(Error),
    /// The time is up.
    Late,
}

/// What is known when all pages are here.
#[derive(Default)]
struct Came {
    /// The keys of an answer of one page.
    here: HashSet<Key>,
    tag: Option<String>,
    /// The remote says that nothing has changed.
    unchanged: bool,
}

impl Run<'_, '_> {
    /// Pulls everything, or the rest of it.
    pub(super) async fn everything(&mut self, source: Source, broken: Option<Course>) -> Result<()> {
        let (repo, schema) = (self.repo, self.schema);
        self.asked = repo.asking(schema);
        let mut at = match broken {
            None => Course::new(source, &self.asked),
            Some(at) => {
                self.pulled.remarks.push(Remark::Resumed { model: schema.model, pages: at.pages });
                self.pulled.before = (at.pages, at.rows);
                let (asked, started) = at.began();
                self.asked = repo.asking_on(schema, asked, started);
                self.asked.unproven = at.unproven;
                at
            }
        };
        let mut earlier = at.strays.clone();
        let (mut came, mut anew) = (Came::default(), false);
        while let Stage::At(token) = at.stage.clone() {
            match self.ask(&at, &token).await? {
                Asking::Late => return Ok(()),
                Asking::Got(got) => self.take(*got, &mut at, &token, &mut came).await?,
                Asking::Refused(error) if anew || at.pages == 0 => return Err(error),
                Asking::Refused(error) => {
                    let error = Arc::new(error);
                    self.pulled.remarks.push(Remark::Restarted { model: schema.model, error });
                    repo.clear_notes(schema, at, self.asked.wipes).await?;
                    self.asked = repo.asking(schema);
                    (at, anew, self.asides) = (Course::new(source, &self.asked), true, Asides::default());
                    (self.pulled.before, earlier) = ((0, 0), Strays::default());
                    self.pulled.void = (self.pulled.pages, self.pulled.rows);
                }
            }
            if matches!(at.stage, Stage::At(_)) && self.is_spent() {
                return Ok(());
            }
        }
        self.end(at, came, earlier).await
    }

    /// Asks for the page at `token`.
    async fn ask(&mut self, at: &Course, token: &str) -> Result<Asking> {
        let (repo, schema, begun) = (self.repo, self.schema, at.pages > 0);
        let remote = &repo.remote()?.provider;
        let mut cx = repo.cx();
        let asking = async {
            match (at.source, remote.delta()) {
                (Source::Delta, Some(delta)) => {
                    everything_of(delta, &cx, schema, begun.then_some(token)).await
                }
                _ => {
                    if begun {
                        cx.resume = Some(PageToken(token.to_owned()));
                    } else if !self.pulling.full {
                        cx.unless = repo.tag(schema, &Query::all()).await?;
                    }
                    let page = remote.get(&cx, schema, &Query::all()).await?;
                    let unchanged = is_unchanged(schema, &page, &cx)?;
                    Ok(Got::of(page, unchanged, cx.unless))
                }
            }
        };
        let mut got = match repo.in_time(self.pulling.limits, asking).await {
            None => return Ok(Asking::Late),
            Some(Err(error)) if refuses(&error) => return Ok(Asking::Refused(error)),
            Some(got) => got?,
        };
        let Some(part) = self.looked_up(got.part).await? else { return Ok(Asking::Late) };
        got.part = part;
        Ok(Asking::Got(Box::new(got)))
    }

    /// Stores a page, with how far the pull has come by it.
    async fn take(&mut self, got: Got, at: &mut Course, token: &str, came: &mut Came) -> Result<()> {
        let (repo, schema) = (self.repo, self.schema);
        self.expects(got.total);
        if got.unchanged {
            (came.tag, came.unchanged, at.stage) = (got.tag, true, Stage::Sweep(None));
            return Ok(());
        }
        let circles = at.pages > 0 && got.next.as_deref() == Some(token);
        if circles || at.pages >= PAGES as u64 {
            repo.clear_notes(schema, at.clone(), self.asked.wipes).await?;
            return Err(if circles { circling(schema) } else { endless(schema) });
        }
        at.rows += got.part.rows.len() as u64;
        at.cursor = got.cursor;
        at.unproven |= got.next.is_some() && !got.steady;
        self.asked.unproven = at.unproven;
        if at.pages == 0 && got.next.is_none() {
            at.stage = Stage::Sweep(None);
            let kept = self.store(got.part, &|_| Ok(Vec::new())).await?;
            at.strays.add(schema, &kept);
            // What is not all here has to be told again.
            came.tag = got.tag.filter(|_| kept.left.is_empty());
            came.here.extend(kept.unchanged);
            return Ok(());
        }
        let page = at.pages;
        at.pages += 1;
        at.stage = got.next.map_or(Stage::Sweep(None), Stage::At);
        let so_far = at.clone();
        let note = |kept: &Kept| {
            let mut so_far = so_far.clone();
            so_far.strays.add(schema, kept);
            Ok(vec![noted(schema, page, &kept.unchanged)?, so_far.op(schema)?])
        };
        let kept = self.store(got.part, &note).await?;
        at.strays.add(schema, &kept);
        Ok(())
    }

    /// All pages are here: tries again what could not be stored, removes what did not come, and says what is known.
    async fn end(&mut self, mut at: Course, came: Came, earlier: Strays) -> Result<()> {
        let (repo, schema) = (self.repo, self.schema);
        self.try_again().await?;
        if let Some((error, others)) = earlier.untold(schema) {
            let (model, error) = (schema.model, Arc::new(error));
            self.pulled.remarks.push(Remark::Row { model, key: None, error });
            self.asides.more += others;
        }
        // What was noted of the pages says that these are still to be asked for.
        let Some(asked_again) = self.ask_again(earlier.keys).await? else { return Ok(()) };
        let mut strays = std::mem::take(&mut at.strays);
        strays.settle(schema, &self.asides);
        let mut strays = strays.and(&asked_again);
        // Of a row without a key there is no telling which one is not gone.
        if !came.unchanged && !strays.lost {
            let seen = if at.pages == 0 { Seen::Here(came.here) } else { Seen::Noted(at.pages) };
            let after = if let Stage::Sweep(after) = at.stage.clone() { after } else { None };
            let (noted, known) = (at.pages > 0, at.clone());
            let trace = |last: Option<&Key>| match noted {
                true => Ok(vec![Course { stage: Stage::Sweep(last.cloned()), ..known.clone() }.op(schema)?]),
                false => Ok(Vec::new()),
            };
            let query = Query::all();
            let swept = match repo.sweep(schema, &query, &seen, &self.asked, after, &trace).await {
                Err(error) => {
                    if seen.is_damaged(&*repo.shared.store, schema).await {
                        // What has come is not known any more: the next pull begins anew.
                        repo.clear_notes(schema, at, self.asked.wipes).await?;
                    }
                    return Err(error);
                }
                Ok(swept) => swept,
            };
            self.pulled.changed += swept.removed;
            match self.doubt(swept).await? {
                // It goes on with what is still in doubt.
                None => return Ok(()),
                Some(left) => strays = strays.and(&left),
            }
        }
        let mut ops = Vec::new();
        if at.source == Source::Delta {
            // What can't be asked for again is told by everything alone.
            ops.push(delta_op(schema, at.cursor.take().filter(|_| !strays.lost)));
        }
        // Without a delta everything comes again, and those with it.
        let to_ask = if at.source == Source::Delta { strays.clone() } else { Strays::default() };
        if repo.strays(schema).await? != to_ask {
            ops.push(strays_op(schema, &to_ask)?);
        }
        at.stage = Stage::Clear;
        if at.pages > 0 {
            ops.push(at.op(schema)?);
        }
        self.finish(ops, came.tag.as_deref(), strays.is_none()).await?;
        repo.clear_notes(schema, at, self.asked.wipes).await
    }
}

/// The next of all rows that a remote with a delta has.
async fn everything_of(
    delta: &dyn Delta,
    cx: &Context,
    schema: &'static Schema,
    since: Option<&str>,
) -> Result<Got> {
    let page = match delta.changes(cx, schema, since).await? {
        DeltaAnswer::Page(page) => page,
        DeltaAnswer::Expired => {
            let what = "the remote does not know any more what has changed since this pull began";
            return Err(Error::new(ErrorKind::Invalid, what).model(schema.model));
        }
    };
    Ok(Got {
        next: page.more.then(|| page.cursor.clone()),
        cursor: Some(page.cursor),
        total: page.total,
        part: Part { rows: page.rows, deleted: page.deleted, misfits: page.misfits },
        steady: page.steady,
        ..Got::default()
    })
}

impl Got {
    fn of(page: Page, unchanged: bool, unless: Option<String>) -> Self {
        let part = Part { rows: page.rows, misfits: page.misfits, ..Part::default() };
        Self {
            part,
            next: page.next.map(|token| token.0),
            cursor: None,
            total: page.total,
            tag: if unchanged { page.tag.or(unless) } else { page.tag },
            unchanged,
            steady: page.steady,
        }
    }
}
