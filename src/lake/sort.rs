//! The order of rows in event files. Rows of one key lie together, in time, so that a customer's requests are few pages;
//! the rest of the order makes it total, so that equal sets of rows give equal files.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{SortOptions, concat_batches, take_record_batch};
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
    converter: RowConverter,
    columns: Vec<usize>,
}

impl SortKey {
    pub(crate) fn new(table: Table) -> Result<Self, LakeError> {
        let schema = table.file_schema();
        let mut columns = Vec::new();
        let mut fields = Vec::new();
        for by in order(table) {
            let index = schema.index_of(by.column).doing("sort", table.name())?;
            let options = SortOptions { descending: by.descending, nulls_first: true };
            fields.push(SortField::new_with_options(schema.field(index).data_type().clone(), options));
            columns.push(index);
        }
        Ok(Self { table, converter: RowConverter::new(fields).doing("sort", table.name())?, columns })
    }

    /// The keys of a batch in the table's file schema.
    pub(crate) fn keys(&self, batch: &RecordBatch) -> Result<Rows, LakeError> {
        let columns: Vec<_> = self.columns.iter().map(|index| batch.column(*index).clone()).collect();
        self.converter.convert_columns(&columns).doing("sort", self.table.name())
    }

    /// All rows of the batches in order.
    pub(crate) fn sorted(&self, batches: &[RecordBatch]) -> Result<RecordBatch, LakeError> {
        let whole = concat_batches(&self.table.file_schema(), batches).doing("join", self.table.name())?;
        let keys = self.keys(&whole)?;
        let mut order: Vec<u32> = (0..u32::try_from(whole.num_rows()).unwrap_or(u32::MAX)).collect();
        order.sort_by(|a, b| keys.row(*a as usize).cmp(&keys.row(*b as usize)));
        take_record_batch(&whole, &UInt32Array::from(order)).doing("sort", self.table.name())
    }
}
