//! The order of rows in event files. Rows of one key lie together, in time, so that a customer's requests are few pages;
//! the rest of the order makes it total, so that equal sets of rows give equal files.

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{SortOptions, concat_batches, take, take_record_batch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType, UInt32Type};
use arrow::row::{RowConverter, Rows, SortField};

use super::error::{Doing, LakeError};
use crate::schema::Table;

/// One column of an order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrderBy {
    pub(crate) column: &'static str,
    pub(crate) descending: bool,
}

const fn by(column: &'static str) -> OrderBy {
    OrderBy { column, descending: false }
}

/// NULLs come first in each.
const EVENTS: &[OrderBy] = &[
    by("key_ref"),
    by("event_time"),
    by("request_id"),
    by("fingerprint"),
    OrderBy { column: "decoder", descending: true },
    by("source_object"),
    by("source_position"),
];

/// The order of a table's files; empty where the caller decides it.
pub(crate) fn order(table: Table) -> &'static [OrderBy] {
    match table {
        Table::OriginRequests | Table::EdgeRequests => EVENTS,
        _ => &[],
    }
}

/// Turns rows of a table into byte strings that compare as the rows do.
pub(crate) struct SortKey {
    table: Table,
    schema: SchemaRef,
    converter: RowConverter,
    columns: Vec<usize>,
}

impl SortKey {
    /// For rows in that schema.
    pub(crate) fn new(table: Table, schema: SchemaRef) -> Result<Self, LakeError> {
        let mut columns = Vec::new();
        let mut fields = Vec::new();
        for by in order(table) {
            let index = schema.index_of(by.column).doing("sort", table.name())?;
            let options = SortOptions { descending: by.descending, nulls_first: true };
            fields.push(SortField::new_with_options(schema.field(index).data_type().clone(), options));
            columns.push(index);
        }
        Ok(Self { table, schema, converter: RowConverter::new(fields).doing("sort", table.name())?, columns })
    }

    /// The keys of a batch.
    pub(crate) fn keys(&self, batch: &RecordBatch) -> Result<Rows, LakeError> {
        let columns: Vec<_> = self.columns.iter().map(|index| batch.column(*index).clone()).collect();
        self.converter.convert_columns(&columns).doing("sort", self.table.name())
    }

    /// All rows of the batches, of events, in order.
    pub(crate) fn sorted(&self, batches: &[RecordBatch]) -> Result<RecordBatch, LakeError> {
        let whole = match batches {
            [whole] => whole.clone(),
            _ => concat_batches(&self.schema, batches).doing("join", self.table.name())?,
        };
        let order = self.by_key_and_time(&whole)?;
        take_record_batch(&whole, &UInt32Array::from(order)).doing("sort", self.table.name())
    }

    /// The order of event rows. Key and time, two numbers, decide between nearly all; only rows equal in both are looked at
    /// whole.
    fn by_key_and_time(&self, batch: &RecordBatch) -> Result<Vec<u32>, LakeError> {
        let wrong = || LakeError::corrupt(self.table.name(), "rows to be sorted have no keys as labels, or no times");
        let [key, time, ..] = self.columns.as_slice() else { return Err(wrong()) };
        let keys = batch.column(*key).as_dictionary_opt::<UInt32Type>().ok_or_else(wrong)?;
        let texts = keys.values().as_string_opt::<i32>().ok_or_else(wrong)?;
        let times = batch.column(*time).as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(wrong)?;
        if times.null_count() + texts.null_count() > 0 {
            return Err(wrong());
        }
        let mut by_text: Vec<u32> = (0..texts.len() as u32).collect();
        by_text.sort_unstable_by_key(|number| texts.value(*number as usize));
        let (mut ranks, mut rank, mut before) = (vec![0; texts.len()], 0, None);
        for number in by_text {
            let text = texts.value(number as usize);
            // Equal values may stand in the list twice. Rank 0 is that of rows without a key.
            rank += u32::from(before != Some(text));
            ranks[number as usize] = rank;
            before = Some(text);
        }
        let keys = keys.keys();
        let rank = |row: usize| if keys.is_null(row) { 0 } else { ranks[keys.value(row) as usize] };
        let mut order: Vec<(u32, i64, u32)> =
            (0..batch.num_rows()).map(|row| (rank(row), times.value(row), row as u32)).collect();
        order.sort_unstable();
        let equal = |a: &(u32, i64, u32), b: &(u32, i64, u32)| (a.0, a.1) == (b.0, b.1);
        let tied: Vec<u32> = order.chunk_by(equal).filter(|rows| rows.len() > 1).flatten().map(|row| row.2).collect();
        if !tied.is_empty() {
            let rows = UInt32Array::from(tied);
            let columns = self.columns.iter().map(|index| take(batch.column(*index), &rows, None));
            let columns = columns.collect::<Result<Vec<_>, _>>().doing("sort", self.table.name())?;
            let keys = self.converter.convert_columns(&columns).doing("sort", self.table.name())?;
            let mut first = 0;
            for rows in order.chunk_by_mut(equal).filter(|rows| rows.len() > 1) {
                let mut places: Vec<usize> = (first..first + rows.len()).collect();
                places.sort_by(|a, b| keys.row(*a).cmp(&keys.row(*b)));
                let sorted: Vec<_> = places.iter().map(|place| rows[place - first]).collect();
                first += rows.len();
                rows.copy_from_slice(&sorted);
            }
        }
        Ok(order.into_iter().map(|row| row.2).collect())
    }
}
