//! The table that totals are published in, as this program sees it: totals by name, a listing of each month, and one item that
//! says what was published last. Every write says which state of which lake it is from and is refused where the item is newer.

use std::collections::BTreeMap;
use std::error::Error;

use async_trait::async_trait;

use crate::base::Micros;
use crate::billing::BillingMonth;

use super::total::{Total, TotalName};

/// The state of a lake that something was published from. A greater version is newer; of one version the later reading.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Which lake: where it is, and a digest of its fingerprint key, since a lake made anew counts its versions anew.
    pub lake: String,
    /// Version of its table `usage_daily`.
    pub version: u64,
    /// When it was read, to the second.
    pub as_of: Micros,
}

/// What was published last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// From which state of the lake.
    pub stamp: Stamp,
    /// The months, as they were published.
    pub months: BTreeMap<BillingMonth, MonthState>,
}

/// What was published of a month.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MonthState {
    /// Digest of what its totals were made from; empty while they are being written.
    pub inputs: String,
    /// The hours of the month before this hold all that was delivered.
    pub complete_until: Micros,
    /// The month was not closed.
    pub provisional: bool,
}

/// A total as the listing of its month has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// What it is of.
    pub name: TotalName,
    /// Digest of its content.
    pub digest: String,
    /// The lake it is from.
    pub lake: String,
    /// Its quantity.
    pub quantity: Option<i128>,
}

/// What became of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    /// It is written.
    Written,
    /// It was refused: what is there is from a newer state of the lake, which has this version.
    Newer(u64),
}

/// Why totals could not be published.
#[derive(Debug, thiserror::Error)]
pub enum TotalsError {
    /// The table could not be read or written.
    #[error("cannot {action}")]
    Table {
        /// What was being done.
        action: String,
        /// The answer.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The table belongs to another lake.
    #[error(
        "the table holds totals of another lake ({theirs}), and these are of {ours}: give each lake a table of its own"
    )]
    OtherLake {
        /// The lake of what is there.
        theirs: String,
        /// The lake that was to be published.
        ours: String,
    },
    /// Somebody else keeps publishing, or the lake's tables were made anew.
    #[error(
        "the table holds totals of version {published} of usage_daily, and this lake is at {ours}: another publisher is ahead, \
         or the tables were made anew and need a new table for their totals"
    )]
    Behind {
        /// The version published.
        published: u64,
        /// The version of the lake.
        ours: u64,
    },
}

impl TotalsError {
    /// A failed reading or writing.
    pub fn of(action: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Table { action: action.into(), source: source.into() }
    }
}

/// A table of totals.
#[async_trait]
pub trait TotalsTable: Send + Sync {
    /// What was published last; none: nothing yet. What was written before is seen.
    async fn state(&self) -> Result<Option<State>, TotalsError>;

    /// Notes what is published now, unless what is noted is newer.
    async fn put_state(&self, state: &State) -> Result<Put, TotalsError>;

    /// The totals of a month. What was written within the last moments may be missing or be shown as it was before.
    async fn listed(&self, month: BillingMonth) -> Result<Vec<Listed>, TotalsError>;

    /// Writes a total in place of what is there, unless that is newer.
    async fn put(&self, total: &Total, stamp: &Stamp) -> Result<Put, TotalsError>;
}
