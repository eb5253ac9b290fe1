//! Second pass of the union: sorted runs become one sorted file. A run is read batch by batch, rows that do not stay are
//! left out, and the least row of all runs goes next. However many runs there are, only so many are open at once.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, interleave_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::Rows;
use tokio::runtime::Handle;

use super::Lake;
use super::error::{Doing, LakeError};
use super::identity::Verdict;
use super::labels::Known;
use super::parquet::{EncodedFile, FileWriter};
use super::read::{GroupReader, OpenFile, open, open_bytes};
use super::sort::SortKey;
use crate::schema::{Table, retyped};

/// Runs open at once; more are first merged into fewer.
const FAN_IN: usize = 64;
/// Rows given to the writer at once. Part of what decides a file's bytes, so fixed.
const OUTPUT_ROWS: usize = 16_384;
/// Rows decoded at once, over all open runs.
const DECODED_ROWS: usize = 65_536;

/// A sorted run: row groups of a file that follow each other.
pub(crate) struct Run {
    pub(crate) file: RunFile,
    pub(crate) groups: Range<usize>,
    /// The place of its first row among all input rows; none where all its rows stay as they are.
    pub(crate) first_row: Option<usize>,
}

/// The file of a run.
pub(crate) enum RunFile {
    /// Its footer is at hand.
    Open(OpenFile),
    /// It lies at this path in the lake.
    At(String),
}

/// What the merges of one union share.
pub(crate) struct Merge<'a> {
    pub(crate) handle: &'a Handle,
    pub(crate) lake: &'a Lake,
    pub(crate) table: Table,
    pub(crate) verdicts: &'a [Verdict],
}

impl Merge<'_> {
    /// One file of all rows that stay.
    pub(crate) fn file(&self, runs: Vec<Run>) -> Result<EncodedFile, LakeError> {
        let mut runs = VecDeque::from(runs);
        while runs.len() > FAN_IN {
            let merged = self.merge(runs.drain(..FAN_IN).collect())?;
            let file = open_bytes(self.lake, self.table, "merged runs", merged.bytes)?;
            runs.push_back(Run { groups: 0..file.groups(), file: RunFile::Open(file), first_row: None });
        }
        self.merge(runs.into())
    }

    fn merge(&self, runs: Vec<Run>) -> Result<EncodedFile, LakeError> {
        let batch_rows = (DECODED_ROWS / runs.len().max(1)).clamp(1_024, 8_192);
        let opened = runs.into_iter().map(|run| {
            let file = match run.file {
                RunFile::Open(file) => file,
                RunFile::At(path) => open(self.handle, self.lake, self.table, &path)?,
            };
            Ok((file, run.groups, run.first_row))
        });
        let opened = opened.collect::<Result<Vec<_>, LakeError>>()?;
        // A column whose values were too many for a dictionary in one run is text in all, or its list could grow without bound.
        let repeats = |column: &&str| opened.iter().all(|(file, ..)| file.has_dictionary(column));
        let texts: Vec<&str> = self.table.labels().iter().copied().filter(|column| !repeats(column)).collect();
        let schema = retyped(&self.table.row_schema(), |field| {
            texts.contains(&field.name().as_str()).then_some(DataType::Utf8View)
        });
        let sort = &SortKey::new(self.table, schema.clone())?;
        let mut output = Output { writer: FileWriter::new(self.table, &texts)?, batches: Vec::new(), rows: Vec::new() };
        let mut cursors = Vec::new();
        for (file, groups, first_row) in opened {
            let (schema, known) = (schema.clone(), Vec::new());
            let mut cursor = Cursor { file, schema, groups, first_row, reader: None, batch_rows, known, current: None };
            if cursor.load(self, sort, &mut output.writer)? {
                cursors.push(cursor);
            }
        }
        let mut heap = Heap::new(&cursors);
        while let Some(least) = heap.least() {
            let cursor = &mut cursors[least];
            cursor.give(&mut output);
            if output.rows.len() == OUTPUT_ROWS {
                output.write(self.table)?;
                cursors.iter_mut().filter_map(|cursor| cursor.current.as_mut()).for_each(|c| c.output = None);
            }
            let cursor = &mut cursors[least];
            if cursor.step() || cursor.load(self, sort, &mut output.writer)? {
                heap.least_grew(&cursors);
            } else {
                heap.remove_least(&cursors);
            }
        }
        output.write(self.table)?;
        output.writer.finish()
    }
}

/// A run and where we are in it.
struct Cursor {
    file: OpenFile,
    schema: SchemaRef,
    groups: Range<usize>,
    first_row: Option<usize>,
    reader: Option<GroupReader>,
    batch_rows: usize,
    known: Vec<Known>,
    current: Option<Current>,
}

/// A batch of rows that stay, and the next of them.
struct Current {
    batch: RecordBatch,
    keys: Rows,
    row: usize,
    /// Its number among the batches of the output at hand, once a row of it was given.
    output: Option<usize>,
}

