//! What finance sends out: the invoices of a month in one file format each. Every format gets the same [`Statement`] and prints
//! the same figures; none computes any. Bytes depend on the statement only: no clock, no random name.

mod chart;
mod figures;
#[cfg(test)]
mod hard;
pub mod html;
mod page;
pub mod pdf;
#[cfg(test)]
mod print_tests;
#[cfg(test)]
pub(crate) mod sample;

use super::invoice::{Invoice, TotalTooLarge};
use super::{BillingDay, BillingMonth};

/// Everything a month's exports are made from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    /// The month.
    pub month: BillingMonth,
    /// Its invoices, by number; in a preview by customer and currency.
    pub invoices: Vec<Invoice>,
    /// The month's mapped usage, by day, customer, meter and dimensions.
    pub usage: Vec<UsageRow>,
}

/// Usage of one customer on one day.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct UsageRow {
    /// The billing day.
    pub day: BillingDay,
    /// Whose.
    pub customer_id: String,
    /// The meter.
    pub meter: String,
    /// JSON object of the meter's group_by columns.
    pub dimensions: String,
    /// What the meter counts.
    pub quantity: i64,
}

/// A file to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExportFile {
    /// Its name, without folders.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// A file format.
pub trait Export {
    /// What it is called on the command line.
    fn name(&self) -> &'static str;

    /// The files of a statement, in a fixed order.
    fn files(&self, statement: &Statement) -> Result<Vec<ExportFile>, ExportError>;
}

/// Why invoices cannot be put into a format.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A total is out of range.
    #[error(transparent)]
    Total(#[from] TotalTooLarge),
    /// The format cannot hold something.
    #[error("invoice {invoice} cannot be written as {format}: {problem}")]
    Unfit {
        /// The format.
        format: &'static str,
        /// The invoice's number or customer.
        invoice: String,
        /// What is wrong.
        problem: String,
    },
    /// A library failed.
    #[error("cannot write {format}: {problem}")]
    Failed {
        /// The format.
        format: &'static str,
        /// What it says.
        problem: String,
    },
}
