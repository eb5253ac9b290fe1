//! What the derived parts were made from: the rows of `built`, read when an attempt begins, written when all data are.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::Int64Type;

use crate::base::Digest;
use crate::lake::{FileSlot, Lake, LakeError, LakeTable, Replacement};
use crate::schema::Table;

use super::super::JobError;
use super::arrow_fault;

/// What one part was made from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Part {
    /// Digest of the input files, the statement and the meters.
    pub(super) inputs: String,
    /// Digest of the configuration rows that matter to it.
    pub(super) config: String,
    /// Rows written.
    pub(super) rows: i64,
}

/// The parts of all derived tables.
#[derive(Debug)]
pub(super) struct Built {
    before: BTreeMap<(String, String), Part>,
    now: BTreeMap<(String, String), Part>,
}

impl Built {
    pub(super) async fn read(lake: &Lake, at: &LakeTable) -> Result<Self, JobError> {
        const COLUMNS: &[&str] = &["table_name", "part", "inputs", "config"];
        let mut before = BTreeMap::new();
        for file in at.files() {
            for batch in lake.read_file(Table::Built, file, None).await? {
                let lacking = || LakeError::corrupt(Table::Built.name(), "it lacks a column");
                let text = |name: &str| batch.column_by_name(name).and_then(|c| c.as_string_view_opt());
                let [tables, parts, inputs, config] =
                    [0, 1, 2, 3].map(|column| text(COLUMNS[column]).ok_or_else(lacking));
                let (tables, parts, inputs, config) = (tables?, parts?, inputs?, config?);
                let rows = batch.column_by_name("row_count").and_then(|c| c.as_primitive_opt::<Int64Type>());
                let rows = rows.ok_or_else(lacking)?;
                for row in 0..batch.num_rows() {
                    let part = Part {
                        inputs: inputs.value(row).to_owned(),
                        config: config.value(row).to_owned(),
                        rows: rows.value(row),
                    };
                    before.insert((tables.value(row).to_owned(), parts.value(row).to_owned()), part);
                }
            }
        }
        Ok(Self { before, now: BTreeMap::new() })
    }

    /// What a part was made from, the last time.
    pub(super) fn before(&self, table: Table, part: &str) -> Option<&Part> {
        self.before.get(&(table.name().to_owned(), part.to_owned()))
    }

    /// What a part is made from now.
    pub(super) fn now(&self, table: Table, part: &str) -> Option<&Part> {
        self.now.get(&(table.name().to_owned(), part.to_owned()))
    }

    /// Whether the part is up to date with these inputs; then it stays as it is.
    pub(super) fn keep(&mut self, table: Table, part: &str, inputs: Digest, config: &str) -> bool {
        match self.before(table, part) {
            Some(before) if before.inputs == inputs.to_string() && before.config == config => {
                let before = before.clone();
                self.now.insert((table.name().to_owned(), part.to_owned()), before);
                true
            }
            _ => false,
        }
    }

    /// A part was made.
    pub(super) fn made(&mut self, table: Table, part: &str, inputs: Digest, config: &str, rows: usize) {
        let part_now = Part { inputs: inputs.to_string(), config: config.to_owned(), rows: rows as i64 };
        self.now.insert((table.name().to_owned(), part.to_owned()), part_now);
    }

    /// Writes what everything is made from now.
    pub(super) async fn write(&self, lake: &Lake, at: &LakeTable) -> Result<(), JobError> {
        if self.now == self.before {
            return Ok(());
        }
        let texts = |column: &dyn Fn(&(String, String), &Part) -> String| -> ArrayRef {
            Arc::new(StringViewArray::from_iter_values(self.now.iter().map(|(name, part)| column(name, part))))
        };
        let columns: Vec<ArrayRef> = vec![
            texts(&|(table, _), _| table.clone()),
            texts(&|(_, part), _| part.clone()),
            texts(&|_, part| part.inputs.clone()),
            texts(&|_, part| part.config.clone()),
            Arc::new(Int64Array::from_iter_values(self.now.values().map(|part| part.rows))),
        ];
        let rows = RecordBatch::try_new(Table::Built.file_schema(), columns).map_err(arrow_fault(Table::Built))?;
        let new = lake.write_file(at, FileSlot::whole(), vec![rows]).await?;
        at.commit(vec![Replacement { slot: FileSlot::whole(), new }], "derive").await?;
        Ok(())
    }
}
