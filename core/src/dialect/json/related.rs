//! Associations as a server says them: embedded, as keys, at the end of a path, or by other fields than the key.

use serde_json::{Map, Value as Json_};

use super::pointer::{self, Found};
use super::{DIALECT, Json, Missing, mismatch, read, read_field};
use crate::association::{AssocDef, AssocDialect, Brought, Embedded, Link, LookupBy, Wanted};
use crate::error::{Error, ErrorKind, Result};
use crate::kind::Kind;
use crate::row::Record;
use crate::schema::{FieldDef, Schema};
use crate::serdes::Decoded;
use crate::value::Value;

/// What an object is read for.
pub(super) struct Reading<'a> {
    pub(super) schema: &'static Schema,
    pub(super) object: &'a Map<String, Json_>,
    pub(super) missing: Missing,
    pub(super) brought: Brought,
}

impl Reading<'_> {
    /// Reads the field at `at`.
    pub(super) fn field(&mut self, at: usize, field: &'static FieldDef) -> Result<Option<Value>> {
        let stored = |def: &&AssocDef| def.is_stored() && usize::from(def.at) == at;
        let special = field.dialect(DIALECT);
        let plain = special.is_some_and(|special| special.skip_read || special.convert.is_some());
        match self.schema.associations.iter().find(stored) {
            Some(def) if !plain => self.stored(def, field),
            _ => read_field(self.object, field, self.missing),
        }
    }

    fn stored(&mut self, def: &'static AssocDef, field: &'static FieldDef) -> Result<Option<Value>> {
        let special = def.dialect(DIALECT).unwrap_or(&AssocDialect::PLAIN);
        if !special.lookup.is_empty() {
            return self.lookup(def, field, special.lookup);
        }
        let found = match special.path {
            Some(path) => pointer::find(self.object, path)?,
            None => named(self.object, field.name_in(DIALECT), field.alias_in(DIALECT)).map(Found::One),
        };
        let Some(found) = found else {
            let why = match special.path {
                Some(path) => format!("required, but the path `{path}` leads nowhere"),
                None => "required, but not there; give the field a default if it may be".to_owned(),
            };
            return self.absent(field, why);
        };
        let value = match (found, &field.kind.inner()) {
            (Found::One(Json_::Array(elements)), Kind::List(of)) => self.list(def, &mut elements.iter(), of),
            (Found::Many(elements), Kind::List(of)) => self.list(def, &mut elements.into_iter(), of),
            (Found::One(json), _) => self.key(def, json, &field.kind),
            (Found::Many(_), _) => {
                Err(Error::new(ErrorKind::Serialization, "expected one key, found several"))
            }
        };
        let led = |error: Error| match special.path {
            Some(path) => error.at(pointer::shown(path)),
            None => error,
        };
        value.map(Some).map_err(led)
    }

    fn absent(&self, field: &'static FieldDef, why: String) -> Result<Option<Value>> {
        if self.missing == Missing::Absent {
            return Ok(None);
        }
        let default = field.default_in(DIALECT).map(Some);
        default.ok_or_else(|| Error::new(ErrorKind::Serialization, why))
    }

    fn list(
        &mut self,
        def: &'static AssocDef,
        elements: &mut dyn Iterator<Item = &Json_>,
        of: &'static Kind,
    ) -> Result<Value> {
        let key = |(i, json)| self.key(def, json, of).map_err(|error| error.at(format!("[{i}]")));
        elements.enumerate().map(key).collect::<Result<_>>().map(Value::List)
    }

    /// The key of a related row: the key itself, or that of the row, which stands there.
    fn key(&mut self, def: &'static AssocDef, json: &Json_, kind: &'static Kind) -> Result<Value> {
        match json {
            Json_::Object(_) => self.embedded((def.target)(), json, None),
            key => read(key, kind),
        }
    }

    /// A row that stands there, and its key. `set` is a field that it has from where it stands, if it does not say it.
    fn embedded(
        &mut self,
        schema: &'static Schema,
        json: &Json_,
        set: Option<(u16, &Value)>,
    ) -> Result<Value> {
        let Decoded { mut record, extra, brought } = Json.decode_with(schema, json, Missing::Absent)?;
        if let Some((field, value)) = set
            && matches!(record.get(usize::from(field)), None | Some(Value::Null))
        {
            record.set(usize::from(field), value.clone());
        }
        let Brought { rows, lookups } = brought;
        self.brought.rows.extend(rows);
        let key = key_of(schema, &record)?;
        let rest = rest(schema, &record, &lookups);
        self.brought.rows.push(Embedded { schema, row: record, rest, extra, lookups });
        Ok(key)
    }

    /// A reference by other fields than the key: which row is meant, is found out before this one is stored.
    fn lookup(
        &mut self,
        def: &'static AssocDef,
        field: &'static FieldDef,
        pairs: &'static [LookupBy],
    ) -> Result<Option<Value>> {
        let target = (def.target)();
        let mut by = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let wanted = target.field(usize::from(pair.field))?;
            let found = match pair.path {
                Some(path) => pointer::find(self.object, path)?,
                None => named(self.object, field.name_in(DIALECT), field.alias_in(DIALECT)).map(Found::One),
            };
            match found {
                // One that is not said leaves it open which row is meant.
                None | Some(Found::One(Json_::Null)) => {
                    let at = pair.path.unwrap_or(field.name);
                    let why = format!("required, but nothing at `{at}` says which {} is meant", target.model);
                    return match found {
                        Some(_) if field.kind.is_nullable() => Ok(Some(Value::Null)),
                        _ => self.absent(field, why),
                    };
                }
                Some(Found::One(json)) => {
                    by.push((
                        pair.field,
                        read(json, wanted.kind.inner()).map_err(|error| error.at(wanted.name))?,
                    ));
                }
                Some(Found::Many(_)) => {
                    return Err(Error::new(ErrorKind::Serialization, "expected one value, found several"));
                }
            }
        }
        self.brought.lookups.push(Wanted { def, by });
        Ok(None)
    }

    /// Reads the lists of related rows that are not stored with this one, which is `record`.
    pub(super) fn derived(&mut self, record: &Record) -> Result<()> {
        for def in self.schema.associations.iter().filter(|def| !def.is_stored()) {
            self.children(def, record).map_err(|error| error.at(def.name))?;
        }
        Ok(())
    }

    fn children(&mut self, def: &'static AssocDef, record: &Record) -> Result<()> {
        let special = def.dialect(DIALECT).unwrap_or(&AssocDialect::PLAIN);
        if special.skip_read {
            return Ok(());
        }
        let found = match special.path {
            Some(path) => pointer::find(self.object, path)?,
            None => named(self.object, def.name_in(DIALECT), special.alias).map(Found::One),
        };
        let elements: Vec<&Json_> = match found {
            // Nothing is said about them.
            None | Some(Found::One(Json_::Null)) => return Ok(()),
            Some(Found::Many(elements)) => elements,
            Some(Found::One(Json_::Array(elements))) => elements.iter().collect(),
            Some(Found::One(other)) => {
                let error = mismatch("an array of rows or keys", other);
                let hint = format!("{}; if it is something else, say `json(skip_read)`", error.message());
                return Err(Error::new(ErrorKind::Serialization, hint));
            }
        };
        let own = match key_of(self.schema, record) {
            Ok(own) => own,
            // An answer that shows a part of a row may leave out whose children they are.
            Err(_) if self.missing == Missing::Absent => return Ok(()),
            Err(error) => return Err(error),
        };
        for (i, json) in elements.into_iter().enumerate() {
            self.child(def, json, &own).map_err(|error| error.at(format!("[{i}]")))?;
        }
        Ok(())
    }

    fn child(&mut self, def: &'static AssocDef, json: &Json_, own: &Value) -> Result<()> {
        let target = (def.target)();
        let whose = match def.link {
            Link::Children { field } => Some((field, own)),
            _ => None,
        };
        let key = match json {
            Json_::Object(_) => self.embedded(target, json, whose)?,
            key => {
                let key = self.key(def, key, key_field(target)?.1)?;
                // Of a child that is known, its key says whose it is.
                if let Some((field, own)) = whose {
                    let mut row = empty(target);
                    row.set(key_field(target)?.0, key.clone());
                    row.set(usize::from(field), own.clone());
                    self.bring(target, row);
                }
                key
            }
        };
        if let Link::Through { link, from, to } = def.link {
            self.link(def, link(), [(from, own), (to, &key)])?;
        }
        Ok(())
    }

    /// The row of the link model that joins two rows.
    fn link(&mut self, def: &AssocDef, link: &'static Schema, ends: [(u16, &Value); 2]) -> Result<()> {
        let told = |at: &usize| ends.iter().any(|(field, _)| usize::from(*field) == *at);
        if link.key.fields.is_empty() || !link.key.fields.iter().all(told) {
            let what = format!(
                "a list of `{}` says nothing of the keys of {}, which joins them: let its two references be its key, \
                 or say `json(skip_read)`",
                def.name, link.model
            );
            return Err(Error::new(ErrorKind::Unsupported, what));
        }
        let mut row = empty(link);
        for (field, value) in ends {
            row.set(usize::from(field), value.clone());
        }
        self.bring(link, row);
        Ok(())
    }

    fn bring(&mut self, schema: &'static Schema, row: Record) {
        let rest = rest(schema, &row, &[]);
        self.brought.rows.push(Embedded { schema, row, rest, extra: None, lookups: Vec::new() });
    }
}

