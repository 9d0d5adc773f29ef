//! The repository that the server serves: a state machine without sockets.
//!
//! One [`Write`] is applied as a whole: preconditions, rules, objects, journal and the remembered answer.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::exchange::{Answer, Verb, Write, check_preconditions, shown};
use super::faults::Break;
use super::journal::{Effect, Entry, Journal, Origin};
use super::object::{Fields, Kind, Object};
use super::refusal::Refusal;
use super::seed::{Repo, Seeds, encode_segment};

/// Where objects that are made here claim to be on the web.
const WEB: &str = "https://forge.example";

/// A request whose answer is given again if it is repeated.
#[derive(Debug, Clone)]
struct Remembered {
    entry: Entry,
    answer: Answer,
}

/// A repository with its issues, labels, journal and remembered answers.
#[derive(Debug, Clone)]
pub(crate) struct Forge {
    pub(crate) repo: Repo,
    issues: BTreeMap<String, Object>,
    labels: BTreeMap<String, Object>,
    next_number: u64,
    next_label: u64,
    revision: u64,
    /// Moves by a minute with every write: the same run has the same times.
    clock: Timestamp,
    pub(crate) journal: Journal,
    /// Client writes that were answered with success for the first time, also one that a [`Break`] then lost.
    pub(crate) accepted: u64,
    remembered: BTreeMap<String, Remembered>,
    /// Told once, with the next accepted write of a client.
    pub(crate) planted: Option<Break>,
}

impl Forge {
    pub(crate) fn new(seeds: &Seeds) -> Self {
        let mut forge = Self {
            repo: seeds.repo.clone(),
            issues: BTreeMap::new(),
            labels: BTreeMap::new(),
            next_number: 1,
            next_label: 1,
            revision: 0,
            clock: seeds.newest,
            journal: Journal::default(),
            accepted: 0,
            remembered: BTreeMap::new(),
            planted: None,
        };
        for (kind, seed) in [(Kind::Issue, &seeds.issues), (Kind::Label, &seeds.labels)] {
            for fields in seed {
                forge.seed(kind, fields);
            }
        }
        forge
    }

    fn seed(&mut self, kind: Kind, fields: &Fields) {
        let above = |name: &str| fields.get(name).and_then(Value::as_u64).map_or(0, |number| number + 1);
        match kind {
            Kind::Issue => self.next_number = self.next_number.max(above("number")),
            Kind::Label => self.next_label = self.next_label.max(above("id")),
        }
        let key = fields.get(kind.key_field()).and_then(Value::as_str).unwrap_or_default().to_owned();
        self.store(kind, key, fields.clone());
    }

    pub(crate) fn objects(&self, kind: Kind) -> &BTreeMap<String, Object> {
        match kind {
            Kind::Issue => &self.issues,
            Kind::Label => &self.labels,
        }
    }

    pub(crate) fn objects_mut(&mut self, kind: Kind) -> &mut BTreeMap<String, Object> {
        match kind {
            Kind::Issue => &mut self.issues,
            Kind::Label => &mut self.labels,
        }
    }

    /// Everything of a kind in the order of a list: issues newest first, labels by name.
    pub(crate) fn list(&self, kind: Kind) -> Vec<&Object> {
        let mut all: Vec<_> = self.objects(kind).values().collect();
        if kind == Kind::Issue {
            all.sort_by_key(|issue| std::cmp::Reverse(issue.number()));
        }
        all
    }

    /// An object by its key, an issue also by its number.
    pub(crate) fn find(&self, kind: Kind, target: &str) -> Option<&Object> {
        self.objects(kind).get(target).or_else(|| {
            let number: u64 = target.parse().ok().filter(|_| kind == Kind::Issue)?;
            self.issues.values().find(|issue| issue.number() == Some(number))
        })
    }

