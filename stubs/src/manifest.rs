//! What a manifest and the envelope of a fixture may say.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

/// `stubs.manifest.json`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) base: Option<String>,
    #[serde(default)]
    pub(crate) variants: Vec<VariantFile>,
    #[serde(default)]
    pub(crate) collections: Vec<CollectionFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VariantFile {
    pub(crate) on: OneOrMany,
    #[serde(default)]
    pub(crate) body_like: Option<Value>,
    #[serde(default)]
    pub(crate) answer: AnswerFile,
    #[serde(default)]
    pub(crate) then: Vec<AnswerFile>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// `{"$stub": {…}, "body": …}`, and an answer of the manifest.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswerFile {
    #[serde(default)]
    pub(crate) status: Option<Status>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<Name, Text>,
    #[serde(default)]
    pub(crate) delay_ms: u64,
    #[serde(default)]
    pub(crate) body: Option<Value>,
    #[serde(default)]
    pub(crate) template: Option<Value>,
    #[serde(default)]
    pub(crate) file: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Envelope {
    #[serde(rename = "$stub")]
    pub(crate) stub: AnswerFile,
    #[serde(default)]
    pub(crate) body: Option<Value>,
    #[serde(default)]
    pub(crate) then: Vec<AnswerFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CollectionFile {
    pub(crate) at: String,
    #[serde(default)]
    pub(crate) key: Option<OneOrMany>,
    #[serde(default)]
    pub(crate) rows: Vec<Value>,
    #[serde(default)]
    pub(crate) file: Option<String>,
    #[serde(default)]
    pub(crate) page_size: Option<usize>,
    #[serde(default)]
    pub(crate) etags: bool,
    #[serde(default)]
    pub(crate) idempotency_key: Option<String>,
    #[serde(default)]
    pub(crate) filters: Option<FiltersFile>,
    #[serde(default)]
    pub(crate) sort: Option<String>,
    #[serde(default)]
    pub(crate) window: Option<(String, String)>,
    #[serde(default)]
    pub(crate) wrap: Option<String>,
    #[serde(default)]
    pub(crate) put_creates: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum FiltersFile {
    All(All),
    Some(Vec<String>),
}

#[derive(Debug, Deserialize)]
pub(crate) enum All {
    #[serde(rename = "all")]
    All,
}

/// A status that HTTP has.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u16")]
pub(crate) struct Status(pub(crate) u16);

impl TryFrom<u16> for Status {
    type Error = String;

    fn try_from(status: u16) -> Result<Self, String> {
        let known = http::StatusCode::from_u16(status);
        known.map(|_| Self(status)).map_err(|_| format!("{status} is no status, which are 100 to 999"))
    }
}

/// The name of a header.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Name(pub(crate) String);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        HeaderName::try_from(&name).map_err(|_| format!("`{name}` can't be the name of a header"))?;
        Ok(Self(name))
    }
}

/// The value of a header.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Text(pub(crate) String);

impl TryFrom<String> for Text {
    type Error = String;

    fn try_from(value: String) -> Result<Self, String> {
        HeaderValue::try_from(&value).map_err(|_| format!("`{value}` can't be the value of a header"))?;
        Ok(Self(value))
    }
}
