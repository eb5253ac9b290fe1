//! The charges of a month as they are printed: added up per line, and per line and day where somebody wants to see how a line came
//! about. The sums are made by SQL; here they become the words of `billing`.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;

use crate::base::Nanos;
use crate::billing::BillingMonth;
use crate::billing::bill::{Account, ChargeSum};
use crate::billing::invoice::{LineDay, LineKey, LineKind};
use crate::model::{Engine, text_literal};

use super::super::JobError;
use super::rows::Rows;

const LINES: &str = include_str!("../../../sql/report/invoice_lines.sql");

/// Where the charges of a month are read from.
#[derive(Clone, Debug)]
pub(super) enum Charges {
    /// The table: the month is stored whole.
    Stored,
    /// Statements, each of other customers: the month is not over for the table, or priced otherwise.
    Priced(Vec<String>),
}

/// Days of each line.
pub(super) type LineDays = BTreeMap<(Account, LineKey), Vec<LineDay>>;

impl Charges {
    /// What rows can be selected from, one after the other.
    pub(super) fn relations(&self) -> Vec<String> {
        match self {
            Self::Stored => vec!["charges_daily".to_owned()],
            Self::Priced(each) => each.iter().map(|sql| format!("(\n{}\n) AS charges", sql.trim_end())).collect(),
        }
    }
}

fn statement(charges: &str, month: BillingMonth, by_day: bool, only: Option<&str>) -> String {
    let (day, day_group) = if by_day { ("\n    day,", ", day") } else { ("", "") };
    let only = only.map(|customer| format!(" AND customer_id = {}", text_literal(customer)));
    LINES
        .replace("$day_from", &format!("DATE '{}'", month.first_day()))
        .replace("$day_last", &format!("DATE '{}'", month.last_day()))
        .replace("$day_group", day_group)
        .replace("$day", day)
        .replace("$only", only.as_deref().unwrap_or_default())
        .replace("$charges", charges)
}

async fn batches(
    engine: &Engine,
    charges: &Charges,
    month: BillingMonth,
    by_day: bool,
    only: Option<&str>,
) -> Result<Vec<RecordBatch>, JobError> {
    let mut found = Vec::new();
    for relation in charges.relations() {
        found.extend(engine.query(&statement(&relation, month, by_day, only)).await?.collect().await?);
    }
    Ok(found)
}

/// The month's charges, one sum per line.
pub(super) async fn charge_sums(
    engine: &Engine,
    charges: &Charges,
    month: BillingMonth,
) -> Result<Vec<ChargeSum>, JobError> {
    let mut sums = Vec::new();
    for batch in batches(engine, charges, month, false, None).await? {
        let rows = Rows { batch: &batch, of: "invoice_lines" };
        let mut keys = keys(&rows)?;
        let (quantities, billed) = (rows.wholes("quantity")?, rows.wholes("billed")?);
        let (least, most) = (rows.amounts("unit_price_min")?, rows.amounts("unit_price_max")?);
        let exact = rows.amounts("exact")?;
        for row in 0..batch.num_rows() {
            let sum = std::mem::take(&mut keys[row]);
            let sum = sum.ok_or_else(|| unreadable(month))?;
            let narrow = |value: Option<i128>| value.map(i64::try_from).transpose().map_err(|_| too_large(&sum, month));
            let (quantity, billed) = (narrow(quantities[row])?.unwrap_or(0), narrow(billed[row])?);
            let exact = exact[row].ok_or_else(|| too_large(&sum, month))?;
            let is_volume = sum.model.as_deref() == Some("volume");
            let (billed, unit_price) = match is_volume {
                // What was rated again adds up to the whole month at the last tier's price.
                true => (Some(quantity), quotient(exact, quantity)),
                false => (billed, least[row].filter(|_| least[row] == most[row])),
            };
            sums.push(ChargeSum { quantity, billed, unit_price, exact, ..sum });
        }
    }
    Ok(sums)
}

/// How each line came about, day by day; of one customer, where one is named.
pub(super) async fn line_days(
    engine: &Engine,
    charges: &Charges,
    month: BillingMonth,
    only: Option<&str>,
) -> Result<LineDays, JobError> {
    let mut days = LineDays::new();
    for batch in batches(engine, charges, month, true, only).await? {
        let rows = Rows { batch: &batch, of: "invoice_lines" };
        let keys = keys(&rows)?;
        let (at, quantities, exact) = (rows.days("day")?, rows.wholes("quantity")?, rows.amounts("exact")?);
        for (row, sum) in keys.into_iter().enumerate() {
            let sum = sum.ok_or_else(|| unreadable(month))?;
            let quantity = quantities[row].unwrap_or(0).try_into().map_err(|_| too_large(&sum, month))?;
            let exact = exact[row].ok_or_else(|| too_large(&sum, month))?;
            let day = at[row].ok_or_else(|| unreadable(month))?;
            days.entry((sum.account()?, sum.key(month))).or_default().push(LineDay { day, quantity, exact });
        }
    }
    days.values_mut().for_each(|days| days.sort_by_key(|day| day.day));
    Ok(days)
}

/// The sums with what they are for and no figures yet.
fn keys(rows: &Rows<'_>) -> Result<Vec<Option<ChargeSum>>, JobError> {
    let mut columns = Vec::new();
    for name in ["customer_id", "currency", "kind", "plan", "price_id", "model", "meter", "tier"] {
        columns.push(rows.texts(name)?);
    }
    let price_from = rows.instants("price_from")?;
    let mut keys = Vec::with_capacity(price_from.len());
    for (row, price_from) in price_from.into_iter().enumerate() {
        let mut text = |column: usize| columns[column][row].take();
        let [customer, currency, kind, plan, price_id, model, meter, tier] = [0, 1, 2, 3, 4, 5, 6, 7].map(&mut text);
        let kind = kind.as_deref().and_then(LineKind::by_name);
        let whole = customer.zip(currency).zip(plan.zip(price_id)).zip(kind);
        keys.push(whole.map(|(((customer_id, currency), (plan, price_id)), kind)| ChargeSum {
            customer_id,
            currency,
            kind,
            plan,
            price_id,
            price_from,
            model,
            meter,
            tier,
            quantity: 0,
            billed: None,
            unit_price: None,
            exact: Nanos(0),
        }));
    }
    Ok(keys)
}

/// The price of one, where the amount is a whole number of nano-units each.
fn quotient(exact: Nanos, quantity: i64) -> Option<Nanos> {
    let quantity = i128::from(quantity);
    (quantity != 0 && exact.0 % quantity == 0).then(|| Nanos(exact.0 / quantity))
}

fn too_large(sum: &ChargeSum, month: BillingMonth) -> JobError {
    let what = format!("the charges of {} under price {} are more than fit", sum.customer_id, sum.price_id);
    JobError::Conservation { day: crate::base::UtcDay(month.first_day().0), what }
}

fn unreadable(month: BillingMonth) -> JobError {
    let what = "a charge lacks its customer, currency, kind, plan, price, day or amount".to_owned();
    JobError::Conservation { day: crate::base::UtcDay(month.first_day().0), what }
}
