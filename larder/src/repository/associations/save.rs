//! Saves a row together with what it carries: targets before the row, children and link rows after it.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use larder_core::association::resolve::reference as refers_to;
use larder_core::association::{AnyModel, AssocDef, Carried, Link, Member, Orphans};
use larder_core::dialect::json;
use larder_core::{
    CompareOp, Error, ErrorKind, Key, KeyKind, Predicate, Query, Record, Result, Row, Schema, Uuid, Value,
};

use super::super::nesting::Within;
use super::Referrers;
use super::delete;
use super::ground::Ground;
use super::plan::{Node, Plan, is_nullable, reference, with_value};
use crate::engine::enqueue::differences;

/// A row that is saved.
pub(crate) struct Root<'a> {
    pub(crate) schema: &'static Schema,
    pub(crate) key: Key,
    /// As it is stored.
    pub(crate) row: Arc<dyn Row>,
    /// As the application gave it, with what it carries.
    pub(crate) given: &'a dyn Row,
}

/// True if saving the row means saving others as well.
pub(crate) fn carries(schema: &'static Schema, given: &dyn Row) -> bool {
    schema.associations.iter().any(|def| {
        let Carried { members, removed } = (def.glue.carried)(given);
        // Of a list of keys that is stored with the row, the row itself is all that is written.
        let apart = !def.is_stored();
        members.iter().any(|member| member.row.is_some() || (apart && member.added))
            || (apart && !removed.is_empty())
    })
}

/// Plans the saving of `roots` and of all that they carry.
///
/// # Errors
/// `Invalid` if a row can't be taken out of its list, can't be joined, or new rows require each other; `NotFound` if a
/// row that was edited or linked is not there; `Conflict` if a row that would be deleted is referred to.
pub(crate) async fn plan(
    ground: &mut dyn Ground,
    referrers: &Referrers,
    mint: &(dyn Fn() -> Uuid + Send + Sync),
    roots: Vec<Root<'_>>,
) -> Result<Plan> {
    let mut saving = Saving {
        ground,
        mint,
        plan: Plan::default(),
        open: VecDeque::new(),
        seen: HashSet::new(),
        taken_out: Vec::new(),
        doomed: Vec::new(),
    };
    let mut places = Vec::with_capacity(roots.len());
    for Root { schema, key, row, .. } in &roots {
        places.push(saving.put(schema, key.clone(), Arc::clone(row)).await?);
    }
    for (root, place) in roots.iter().zip(places) {
        saving.carried(root.schema, root.given, place, None).await?;
    }
    while let Some(Open { row, place, except }) = saving.open.pop_front() {
        saving.carried(row.described(), &*row, place, except).await?;
    }
    // A row that was put into another list meanwhile belongs there.
    for TakenOut { of, def, field, key, parent } in std::mem::take(&mut saving.taken_out) {
        saving.unlink(of, def, field, &key, &parent).await?;
    }
    let Saving { ground, mut plan, doomed, .. } = saving;
    delete::extend(&mut plan, ground, referrers, doomed).await?;
    Ok(plan)
}

struct Saving<'a> {
    ground: &'a mut dyn Ground,
    mint: &'a (dyn Fn() -> Uuid + Send + Sync),
    plan: Plan,
    /// Rows that are planned, and whose own associations are still to be looked at.
    open: VecDeque<Open>,
    /// Where the copies are whose associations are looked at: one that stands in many places is looked at once.
    seen: HashSet<usize>,
    taken_out: Vec<TakenOut>,
    /// Rows that are to be deleted.
    doomed: Vec<(&'static Schema, Key)>,
}

struct Open {
    row: Arc<dyn AnyModel>,
    place: usize,
    /// The field that was set because of the parent's list: what it carried does not count.
    except: Option<u16>,
}

/// A row that was taken out of its parent's list.
struct TakenOut {
    of: &'static Schema,
    def: &'static AssocDef,
    field: u16,
    key: Key,
    parent: Key,
}

