//! Where the server's first objects come from: recorded traffic, normalised to the server's simple shape.
//!
//! A scenario file is a JSON list of requests in order, each with `method`, `path`, `body`, `status`, `response` and
//! `headers`. The example ships two in that form; the environment variable [`REAL_FIXTURES`] names a folder with
//! recordings of GitHub's own traffic.

use std::fmt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;

use super::normalise::{issue, label};
use super::object::{Fields, Kind};

/// The folder that holds `github-api/paginate-issues.json` and `github-api/labels.json`.
pub(crate) const REAL_FIXTURES: &str = "LARDER_REAL_FIXTURES";

const SHIPPED_ISSUES: &str = include_str!("../data/paginate-issues.json");
const SHIPPED_LABELS: &str = include_str!("../data/labels.json");

/// What may stand unescaped in a path segment (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The repository that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Repo {
    pub(crate) owner: String,
    pub(crate) name: String,
    /// The number in the second form of its path, `/repositories/{id}`.
    pub(crate) id: u64,
}

impl Repo {
    /// `/repos/{owner}/{name}`.
    pub(crate) fn path(&self) -> String {
        format!("/repos/{}/{}", encode_segment(&self.owner), encode_segment(&self.name))
    }
}

/// One step of the recorded label scenario, for a client to repeat.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum LabelStep {
    /// Make a label of these fields (`name`, `color`, perhaps `description`).
    Create(Fields),
    /// Read it.
    Read(String),
    /// Change it; `new_name` among the fields renames it.
    Update {
        /// Its name before.
        name: String,
        /// What was sent.
        fields: Fields,
    },
    /// Remove it.
    Delete(String),
}

/// Where the seeds came from; its `Display` is the line that the demo prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The example's own files, since nothing else was asked for.
    Shipped,
    /// The example's own files, since this folder has no recordings.
    ShippedInsteadOf(PathBuf),
    /// Recordings in this folder.
    Recorded(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shipped => write!(out, "seeded from the data that the example ships"),
            Self::ShippedInsteadOf(dir) => {
                write!(out, "no recordings in {}: seeded from the data that the example ships", dir.display())
            }
            Self::Recorded(dir) => write!(out, "seeded from GitHub's recorded traffic in {}", dir.display()),
        }
    }
}

/// The first state of the server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seeds {
    pub(crate) repo: Repo,
    /// Normalised, in recorded order.
    pub(crate) issues: Vec<Fields>,
    pub(crate) labels: Vec<Fields>,
    /// What the recording does with labels after it listed them.
    pub(crate) label_steps: Vec<LabelStep>,
    /// The newest `updated_at`: where the server's clock starts.
    pub(crate) newest: Timestamp,
    pub(crate) source: Source,
}

/// Why seeds cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SeedError {
    #[error("failed to read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} is not a list of recorded requests: {source}", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("{}: {place}: {problem}", path.display())]
    Shape { path: PathBuf, place: String, problem: String },
}

/// One recorded request. Header fields and the rest of the recording are not needed.
#[derive(Debug, Deserialize)]
struct Recorded {
    method: String,
    path: String,
    #[serde(default)]
    body: Value,
    response: Value,
}

/// A problem and where it is, before the file's name is known.
type Problem = (String, String);

impl Seeds {
    /// Seeds from the folder that [`REAL_FIXTURES`] names, if it has recordings, else from the shipped data.
    ///
    /// # Errors
    ///
    /// Recordings that are there and cannot be used; see [`SeedError`].
    pub(crate) fn from_env() -> Result<Self, SeedError> {
        match std::env::var_os(REAL_FIXTURES).filter(|dir| !dir.is_empty()) {
            Some(dir) => Self::from_dir(Path::new(&dir)),
            None => Self::shipped(),
        }
    }

    /// Seeds from `<dir>/github-api`, or the shipped data if one of its files is absent.
    ///
    /// # Errors
    ///
    /// As [`Seeds::from_env`].
    pub(crate) fn from_dir(dir: &Path) -> Result<Self, SeedError> {
        let files = ["paginate-issues.json", "labels.json"].map(|name| dir.join("github-api").join(name));
        let mut texts = Vec::new();
        for path in &files {
            match std::fs::read_to_string(path) {
                Ok(text) => texts.push(text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Ok(Self { source: Source::ShippedInsteadOf(dir.to_owned()), ..Self::shipped()? });
                }
                Err(source) => {
                    return Err(SeedError::Read { path: path.clone(), source });
                }
            }
        }
        let [issues, labels] = &files;
        Self::parse((issues, &texts[0]), (labels, &texts[1]), Source::Recorded(dir.to_owned()))
    }

    /// Seeds from the data that is compiled in.
    ///
    /// # Errors
    ///
    /// None unless somebody damaged those files.
    pub(crate) fn shipped() -> Result<Self, SeedError> {
        let issues = (Path::new("data/paginate-issues.json"), SHIPPED_ISSUES);
        let labels = (Path::new("data/labels.json"), SHIPPED_LABELS);
        Self::parse(issues, labels, Source::Shipped)
    }