impl Cursor {
    /// Puts the next row into the output.
    fn give(&mut self, output: &mut Output) {
        let Some(current) = &mut self.current else { return };
        let batch = *current.output.get_or_insert_with(|| {
            output.batches.push(current.batch.clone());
            output.batches.len() - 1
        });
        output.rows.push((batch, current.row));
    }

    /// Goes to the next row of the batch; false at its end.
    fn step(&mut self) -> bool {
        let Some(current) = &mut self.current else { return false };
        current.row += 1;
        current.row < current.batch.num_rows()
    }

    /// Goes to the next batch that has rows which stay; false at the end of the run.
    fn load(&mut self, merge: &Merge<'_>, sort: &SortKey, writer: &mut FileWriter) -> Result<bool, LakeError> {
        self.current = None;
        loop {
            let reader = match &mut self.reader {
                Some(reader) => reader,
                None => {
                    let Some(group) = self.groups.next() else { return Ok(false) };
                    self.reader.insert(self.file.group(merge.handle, group, &self.schema, self.batch_rows)?)
                }
            };
            let Some(batch) = reader.next() else {
                self.reader = None;
                continue;
            };
            let mut batch = batch?;
            if let Some(first) = &mut self.first_row {
                let verdicts = merge.verdicts.get(*first..*first + batch.num_rows());
                *first += batch.num_rows();
                let verdicts = verdicts.ok_or_else(|| {
                    LakeError::corrupt(merge.table.name(), "a file grew between the passes of a union")
                })?;
                batch = staying(&batch, verdicts).doing("filter", merge.table.name())?;
            }
            if batch.num_rows() > 0 {
                let keys = sort.keys(&batch)?;
                let batch = writer.adopt(&batch, &mut self.known)?;
                self.current = Some(Current { keys, batch, row: 0, output: None });
                return Ok(true);
            }
        }
    }
}

/// The rows that stay, with `conflict` as decided.
fn staying(batch: &RecordBatch, verdicts: &[Verdict]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let conflict: BooleanArray = verdicts.iter().map(|verdict| Some(*verdict == Verdict::Conflict)).collect();
    let stays = |verdict: &Verdict| matches!(verdict, Verdict::Kept | Verdict::Conflict);
    let mut columns = batch.columns().to_vec();
    columns[batch.schema().index_of("conflict")?] = Arc::new(conflict);
    let batch = RecordBatch::try_new(batch.schema(), columns)?;
    if verdicts.iter().all(stays) {
        return Ok(batch);
    }
    let mask: BooleanArray = verdicts.iter().map(|verdict| Some(stays(verdict))).collect();
    filter_record_batch(&batch, &mask)
}

/// Rows chosen for the file and the batches they are in.
struct Output {
    writer: FileWriter,
    batches: Vec<RecordBatch>,
    rows: Vec<(usize, usize)>,
}

impl Output {
    fn write(&mut self, table: Table) -> Result<(), LakeError> {
        if !self.rows.is_empty() {
            let batches: Vec<&RecordBatch> = self.batches.iter().collect();
            let batch = interleave_record_batch(&batches, &self.rows).doing("merge", table.name())?;
            self.writer.write_adopted(&batch)?;
        }
        self.batches.clear();
        self.rows.clear();
        Ok(())
    }
}

/// Numbers of cursors, the one with the least row first: a binary heap whose order is in the cursors.
struct Heap {
    cursors: Vec<usize>,
}

impl Heap {
    fn new(cursors: &[Cursor]) -> Self {
        let mut heap = Self { cursors: (0..cursors.len()).collect() };
        for place in (0..heap.cursors.len() / 2).rev() {
            heap.sink(place, cursors);
        }
        heap
    }

    fn least(&self) -> Option<usize> {
        self.cursors.first().copied()
    }

    fn least_grew(&mut self, cursors: &[Cursor]) {
        self.sink(0, cursors);
    }

    fn remove_least(&mut self, cursors: &[Cursor]) {
        self.cursors.swap_remove(0);
        self.sink(0, cursors);
    }

    fn sink(&mut self, mut place: usize, cursors: &[Cursor]) {
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            let mut least = place;
            for child in [left, right] {
                if child < self.cursors.len() && self.before(child, least, cursors) {
                    least = child;
                }
            }
            if least == place {
                return;
            }
            self.cursors.swap(place, least);
            place = least;
        }
    }

    /// Equal rows are ordered by run, which is as good as any order and always the same.
    fn before(&self, a: usize, b: usize, cursors: &[Cursor]) -> bool {
        let (a, b) = (self.cursors[a], self.cursors[b]);
        match (&cursors[a].current, &cursors[b].current) {
            (Some(x), Some(y)) => (x.keys.row(x.row), a) < (y.keys.row(y.row), b),
            (x, y) => x.is_some() && y.is_none(),
        }
    }
}