impl Saving<'_> {
    async fn put(&mut self, schema: &'static Schema, key: Key, row: Arc<dyn Row>) -> Result<usize> {
        if let Some(place) = self.plan.place(schema, &key) {
            return Ok(place);
        }
        let new = self.ground.row(schema, &key).await?.is_none();
        Ok(self.plan.add(Node { schema, key, row: Some(row), new, within: None }))
    }

    /// Plans what the row at `place` carries.
    async fn carried(
        &mut self,
        schema: &'static Schema,
        given: &dyn Row,
        place: usize,
        except: Option<u16>,
    ) -> Result<()> {
        for def in schema.associations.iter().filter(|def| except != Some(def.at)) {
            let Carried { members, removed } = (def.glue.carried)(given);
            match def.link {
                Link::One { field } => {
                    let required = !is_nullable(schema, field);
                    self.targets(schema, def, members, place, required).await?;
                }
                Link::Keys { .. } => self.targets(schema, def, members, place, false).await?,
                Link::Children { field } => {
                    for member in members {
                        self.child(schema, def, field, member, place).await?;
                    }
                    let parent = &self.plan.nodes[place].key;
                    let taken = |key| TakenOut { of: schema, def, field, key, parent: parent.clone() };
                    self.taken_out.extend(removed.into_iter().map(taken));
                }
                Link::Through { link, from, to } => {
                    let joint = Joint { schema, def, link: link(), from, to };
                    self.through(&joint, members, removed, place).await?;
                }
                _ => return Err(Error::new(ErrorKind::Unsupported, "an association of an unknown form")),
            }
        }
        Ok(())
    }

    /// Rows that the row at `place` refers to: they come before it.
    async fn targets(
        &mut self,
        schema: &'static Schema,
        def: &'static AssocDef,
        members: Vec<Member>,
        place: usize,
        required: bool,
    ) -> Result<()> {
        for member in members {
            let planned = self.plan.nodes.len();
            if let Some(target) = self.member((def.target)(), member, None).await? {
                let hard = required && self.plan.nodes[target].new;
                self.plan.edges.add(target, place, hard);
                if target >= planned {
                    self.goes_within(target, schema, place, def);
                }
            }
        }
        Ok(())
    }

    /// The row at `place`, which is planned because of the one at `parent`, goes in its request if the association says
    /// so.
    fn goes_within(&mut self, place: usize, schema: &'static Schema, parent: usize, def: &'static AssocDef) {
        if def.is_sent_nested(json::DIALECT) {
            let key = self.plan.nodes[parent].key.clone();
            self.plan.nodes[place].within = Some(Within { schema, key, def, guest: false });
        }
    }

    /// A row in the parent's list: it refers to the parent, and comes after it.
    async fn child(
        &mut self,
        schema: &'static Schema,
        def: &'static AssocDef,
        field: u16,
        member: Member,
        parent: usize,
    ) -> Result<()> {
        let target = (def.target)();
        if member.row.is_none() && !member.added {
            return Ok(());
        }
        let refers = Some((field, reference(target, field, &self.plan.nodes[parent].key)?));
        let planned = self.plan.nodes.len();
        let carried = member.row.is_some();
        let child = match member {
            Member { row: None, key, .. } => Some(self.linked(target, key, refers).await?),
            carried => self.member(target, carried, refers).await?,
        };
        if let Some(child) = child {
            if carried && child >= planned {
                self.goes_within(child, schema, parent, def);
            }
            let hard = !is_nullable(target, field) && self.plan.nodes[parent].new;
            self.plan.edges.add(parent, child, hard);
        }
        Ok(())
    }

    /// Plans a row that is carried, with a field set.
    async fn member(
        &mut self,
        schema: &'static Schema,
        member: Member,
        set: Option<(u16, Value)>,
    ) -> Result<Option<usize>> {
        let Some(given) = member.row else { return Ok(None) };
        let except = set.as_ref().map(|(field, _)| *field);
        let mut row: Arc<dyn Row> = Arc::<dyn AnyModel>::clone(&given);
        if let Some(base) = member.base {
            row = self.edited(schema, &member.key, &*base, &*given).await?;
            if let Some(place) = self.plan.place(schema, &member.key) {
                self.plan.nodes[place].row = Some(Arc::clone(&row));
            }
        }
        if let Some(place) = self.plan.place(schema, &member.key) {
            self.set(place, set)?;
            if self.seen.insert(Arc::as_ptr(&given).cast::<()>() as usize) {
                self.open.push_back(Open { row: given, place, except });
            }
            return Ok(Some(place));
        }
        if let Some((field, value)) = set {
            row = with_value(schema, &*row, field, value)?;
        }
        let key = schema.key_of(&*row)?;
        let place = self.put(schema, key, row).await?;
        self.seen.insert(Arc::as_ptr(&given).cast::<()>() as usize);
        self.open.push_back(Open { row: given, place, except });
        Ok(Some(place))
    }

    /// Sets a field of a row that is planned already, because another list has it as well.
    fn set(&mut self, place: usize, set: Option<(u16, Value)>) -> Result<()> {
        let node = &mut self.plan.nodes[place];
        if let (Some((field, value)), Some(row)) = (set, &mut node.row) {
            *row = with_value(node.schema, &**row, field, value)?;
        }
        Ok(())
    }

    /// What is stored, with what was changed since the row was loaded.
    async fn edited(
        &mut self,
        schema: &'static Schema,
        key: &Key,
        base: &dyn Row,
        edited: &dyn Row,
    ) -> Result<Arc<dyn Row>> {
        let error = |kind, what: &str| Error::new(kind, what).during("upsert").model(schema.model).key(key);
        if schema.key_of(base)? != *key {
            return Err(error(ErrorKind::Invalid, "an edit can't change the key: delete and insert"));
        }
        let planned = self.plan.place(schema, key).and_then(|place| self.plan.nodes[place].row.clone());
        let stored = match planned {
            // Edited in another list as well: both edits count.
            Some(row) => Some(row),
            None => self.ground.row(schema, key).await?,
        };
        let Some(stored) = stored else {
            return Err(error(ErrorKind::NotFound, "a related row that was edited is not there any more"));
        };
        let mut row = Record::copy(schema, &*stored)?;
        for at in differences(schema, base, edited)?.iter() {
            let value = edited.field(at).and_then(larder_core::ValueRef::to_value);
            row.set(at, value.map_err(|fault| schema.fault(at, fault))?);
        }
        Ok(Arc::new(row))
    }

    /// Plans a row that is stored, with a field set.
    async fn linked(
        &mut self,
        schema: &'static Schema,
        key: Key,
        set: Option<(u16, Value)>,
    ) -> Result<usize> {
        if let Some(place) = self.plan.place(schema, &key) {
            self.set(place, set)?;
            return Ok(place);
        }
        let Some(mut row) = self.ground.row(schema, &key).await? else {
            let what = "a row that was linked by its key is not there";
            return Err(Error::new(ErrorKind::NotFound, what).during("upsert").model(schema.model).key(&key));
        };
        if let Some((field, value)) = set {
            row = with_value(schema, &*row, field, value)?;
        }
        self.put(schema, key, row).await
    }

    /// A row that was taken out of the parent's list, unless it has gone elsewhere meanwhile.
    async fn unlink(
        &mut self,
        schema: &'static Schema,
        def: &AssocDef,
        field: u16,
        key: &Key,
        parent: &Key,
    ) -> Result<()> {
        let target = (def.target)();
        let planned = self.plan.place(target, key);
        let row = match planned {
            Some(place) => self.plan.nodes[place].row.clone(),
            None => self.ground.row(target, key).await?,
        };
        let Some(row) = row else { return Ok(()) };
        if refers_to(target, field, &*row)?.as_ref() != Some(parent) {
            return Ok(());
        }
        if def.orphans == Orphans::Delete {
            self.doomed.push((target, key.clone()));
            return Ok(());
        }
        if !is_nullable(target, field) {
            let what = format!(
                "it can't be taken out of `{}` of {}: its field `{}` is required. Delete it, make the field an \
                 `Option`, or write `orphans = \"delete\"`",
                def.name,
                schema.model,
                target.field(usize::from(field))?.name
            );
            return Err(Error::new(ErrorKind::Invalid, what).during("upsert").model(target.model).key(key));
        }
        if let Some(place) = planned {
            return self.set(place, Some((field, Value::Null)));
        }
        let row = with_value(target, &*row, field, Value::Null)?;
        self.put(target, key.clone(), row).await.map(drop)
    }
}

