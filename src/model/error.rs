//! What can go wrong when a table is made by SQL or a query is run.

use datafusion::error::DataFusionError;

use super::MeterError;
use crate::lake::LakeError;

/// An error of the models, by what was being done.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A table could not be opened for reading.
    #[error("cannot read table `{table}`")]
    Open {
        /// The table.
        table: String,
        /// What the engine says.
        source: DataFusionError,
    },
    /// The lake could not be read.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// A statement that is not a query.
    #[error("only queries can be run: a statement that changes something is refused")]
    NotAQuery {
        /// What the engine says.
        source: DataFusionError,
    },
    /// A query failed: its text, or while running.
    #[error("cannot run the query")]
    Query {
        /// What the engine says.
        source: DataFusionError,
    },
    /// One of our own statements failed.
    #[error("cannot make `{table}` for {part}")]
    Make {
        /// The table.
        table: &'static str,
        /// Which part of it.
        part: String,
        /// What the engine says.
        source: DataFusionError,
    },
    /// A meter of the configuration cannot be used.
    #[error(transparent)]
    Meter(#[from] MeterError),
    /// A number does not fit its column.
    #[error(
        "`{column}` of `{table}` does not fit 64 bits in the row {row}: lower the meter's value or split it by dimensions"
    )]
    TooLarge {
        /// The table.
        table: &'static str,
        /// The column.
        column: String,
        /// The row, as its other columns.
        row: String,
    },
    /// A statement gave a column of another name or type than the table has.
    #[error("the statement of `{table}` gives no column `{column}` of the right type")]
    Shape {
        /// The table.
        table: &'static str,
        /// The column.
        column: String,
    },
    /// A charge is not its quantity times its price, or does not fit.
    #[error("the amount of a charge is not exact: {row}")]
    Inexact {
        /// The row.
        row: String,
    },
}
