//! A model as static data: what the derive writes and everything below the typed face reads.

use crate::association::AssocDef;
use crate::conflict::ConflictDef;
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::key::Key;
use crate::kind::{Kind, same};
use crate::migration::Migration;
use crate::row::{Record, Row};
use crate::value::{Value, ValueRef};

/// A model, described once.
///
/// Schemas are `static`, so one model has one address; they are built by the derive, or by hand:
///
/// ```
/// use larder_core::{FieldDef, KeyDef, Kind, Schema};
///
/// static TAG: Schema = Schema::new("Tag", &[FieldDef::new("name", Kind::Str)], KeyDef::natural(&[0]));
/// assert_eq!(TAG.position("name"), Some(0));
/// ```
#[derive(Debug)]
pub struct Schema {
    /// The Rust name; the name under which rows are stored.
    pub model: &'static str,
    /// The version of the model, counted by its author; 1 unless said otherwise.
    pub version: u32,
    /// The fields in the order in which a row shows them.
    pub fields: &'static [FieldDef],
    /// The key.
    pub key: KeyDef,
    /// Secondary indexes.
    pub indexes: &'static [IndexDef],
    /// Steps from former versions to today's, by rising version; versions without a step are bridged by names, aliases
    /// and defaults.
    pub migrations: &'static [Migration],
    /// How the model hangs together with others, by rising number: those that are stored first.
    pub associations: &'static [AssocDef],
    /// What becomes of a row that was changed here and at the remote.
    pub conflict: ConflictDef,
    /// The application's own checks of a row; see [`validate`](Self::validate()).
    pub validate: Option<fn(&dyn Row) -> Result<()>>,
    /// Whether a row is one of the model; see [`fits`](Self::fits()).
    pub fits: Option<fn(&dyn Row) -> Result<()>>,
    /// What is written to a remote beside the fields.
    pub computed: &'static [ComputedDef],
    /// The other shape that whole rows have in the dialects of these names.
    pub via: &'static [(&'static str, ViaDef)],
}

impl Schema {
    /// A model of version 1 without indexes.
    #[must_use]
    pub const fn new(model: &'static str, fields: &'static [FieldDef], key: KeyDef) -> Self {
        Self {
            model,
            version: 1,
            fields,
            key,
            indexes: &[],
            migrations: &[],
            associations: &[],
            conflict: ConflictDef::DEFAULT,
            validate: None,
            fits: None,
            computed: &[],
            via: &[],
        }
    }

    /// Sets the version of the model.
    #[must_use]
    pub const fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Sets the secondary indexes.
    #[must_use]
    pub const fn indexes(mut self, indexes: &'static [IndexDef]) -> Self {
        self.indexes = indexes;
        self
    }

    /// Sets the steps from former versions.
    #[must_use]
    pub const fn migrations(mut self, migrations: &'static [Migration]) -> Self {
        self.migrations = migrations;
        self
    }

    /// The steps that a row of version `stored` needs, in their order.
    pub fn steps(&self, stored: u32) -> impl Iterator<Item = &'static Migration> {
        let current = self.version;
        self.migrations.iter().filter(move |step| step.from >= stored && step.from < current)
    }

    /// Sets the associations.
    #[must_use]
    pub const fn associations(mut self, associations: &'static [AssocDef]) -> Self {
        self.associations = associations;
        self
    }

    /// Sets what becomes of a row that was changed here and at the remote.
    #[must_use]
    pub const fn conflict(mut self, conflict: ConflictDef) -> Self {
        self.conflict = conflict;
        self
    }

    /// The association with this number: see [`AssocDef::at`].
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if there is none.
    pub fn association(&self, at: u16) -> Result<&'static AssocDef> {
        self.associations.iter().find(|def| def.at == at).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, format!("there is no association {at}")).model(self.model)
        })
    }

    /// The other shape that whole rows have in `dialect`, if they have one.
    #[must_use]
    pub fn via(&self, dialect: &str) -> Option<&'static ViaDef> {
        self.via.iter().find(|(name, _)| *name == dialect).map(|(_, via)| via)
    }

    /// The position of the field that is called `name` in the model.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    /// The position of the field that is called `name` in `dialect`, or was once: an alias counts where no field has that name.
    #[must_use]
    pub fn position_in(&self, dialect: &str, name: &str) -> Option<usize> {
        let named = |field: &FieldDef| field.name_in(dialect) == name;
        let once = |field: &FieldDef| field.alias_in(dialect).contains(&name);
        self.fields.iter().position(named).or_else(|| self.fields.iter().position(once))
    }

    /// The field at `position`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if there is none.
    pub fn field(&self, position: usize) -> Result<&'static FieldDef> {
        self.fields.get(position).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, format!("there is no field {position}")).model(self.model)
        })
    }

    /// The key of `row`.
    ///
    /// # Errors
    /// [`ErrorKind::Serialization`] if a key field is null, missing or can't be a key.
    pub fn key_of(&self, row: &dyn Row) -> Result<Key> {
        let part = |position: usize| {
            let named = |fault: Fault| fault.error(self.model, self.fields[position].name);
            row.field(position).and_then(Key::take).map_err(named)
        };
        match self.key.fields {
            [] => Ok(Key::Singleton),
            [one] => part(*one),
            many => Ok(Key::Composite(many.iter().map(|at| part(*at)).collect::<Result<_>>()?)),
        }
    }

    /// Gives a fault of field `position` its place.
    #[cold]
    #[must_use]
    pub fn fault(&self, position: usize, fault: Fault) -> Error {
        fault.error(self.model, self.fields.get(position).map_or("?", |field| field.name))
    }
}