    /// Applies a write, or answers again what was answered to the same idempotency key.
    ///
    /// - Only success is remembered: what was refused changed nothing and may be tried again with the same key.
    /// - A remembered answer is given before `If-Match` is looked at, since the first success changed the tag.
    ///
    /// # Errors
    ///
    /// See [`Refusal`]; nothing was changed.
    pub(crate) fn write(&mut self, write: &Write) -> Result<Answer, Refusal> {
        if let Some(answer) = self.replay(write)? {
            return Ok(answer);
        }
        let lie = if write.origin == Origin::Client { self.planted } else { None };
        let (mut answer, mut entry) = if lie == Some(Break::Lose) {
            let mut elsewhere = self.clone();
            let done = elsewhere.apply(write)?;
            // The numbers and tags that were answered are used up; the objects stay as they were.
            elsewhere.issues = std::mem::take(&mut self.issues);
            elsewhere.labels = std::mem::take(&mut self.labels);
            *self = elsewhere;
            done
        } else {
            let done = self.apply(write)?;
            self.journal.push(done.1.clone());
            done
        };
        if lie == Some(Break::Double) {
            self.apply_again(&mut answer, &entry);
        }
        if lie == Some(Break::Differ) {
            let key = answer.body.as_ref().and_then(|body| body.get(write.kind.key_field()));
            let key = key.and_then(Value::as_str).map(str::to_owned);
            self.alter(write.kind, key.as_deref());
        }
        if write.origin == Origin::Client {
            self.planted = None;
            self.accepted += 1;
        }
        if let Some(key) = &write.idempotency_key {
            entry.replayed = true;
            self.remembered.insert(key.clone(), Remembered { entry, answer: answer.clone() });
        }
        Ok(answer)
    }

    fn replay(&mut self, write: &Write) -> Result<Option<Answer>, Refusal> {
        let Some(earlier) = write.idempotency_key.as_ref().and_then(|key| self.remembered.get(key)) else {
            return Ok(None);
        };
        let entry = &earlier.entry;
        let same = entry.method == write.verb.method() && entry.path == write.path;
        if !same || entry.payload != write.payload() {
            return Err(Refusal::KeyReused);
        }
        let answer = Answer { replayed: true, ..earlier.answer.clone() };
        self.journal.push(entry.clone());
        Ok(Some(answer))
    }

    fn apply(&mut self, write: &Write) -> Result<(Answer, Entry), Refusal> {
        let current = write.target.as_deref().and_then(|target| self.find(write.kind, target)).cloned();
        check_preconditions(write, current.as_ref())?;
        let (effect, id, answer) = match (write.verb, current) {
            (Verb::Post, _) => self.create(write, None)?,
            (Verb::Put, None) => self.create(write, write.target.as_deref())?,
            (Verb::Put | Verb::Patch, Some(current)) => self.update(write, &current)?,
            (Verb::Delete, Some(current)) => {
                self.objects_mut(write.kind).remove(&current.key);
                self.tick();
                (Effect::Delete, current.key, Answer { status: 204, ..Answer::default() })
            }
            (Verb::Patch | Verb::Delete, None) => return Err(Refusal::NotFound),
        };
        let entry = Entry {
            seq: 0,
            origin: write.origin,
            method: write.verb.method().to_owned(),
            path: write.path.clone(),
            key: write.idempotency_key.clone(),
            effect,
            kind: write.kind,
            id,
            payload: write.payload(),
            replayed: false,
        };
        Ok((answer, entry))
    }

