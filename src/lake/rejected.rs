//! The rejects of one object in short: how many there are for which reason, and a digest of them all. By it two readings of an
//! object are compared without either being kept: what the ledger holds, and what the object gives under other settings.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;

use super::error::LakeError;
use super::layout;
use super::ledger::Ledger;
use super::ledger_rows::Texts;
use crate::base::{Digest, Digester, HalfOpen, UtcDay};
use crate::schema::Table;

/// The rejects of one object, taken in the order of its records. Equal if every row is.
#[derive(Clone, Default, Debug)]
pub struct Rejected {
    /// Records that could not be read, by reason.
    pub reasons: BTreeMap<String, u64>,
    rows: Digester,
}

/// Rejects by the object they are of.
pub type RejectedObjects = HashMap<Digest, Rejected>;

impl Rejected {
    /// Takes the next rows: `source_position`, `reason`, `excerpt` and `detail`, as the decoder gives them and the table
    /// holds them.
    pub fn take(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        let rows = Rows::of(batch)?;
        (0..batch.num_rows()).for_each(|row| self.add(&rows, row));
        Ok(())
    }

    /// All of them.
    pub fn count(&self) -> u64 {
        self.reasons.values().sum()
    }

    fn add(&mut self, rows: &Rows<'_>, row: usize) {
        let [reason, excerpt, detail] = [0, 1, 2].map(|column| rows.texts.get(column, row));
        match self.reasons.get_mut(reason) {
            Some(count) => *count += 1,
            None => drop(self.reasons.insert(reason.to_owned(), 1)),
        }
        self.rows.part(&rows.positions[row].to_le_bytes());
        for text in [reason, excerpt, detail] {
            self.rows.part(text.as_bytes());
        }
    }
}

impl PartialEq for Rejected {
    fn eq(&self, other: &Self) -> bool {
        self.reasons == other.reasons && self.rows.finish() == other.rows.finish()
    }
}

impl Eq for Rejected {}

/// The columns of rejects.
struct Rows<'a> {
    texts: Texts,
    positions: &'a [i64],
}

impl<'a> Rows<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, LakeError> {
        let positions = batch.column_by_name("source_position").and_then(|c| c.as_primitive_opt::<Int64Type>());
        let lacking = || LakeError::corrupt(layout::table(Table::Rejects), "it has no `source_position`");
        let positions = positions.ok_or_else(lacking)?.values();
        Ok(Self { texts: Texts::of(batch, &["reason", "excerpt", "detail"], Table::Rejects)?, positions })
    }
}

impl Ledger {
    /// The rejects of every object that arrived on these days and has any.
    pub async fn rejected(&self, days: HalfOpen<UtcDay>) -> Result<RejectedObjects, LakeError> {
        const COLUMNS: &[&str] = &["object_id", "source_position", "reason", "excerpt", "detail"];
        let mut rejected = RejectedObjects::new();
        let files = self.rejects.files().into_iter().filter(|file| file.day.is_some_and(|day| days.contains(day)));
        // All rejects of an object stand in one file, in the order of its records. One file is held at a time.
        for file in files {
            for batch in self.rejects.lake().read_file(Table::Rejects, file, Some(COLUMNS)).await? {
                let ids = Texts::of(&batch, &["object_id"], Table::Rejects)?;
                let rows = Rows::of(&batch)?;
                for row in 0..batch.num_rows() {
                    let id = ids.get(0, row).parse().map_err(|error| {
                        LakeError::corrupt(layout::table(Table::Rejects), format!("an object id in it: {error}"))
                    })?;
                    rejected.entry(id).or_default().add(&rows, row);
                }
            }
        }
        Ok(rejected)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringViewArray};

    use super::*;

    fn rows(rows: &[(i64, &str, &str)]) -> RecordBatch {
        let text = |of: fn(&(i64, &str, &str)) -> String| -> ArrayRef {
            Arc::new(StringViewArray::from_iter_values(rows.iter().map(of)))
        };
        let positions: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
        let reason = text(|row| row.1.to_owned());
        let (excerpt, detail) = (text(|row| row.2.to_owned()), text(|_| "detail".to_owned()));
        let columns = [("source_position", positions), ("reason", reason), ("excerpt", excerpt), ("detail", detail)];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn any_batches_of_the_same_rows_are_equal_and_other_rows_are_not() {
        let all = [(0, "columns", "a"), (3, "no_id", "b"), (9, "columns", "c")];
        let (mut whole, mut parts, mut other) = (Rejected::default(), Rejected::default(), Rejected::default());
        whole.take(&rows(&all)).unwrap();
        all.iter().for_each(|row| parts.take(&rows(&[*row])).unwrap());
        assert_eq!((whole.clone(), whole.count()), (parts, 3));
        assert_eq!(
            whole.reasons.iter().map(|(reason, n)| format!("{reason} {n}")).collect::<Vec<_>>(),
            ["columns 2", "no_id 1"]
        );
        other.take(&rows(&[all[0], all[1], (9, "columns", "d")])).unwrap();
        assert_ne!(whole, other);
    }
}