/// Two schemas are the same if they are the same `static`.
impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Schema {}

/// The dialect under which stands what holds in every dialect that has no entry of its own.
pub const ANY: &str = "*";

/// A field of a model, of a nested struct or of a variant.
#[derive(Debug)]
pub struct FieldDef {
    /// The Rust name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What a reader gets where the field is missing; a constant, so that a filter and a decode agree.
    pub default: Option<fn() -> Value>,
    /// What is special in some dialect; [`ANY`] stands for every dialect without an entry.
    pub dialects: &'static [(&'static str, FieldDialect)],
}

impl FieldDef {
    /// A field that is called and written the same everywhere.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, default: None, dialects: &[] }
    }

    /// Sets the default for reading.
    #[must_use]
    pub const fn with_default(mut self, default: fn() -> Value) -> Self {
        self.default = Some(default);
        self
    }

    /// Sets what is special per dialect.
    #[must_use]
    pub const fn with_dialects(mut self, dialects: &'static [(&'static str, FieldDialect)]) -> Self {
        self.dialects = dialects;
        self
    }

    /// What is special in `dialect`: its own entry, or that of [`ANY`].
    #[must_use]
    pub const fn dialect(&self, dialect: &str) -> Option<&'static FieldDialect> {
        let (mut at, mut any) = (0, None);
        while at < self.dialects.len() {
            let (name, special) = &self.dialects[at];
            if same(name, dialect) {
                return Some(special);
            }
            if same(name, ANY) {
                any = Some(special);
            }
            at += 1;
        }
        any
    }

    /// The name in `dialect`.
    #[must_use]
    pub const fn name_in(&self, dialect: &str) -> &'static str {
        match self.dialect(dialect) {
            Some(FieldDialect { name: Some(name), .. }) => name,
            _ => self.name,
        }
    }

    /// The fields that stand for this one in `dialect`, if its struct is flattened there.
    #[must_use]
    pub const fn flat_in(&self, dialect: &str) -> Option<&'static [FieldDef]> {
        match (self.dialect(dialect), self.kind.inner()) {
            (Some(FieldDialect { flatten: true, .. }), Kind::Struct(def)) => Some(def.fields),
            _ => None,
        }
    }

    /// The former names in `dialect`.
    #[must_use]
    pub fn alias_in(&self, dialect: &str) -> &'static [&'static str] {
        self.dialect(dialect).map_or(&[], |special| special.alias)
    }

    /// What a reader of `dialect` gets where the field is missing: the dialect's default, the field's, or null for an
    /// option; `None` if the field is required.
    #[must_use]
    pub fn default_in(&self, dialect: &str) -> Option<Value> {
        let special = self.dialect(dialect).and_then(|special| special.default);
        match special.or(self.default) {
            Some(make) => Some(make()),
            None if self.kind.is_nullable() => Some(Value::Null),
            None => None,
        }
    }
}

/// What is special about a field in one dialect.
#[derive(Debug)]
pub struct FieldDialect {
    /// Its name there.
    pub name: Option<&'static str>,
    /// Former names, accepted on reading.
    pub alias: &'static [&'static str],
    /// Not read: a row that comes from there does not have the field.
    pub skip_read: bool,
    /// Not written.
    pub skip_write: bool,
    /// What a reader gets where the field is missing, if that differs from the field's default.
    pub default: Option<fn() -> Value>,
    /// How the value is written there, if that differs.
    pub convert: Option<Converter>,
    /// The fields of the struct that it is stand among those that it stands among itself.
    pub flatten: bool,
}

