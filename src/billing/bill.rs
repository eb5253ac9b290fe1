//! From charges to lines. What a month costs now, by customer, currency and [`LineKey`], is held against all that was printed for
//! it: for a month that was never billed the difference is the bill, for a closed month it is the correction. So both
//! come from one rule: a line prints round(exact now) − Σ printed. Tax follows from the printed lines of the month it is for.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::BillingMonth;
use super::adjustments::Adjustment;
use super::invoice::{Correction, Currency, Invoice, Line, LineKey, LineKind};
use crate::base::{Micros, Nanos, Rounding};

/// Parts in one whole of a tax rate.
const MILLION: i128 = 1_000_000;

/// Who is billed, and in which currency: one invoice each.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Account {
    /// The customer.
    pub customer_id: String,
    /// What in.
    pub currency: Currency,
}

/// Charges of a month that belong on one line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChargeSum {
    /// Who pays.
    pub customer_id: String,
    /// ISO 4217 code.
    pub currency: String,
    /// usage, flat, discount or minimum.
    pub kind: LineKind,
    /// The plan.
    pub plan: String,
    /// The price within it.
    pub price_id: String,
    /// Start of the price's interval.
    pub price_from: Option<Micros>,
    /// How the price works.
    pub model: Option<String>,
    /// The meter.
    pub meter: Option<String>,
    /// The tier; none where the whole month has one price.
    pub tier: Option<String>,
    /// Usage.
    pub quantity: i64,
    /// Units the price is for.
    pub billed: Option<i64>,
    /// The price of one, where all of the sum has the same.
    pub unit_price: Option<Nanos>,
    /// The sum.
    pub exact: Nanos,
}

/// What stands, or stood, on a line.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Amounts {
    /// Usage.
    pub quantity: Option<i64>,
    /// Units the price is for.
    pub billed: Option<i64>,
    /// The price of one.
    pub unit_price: Option<Nanos>,
    /// Before rounding.
    pub exact: Nanos,
}

/// All that was printed under a key.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Printed {
    /// Usage.
    pub quantity: i64,
    /// Units the price was for.
    pub billed: i64,
    /// Before rounding.
    pub exact: Nanos,
    /// As printed.
    pub amount: Nanos,
}

/// Lines by account and key.
pub type ByAccount<T> = BTreeMap<Account, BTreeMap<LineKey, T>>;

/// What a month is billed under; kept with it when it is closed.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct MonthTerms {
    /// How lines are rounded.
    pub rounding: Rounding,
    /// Tax rate of each customer that pays tax, in parts of a million.
    pub tax_ppm: BTreeMap<String, u32>,
    /// The month's adjustments.
    pub adjustments: Vec<Adjustment>,
    /// Currency of adjustments that name none.
    pub currency: String,
}

/// Why a bill cannot be made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BillError {
    /// A sum is out of range.
    #[error("the bill of `{customer_id}` for {month} is more than a DECIMAL(38,9) or a BIGINT holds, at {key:?}")]
    TooLarge {
        /// The customer.
        customer_id: String,
        /// The month.
        month: BillingMonth,
        /// The line.
        key: Box<LineKey>,
    },
    /// A currency without minor units in ISO 4217.
    #[error("`{0}` is no currency of ISO 4217, so its minor unit is not known")]
    UnknownCurrency(String),
}

impl Account {
    /// Whose invoice it is.
    pub fn of(invoice: &Invoice) -> Self {
        Self { customer_id: invoice.customer_id.clone(), currency: invoice.currency.clone() }
    }
}

impl ChargeSum {
    /// Who pays.
    pub fn account(&self) -> Result<Account, BillError> {
        Ok(Account { customer_id: self.customer_id.clone(), currency: Currency::of(&self.currency)? })
    }

