//! What finance sends out: the invoices of a month in one file format each. Every format gets the same [`Statement`] and prints
//! the same figures; none computes any. Bytes depend on the statement only: no clock, no random name.

mod chart;
mod cloudevents;
mod csv;
mod events;
mod figures;
mod focus;
#[cfg(test)]
mod hard;
mod html;
mod json;
mod page;
mod pdf;
#[cfg(test)]
mod print_tests;
#[cfg(test)]
mod same_figures;
#[cfg(test)]
pub(crate) mod sample;
mod stripe;

use serde::Serialize;

use super::invoice::{Invoice, TotalTooLarge};
use super::{BillingDay, BillingMonth, BillingZone};

pub use cloudevents::CloudEvents;
pub use csv::Csv;
pub use focus::Focus;
pub use html::Html;
pub use json::Json;
pub use pdf::Pdf;
pub use stripe::{Stripe, StripeCustomer, StripeCustomers, StripeCustomersError};

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

/// What formats need to know beside the statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExportOptions {
    /// The billing time zone.
    pub zone: BillingZone,
    /// What is sold, as FOCUS names it.
    pub service: String,
    /// Who reports usage, as CloudEvents name it.
    pub source: String,
    /// Who the customers are at Stripe.
    pub stripe: StripeCustomers,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            zone: BillingZone::UTC,
            service: "API".to_owned(),
            source: "meterlake".to_owned(),
            stripe: StripeCustomers::default(),
        }
    }
}

/// Every format, by name.
pub fn formats(options: &ExportOptions) -> Vec<Box<dyn Export>> {
    let ExportOptions { zone, service, source, stripe } = options.clone();
    vec![
        Box::new(CloudEvents { source, zone }),
        Box::new(Csv),
        Box::new(Focus { service }),
        Box::new(Html),
        Box::new(Json),
        Box::new(Pdf),
        Box::new(Stripe { customers: stripe, zone }),
    ]
}

/// What the formats are called, in order.
pub fn names() -> Vec<&'static str> {
    formats(&ExportOptions::default()).iter().map(|format| format.name()).collect()
}

/// A file of one JSON value a line.
fn json_lines(format: &'static str, name: &str, rows: &[impl Serialize]) -> Result<ExportFile, ExportError> {
    let mut bytes = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut bytes, row)
            .map_err(|error| ExportError::Failed { format, problem: error.to_string() })?;
        bytes.push(b'\n');
    }
    Ok(ExportFile { name: name.to_owned(), bytes })
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
    /// The format needs to know customers that it does not.
    #[error("{format} does not know the customers {}", .customers.join(", "))]
    UnknownCustomers {
        /// The format.
        format: &'static str,
        /// Their ids, in order.
        customers: Vec<String>,
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
