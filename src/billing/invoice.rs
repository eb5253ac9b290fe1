//! An invoice as data: parties, lines and totals, before anybody decides how it looks. Amounts are exact nano-units; what is
//! printed is rounded once, per line, and a total is the sum of the printed lines. A credit note is an invoice whose total
//! is below zero.

use serde::{Deserialize, Serialize};

use super::{BillingDay, BillingMonth};
use crate::base::{Micros, Nanos, Rounding, UtcDay};

/// What one customer is billed for a month in one currency.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Invoice {
    /// Its number; none: a preview.
    pub number: Option<String>,
    /// What kind of document it is.
    pub kind: InvoiceKind,
    /// The month it is for; corrections of earlier months are lines of it.
    pub month: BillingMonth,
    /// When it was issued; none: a preview.
    pub issued_on: Option<UtcDay>,
    /// When payment is due, where terms say so.
    pub due_on: Option<UtcDay>,
    /// Who sells.
    pub seller: Party,
    /// The customer's id in the configuration.
    pub customer_id: String,
    /// Who pays.
    pub customer: Party,
    /// What all amounts are in.
    pub currency: Currency,
    /// How each line was rounded.
    pub rounding: Rounding,
    /// The billing time zone, an IANA name.
    pub zone: String,
    /// Payment terms and other text of the seller.
    pub terms: Option<String>,
    /// In the order they are printed; tax comes last.
    pub lines: Vec<Line>,
}

/// What kind of document an invoice is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvoiceKind {
    /// Something is to be paid, or nothing.
    Invoice,
    /// The seller owes.
    CreditNote,
}

/// A seller or a customer as printed.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Party {
    /// Name.
    pub name: String,
    /// Lines of the address.
    pub address: Vec<String>,
    /// Tax or VAT number.
    pub tax_id: Option<String>,
    /// Where to write to.
    pub email: Option<String>,
}

/// A currency and how many places its minor unit has.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Currency {
    /// ISO 4217 code.
    pub code: String,
    /// Places of the minor unit: 2 for USD, 0 for JPY, 3 for KWD.
    pub places: u32,
}

/// One line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Its number, from 1.
    pub line: u32,
    /// What it is for.
    #[serde(flatten)]
    pub key: LineKey,
    /// What it says.
    pub text: String,
    /// Usage; of a correction the difference. None where no usage is priced.
    pub quantity: Option<i64>,
    /// Units the price is for: usage, or packages begun. None where there is no unit price.
    pub billed: Option<i64>,
    /// Price of one of them; none where the amount is no product.
    pub unit_price: Option<Nanos>,
    /// Before rounding.
    pub exact: Nanos,
    /// As printed: a whole number of minor units.
    pub amount: Nanos,
    /// Set where the line corrects a closed month.
    pub correction: Option<Correction>,
    /// How it came about, day by day.
    pub days: Vec<LineDay>,
}

/// What a line is for. Two lines of one customer with equal keys are about the same thing, so a correction is the difference
/// of what is known now and all that was printed under the key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct LineKey {
    /// The month whose usage it is: an earlier one than the invoice's where it corrects.
    pub month: BillingMonth,
    /// What kind of line.
    pub kind: LineKind,
    /// The plan; none for adjustments and tax.
    pub plan: Option<String>,
    /// The price within the plan; for an adjustment its reason.
    pub price_id: Option<String>,
    /// Start of the price's interval.
    pub price_from: Option<Micros>,
    /// How the price works.
    pub model: Option<String>,
    /// The meter.
    pub meter: Option<String>,
    /// The tier, of graduated prices.
    pub tier: Option<String>,
    /// Of tax: the rate in parts of a million.
    pub tax_ppm: Option<u32>,
}

/// What kind of line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// Usage of a meter.
    Usage,
    /// A fee per month.
    Flat,
    /// A percentage off.
    Discount,
    /// What is missing to the plan's minimum.
    Minimum,
    /// A credit, refund or goodwill.
    Adjustment,
    /// Tax on the printed lines.
    Tax,
}

/// What a correction corrects.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Correction {
    /// The number of the invoice the line was on first, or should have been.
    pub invoice: Option<String>,
    /// What the line comes to now, exactly.
    pub exact_now: Nanos,
    /// The sum of all that was printed for it.
    pub printed_before: Nanos,
}

/// A line's share of one day.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LineDay {
    /// The billing day.
    pub day: BillingDay,
    /// Usage.
    pub quantity: i64,
    /// Before rounding.
    pub exact: Nanos,
}

/// The sum of printed lines is more than a `DECIMAL(38,9)` holds.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the lines of the invoice of `{customer_id}` for {month} add up to more than a DECIMAL(38,9) holds")]
pub struct TotalTooLarge {
    /// The customer.
    pub customer_id: String,
    /// The month.
    pub month: BillingMonth,
}

impl LineKind {
    /// Its name in files and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Flat => "flat",
            Self::Discount => "discount",
            Self::Minimum => "minimum",
            Self::Adjustment => "adjustment",
            Self::Tax => "tax",
        }
    }

    /// The kind of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        [Self::Usage, Self::Flat, Self::Discount, Self::Minimum, Self::Adjustment, Self::Tax]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

impl InvoiceKind {
    /// Its name in files and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invoice => "invoice",
            Self::CreditNote => "credit_note",
        }
    }
}

impl Invoice {
    /// The sum of the printed lines before tax.
    pub fn subtotal(&self) -> Result<Nanos, TotalTooLarge> {
        self.sum(|line| line.key.kind != LineKind::Tax)
    }

    /// The sum of the printed tax lines.
    pub fn tax(&self) -> Result<Nanos, TotalTooLarge> {
        self.sum(|line| line.key.kind == LineKind::Tax)
    }

    /// The sum of all printed lines.
    pub fn total(&self) -> Result<Nanos, TotalTooLarge> {
        self.sum(|_| true)
    }

    fn sum(&self, wanted: impl Fn(&Line) -> bool) -> Result<Nanos, TotalTooLarge> {
        Nanos::checked_sum(self.lines.iter().filter(|line| wanted(line)).map(|line| line.amount))
            .ok_or_else(|| self.too_large())
    }

    /// That some sum of it is out of range.
    pub fn too_large(&self) -> TotalTooLarge {
        TotalTooLarge { customer_id: self.customer_id.clone(), month: self.month }
    }
}

impl Line {
    /// Whether it corrects a closed month.
    pub fn is_correction(&self) -> bool {
        self.correction.is_some()
    }
}
