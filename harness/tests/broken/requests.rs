//! Requests that are no models, sent wrongly.

use std::sync::Arc;

use async_trait::async_trait;
use larder_core::{Context, Error, ErrorKind, MutationId, Request, Requests, Response, Result, Uuid};
use larder_harness::{Arrived, Site};

use crate::faults::Fault::{
    AdmitsAll, AnyHost, CutsTarget, DropsBody, DropsHeaders, ForgetsWait, GoneAtOnce, LosesStatus,
    MixesAnswers, NewKeys, OneHost, OneMethod, SendsEarly, SendsTwice, SendsWithdrawn, TakesAnyAnswer,
    TriesAgain,
};
use crate::wrapper::Broken;

pub(crate) const ELSEWHERE: &str = "https://uploads.example.com";

/// Whoever answers for a host.
pub(crate) fn answers(
    site: &Site,
    elsewhere: bool,
) -> impl Fn(&Request) -> Result<Response> + Send + Sync + 'static {
    let site = site.clone();
    move |request| {
        let lower = |(name, value): &(String, String)| (name.to_ascii_lowercase(), value.clone());
        let reply = site.reply(Arrived {
            elsewhere,
            method: request.method.clone(),
            target: request.target.clone(),
            headers: request.headers.iter().map(lower).collect(),
            key: Some(request.id.to_string()),
            body: request.body.to_vec(),
        });
        Ok(Response { status: reply.status, headers: reply.headers, body: Some(reply.body.into()) })
    }
}

impl Broken {
    fn parcels(&self) -> &dyn Requests {
        self.inner.requests().expect("the store in memory takes requests")
    }

    /// What is sent instead.
    fn spoiled(&self, request: &Request) -> Request {
        let mut request = request.clone();
        match self.fault {
            DropsBody => request.body = Vec::new().into(),
            DropsHeaders => request.headers.clear(),
            CutsTarget => request.target.truncate(request.target.find('?').unwrap_or(request.target.len())),
            OneMethod => "POST".clone_into(&mut request.method),
            GoneAtOnce => request.repeated = true,
            NewKeys if request.repeated => request.id = MutationId(Uuid::from_u128(1)),
            AnyHost => request.target = "/site/a".to_owned(),
            _ => {}
        }
        request
    }
}

#[async_trait]
impl Requests for Broken {
    fn admit(&self, request: &Request) -> Result<Option<Arc<str>>> {
        match self.fault {
            AdmitsAll => Ok(None),
            AnyHost => self.parcels().admit(&self.spoiled(request)),
            OneHost => self.parcels().admit(request).map(|_| None),
            SendsEarly => {
                let sent = crate::wrapper::block_on_ready(self.parcels().forward(&Context::new(), request));
                drop(sent);
                self.parcels().admit(request)
            }
            _ => self.parcels().admit(request),
        }
    }

    async fn forward(&self, cx: &Context, request: &Request) -> Result<Response> {
        let cx = if self.fault == SendsWithdrawn { &Context::new() } else { cx };
        let answer = self.parcels().forward(cx, &self.spoiled(request)).await;
        match (self.fault, answer) {
            (SendsTwice, Ok(_)) => self.parcels().forward(cx, request).await,
            (TriesAgain, Err(error)) if error.status() == Some(503) => {
                self.parcels().forward(cx, request).await
            }
            (TakesAnyAnswer, Err(error)) if error.status().is_some() => {
                Ok(Response { status: error.status().unwrap_or_default(), headers: Vec::new(), body: None })
            }
            (LosesStatus, Err(error)) if error.status().is_some() => {
                Err(Error::new(ErrorKind::Rejected, "no").with_sent(error.sent()))
            }
            (ForgetsWait, Err(error)) if error.retry_after().is_some() => {
                let status = error.status().unwrap_or_default();
                Err(Error::new(error.kind(), "no").with_status(status).with_sent(error.sent()))
            }
            (MixesAnswers, Ok(answer)) => {
                let last = self.told.lock().expect("what was told").answer.replace(answer.clone());
                Ok(last.unwrap_or(answer))
            }
            (_, answer) => answer,
        }
    }
}
