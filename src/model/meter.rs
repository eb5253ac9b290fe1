//! A meter: a rule that turns events into usage.

use crate::schema::Table;

/// A rule that turns events into usage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Meter {
    /// Its name.
    pub name: String,
    /// The sources whose events it counts.
    pub sources: Vec<String>,
    /// The event table of those sources.
    pub table: Table,
    /// Which events are billable; none: all.
    pub where_sql: Option<String>,
    /// What an event counts.
    pub value: MeterValue,
    /// The columns usage is told apart by.
    pub group_by: Vec<String>,
}

/// What an event counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MeterValue {
    /// One.
    Count,
    /// The value of an integer expression.
    Sum(String),
}

/// Why a meter cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct MeterError(String);

impl Meter {
    /// Checks its SQL.
    pub fn check(&self) -> Result<(), MeterError> {
        Ok(())
    }
}
