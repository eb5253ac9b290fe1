//! Columns of a query's rows by name, cast to what is wanted; a column that is not there or cannot be cast is a fault of ours.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;

use crate::base::{Micros, Nanos};
use crate::billing::BillingDay;

use super::JobError;

/// A batch and what its rows are of, for messages.
pub(super) struct Rows<'b> {
    pub(super) batch: &'b RecordBatch,
    pub(super) of: &'static str,
}

impl Rows<'_> {
    fn column(&self, name: &str, wanted: &DataType) -> Result<arrow::array::ArrayRef, JobError> {
        let fault = |source| JobError::Rows { table: self.of, source };
        let missing = || fault(ArrowError::SchemaError(format!("there is no column {name}")));
        let column = self.batch.column_by_name(name).ok_or_else(missing)?;
        cast(column, wanted).map_err(fault)
    }

    /// Texts; NULL is none.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<Option<String>>, JobError> {
        let column = self.column(name, &DataType::Utf8)?;
        let column = column.as_string::<i32>();
        Ok(column.iter().map(|text| text.map(str::to_owned)).collect())
    }

    /// Whole numbers, however wide; NULL is none.
    pub(super) fn wholes(&self, name: &str) -> Result<Vec<Option<i128>>, JobError> {
        let column = self.column(name, &DataType::Decimal128(38, 0))?;
        Ok(column.as_primitive::<Decimal128Type>().iter().collect())
    }

    /// Whole numbers that fit 64 bits; NULL is 0.
    pub(super) fn bigints(&self, name: &str) -> Result<Vec<i64>, JobError> {
        let column = self.column(name, &DataType::Int64)?;
        Ok(column.as_primitive::<Int64Type>().iter().map(Option::unwrap_or_default).collect())
    }

    /// Amounts and prices; NULL is none.
    pub(super) fn amounts(&self, name: &str) -> Result<Vec<Option<Nanos>>, JobError> {
        let column = self.column(name, &DataType::Decimal128(38, 9))?;
        Ok(column.as_primitive::<Decimal128Type>().iter().map(|value| value.map(Nanos)).collect())
    }

    /// Instants; NULL is none.
    pub(super) fn instants(&self, name: &str) -> Result<Vec<Option<Micros>>, JobError> {
        let column = self.column(name, &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))?;
        Ok(column.as_primitive::<TimestampMicrosecondType>().iter().map(|value| value.map(Micros)).collect())
    }

    /// Days; NULL is none.
    pub(super) fn days(&self, name: &str) -> Result<Vec<Option<BillingDay>>, JobError> {
        let column = self.column(name, &DataType::Date32)?;
        Ok(column.as_primitive::<Date32Type>().iter().map(|value| value.map(BillingDay)).collect())
    }
}