    /// A create under the key in the body, the key in the path, or (issues only) the next number.
    fn create(&mut self, write: &Write, target: Option<&str>) -> Result<(Effect, String, Answer), Refusal> {
        let (kind, field) = (write.kind, write.kind.key_field());
        let sent = match write.body.get(field) {
            None | Some(Value::Null) => None,
            Some(Value::String(key)) if !key.is_empty() => Some(key.as_str()),
            Some(_) => return Err(Refusal::invalid(field, "must be a string that is not empty")),
        };
        if target.is_some() && sent.is_some() && sent != target {
            return Err(Refusal::invalid(field, "contradicts the path"));
        }
        let key = match (sent.or(target), kind) {
            (Some(key), Kind::Issue) if key.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Err(Refusal::invalid(field, "must not be a number: numbers are given by the server"));
            }
            (Some(key), _) => key.to_owned(),
            (None, Kind::Issue) => self.next_number.to_string(),
            (None, Kind::Label) => return Err(Refusal::invalid(field, "is missing")),
        };
        if self.objects(kind).contains_key(&key) {
            return Err(Refusal::AlreadyExists { field });
        }
        let mut fields = self.blank(kind, &key, &write.body).patched(kind, &write.body);
        kind.complete(&mut fields)?;
        match kind {
            Kind::Issue => self.next_number += 1,
            Kind::Label => self.next_label += 1,
        }
        self.tick();
        self.stamp(kind, &mut fields, true);
        let stored = self.store(kind, key.clone(), fields);
        let answer = Answer { status: 201, location: Some(self.path(kind, &key)), ..shown(&stored) };
        Ok((Effect::Create, key, answer))
    }

    /// An object with nothing but what the server gives.
    fn blank(&self, kind: Kind, key: &str, sent: &Fields) -> Object {
        let mut fields = Fields::new();
        fields.insert(kind.key_field().to_owned(), key.into());
        match kind {
            Kind::Issue => {
                let user = sent.get("user").and_then(Value::as_str).unwrap_or("you");
                let web = format!("{WEB}/{}/{}/issues/{}", self.repo.owner, self.repo.name, self.next_number);
                fields.insert("number".to_owned(), self.next_number.into());
                fields.insert("user".to_owned(), user.into());
                fields.insert("comments".to_owned(), 0.into());
                fields.insert("html_url".to_owned(), web.into());
            }
            Kind::Label => {
                fields.insert("id".to_owned(), self.next_label.into());
                fields.insert("default".to_owned(), false.into());
                fields.insert("url".to_owned(), format!("{WEB}{}", self.path(kind, key)).into());
            }
        }
        Object { key: key.to_owned(), fields, revision: 0 }
    }

    fn update(&mut self, write: &Write, current: &Object) -> Result<(Effect, String, Answer), Refusal> {
        let (kind, field) = (write.kind, write.kind.key_field());
        if write.body.get(field).is_some_and(|key| key.as_str() != Some(&current.key)) {
            return Err(Refusal::invalid(field, "contradicts the path"));
        }
        let mut fields = match write.verb {
            Verb::Put => current.replaced(kind, &write.body),
            _ => current.patched(kind, &write.body),
        };
        let mut key = current.key.clone();
        if let Some(name) = write.body.get("new_name").filter(|_| kind == Kind::Label) {
            key = name.as_str().ok_or_else(|| Refusal::invalid("new_name", "must be a string"))?.to_owned();
            if key != current.key && self.labels.contains_key(&key) {
                return Err(Refusal::AlreadyExists { field });
            }
            fields.insert(field.to_owned(), key.clone().into());
            fields.insert("url".to_owned(), format!("{WEB}{}", self.path(kind, &key)).into());
        }
        kind.complete(&mut fields)?;
        self.tick();
        self.stamp(kind, &mut fields, false);
        self.objects_mut(kind).remove(&current.key);
        let stored = self.store(kind, key, fields);
        Ok((Effect::Update, current.key.clone(), Answer { status: 200, ..shown(&stored) }))
    }

    pub(crate) fn store(&mut self, kind: Kind, key: String, fields: Fields) -> Object {
        self.revision += 1;
        let object = Object { key: key.clone(), fields, revision: self.revision };
        self.objects_mut(kind).insert(key, object.clone());
        object
    }

    fn tick(&mut self) {
        self.clock = self.clock.checked_add(SignedDuration::from_secs(60)).unwrap_or(self.clock);
    }

    fn stamp(&self, kind: Kind, fields: &mut Fields, created: bool) {
        if kind == Kind::Issue {
            let now = Value::from(self.clock.to_string());
            if created {
                fields.insert("created_at".to_owned(), now.clone());
            }
            fields.insert("updated_at".to_owned(), now);
        }
    }

    /// The path of an object, with its key as one segment.
    fn path(&self, kind: Kind, key: &str) -> String {
        format!("{}/{}/{}", self.repo.path(), kind.collection(), encode_segment(key))
    }
}
