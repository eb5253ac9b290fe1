//! Invoices: what a month comes to, drawn up from its charges, frozen by a close, and corrected ever after. A preview writes nothing.
//! Months are closed in order, so that each correction is on one invoice only.

mod amend;
mod bill;
mod check;
mod close;
mod closing;
mod explain;
mod pinned;
mod sums;
mod tables;

use crate::base::Micros;
use crate::billing::Billing;

use super::derive::Derivation;
use super::rows;

pub use amend::{Comparison, Difference, compare, reprice, since_close, usage_rows};
pub use bill::{Bill, draw};
pub use check::stands_against;
pub use close::{CloseOptions, close, finish, store_files};
pub use closing::{Accepted, Closed, Closing, closed_month, closed_months};
pub use explain::{ChargeRow, Explanation, KeyUsage, explain};
pub use pinned::{Pinned, PinnedTerms};

/// What invoices are made from besides the lake.
#[derive(Debug)]
pub struct Books<'a> {
    /// What derived tables are made from today.
    pub derivation: &'a Derivation,
    /// Customers, rates and terms of today.
    pub billing: &'a Billing,
    /// The present instant.
    pub now: Micros,
    /// Share of a source's records that may be unreadable, in percent.
    pub rejects_max_percent: u32,
}
