//! What the derived parts were made from: the rows of `built`, read when an attempt begins, written when all data are.
//! The digest of a part's inputs takes in what its slots held afterwards, so a part is up to date only where both are
//! still the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::Int64Type;

use crate::base::{Digest, Digester};
use crate::lake::{FileSlot, Lake, LakeError, LakeTable, Replacement};
use crate::schema::Table;

use super::super::JobError;
use super::arrow_fault;

/// A part as `built` tells of it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Told {
    /// Digest of the inputs and of what came of them.
    inputs: String,
    config: String,
    rows: i64,
}

/// A part as this attempt leaves it.
#[derive(Debug)]
pub(super) struct Part {
    /// Where its rows are.
    slots: Vec<FileSlot>,
    /// Digest of the input files, the statement and the meters.
    pub(super) inputs: Digest,
    /// Digest of the configuration rows that matter to it.
    pub(super) config: String,
    rows: i64,
}

/// The parts of all derived tables, by table and name.
#[derive(Debug)]
pub(super) struct Built {
    before: BTreeMap<(String, String), Told>,
    now: BTreeMap<(Table, String), Part>,
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
                    let part = Told {
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

    /// What configuration a part was made under, the last time.
    pub(super) fn config_before(&self, table: Table, part: &str) -> Option<&str> {
        self.before.get(&(table.name().to_owned(), part.to_owned())).map(|part| part.config.as_str())
    }

    /// What a part is made from now.
    pub(super) fn now(&self, table: Table, part: &str) -> Option<&Part> {
        self.now.get(&(table, part.to_owned()))
    }

    /// Whether the part was made from these inputs and its slots hold what came of them; then it stays as it is.
    pub(super) fn keep(
        &mut self,
        at: &LakeTable,
        part: &str,
        slots: Vec<FileSlot>,
        inputs: Digest,
        config: &str,
    ) -> bool {
        let Some(rows) = self.was_made(at, part, &slots, inputs, config) else { return false };
        self.now.insert((at.table(), part.to_owned()), Part { slots, inputs, config: config.to_owned(), rows });
        true
    }

    /// Where the part was made from these inputs and its slots hold what came of them: how many rows it has.
    pub(super) fn was_made(
        &self,
        at: &LakeTable,
        part: &str,
        slots: &[FileSlot],
        inputs: Digest,
        config: &str,
    ) -> Option<i64> {
        let before = self.before.get(&(at.table().name().to_owned(), part.to_owned()))?;
        let same = before.inputs == with_content(inputs, at, slots) && before.config == config;
        same.then_some(before.rows)
    }

    /// A part was made.
    pub(super) fn made(
        &mut self,
        table: Table,
        part: &str,
        slots: Vec<FileSlot>,
        inputs: Digest,
        config: &str,
        rows: usize,
    ) {
        let now = Part { slots, inputs, config: config.to_owned(), rows: i64::try_from(rows).unwrap_or(i64::MAX) };
        self.now.insert((table, part.to_owned()), now);
    }

    /// Writes what everything is made from now, and what came of it in these tables.
    pub(super) async fn write(&self, lake: &Lake, tables: &BTreeMap<Table, LakeTable>) -> Result<(), JobError> {
        let told = |((table, name), part): (&(Table, String), &Part)| {
            let inputs = with_content(part.inputs, &tables[table], &part.slots);
            ((table.name().to_owned(), name.clone()), Told { inputs, config: part.config.clone(), rows: part.rows })
        };
        let now: BTreeMap<(String, String), Told> = self.now.iter().map(told).collect();
        if now == self.before {
            return Ok(());
        }
        let texts = |column: &dyn Fn(&(String, String), &Told) -> String| -> ArrayRef {
            Arc::new(StringViewArray::from_iter_values(now.iter().map(|(name, part)| column(name, part))))
        };
        let columns: Vec<ArrayRef> = vec![
            texts(&|(table, _), _| table.clone()),
            texts(&|(_, part), _| part.clone()),
            texts(&|_, part| part.inputs.clone()),
            texts(&|_, part| part.config.clone()),
            Arc::new(Int64Array::from_iter_values(now.values().map(|part| part.rows))),
        ];
        let rows = RecordBatch::try_new(Table::Built.file_schema(), columns).map_err(arrow_fault(Table::Built))?;
        let at = &tables[&Table::Built];
        let new = lake.write_file(at, FileSlot::whole(), vec![rows]).await?;
        at.commit(vec![Replacement { slot: FileSlot::whole(), new }], "derive").await?;
        Ok(())
    }
}

/// The digest of inputs and of what the slots hold.
fn with_content(inputs: Digest, at: &LakeTable, slots: &[FileSlot]) -> String {
    let mut digester = Digester::default();
    digester.part(inputs.to_string().as_bytes());
    for file in slots.iter().filter_map(|slot| at.current(slot)) {
        digester.part(file.slot.to_string().as_bytes()).part(file.digest.as_bytes());
    }
    digester.finish().to_string()
}
