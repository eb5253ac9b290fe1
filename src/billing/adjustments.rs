//! `adjustments.csv`: credits, refunds and goodwill that somebody approved, each for the invoice of one month. A negative amount
//! is in the customer's favour.

use serde::{Deserialize, Serialize};

use crate::base::{Nanos, Problems};

use super::BillingMonth;
use super::sheet::{ConfigFile, Sheet};

/// One row.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Adjustment {
    /// On whose invoice.
    pub customer_id: String,
    /// Of which month.
    pub month: BillingMonth,
    /// How much; below zero: less to pay.
    pub amount: Nanos,
    /// In which currency, where the customer is billed in several; none: the currency of `[billing]`.
    pub currency: Option<String>,
    /// Why, as printed.
    pub reason: String,
    /// Who agreed to it.
    pub approver: String,
    /// Where it was written.
    #[serde(skip)]
    pub line: u32,
}

/// The adjustments, in the order of the file.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Adjustments {
    rows: Vec<Adjustment>,
    /// The file, as the user would type it.
    pub file: String,
}

impl Adjustments {
    /// Reads and checks the file; whether the customers exist is checked by [`super::Billing`].
    pub fn parse(file: &ConfigFile) -> Result<Self, Problems> {
        let required = ["customer_id", "month", "amount", "reason", "approver"];
        let mut sheet = Sheet::read(file, &required, &["currency"]);
        let rows = sheet.each(|row| {
            let amount = row.required("amount")?;
            Ok(Adjustment {
                customer_id: row.required("customer_id")?.to_owned(),
                month: row.required("month")?.parse().map_err(|error: super::ParseMonthError| error.to_string())?,
                amount: amount
                    .parse()
                    .map_err(|_| format!("`amount` is not an exact decimal such as -12.50: `{amount}`"))?,
                currency: row.cell("currency").map(str::to_owned),
                reason: row.required("reason")?.to_owned(),
                approver: row.required("approver")?.to_owned(),
                line: row.line,
            })
        });
        sheet.problems.or(Self { rows, file: file.name.clone() })
    }

    /// Every row.
    pub fn rows(&self) -> &[Adjustment] {
        &self.rows
    }
}
