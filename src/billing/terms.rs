//! How invoices are made out: who sells, how they are numbered and rounded, when a month may be closed. What a month was closed
//! under is kept with it, so that its corrections follow the same terms.

use serde::{Deserialize, Serialize};

use super::BillingMonth;
use super::invoice::Party;
use crate::base::Rounding;

/// What stands for the month in a number.
const MONTH: &str = "{month}";
/// What stands for the running number.
const RUNNING: &str = "{n}";

/// `[seller]` and `[invoice]`.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct InvoiceTerms {
    /// Who sells.
    pub seller: Party,
    /// How invoices are numbered.
    pub numbers: NumberFormat,
    /// How a line is rounded to the currency's minor unit.
    pub rounding: Rounding,
    /// Hours after the end of a month before it may be closed: late records arrive in them.
    pub close_after_hours: u32,
    /// Days after the issue until payment is due.
    pub due_days: Option<u32>,
    /// Text printed on every invoice.
    pub text: Option<String>,
    /// Held events a month may have when it is closed.
    pub held_events_max: u64,
}

/// The form of an invoice's number: text with `{month}` and `{n}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NumberFormat(String);

/// Text that does not give every invoice a number of its own.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "a number needs `{{month}}` and `{{n}}`, each once, beside letters, digits, `-`, `_` and `.`: `{{month}}-{{n}}`"
)]
pub struct NumberFormatError;

impl Default for NumberFormat {
    fn default() -> Self {
        Self(format!("{MONTH}-{RUNNING}"))
    }
}

impl NumberFormat {
    /// Reads a form. A number becomes a file's name, so nothing else may be in it.
    pub fn parse(text: &str) -> Result<Self, NumberFormatError> {
        let once = |part: &str| text.matches(part).count() == 1;
        let rest = text.replacen(MONTH, "", 1).replacen(RUNNING, "", 1);
        let plain = rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        match once(MONTH) && once(RUNNING) && plain && !text.starts_with('.') {
            true => Ok(Self(text.to_owned())),
            false => Err(NumberFormatError),
        }
    }

    /// The form as text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The number of the month's `n`th invoice, from 1; four digits at least, so that names sort as numbers do.
    pub fn number(&self, month: BillingMonth, n: u32) -> String {
        self.0.replace(MONTH, &month.to_string()).replace(RUNNING, &format!("{n:04}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_month_and_running_number() {
        let month = "2026-10".parse().unwrap();
        assert_eq!(NumberFormat::default().number(month, 7), "2026-10-0007");
        assert_eq!(NumberFormat::parse("ML.{n}_{month}").unwrap().number(month, 12_345), "ML.12345_2026-10");
        for wrong in
            ["{month}", "{n}", "{month}-{n}-{n}", "{month}/{n}", "../{month}{n}", "{month}{n} x", "{year}{n}{month}"]
        {
            assert_eq!(NumberFormat::parse(wrong), Err(NumberFormatError), "{wrong}");
        }
    }
}
