//! Endpoint variants and their answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use serde_json::Value;

use crate::calls::Call;
use crate::pattern::{Fit, Pattern, Target};
use crate::switches::Switches;
use crate::template;

/// What one kind of request is answered.
///
/// ```
/// use larder_stubs::{Answer, Stubs, Variant};
/// use serde_json::json;
///
/// let stubs = Stubs::new()
///     .variant(Variant::new("GET users/1").json(json!({ "id": 1 })).header("etag", "\"a\""))
///     .variant(Variant::new("POST users").body_like(json!({ "name": "" })).status(422))
///     .variant(Variant::new("GET hats").status(503).then(Answer::new().json(json!([]))));
/// # let _ = stubs;
/// ```
#[derive(Clone)]
pub struct Variant {
    pub(crate) name: String,
    pub(crate) pattern: Pattern,
    pub(crate) switches: Switches,
    like: Option<Value>,
    answers: Vec<Answer>,
    respond: Option<Respond>,
}

type Respond = Arc<dyn Fn(&Call) -> Answer + Send + Sync>;

impl fmt::Debug for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variant")
            .field("name", &self.name)
            .field("answers", &self.answers)
            .finish_non_exhaustive()
    }
}

impl Variant {
    /// A variant, `[METHOD ]path[?query]`, whose answer has no body and the default status of the request's method.
    /// A `*` stands for one path segment or one query value, `?*` or `&*` for any further query.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.trim().to_owned(),
            pattern: Pattern::parse(name),
            switches: Switches::default(),
            like: None,
            answers: vec![Answer::new()],
            respond: None,
        }
    }

    /// Answers only requests whose JSON body has what `like` has: members by name and to any depth, everything else
    /// by equality.
    #[must_use]
    pub fn body_like(mut self, like: Value) -> Self {
        self.name = format!("{} {like}", self.name);
        self.like = Some(like);
        self
    }

    /// Adds an answer: the n-th call gets the n-th, and the last one stands for all that follow.
    #[must_use]
    pub fn then(mut self, answer: Answer) -> Self {
        self.answers.push(answer);
        self
    }

    /// Replaces all answers by one that is made from the call.
    #[must_use]
    pub fn respond(mut self, respond: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> Self {
        self.respond = Some(Arc::new(respond));
        self
    }

    /// Sets the switches of this variant; keep a clone to turn them.
    #[must_use]
    pub fn switches(mut self, switches: &Switches) -> Self {
        self.switches = switches.clone();
        self
    }

    fn edit(mut self, edit: impl FnOnce(Answer) -> Answer) -> Self {
        if let Some(last) = self.answers.pop() {
            self.answers.push(edit(last));
        }
        self
    }

    /// Sets the body of the last answer.
    #[must_use]
    pub fn json(self, json: Value) -> Self {
        self.edit(|answer| answer.json(json))
    }

    /// Sets the body of the last answer to a template.
    #[must_use]
    pub fn template(self, template: Value) -> Self {
        self.edit(|answer| answer.template(template))
    }

    /// Sets the status of the last answer.
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        self.edit(|answer| answer.status(status))
    }

    /// Adds a header to the last answer.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        self.edit(|answer| answer.header(name, value))
    }

    /// Delays the last answer.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        self.edit(|answer| answer.delay(delay))
    }

    pub(crate) fn answers(mut self, answers: Vec<Answer>) -> Self {
        self.answers = answers;
        self
    }

    /// How closely the variant fits a request; `None` if it does not.
    pub(crate) fn fit(&self, target: &Target, body: Option<&Value>) -> Option<(Fit, bool)> {
        let like = match (&self.like, body) {
            (None, _) => true,
            (Some(like), Some(body)) => is_like(body, like),
            (Some(_), None) => false,
        };
        self.pattern.fit(target).filter(|_| like).map(|fit| (fit, self.like.is_some()))
    }

    /// True if both answer the same requests.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.pattern.same(&other.pattern) && self.like == other.like
    }

    /// The answer to `call`, which is the variant's `nth`, from 1.
    pub(crate) fn answer(&self, call: &Call, nth: usize) -> (Response<Full<Bytes>>, Duration) {
        let made = self.respond.as_ref().map(|respond| respond(call));
        let at = nth.min(self.answers.len()).saturating_sub(1);
        let empty = Answer::new();
        let answer = made.as_ref().or_else(|| self.answers.get(at)).unwrap_or(&empty);
        (answer.build(call, nth), answer.delay)
    }
}

/// True if `found` has what `like` has.
fn is_like(found: &Value, like: &Value) -> bool {
    match (found, like) {
        (Value::Object(found), Value::Object(like)) => {
            like.iter().all(|(name, like)| found.get(name).is_some_and(|found| is_like(found, like)))
        }
        (found, like) => found == like,
    }
}

/// One answer: status, headers, body and delay.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    status: Option<u16>,
    headers: Vec<(String, String)>,
    body: Body,
    delay: Duration,
}

#[derive(Clone, Debug, Default)]
enum Body {
    #[default]
    None,
    Json(Value),
    Template(Value),
    Raw(Bytes),
}

impl Answer {
    /// An answer without a body, with the default status of the request's method: 200, POST 201, DELETE 204.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the status. One that HTTP does not have becomes 500.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Adds a header. One that HTTP can't carry makes the answer a 500 that says so.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a JSON body.
    #[must_use]
    pub fn json(mut self, json: Value) -> Self {
        self.body = Body::Json(json);
        self
    }

    /// Sets a JSON body in which `{{path.1}}`, `{{query.name}}`, `{{header.name}}`, `{{body.a.b}}`, `{{method}}` and
    /// `{{call}}` are filled in from the request.
    #[must_use]
    pub fn template(mut self, template: Value) -> Self {
        self.body = Body::Template(template);
        self
    }

    /// Sets a body that is no JSON; give its type by a header.
    #[must_use]
    pub fn raw(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Body::Raw(body.into());
        self
    }

    /// Delays the answer; needs [`Stubs::runtime`](crate::Stubs::runtime).
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    pub(crate) fn build(&self, call: &Call, nth: usize) -> Response<Full<Bytes>> {
        let (json, body) = match &self.body {
            Body::None => (false, Bytes::new()),
            Body::Json(json) => (true, json.to_string().into()),
            Body::Template(template) => (true, template::fill(template, call, nth).to_string().into()),
            Body::Raw(body) => (false, body.clone()),
        };
        let mut response = Response::new(Full::default());
        if json {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, value) in &self.headers {
            match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                (Ok(name), Ok(value)) if name == CONTENT_TYPE => {
                    drop(response.headers_mut().insert(name, value));
                }
                (Ok(name), Ok(value)) => drop(response.headers_mut().append(name, value)),
                _ => return broken(&format!("the stub's header `{name}: {value}` is no header")),
            }
        }
        let status = self.status.unwrap_or_else(|| default_status(&call.method));
        match StatusCode::from_u16(status) {
            Ok(status) => *response.status_mut() = status,
            Err(_) => return broken(&format!("the stub's status {status} is no status")),
        }
        let bodiless = call.method == Method::HEAD || matches!(status, 100..=199 | 204 | 304);
        if !bodiless {
            *response.body_mut() = Full::new(body);
        }
        response
    }
}

fn broken(message: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(message.to_owned())));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

fn default_status(method: &Method) -> u16 {
    match *method {
        Method::POST => 201,
        Method::DELETE => 204,
        _ => 200,
    }
}
