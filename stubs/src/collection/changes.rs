//! What has changed since a token.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::config::Telling;
use super::rows::{Asked, Refusal, RowKey, Rows, Stored};
use crate::variant::Answer;

/// The path below a collection's own at which it tells of changes.
const AT: &str = "changes";

/// The header that has the token as well.
const HEADER: &str = "X-Changes-Token";

/// What was removed lately, by the number of the write that did it.
pub(super) type Stones = BTreeMap<u64, (RowKey, Value)>;

/// Where a reader stands: a token.
#[derive(Clone, Copy)]
struct Token {
    /// The number of the write before which he knows everything, but for rows that he has not come to.
    floor: u64,
    /// Of those, he has come to the one with this version.
    place: u64,
}

impl Token {
    fn read(text: &str) -> Option<Self> {
        let (floor, place) = text.split_once('.').unwrap_or((text, text));
        Some(Self { floor: floor.parse().ok()?, place: place.parse().ok()? })
    }

    fn write(self) -> String {
        let Self { floor, place } = self;
        if floor == place { floor.to_string() } else { format!("{floor}.{place}") }
    }
}

impl Telling {
    /// True if a request is for changes.
    pub(super) fn is_asked(asked: &Asked<'_>) -> bool {
        matches!(asked.key, [at] if at == AT)
    }
}

impl Rows {
    /// Notes that a row is gone, and forgets what is too old.
    pub(super) fn bury(&mut self, key: RowKey, row: &Map<String, Value>) {
        let Some(telling) = self.config.changes else { return };
        self.version += 1;
        let members = &self.config.key;
        let part = |member: &String| (member.clone(), row.get(member).cloned().unwrap_or_default());
        let named = match &members[..] {
            [member] => row.get(member).cloned().unwrap_or_default(),
            members => Value::Object(members.iter().map(part).collect()),
        };
        self.stones.insert(self.version, (key, named));
        self.stones = self.stones.split_off(&self.version.saturating_sub(telling.history));
    }

    /// Answers what has changed.
    pub(super) fn changed(&self, telling: Telling, asked: &Asked<'_>) -> Result<Answer, Refusal> {
        let since = match asked.query {
            [] => Some(Token { floor: self.version, place: 0 }),
            [(name, value)] if name == "since" => Token::read(value),
            _ => return Err((400, "changes have no parameter but `since`".to_owned())),
        };
        let known = since
            .filter(|since| since.floor <= self.version && self.version - since.floor <= telling.history);
        let Some(since) = known else {
            return Err((410, "the token is too old".to_owned()));
        };
        let mut rows: Vec<&Stored> = self.rows.values().filter(|row| row.version > since.place).collect();
        rows.sort_by_key(|row| row.version);
        let gone: Vec<&Value> = self.stones.range(since.floor + 1..).map(|(_, (_, key))| key).collect();
        let total = rows.len() + gone.len();
        let more = rows.len() > telling.page;
        rows.truncate(telling.page);
        let last = rows.last().map_or(since.place, |row| row.version);
        // Which rows are gone is told with the last of those that are there.
        let (gone, token) = match more {
            true => (Vec::new(), Token { place: last, ..since }),
            false => (gone, Token { floor: self.version, place: self.version }),
        };
        let changed: Vec<&Map<String, Value>> = rows.iter().map(|row| &row.json).collect();
        Ok(Answer::new().status(200).header(HEADER, &token.write()).json(json!({
            "changed": changed, "deleted": gone, "total": total, "more": more, "token": token.write(),
        })))
    }
}