    fn parse(issues: (&Path, &str), labels: (&Path, &str), source: Source) -> Result<Self, SeedError> {
        let issue_requests = read(issues)?;
        let at = |path: &Path| {
            let path = path.to_owned();
            move |(place, problem): Problem| SeedError::Shape { path, place, problem }
        };
        let repo = repo_of(&issue_requests).map_err(at(issues.0))?;
        let issues = objects(&issue_requests, Kind::Issue, &issue).map_err(at(issues.0))?;
        let label_requests = read(labels)?;
        let listed = label_requests.get(..1).unwrap_or_default();
        let label_rows = objects(listed, Kind::Label, &label).map_err(at(labels.0))?;
        let label_steps = steps(&label_requests).map_err(at(labels.0))?;
        let times = issues.iter().filter_map(|issue| issue.get("updated_at")?.as_str()?.parse().ok());
        let newest = times.max().unwrap_or(Timestamp::UNIX_EPOCH);
        Ok(Self { repo, issues, labels: label_rows, label_steps, newest, source })
    }
}

fn read((path, text): (&Path, &str)) -> Result<Vec<Recorded>, SeedError> {
    serde_json::from_str(text).map_err(|source| SeedError::Json { path: path.to_owned(), source })
}

/// Owner and name from the first request, the number from the path of a later page.
fn repo_of(requests: &[Recorded]) -> Result<Repo, Problem> {
    let place = || "request 1".to_owned();
    let first = requests.first().ok_or_else(|| (place(), "there is none".to_owned()))?;
    let (owner, name) = match segments(&first.path).as_slice() {
        [repos, owner, name, _] if repos == "repos" => (owner.clone(), name.clone()),
        _ => {
            return Err((
                place(),
                format!("expected /repos/{{owner}}/{{name}}/issues, found {}", first.path),
            ));
        }
    };
    let id = requests.iter().find_map(|request| match segments(&request.path).as_slice() {
        [repositories, id, _] if repositories == "repositories" => id.parse().ok(),
        _ => None,
    });
    Ok(Repo { owner, name, id: id.unwrap_or(1) })
}

/// The decoded segments of a path, without its query.
fn segments(path: &str) -> Vec<String> {
    let path = path.split('?').next().unwrap_or_default();
    let decode = |segment: &str| percent_decode_str(segment).decode_utf8_lossy().into_owned();
    path.split('/').filter(|segment| !segment.is_empty()).map(decode).collect()
}

/// Percent-encodes a value so that it is one path segment.
pub(crate) fn encode_segment(value: &str) -> String {
    utf8_percent_encode(value, SEGMENT).to_string()
}

/// All objects in the lists that GET requests were answered with.
fn objects(
    requests: &[Recorded],
    kind: Kind,
    normalise: &dyn Fn(&Fields) -> Result<Fields, String>,
) -> Result<Vec<Fields>, Problem> {
    let mut found: Vec<Fields> = Vec::new();
    for (at, request) in requests.iter().enumerate() {
        if !request.method.eq_ignore_ascii_case("get") {
            continue;
        }
        let place = format!("request {}", at + 1);
        let Value::Array(rows) = &request.response else {
            return Err((place, format!("expected a list of {} as response", kind.collection())));
        };
        for (index, row) in rows.iter().enumerate() {
            let place = format!("{place}, response[{index}]");
            let Value::Object(row) = row else {
                return Err((place, "expected an object".to_owned()));
            };
            let mut row = normalise(row).map_err(|problem| (place.clone(), problem))?;
            kind.complete(&mut row).map_err(|refusal| (place.clone(), refusal.to_string()))?;
            let key = row.get(kind.key_field());
            if found.iter().any(|other| other.get(kind.key_field()) == key) {
                return Err((place, format!("{} appears twice", kind.key_field())));
            }
            found.push(row);
        }
    }
    Ok(found)
}

/// What the recording does after its first request, the list.
fn steps(requests: &[Recorded]) -> Result<Vec<LabelStep>, Problem> {
    let mut steps = Vec::new();
    for (at, request) in requests.iter().enumerate().skip(1) {
        let wrong = |problem: String| (format!("request {}", at + 1), problem);
        let name = segments(&request.path).get(4).cloned();
        let body = || match &request.body {
            Value::Object(fields) => Ok(fields.clone()),
            other => Err(wrong(format!("expected an object as body, found {other}"))),
        };
        steps.push(match (request.method.to_ascii_lowercase().as_str(), name) {
            ("post", None) => LabelStep::Create(body()?),
            ("get", Some(name)) => LabelStep::Read(name),
            ("patch" | "put", Some(name)) => LabelStep::Update { name, fields: body()? },
            ("delete", Some(name)) => LabelStep::Delete(name),
            (method, _) => return Err(wrong(format!("{method} {} is no label step", request.path))),
        });
    }
    Ok(steps)
}
