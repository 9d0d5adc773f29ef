//! What has changed, told wrongly.

use async_trait::async_trait;
use futures_util::stream::{BoxStream, StreamExt, iter, pending};
use larder_core::{
    Change, Changed, Context, Delta, DeltaAnswer, DeltaPage, DeltaScope, PageRow, Query, Realtime, Result,
    Schema,
};
use larder_harness::models::{NAMED, SPECIMEN};

use crate::faults::Fault::{
    BareRows, CountsWrongly, DropsChanges, DropsHints, ForgetsExpiry, ForgetsReturned, HasNoEnd,
    IgnoresPosition, KeepsPlace, LosesStones, MissesMeanwhile, MixesModels, PassesMoment, ReordersChanges,
    RepeatsForEver, TellsOldRows, TellsPast, TellsTwoFates,
};
use crate::wrapper::Broken;

#[async_trait]
impl Delta for Broken {
    fn scope(&self, schema: &'static Schema) -> DeltaScope {
        self.inner.delta().expect("the store in memory tells").scope(schema)
    }

    async fn changes(
        &self,
        cx: &Context,
        schema: &'static Schema,
        since: Option<&str>,
    ) -> Result<DeltaAnswer> {
        if self.fault == PassesMoment {
            return self.by_moment(cx, schema, since).await;
        }
        let kept = self.told.lock().expect("what was told").place.clone();
        let since = if self.fault == KeepsPlace && since.is_some() { kept.as_deref() } else { since };
        let inner = self.inner.delta().expect("the store in memory tells");
        match inner.changes(cx, schema, since).await? {
            // What comes from now on is taken for all that there is.
            DeltaAnswer::Expired if self.fault == ForgetsExpiry => {
                let cursor = self.end(cx, schema).await?;
                Ok(DeltaAnswer::Page(DeltaPage { cursor, ..DeltaPage::default() }))
            }
            DeltaAnswer::Expired => Ok(DeltaAnswer::Expired),
            DeltaAnswer::Page(mut page) => {
                let ends = !page.more;
                self.spoil(schema, &mut page)?;
                if self.fault == MissesMeanwhile && ends {
                    page.cursor = self.end(cx, schema).await?;
                }
                self.told.lock().expect("what was told").place = Some(page.cursor.clone());
                Ok(DeltaAnswer::Page(page))
            }
        }
    }
}

impl Broken {
    /// Tells something else than what is on the page.
    fn spoil(&self, schema: &'static Schema, page: &mut DeltaPage) -> Result<()> {
        let mut told = self.told.lock().expect("what was told");
        match self.fault {
            LosesStones => page.deleted.clear(),
            RepeatsForEver => page.more = true,
            CountsWrongly => page.total = page.total.map(|total| total + 1),
            TellsTwoFates => {
                let first = page.rows.first().map(|row| schema.key_of(&*row.row)).transpose()?;
                page.deleted.extend(first);
            }
            TellsOldRows => {
                for row in &mut page.rows {
                    let key = (schema.model, schema.key_of(&*row.row)?);
                    *row = told.first.entry(key).or_insert_with(|| row.clone()).clone();
                }
            }
            ForgetsReturned => {
                told.gone.extend(page.deleted.iter().cloned());
                page.rows.retain(|row| schema.key_of(&*row.row).is_ok_and(|key| !told.gone.contains(&key)));
            }
            BareRows => page.rows.iter_mut().for_each(bare),
            _ => {}
        }
        Ok(())
    }

    /// The cursor after everything.
    async fn end(&self, cx: &Context, schema: &'static Schema) -> Result<String> {
        let inner = self.inner.delta().expect("the store in memory tells");
        let mut since = None::<String>;
        loop {
            let DeltaAnswer::Page(page) = inner.changes(cx, schema, since.as_deref()).await? else {
                panic!("a new cursor is expired");
            };
            since = Some(page.cursor.clone());
            if !page.more {
                return Ok(page.cursor);
            }
        }
    }

    /// Rows by the moment at which they were written: what was written at the moment of the cursor is passed over.
    async fn by_moment(
        &self,
        cx: &Context,
        schema: &'static Schema,
        since: Option<&str>,
    ) -> Result<DeltaAnswer> {
        let since = match since.map(str::parse::<i128>) {
            Some(Err(_)) => return Ok(DeltaAnswer::Expired),
            Some(Ok(since)) => since,
            None => i128::MIN,
        };
        let mut rows = self.inner.get(cx, schema, &Query::all()).await?.rows;
        let moment = |row: &PageRow| row.meta.sync.since.as_nanosecond();
        rows.retain(|row| moment(row) > since);
        let cursor = rows.iter().map(moment).max().unwrap_or(since).to_string();
        Ok(DeltaAnswer::Page(DeltaPage { rows, cursor, ..DeltaPage::default() }))
    }
}

#[async_trait]
impl Realtime for Broken {
    fn carries(&self, schema: &'static Schema) -> bool {
        self.inner.realtime().expect("the store in memory pushes").carries(schema)
    }

    async fn subscribe(
        &self,
        cx: &Context,
        schema: &'static Schema,
        from: Option<&str>,
    ) -> Result<BoxStream<'static, Result<Change>>> {
        let inner = self.inner.realtime().expect("the store in memory pushes");
        let from = from.filter(|_| self.fault != IgnoresPosition);
        let stream = inner.subscribe(cx, schema, from).await?;
        let ready = std::future::ready;
        Ok(match self.fault {
            DropsChanges => {
                let numbered = stream.enumerate().filter(move |(at, _)| ready(at % 5 != 3));
                numbered.map(|(_, told)| told).boxed()
            }
            // Two by two, the later one first.
            ReordersChanges => stream.ready_chunks(2).flat_map(|two| iter(two.into_iter().rev())).boxed(),
            DropsHints => {
                let hint = |told: &Result<Change>| matches!(told, Ok(Change { what: Changed::Hint, .. }));
                stream.filter(move |told| ready(!hint(told))).boxed()
            }
            HasNoEnd => stream.chain(pending()).boxed(),
            BareRows => stream
                .map(|mut told| {
                    if let Ok(Change { what: Changed::Row(row), .. }) = &mut told {
                        bare(row);
                    }
                    told
                })
                .boxed(),
            TellsPast => {
                let rows = self.inner.get(cx, schema, &Query::all()).await?.rows;
                let past = rows.into_iter().map(|row| Ok(Change { position: None, what: Changed::Row(row) }));
                iter(past).chain(stream).boxed()
            }
            MixesModels if *schema == NAMED => {
                let other = inner.subscribe(cx, &SPECIMEN, from).await?;
                futures_util::stream::select(other, stream).boxed()
            }
            _ => stream,
        })
    }
}

/// A row without what stands beside it.
fn bare(row: &mut PageRow) {
    row.meta.version = None;
}