impl FieldDialect {
    /// Nothing special.
    pub const PLAIN: Self = Self {
        name: None,
        alias: &[],
        skip_read: false,
        skip_write: false,
        default: None,
        convert: None,
        flatten: false,
    };
}

/// Maps a field between its stored representation and JSON.
#[derive(Clone, Copy, Debug)]
pub struct Converter {
    /// Makes the JSON; an error is a lower-case fragment.
    pub write: fn(ValueRef<'_>) -> Result<serde_json::Value, String>,
    /// Reads the JSON; an error is a lower-case fragment.
    pub read: fn(&serde_json::Value) -> Result<Value, String>,
}

/// A value that is made of a row and written to a remote. It is neither read nor stored.
#[derive(Debug)]
pub struct ComputedDef {
    /// The dialect in which it is written.
    pub dialect: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// Makes it.
    pub write: fn(&dyn Row) -> Result<serde_json::Value>,
}

/// The other shape that whole rows of a model have in some dialect.
#[derive(Debug)]
pub struct ViaDef {
    /// Makes the shape.
    pub write: fn(&dyn Row) -> Result<serde_json::Value>,
    /// Reads the shape; gives the row, and the shape as it is written when nothing is there but what it knows.
    pub read: fn(&serde_json::Value) -> Result<(Record, serde_json::Value)>,
}

/// The key of a model.
#[derive(Debug)]
pub struct KeyDef {
    /// The positions of its fields: none for a singleton, several for a composite key.
    pub fields: &'static [usize],
    /// Where keys come from.
    pub kind: KeyKind,
}

impl KeyDef {
    /// A key that the data brings with it.
    #[must_use]
    pub const fn natural(fields: &'static [usize]) -> Self {
        Self { fields, kind: KeyKind::Natural }
    }

    /// A key that the server gives; until it has, the row has a temporary one.
    #[must_use]
    pub const fn server(fields: &'static [usize]) -> Self {
        Self { fields, kind: KeyKind::Server }
    }

    /// A UUIDv7 that the client makes.
    #[must_use]
    pub const fn client(fields: &'static [usize]) -> Self {
        Self { fields, kind: KeyKind::Client }
    }

    /// The key of the only row of its model.
    #[must_use]
    pub const fn singleton() -> Self {
        Self { fields: &[], kind: KeyKind::Singleton }
    }
}

/// Where the keys of a model come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyKind {
    /// A UUIDv7, made by the client.
    Client,
    /// The data brings it: a name, a number.
    Natural,
    /// The server gives it when it takes the row; the client's is temporary, and not sent.
    Server,
    /// The model has one row.
    Singleton,
}

/// True if no two of the fields have the same name in `dialect`, those of flattened structs included.
#[must_use]
pub const fn distinct_in(fields: &'static [FieldDef], dialect: &str) -> bool {
    none_taken(fields, fields, dialect)
}

/// True if `all` has each name of `fields` once.
const fn none_taken(fields: &'static [FieldDef], all: &'static [FieldDef], dialect: &str) -> bool {
    let mut at = 0;
    while at < fields.len() {
        let fine = match fields[at].flat_in(dialect) {
            Some(flat) => none_taken(flat, all, dialect),
            None => count(all, dialect, fields[at].name_in(dialect)) == 1,
        };
        if !fine {
            return false;
        }
        at += 1;
    }
    true
}

/// True if one of the fields, or of those of flattened structs, is called `name` in `dialect`.
pub(crate) const fn has_name(fields: &'static [FieldDef], dialect: &str, name: &str) -> bool {
    count(fields, dialect, name) > 0
}

const fn count(fields: &'static [FieldDef], dialect: &str, name: &str) -> usize {
    let (mut at, mut found) = (0, 0);
    while at < fields.len() {
        found += match fields[at].flat_in(dialect) {
            Some(flat) => count(flat, dialect, name),
            None => same(fields[at].name_in(dialect), name) as usize,
        };
        at += 1;
    }
    found
}

/// A secondary index.
#[derive(Debug)]
pub struct IndexDef {
    /// Its name, stable over versions of the model.
    pub name: &'static str,
    /// The positions of its fields.
    pub fields: &'static [usize],
    /// True if no two rows may agree in all fields; rows with a null in one of them never collide.
    pub unique: bool,
}
