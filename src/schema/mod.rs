//! The columns of every table, in one place: name, type and meaning. Arrow, Delta and Athena schemas are made from it.
//! Names are snake_case and no reserved words; there are no unsigned integers; times are UTC microseconds
//! (Delta's `timestamp`); money is DECIMAL. Every table but the configuration ones is partitioned by `day`.

mod labels;
mod tables;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

pub use labels::{label_type, retyped};
pub use tables::Table;

/// The type of a column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ColumnType {
    /// UTF-8 text without control characters.
    Text,
    /// `true` or `false`.
    Boolean,
    /// 16-bit signed integer.
    SmallInt,
    /// 32-bit signed integer.
    Int,
    /// 64-bit signed integer.
    BigInt,
    /// A calendar day.
    Date,
    /// An instant, UTC, microseconds.
    Timestamp,
    /// DECIMAL(18,9): a unit price.
    Price,
    /// DECIMAL(38,9): an amount.
    Amount,
}

impl ColumnType {
    /// The Arrow type of this column in memory and in our Parquet files.
    pub fn arrow(self) -> DataType {
        match self {
            // Views: a repeated or copied value costs 16 bytes, and merging files copies no text.
            Self::Text => DataType::Utf8View,
            Self::Boolean => DataType::Boolean,
            Self::SmallInt => DataType::Int16,
            Self::Int => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Price => DataType::Decimal128(18, 9),
            Self::Amount => DataType::Decimal128(38, 9),
        }
    }
}

/// One column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name, the same in Rust, SQL, files and documents.
    pub name: &'static str,
    /// Its type.
    pub kind: ColumnType,
    /// What it holds, with its unit.
    pub doc: &'static str,
}

impl Table {
    /// All columns as the table shows them: the partition column `day` first, where there is one.
    pub fn schema(self) -> SchemaRef {
        schema_of(self.columns().iter())
    }

    /// The columns inside a data file: all but the partition column, whose value is in the path and the log.
    pub fn file_schema(self) -> SchemaRef {
        schema_of(self.columns().iter().filter(|column| !self.is_partitioned() || column.name != "day"))
    }
}

fn schema_of<'a>(columns: impl Iterator<Item = &'a Column>) -> SchemaRef {
    Arc::new(Schema::new(columns.map(|c| Field::new(c.name, c.kind.arrow(), true)).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words that Athena or Hive reserve and that would have to be quoted by every analyst.
    const RESERVED: &[&str] = &[
        "date",
        "time",
        "timestamp",
        "user",
        "start",
        "end",
        "order",
        "group",
        "partition",
        "row",
        "rows",
        "values",
        "range",
        "interval",
        "local",
        "table",
        "percent",
        "precision",
        "function",
        "exists",
        "first",
        "last",
        "skip",
    ];

    #[test]
    fn names_are_plain_and_not_reserved() {
        for table in Table::ALL {
            for column in table.columns() {
                assert!(!RESERVED.contains(&column.name), "{}.{}", table.name(), column.name);
                assert!(column.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
                assert!(!column.doc.is_empty());
            }
            let mut names: Vec<_> = table.columns().iter().map(|c| c.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), table.columns().len(), "{} names a column twice", table.name());
            assert_eq!(Table::by_name(table.name()), Some(*table));
        }
    }
}