/// An association through a link model.
struct Joint {
    schema: &'static Schema,
    def: &'static AssocDef,
    link: &'static Schema,
    from: u16,
    to: u16,
}

/// The far end of a link row that is carried.
struct End {
    place: usize,
    /// It is planned because of this link row.
    new: bool,
}

impl Saving<'_> {
    async fn through(
        &mut self,
        joint: &Joint,
        members: Vec<Member>,
        removed: Vec<Key>,
        place: usize,
    ) -> Result<()> {
        let (mut joined, mut ends) = (Vec::new(), Vec::new());
        for member in members {
            let (key, added) = (member.key.clone(), member.added);
            let planned = self.plan.nodes.len();
            let end = self.member((joint.def.target)(), member, None).await?;
            let end = end.map(|place| End { place, new: place >= planned });
            if let Some(End { place: end, new: true }) = end {
                self.goes_within(end, joint.schema, place, joint.def);
            }
            if added {
                joined.push(key);
                ends.push(end);
            }
        }
        if joined.is_empty() && removed.is_empty() {
            return Ok(());
        }
        let known = self.links(joint, place).await?;
        for (key, end) in joined.into_iter().zip(ends) {
            if !known.iter().any(|(_, to)| *to == key) {
                self.join(joint, place, &key, end).await?;
            }
        }
        let gone = known.into_iter().filter(|(_, to)| removed.contains(to));
        self.doomed.extend(gone.map(|(link, _)| (joint.link, link)));
        Ok(())
    }

    /// The link rows of the row at `place`: their keys, and where they lead.
    async fn links(&mut self, joint: &Joint, place: usize) -> Result<Vec<(Key, Key)>> {
        let key = &self.plan.nodes[place].key;
        let value = reference(joint.link, joint.from, key)?;
        let of_row = Predicate::Compare { field: joint.from, op: CompareOp::Eq, value };
        let mut links = Vec::new();
        for found in self.ground.rows(joint.link, &Query::filter(of_row)).await? {
            if let Some(to) = refers_to(joint.link, joint.to, &*found.row)? {
                links.push((joint.link.key_of(&*found.row)?, to));
            }
        }
        Ok(links)
    }

    /// Plans a link row: it comes after both its ends.
    async fn join(&mut self, joint: &Joint, place: usize, to: &Key, end: Option<End>) -> Result<()> {
        let link = joint.link;
        let mut row = Record::new(vec![None; link.fields.len()]);
        row.set(joint.from.into(), reference(link, joint.from, &self.plan.nodes[place].key)?);
        row.set(joint.to.into(), reference(link, joint.to, to)?);
        if let ([key], KeyKind::Client) = (link.key.fields, link.key.kind) {
            row.set(*key, Value::Uuid((self.mint)()));
        }
        for (at, field) in link.fields.iter().enumerate() {
            if row.get(at).is_some() {
                continue;
            }
            let default = field.default_in(larder_core::packed::DIALECT).ok_or_else(|| {
                let what = format!(
                    "a row of {} can't be made for `{}` of {}: nothing says what its field `{}` is. Give the field a \
                     default, or store the link row yourself",
                    link.model, joint.def.name, joint.schema.model, field.name
                );
                Error::new(ErrorKind::Invalid, what).during("upsert").model(link.model)
            })?;
            row.set(at, default);
        }
        let (key, planned) = (link.key_of(&row)?, self.plan.nodes.len());
        let joined = self.put(link, key, Arc::new(row)).await?;
        for end in [Some(place), end.as_ref().map(|end| end.place)].into_iter().flatten() {
            self.plan.edges.add(end, joined, self.plan.nodes[end].new);
        }
        if joined >= planned && joint.def.is_sent_nested(json::DIALECT) {
            self.goes_within(joined, joint.schema, place, joint.def);
            // What stands in the list is the row at the far end, in the place of the link row that leads to it.
            let def = link.associations.iter().find(|def| def.at == joint.to);
            if let (Some(End { place: end, new: true }), Some(def)) = (end, def) {
                let key = self.plan.nodes[joined].key.clone();
                self.plan.nodes[end].within = Some(Within { schema: link, key, def, guest: true });
            }
        }
        Ok(())
    }
}
