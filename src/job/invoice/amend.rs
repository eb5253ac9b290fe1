//! What may be asked of a month beside its bill: what has changed since it was closed, what other rates would make of it, and that it
//! is priced under today's configuration from now on.

use std::collections::BTreeMap;

use crate::base::{HalfOpen, Micros, Nanos};
use crate::billing::BillingMonth;
use crate::billing::bill::Account;
use crate::billing::export::UsageRow;
use crate::billing::invoice::{Invoice, Line, TotalTooLarge};
use crate::lake::{Ledger, ObjectHour};
use crate::model::Engine;
use crate::schema::Table;

use super::super::{Job, JobError};
use super::Books;
use super::bill::{History, correction, give_days, own_lines};
use super::close::{pin, printed_days, subtract_days};
use super::closing::{Closed, OBJECTS, Repriced, closed_month, closed_months, write_evidence};
use super::pinned::from_parquet;
use super::rows::Rows;
use super::sums::{Charges, line_days};

/// What has changed since a month was closed.
#[derive(Debug)]
pub struct Difference {
    /// What the next close would print for it.
    pub lines: BTreeMap<Account, Vec<Line>>,
    /// Objects with records of the month that were not there at its close.
    pub objects: Vec<ObjectHour>,
}

/// What a customer pays for a month, and what it would pay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Comparison {
    /// Who.
    pub account: Account,
    /// As it is.
    pub now: Nanos,
    /// As it would be.
    pub then: Nanos,
}

/// What the next close would print for a closed month, and which objects brought it.
pub async fn since_close(job: &Job, books: &Books<'_>, month: BillingMonth) -> Result<Difference, JobError> {
    let closed = closed_months(&job.lake).await?;
    let of_month = closed.iter().find(|closed| closed.month() == month).ok_or(JobError::NotClosed(month))?;
    let (lines, _) =
        correction(job, books, &History::read(&closed).await?, month, &of_month.pinned().await?, &[]).await?;
    let known = from_parquet(Table::ObjectHours, of_month.document(OBJECTS).await?)?;
    let known = Rows { batch: &known, of: "object_hours" };
    let known: std::collections::BTreeSet<Option<String>> = known.texts("object_id")?.into_iter().collect();
    let bounds = books.derivation.zone.month_bounds(month);
    let end = Micros(bounds.to.unwrap_or(bounds.from).0 - 1).hour().next();
    let hours = HalfOpen { from: bounds.from.hour(), to: Some(end) };
    let mut objects: BTreeMap<(String, String), ObjectHour> = BTreeMap::new();
    for hour in Ledger::open(&job.lake).await?.object_hours(hours).await? {
        if hour.records > 0 && !known.contains(&Some(hour.object_id.to_string())) {
            let of_object = objects
                .entry((hour.source.clone(), hour.key.clone()))
                .or_insert_with(|| ObjectHour { records: 0, ..hour.clone() });
            of_object.records += hour.records;
        }
    }
    Ok(Difference { lines, objects: objects.into_values().collect() })
}

/// What each customer pays for a month under one set of books and under another. Corrections of other months are left out.
pub async fn compare(
    job: &Job,
    books: &Books<'_>,
    other: &Books<'_>,
    month: BillingMonth,
) -> Result<Vec<Comparison>, JobError> {
    let mut sums: BTreeMap<Account, (Nanos, Nanos)> = BTreeMap::new();
    for (books, is_other) in [(books, false), (other, true)] {
        for (account, lines) in own_lines(job, books, month, is_other).await? {
            let total = Nanos::checked_sum(lines.iter().map(|line| line.amount));
            let total = total.ok_or_else(|| TotalTooLarge { customer_id: account.customer_id.clone(), month })?;
            let sum = sums.entry(account).or_default();
            *(if is_other { &mut sum.1 } else { &mut sum.0 }) = total;
        }
    }
    Ok(sums.into_iter().map(|(account, (now, then))| Comparison { account, now, then }).collect())
}

/// Notes that a closed month is priced under today's books from now on. The derived tables follow at the next build, and the
/// difference is printed by the next close.
pub async fn reprice(job: &Job, books: &Books<'_>, month: BillingMonth, reason: &str) -> Result<(), JobError> {
    let closed = closed_month(&job.lake, month).await?.ok_or(JobError::NotClosed(month))?;
    let (evidence, documents) = write_evidence(closed.folder(), pin(books, month).documents()?).await?;
    loop {
        let number = closed.repriced().await?.len() + 1;
        let repriced = Repriced {
            at: books.now,
            reason: reason.to_owned(),
            evidence: evidence.clone(),
            documents: documents.clone(),
        };
        if closed.reprice(number, &repriced).await? {
            return Ok(());
        }
    }
}

/// The month's mapped usage, by day, customer, meter and dimensions.
pub async fn usage_rows(job: &Job, books: &Books<'_>, month: BillingMonth) -> Result<Vec<UsageRow>, JobError> {
    let engine = Engine::open(&job.lake, books.derivation.engine).await?;
    let sql = format!(
        "SELECT day, customer_id, meter, dimensions, sum(CAST(quantity AS DECIMAL(38, 0))) AS quantity FROM usage_daily \
         WHERE attribution = 'mapped' AND day >= DATE '{}' AND day <= DATE '{}' \
         GROUP BY day, customer_id, meter, dimensions ORDER BY day, customer_id, meter, dimensions",
        month.first_day(),
        month.last_day()
    );
    let mut usage = Vec::new();
    let mut found = engine.query(&sql).await?;
    while let Some(batch) = found.next().await? {
        let rows = Rows { batch: &batch, of: "usage_daily" };
        let (days, mut customers) = (rows.days("day")?, rows.texts("customer_id")?);
        let (mut meters, mut dimensions) = (rows.texts("meter")?, rows.texts("dimensions")?);
        let quantities = rows.wholes("quantity")?;
        for row in 0..batch.num_rows() {
            let text = |column: &mut Vec<Option<String>>| column[row].take().unwrap_or_default();
            let day = days[row].unwrap_or(month.first_day());
            let too_large = |_| JobError::Conservation {
                day: crate::base::UtcDay(day.0),
                what: "the usage of a day is more than a BIGINT holds".to_owned(),
            };
            usage.push(UsageRow {
                day,
                customer_id: text(&mut customers),
                meter: text(&mut meters),
                dimensions: text(&mut dimensions),
                quantity: i64::try_from(quantities[row].unwrap_or(0)).map_err(too_large)?,
            });
        }
    }
    Ok(usage)
}

impl Closed {
    /// Gives every line of these invoices, the close's own, its days: those of the evidence.
    pub async fn add_days(&self, closed: &[Self], invoices: &mut [Invoice]) -> Result<(), JobError> {
        let months: std::collections::BTreeSet<BillingMonth> =
            invoices.iter().flat_map(|invoice| invoice.lines.iter().map(|line| line.key.month)).collect();
        // Closes up to this one; what came later corrects what is asked for.
        let until = closed.iter().position(|close| close.month() == self.month()).unwrap_or(0);
        let mut days = super::sums::LineDays::new();
        for month in months {
            let name = super::closing::charges_of(month);
            if !self.has(&name) {
                continue;
            }
            let rows = from_parquet(Table::ChargesDaily, self.document(&name).await?)?;
            let engine = super::close::evidence_engine(rows)?;
            let mut of_month = line_days(&engine, &Charges::Stored, month, None).await?;
            subtract_days(&mut of_month, printed_days(&closed[..until], month).await?);
            days.append(&mut of_month);
        }
        give_days(invoices, days);
        Ok(())
    }
}
