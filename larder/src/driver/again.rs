//! What later entries of a row write again: there the answer to an earlier one must not show through.

use larder_core::{Entry, FieldSet, PageRow, Result, StoredRow, ValueRef};

use super::act::Acts;
use crate::engine::enqueue::differences;

impl Acts {
    /// Fields that the row shows as `entry` sent them, that the remote answered otherwise, and that an entry behind it
    /// writes all the same: the row goes on to show them as they are. The entries are read only where there is such a
    /// field, so that a long list of them is not read for each.
    pub(super) async fn written_again(
        &self,
        entry: &Entry,
        stored: Option<&StoredRow>,
        answer: Option<&PageRow>,
    ) -> Result<FieldSet> {
        let (Some(stored), Some(answer), Some(sent)) = (stored, answer, entry.row.as_deref()) else {
            return Ok(FieldSet::default());
        };
        let Some(top) = stored.row.as_deref().filter(|_| stored.meta.tail > entry.seq) else {
            return Ok(FieldSet::default());
        };
        let schema = entry.schema;
        let (ours, theirs) = (differences(schema, sent, top)?, differences(schema, sent, &*answer.row)?);
        let says = |at: &usize| !matches!(answer.row.field(*at), Ok(ValueRef::Absent));
        let in_doubt: FieldSet = theirs.iter().filter(says).filter(|at| !ours.contains(*at)).collect();
        if in_doubt.is_empty() {
            return Ok(in_doubt);
        }
        let chain = self.chain(schema, &entry.key, stored.meta.tail).await?;
        let later: Vec<Entry> = chain.into_iter().filter(|other| other.seq > entry.seq).collect();
        Ok(in_doubt.iter().filter(|at| later.iter().any(|other| other.changed.contains(*at))).collect())
    }
}
