//! Writes: what a mutation is as a request, and what its answer means.

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use larder_core::{Applied, Context, Error, ErrorKind, Mutation, Operation, Outcome, PageRow, Result, Sent};

use crate::codec;
use crate::endpoint::{Action, OnRepeat};
use crate::error::invalid;
use crate::exchange::{Answer, Call};
use crate::meaning::Meaning;
use crate::provider::RestProvider;
use crate::route::{Route, action_of};
use crate::template::{Hole, key_text};

impl RestProvider {
    pub(crate) async fn write(&self, cx: &Context, mutation: &Mutation) -> Result<Applied> {
        let route = self.route(mutation.schema)?;
        let call = self.request(route, mutation)?;
        let method = call.method.clone();
        let answer = self.exchange.send(cx, call).await?;
        let status = answer.status;
        if status.is_success() {
            if answer.is_html() && !route.html {
                return Err(intercepted(status, "say so with `Endpoint::html_answers`"));
            }
            let row = self.row(route, mutation, &answer);
            return Ok(Applied { outcome: outcome(mutation.operation, &method, status), row });
        }
        let declared = route.on_repeat(mutation.operation, status.as_u16());
        let finds_nothing = mutation.operation == Operation::Delete && matches!(status.as_u16(), 404 | 410);
        match declared {
            None if finds_nothing => Ok(Applied { outcome: Outcome::Missing, row: None }),
            Some(OnRepeat::Done) if mutation.repeated || finds_nothing => {
                if mutation.operation == Operation::Delete {
                    return Ok(Applied { outcome: Outcome::Missing, row: None });
                }
                // Some send the row, others an error: only what has the key is taken for the row.
                let row = self.row(route, mutation, &answer);
                let row = row.filter(|row| mutation.schema.key_of(&*row.row).is_ok());
                Ok(Applied { outcome: Outcome::Accepted, row })
            }
            Some(OnRepeat::Compare) if mutation.repeated => {
                Err(self.exchange.refusal_as(&answer, Some(Meaning::Conflict)))
            }
            Some(OnRepeat::Refused) if mutation.repeated => {
                Err(self.exchange.refusal_as(&answer, Some(Meaning::Rejected)))
            }
            _ => Err(self.exchange.refusal(&answer)),
        }
    }

    fn request(&self, route: &Route, mutation: &Mutation) -> Result<Call> {
        let action = action_of(mutation.operation);
        let template = route.template(action).ok_or_else(|| {
            let verb = mutation.operation.verb();
            Error::new(ErrorKind::Unsupported, format!("the endpoint does not {verb}"))
        })?;
        let (path, params) = template.fill(|hole| match hole {
            Hole::Key(part) => key_text(mutation.schema, &mutation.key, part),
            Hole::Field(at) => field_text(mutation, at),
        })?;
        let method = route.method(action);
        let mut call = self.call(route, method.clone(), template, &path, params, &[]);
        let body = codec::body(route, mutation, method == Method::PATCH)?;
        call.body = body.map(|body| (route.content_type.clone(), body));
        conditions(route, mutation, action, &mut call.headers)?;
        Ok(call)
    }

    /// The row that the answer to an accepted write holds. The server has accepted, so what can't be read is no error:
    /// the caller would send the mutation again.
    fn row(&self, route: &Route, mutation: &Mutation, answer: &Answer) -> Option<PageRow> {
        let now = self.exchange.runtime.now();
        let empty = mutation.operation == Operation::Delete || answer.status == StatusCode::NO_CONTENT;
        let written = match &answer.body {
            Ok(_) if mutation.operation == Operation::Delete => return None,
            Ok(_) if empty => Ok(codec::bare(route, mutation, &answer.headers, now)),
            Ok(body) => codec::written(route, mutation, body, answer, now),
            Err(error) => Err(error.duplicate()),
        };
        written.unwrap_or_else(|error| {
            tracing::warn!(
                model = mutation.schema.model,
                status = answer.status.as_u16(),
                error = %answer.secrets.cleanse(error),
                "the server accepted the write, and its answer is not the row"
            );
            codec::bare(route, mutation, &answer.headers, now)
        })
    }
}

/// An answer that the server would not give: a portal answers whatever it is asked. What is behind it may not have heard
/// of the write.
pub(crate) fn intercepted(status: StatusCode, otherwise: &str) -> Error {
    let what = format!(
        "the write was answered {} by an HTML page, as by a captive portal or a proxy: \
         if that is how the server answers, {otherwise}",
        status.as_u16()
    );
    Error::new(ErrorKind::Transport, what).with_sent(Sent::Maybe).with_transient(true)
}

fn field_text(mutation: &Mutation, at: usize) -> Result<String> {
    let field = &mutation.schema.fields[at];
    let row = mutation.row.as_deref().ok_or_else(|| invalid("there is no row to send"))?;
    let shown = row.field(at).map_err(|fault| mutation.schema.fault(at, fault))?;
    let text = codec::text(field, shown).map_err(|error| error.at(field.name))?;
    text.ok_or_else(|| invalid("the path names the field, so it can't be null").at(field.name))
}

fn conditions(route: &Route, mutation: &Mutation, action: Action, headers: &mut HeaderMap) -> Result<()> {
    let value =
        |text: &str| HeaderValue::from_str(text).map_err(|_| invalid("the row's version can't be sent"));
    if let Some(name) = route.key_header(mutation.operation) {
        headers.insert(name, value(&format!("\"{}\"", mutation.id))?);
    }
    if route.only_if_absent(action) {
        headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
    }
    let version =
        mutation.base_version.as_deref().filter(|version| route.if_match && codec::is_strong(version));
    if let (Some(version), true) = (version, mutation.operation != Operation::Insert) {
        headers.insert(IF_MATCH, value(version)?);
    }
    Ok(())
}

fn outcome(operation: Operation, method: &Method, status: StatusCode) -> Outcome {
    match operation {
        _ if status == StatusCode::ACCEPTED => Outcome::Accepted,
        Operation::Insert => Outcome::Inserted,
        Operation::Update => Outcome::Updated,
        Operation::Upsert if status == StatusCode::CREATED => Outcome::Inserted,
        // A PUT that creates has to say 201 (RFC 9110, 9.3.4); nothing says so of the others.
        Operation::Upsert if *method == Method::PUT => Outcome::Updated,
        Operation::Upsert => Outcome::Accepted,
        Operation::Delete => Outcome::Deleted,
    }
}
