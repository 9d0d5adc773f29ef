//! What a device is told of changes: when it asks what has changed, and as it happens.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt, unfold};
use larder_core::{
    Change, Changed, Context, Delta, DeltaAnswer, DeltaPage, DeltaScope, Error, ErrorKind, Realtime, Result,
    Schema, async_trait,
};

use crate::errand::Host;
use crate::kernel::lock;
use crate::link::{Effect, Link, Said, broken};
use crate::overseer::Arrival;
use crate::server::Running;
use crate::weather::Way;
use crate::world::{Of, Shared};

type Pushes = BoxStream<'static, Result<Change>>;

impl Said for DeltaAnswer {
    fn said(&self) -> String {
        match self {
            Self::Page(DeltaPage { rows, deleted, more, .. }) => {
                let more = if *more { " and more" } else { "" };
                format!("{} changed, {} gone{more}", rows.len(), deleted.len())
            }
            Self::Expired => "no such cursor".to_owned(),
        }
    }

    fn portal() -> Error {
        larder_core::Page::portal()
    }
}

impl Said for Pushes {
    fn said(&self) -> String {
        "a stream".to_owned()
    }

    fn portal() -> Error {
        larder_core::Page::portal()
    }
}

#[async_trait]
impl Delta for Link {
    fn scope(&self, schema: &'static Schema) -> DeltaScope {
        self.server.delta().map_or(DeltaScope::Nothing, |delta| delta.scope(schema))
    }

    async fn changes(
        &self,
        cx: &Context,
        schema: &'static Schema,
        since: Option<&str>,
    ) -> Result<DeltaAnswer> {
        let (server, asked) = (Arc::clone(&self.server), (cx.clone(), since.map(str::to_owned)));
        let effect: Effect<DeltaAnswer> = Arc::new(move || {
            let (server, (cx, since)) = (Arc::clone(&server), asked.clone());
            Box::pin(async move { server.changes(&cx, schema, since.as_deref()).await })
        });
        let revision = self.revision();
        let answer = self.carry(cx, Host::Server, &format!("changes of {}", schema.model), effect).await?;
        if let DeltaAnswer::Page(page) = &answer {
            let next = page.more.then_some(page.cursor.as_str());
            let arrival = Arrival { rows: &page.rows, key: None, resumed: since, next };
            lock(&self.world.overseer).came(self.device, schema, &arrival, revision);
        }
        Ok(answer)
    }
}

#[async_trait]
impl Realtime for Link {
    fn carries(&self, schema: &'static Schema) -> bool {
        self.server.realtime().is_some_and(|realtime| realtime.carries(schema))
    }

    async fn subscribe(&self, cx: &Context, schema: &'static Schema, from: Option<&str>) -> Result<Pushes> {
        let (server, asked) = (Arc::clone(&self.server), (cx.clone(), from.map(str::to_owned)));
        let effect: Effect<Pushes> = Arc::new(move || {
            let (server, (cx, from)) = (Arc::clone(&server), asked.clone());
            Box::pin(async move {
                let silent = || Error::new(ErrorKind::Unsupported, "the server pushes nothing");
                let realtime = server.realtime().ok_or_else(silent)?;
                realtime.subscribe(&cx, schema, from.as_deref()).await
            })
        });
        let pushes = self.carry(cx, Host::Server, &format!("listen to {}", schema.model), effect).await?;
        let pushing = Pushing { world: Arc::clone(&self.world), device: self.device, schema, pushes, nth: 0 };
        Ok(Box::pin(unfold(Some(pushing), |pushing| async { pushing?.next().await })))
    }
}

/// An open stream from the server to a device.
struct Pushing {
    world: Arc<Shared>,
    device: usize,
    schema: &'static Schema,
    pushes: Pushes,
    nth: u64,
}

impl Pushing {
    /// The next push, or the end of the connection if it can't reach the device.
    async fn next(mut self) -> Option<(Result<Change>, Option<Self>)> {
        let push = match self.pushes.next().await? {
            Ok(change) => as_it_is_now(self.world.server(), self.schema, change).await,
            Err(error) => Err(error),
        };
        self.nth += 1;
        self.world.kernel.sleep(self.delay()).await;
        if !matches!(self.world.way(self.device, Host::Server), Way::Open) {
            self.world.note(Of(self.device), format_args!("listens to {} no more", self.schema.model));
            return Some((Err(broken()), None));
        }
        if let Ok(Change { what: Changed::Row(row), .. }) = &push {
            lock(&self.world.overseer).pushed(self.device, self.schema, row);
        }
        self.world.note(Of(self.device), format_args!("hears of {}", self.schema.model));
        Some((push, Some(self)))
    }

    fn delay(&self) -> Duration {
        // Other numbers than those of requests.
        self.world.plan.network.times(!self.world.seed, self.device, self.nth).0
    }
}

/// A change with the row as it is now.
async fn as_it_is_now(
    server: Option<Arc<Running>>,
    schema: &'static Schema,
    change: Change,
) -> Result<Change> {
    let Some(server) = server else { return Ok(change) };
    let key = match &change.what {
        Changed::Row(row) => schema.key_of(&*row.row)?,
        Changed::Deleted(key) => key.clone(),
        _ => return Ok(change),
    };
    let what = server.now(schema, &key).await?.map_or(Changed::Deleted(key), Changed::Row);
    Ok(Change { what, ..change })
}