    /// The line it belongs on.
    pub fn key(&self, month: BillingMonth) -> LineKey {
        LineKey {
            month,
            kind: self.kind,
            plan: Some(self.plan.clone()),
            price_id: Some(self.price_id.clone()),
            price_from: self.price_from,
            model: self.model.clone(),
            meter: self.meter.clone(),
            tier: self.tier.clone(),
            tax_ppm: None,
        }
    }
}

impl Currency {
    /// The currency of an ISO 4217 code.
    pub fn of(code: &str) -> Result<Self, BillError> {
        let known = iso_currency::Currency::from_code(code);
        let places = known.map(|currency| u32::from(currency.exponent().unwrap_or(0)));
        match places {
            Some(places) => Ok(Self { code: code.to_owned(), places }),
            None => Err(BillError::UnknownCurrency(code.to_owned())),
        }
    }
}

/// What a month comes to: its charges and adjustments by account and line.
pub fn month_now(
    month: BillingMonth,
    charges: Vec<ChargeSum>,
    terms: &MonthTerms,
) -> Result<ByAccount<Amounts>, BillError> {
    let mut now: ByAccount<Amounts> = BTreeMap::new();
    for sum in charges {
        let account = sum.account()?;
        let key = sum.key(month);
        let is_usage = sum.kind == LineKind::Usage;
        let amounts = Amounts {
            quantity: is_usage.then_some(sum.quantity),
            billed: sum.billed.filter(|_| is_usage),
            unit_price: sum.unit_price.filter(|_| is_usage),
            exact: sum.exact,
        };
        now.entry(account).or_default().insert(key, amounts);
    }
    for adjustment in terms.adjustments.iter().filter(|adjustment| adjustment.month == month) {
        let code = adjustment.currency.as_ref().unwrap_or(&terms.currency);
        let account = Account { customer_id: adjustment.customer_id.clone(), currency: Currency::of(code)? };
        let key = adjustment_key(month, adjustment);
        let line = now.entry(account.clone()).or_default().entry(key.clone()).or_default();
        line.exact = line.exact.checked_add(adjustment.amount).ok_or_else(|| too_large(&account, month, &key))?;
    }
    Ok(now)
}

fn adjustment_key(month: BillingMonth, adjustment: &Adjustment) -> LineKey {
    LineKey {
        month,
        kind: LineKind::Adjustment,
        plan: None,
        price_id: Some(format!("{} (approved by {})", adjustment.reason, adjustment.approver)),
        price_from: None,
        model: None,
        meter: None,
        tier: None,
        tax_ppm: None,
    }
}

/// The lines that bring what was printed for a month of one account to what it comes to now, tax included. A line that would
/// print nothing is left out, unless the month has never been printed for the account: then free usage is shown too.
pub fn difference(
    account: &Account,
    month: BillingMonth,
    now: &BTreeMap<LineKey, Amounts>,
    printed: &BTreeMap<LineKey, Printed>,
    terms: &MonthTerms,
    corrects: Option<&Corrects>,
) -> Result<Vec<Line>, BillError> {
    let mut lines = Vec::new();
    let keys: BTreeSet<&LineKey> = now.keys().chain(printed.keys()).filter(|key| key.kind != LineKind::Tax).collect();
    for key in keys {
        let fault = || too_large(account, month, key);
        let (amounts, before) = (now.get(key), printed.get(key));
        let exact_now = amounts.map_or(Nanos(0), |amounts| amounts.exact);
        lines.extend(line(account, key, amounts, exact_now, before, terms.rounding, corrects).ok_or_else(fault)?);
    }
    lines.extend(tax(account, month, &lines, printed, terms, corrects)?);
    lines.sort_by(|a, b| printing_order(&a.key).cmp(&printing_order(&b.key)));
    Ok(lines)
}

/// What a correction is told to correct.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Corrects {
    /// The number of the invoice of that month, where the account had one.
    pub invoice: Option<String>,
}

