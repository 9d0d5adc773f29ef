//! What is to be loaded together with the rows of a query.

use serde::{Deserialize, Serialize};

use super::def::AssocDef;
use crate::error::Result;
use crate::schema::Schema;

/// An association that is to be loaded, and what is to be loaded with the rows that it leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Include {
    /// The association's number: [`AssocDef::at`].
    pub assoc: u16,
    /// What comes with its rows.
    pub nested: Includes,
}

/// The associations that are to be loaded: some by name, or all of them to a depth.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Includes {
    /// By name.
    pub named: Vec<Include>,
    /// All associations, so many levels deep; 0: those that are named alone. Cycles end by it.
    pub depth: u16,
}

impl Includes {
    /// True if nothing is to be loaded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.depth == 0
    }

    /// Adds an association; what is named twice is loaded once.
    pub fn add(&mut self, include: Include) {
        match self.named.iter_mut().find(|known| known.assoc == include.assoc) {
            Some(known) => known.nested.merge(include.nested),
            None => self.named.push(include),
        }
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: Self) {
        self.depth = self.depth.max(other.depth);
        other.named.into_iter().for_each(|include| self.add(include));
    }

    /// The associations of `schema` that are to be loaded with its rows, each with what comes with it.
    ///
    /// # Errors
    /// `Invalid` if an association is named that the model does not have.
    pub fn of(&self, schema: &'static Schema) -> Result<Vec<(&'static AssocDef, Self)>> {
        for include in &self.named {
            schema.association(include.assoc)?;
        }
        let wanted = |def: &'static AssocDef| {
            let named = self.named.iter().find(|include| include.assoc == def.at);
            let mut nested = Self { depth: self.depth.saturating_sub(1), ..Self::default() };
            if let Some(include) = named {
                nested.merge(include.nested.clone());
            }
            (self.depth > 0 || named.is_some()).then_some((def, nested))
        };
        Ok(schema.associations.iter().filter_map(wanted).collect())
    }
}