fn named<'a>(object: &'a Map<String, Json_>, name: &str, alias: &[&str]) -> Option<&'a Json_> {
    object.get(name).or_else(|| alias.iter().find_map(|alias| object.get(*alias)))
}

fn empty(schema: &Schema) -> Record {
    Record::new(vec![None; schema.fields.len()])
}

/// The field that is the key, and its type.
fn key_field(schema: &'static Schema) -> Result<(usize, &'static Kind)> {
    match schema.key.fields {
        [at] => Ok((*at, &schema.field(*at)?.kind)),
        _ => {
            let what = "a row that others refer to has one key field";
            Err(Error::new(ErrorKind::Unsupported, what).model(schema.model))
        }
    }
}

fn key_of(schema: &'static Schema, record: &Record) -> Result<Value> {
    let (at, _) = key_field(schema)?;
    match record.get(at) {
        None | Some(Value::Null) => {
            let what = format!("the {} that stands there has no key", schema.model);
            Err(Error::new(ErrorKind::Serialization, what).at(schema.fields[at].name))
        }
        Some(key) => Ok(key.clone()),
    }
}

/// What the absent fields of a row are if it is new; `None` if one of them is required.
fn rest(schema: &'static Schema, record: &Record, lookups: &[Wanted]) -> Option<Vec<(usize, Value)>> {
    let mut rest = Vec::new();
    for (at, field) in schema.fields.iter().enumerate() {
        let awaited = lookups.iter().any(|wanted| usize::from(wanted.def.at) == at);
        let unread = field.dialect(DIALECT).is_some_and(|special| special.skip_read);
        if record.get(at).is_none() && !awaited && !unread {
            rest.push((at, field.default_in(DIALECT)?));
        }
    }
    Some(rest)
}

/// True if an association is read from the member `name`: what stands there is not kept beside the row.
pub(super) fn knows(schema: &'static Schema, name: &str) -> bool {
    schema.associations.iter().any(|def| {
        let special = def.dialect(DIALECT);
        let paths = special.into_iter().flat_map(|special| {
            special.path.into_iter().chain(special.lookup.iter().filter_map(|by| by.path))
        });
        let mut heads = paths.filter_map(pointer::head);
        let called = !def.is_stored()
            && !special.is_some_and(|special| special.skip_read || special.path.is_some())
            && (def.name_in(DIALECT) == name || special.is_some_and(|special| special.alias.contains(&name)));
        called || heads.any(|head| head == name)
    })
}