/// The order in which lines are printed: month by month, plan by plan, usage first, tiers by number.
pub fn printing_order(key: &LineKey) -> impl Ord + use<'_> {
    let tier = key.tier.as_deref().and_then(|tier| tier.parse::<u32>().ok());
    let is_tax = key.kind == LineKind::Tax;
    let loose = matches!(key.kind, LineKind::Adjustment);
    (is_tax, key.month, loose, &key.plan, key.kind, &key.price_id, key.price_from, tier, key)
}

/// One line of a difference; `Some(None)` where nothing is to be printed, `None` where a number does not fit.
fn line(
    account: &Account,
    key: &LineKey,
    amounts: Option<&Amounts>,
    exact_now: Nanos,
    before: Option<&Printed>,
    rounding: Rounding,
    corrects: Option<&Corrects>,
) -> Option<Option<Line>> {
    let none = Printed::default();
    let printed = before.unwrap_or(&none);
    let amount = exact_now.rounded(account.currency.places, rounding).checked_sub(printed.amount)?;
    let exact = exact_now.checked_sub(printed.exact)?;
    let now = |of: fn(&Amounts) -> Option<i64>| amounts.and_then(of);
    let less = |value: Option<i64>, printed: i64| match (value, printed) {
        (None, 0) => Some(None),
        (value, printed) => value.unwrap_or(0).checked_sub(printed).map(Some),
    };
    let quantity = less(now(|amounts| amounts.quantity), printed.quantity)?;
    let billed = less(now(|amounts| amounts.billed), printed.billed)?;
    if amount == Nanos(0) && (corrects.is_some() || before.is_some()) {
        return Some(None);
    }
    // A price is printed only where it explains the amount.
    let unit_price = amounts
        .and_then(|amounts| amounts.unit_price)
        .filter(|price| billed.and_then(|billed| price.checked_mul(billed)) == Some(exact));
    let correction = corrects.map(|corrects| Correction {
        invoice: corrects.invoice.clone(),
        exact_now,
        printed_before: printed.amount,
    });
    Some(Some(Line {
        line: 0,
        key: key.clone(),
        text: text(key),
        quantity,
        billed,
        unit_price,
        exact,
        amount,
        correction,
        days: Vec::new(),
    }))
}

/// The tax of a month on all that is printed for it, less the tax that was printed.
fn tax(
    account: &Account,
    month: BillingMonth,
    lines: &[Line],
    printed: &BTreeMap<LineKey, Printed>,
    terms: &MonthTerms,
    corrects: Option<&Corrects>,
) -> Result<Vec<Line>, BillError> {
    let of_tax = |ppm: u32| LineKey {
        month,
        kind: LineKind::Tax,
        plan: None,
        price_id: None,
        price_from: None,
        model: None,
        meter: None,
        tier: None,
        tax_ppm: Some(ppm),
    };
    let rate = terms.tax_ppm.get(&account.customer_id).copied();
    let mut keys: BTreeSet<LineKey> = printed.keys().filter(|key| key.kind == LineKind::Tax).cloned().collect();
    keys.extend(rate.map(of_tax));
    let before = printed.iter().filter(|(key, _)| key.kind != LineKind::Tax).map(|(_, printed)| printed.amount);
    let taxed = Nanos::checked_sum(before.chain(lines.iter().map(|line| line.amount)));
    let mut taxes = Vec::new();
    for key in keys {
        let fault = || too_large(account, month, &key);
        let (exact, rounded) = match rate.filter(|rate| key.tax_ppm == Some(*rate)) {
            Some(rate) => {
                share(taxed.ok_or_else(fault)?, rate, account.currency.places, terms.rounding).ok_or_else(fault)?
            }
            None => (Nanos(0), Nanos(0)),
        };
        let before = printed.get(&key).cloned().unwrap_or_default();
        let amount = rounded.checked_sub(before.amount).ok_or_else(fault)?;
        if amount == Nanos(0) && (corrects.is_some() || lines.is_empty()) {
            continue;
        }
        taxes.push(Line {
            line: 0,
            text: text(&key),
            quantity: None,
            billed: None,
            unit_price: None,
            exact: exact.checked_sub(before.exact).ok_or_else(fault)?,
            amount,
            correction: corrects.map(|corrects| Correction {
                invoice: corrects.invoice.clone(),
                exact_now: exact,
                printed_before: before.amount,
            }),
            days: Vec::new(),
            key,
        });
    }
    Ok(taxes)
}

