//! What [`Break`](super::Break) does to the repository, apart from what the repository does honestly.

use serde_json::Value;

use super::exchange::Answer;
use super::forge::Forge;
use super::journal::Entry;
use super::object::Kind;

impl Forge {
    /// The second application of [`Break::Double`](super::Break::Double).
    pub(crate) fn apply_again(&mut self, answer: &mut Answer, entry: &Entry) {
        let key = answer.body.as_ref().and_then(|body| body.get(entry.kind.key_field()));
        if let Some(key) = key.and_then(Value::as_str).map(str::to_owned)
            && let Some(object) = self.objects(entry.kind).get(&key).cloned()
        {
            let stored = self.store(entry.kind, key, object.fields);
            answer.etag = Some(stored.etag());
        }
        self.journal.push(entry.clone());
    }

    /// Changes a row behind everybody's back; the newest issue if the row is not there or none is named.
    pub(crate) fn alter(&mut self, kind: Kind, key: Option<&str>) {
        let row = key.and_then(|key| self.find(kind, key)).map(|object| (kind, object.key.clone()));
        let row =
            row.or_else(|| self.list(Kind::Issue).first().map(|issue| (Kind::Issue, issue.key.clone())));
        if let Some((kind, key)) = row
            && let Some(object) = self.objects_mut(kind).get_mut(&key)
        {
            let (field, value) = match kind {
                Kind::Issue => ("title", "changed by nobody"),
                Kind::Label => ("description", "changed by nobody"),
            };
            object.fields.insert(field.to_owned(), value.into());
        }
    }
}
