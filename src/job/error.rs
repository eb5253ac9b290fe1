//! What can go wrong in a job.

use crate::base::UtcDay;
use crate::billing::BillingMonth;
use crate::billing::bill::BillError;
use crate::billing::export::ExportError;
use crate::billing::invoice::TotalTooLarge;
use crate::decode::ObjectError;
use crate::glue::GlueError;
use crate::lake::LakeError;
use crate::model::{MeterError, ModelError};
use crate::schema::Table;
use crate::source::{LocationError, SourceError};

use super::publish::TotalsError;

/// A job that could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The object could not be decoded as a whole.
    #[error("{key} cannot be converted")]
    Object {
        /// Key of the object.
        key: String,
        /// Why.
        #[source]
        source: ObjectError,
    },
    /// The thread that decoded the object ended without a result.
    #[error("decoding {key} stopped without a result; this is a fault of meterlake")]
    Stopped {
        /// Key of the object.
        key: String,
    },
    /// A source that is not configured.
    #[error("the lake holds objects of the source `{0}`, which the configuration does not name")]
    UnknownSource(String),
    /// An object version that is needed can no longer be read.
    #[error("{source_name}: that version of {key} is needed, but it can no longer be read; nothing was changed")]
    Unreadable {
        /// Its source.
        source_name: String,
        /// Its key.
        key: String,
    },
    /// No event carries a request id.
    #[error("no event has the request id `{id}`")]
    NoSuchRequest {
        /// The id.
        id: String,
        /// Where it was looked for, in words.
        searched: String,
    },
    /// Nothing to look at.
    #[error("there is nothing at {0}")]
    NothingThere(String),
    /// Nothing to retract.
    #[error("no object of the ledger begins with `{0}`; nothing was changed")]
    NothingToRetract(String),
    /// Other builds kept winning.
    #[error("other builds kept changing {table} while this one ran; nothing is wrong, run it again")]
    Busy {
        /// The table.
        table: &'static str,
    },
    /// The counts of a day do not add up.
    #[error("{day}: {what}")]
    Conservation {
        /// The day.
        day: UtcDay,
        /// The numbers.
        what: String,
    },
    /// A statement gave rows that are not those of its table.
    #[error("the rows made for {table} do not have its columns; this is a fault of meterlake")]
    Rows {
        /// The table.
        table: &'static str,
        /// What is wrong.
        #[source]
        source: arrow::error::ArrowError,
    },
    /// A part of a derived table is not up to date; told only where nothing shall be made.
    #[error("{} is not up to date: {part}", .table.name())]
    Stale {
        /// The table.
        table: Table,
        /// The part.
        part: String,
    },
    /// A bill could not be made.
    #[error(transparent)]
    Bill(#[from] BillError),
    /// Invoices could not be put into a file format.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A total is out of range.
    #[error(transparent)]
    Total(#[from] TotalTooLarge),
    /// The month cannot be closed yet.
    #[error("{month} cannot be closed yet:\n{}", listed(.reasons))]
    NotReady {
        /// The month.
        month: BillingMonth,
        /// Everything that stands against it.
        reasons: Vec<String>,
    },
    /// The lake was built by an older version.
    #[error("{table} was made by an older version of meterlake; `meterlake run` brings it up to date")]
    Older {
        /// The table.
        table: &'static str,
    },
    /// The month is not closed.
    #[error("{0} is not closed")]
    NotClosed(BillingMonth),
    /// There is no such invoice line.
    #[error("there is no line `{0}`")]
    NoSuchLine(String),
    /// A document of a closed month cannot be read.
    #[error("{path} is not what a close writes: {problem}")]
    Closing {
        /// The document.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A setting that a closed month has fixed was changed.
    #[error("{what} cannot change any more: {month} is closed under `{was}`, the configuration says `{now}`")]
    Fixed {
        /// The setting.
        what: &'static str,
        /// A month that is closed under it.
        month: BillingMonth,
        /// What it was.
        was: String,
        /// What it would be.
        now: String,
    },
    /// Totals could not be published.
    #[error(transparent)]
    Totals(#[from] TotalsError),
    /// The source could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The place could not be opened.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// The lake could not be read or written.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The catalogue could not be read or filled.
    #[error(transparent)]
    Glue(#[from] GlueError),
    /// The SQL could not be run.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl From<MeterError> for JobError {
    fn from(error: MeterError) -> Self {
        Self::Model(error.into())
    }
}

fn listed(reasons: &[String]) -> String {
    reasons.iter().map(|reason| format!("  - {reason}")).collect::<Vec<_>>().join("\n")
}