/// So many parts of a million of a printed sum: exactly, and rounded. A sum of whole minor units has few enough places for the
/// exact share to fit nine, save where the minor unit has four: then what is below a nano-unit is cut after rounding.
fn share(of: Nanos, ppm: u32, places: u32, rounding: Rounding) -> Option<(Nanos, Nanos)> {
    let millionths = of.0.checked_mul(i128::from(ppm))?;
    let step = 10_i128.pow(9 - places.min(9)) * MILLION;
    let (whole, rest) = (millionths / step, (millionths % step).abs() * 2);
    let away = rest > step || (rest == step && (rounding == Rounding::HalfUp || whole % 2 != 0));
    let rounded = (whole + if away { millionths.signum() } else { 0 }).checked_mul(step / MILLION)?;
    Some((Nanos(millionths / MILLION), Nanos(rounded)))
}

/// What a line says.
fn text(key: &LineKey) -> String {
    let (plan, price) = (key.plan.as_deref().unwrap_or_default(), key.price_id.as_deref().unwrap_or_default());
    match key.kind {
        LineKind::Usage => {
            let tier = key.tier.as_ref().filter(|_| key.model.as_deref() == Some("graduated"));
            let tier = tier.map(|tier| format!(", tier {tier}")).unwrap_or_default();
            format!("{} ({plan}: {price}{tier})", key.meter.as_deref().unwrap_or_default())
        }
        LineKind::Flat => format!("Monthly fee ({plan}: {price})"),
        LineKind::Discount => format!("Discount ({plan})"),
        LineKind::Minimum => format!("Missing to the monthly minimum ({plan})"),
        LineKind::Adjustment => price.to_owned(),
        LineKind::Tax => format!("Tax {} %", percent(key.tax_ppm.unwrap_or_default())),
    }
}

/// Parts of a million as percent: `19`, `7.25`.
pub fn percent(ppm: u32) -> String {
    let (whole, rest) = (ppm / 10_000, format!("{:04}", ppm % 10_000));
    match rest.trim_end_matches('0') {
        "" => whole.to_string(),
        places => format!("{whole}.{places}"),
    }
}

/// Percent as people write it, as parts of a million; at most four places.
pub fn parse_percent(text: &str) -> Option<u32> {
    let nanos: Nanos = text.parse().ok()?;
    let ppm = (nanos.0 % 100_000 == 0).then_some(nanos.0 / 100_000)?;
    u32::try_from(ppm).ok().filter(|ppm| *ppm <= 1_000_000)
}

fn too_large(account: &Account, month: BillingMonth, key: &LineKey) -> BillError {
    BillError::TooLarge { customer_id: account.customer_id.clone(), month, key: Box::new(key.clone()) }
}

/// Adds a printed line to what was printed under its key.
pub fn add_printed(to: &mut BTreeMap<LineKey, Printed>, line: &Line) -> Option<()> {
    let printed = to.entry(line.key.clone()).or_default();
    printed.quantity = printed.quantity.checked_add(line.quantity.unwrap_or(0))?;
    printed.billed = printed.billed.checked_add(line.billed.unwrap_or(0))?;
    printed.exact = printed.exact.checked_add(line.exact)?;
    printed.amount = printed.amount.checked_add(line.amount)?;
    Some(())
}

#[cfg(test)]
#[path = "bill_tests.rs"]
mod tests;
