//! How a line of an invoice came about: its charge rows day by day with their place in the tiers, the prices, the keys whose usage it is,
//! and the query that lists its events. What was issued is explained from its evidence, a preview from the tables.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Micros, Nanos};
use crate::billing::invoice::{Invoice, Line, LineKind};
use crate::billing::{BillingDay, BillingMonth};
use crate::model::{Engine, text_literal};
use crate::schema::Table;

use super::super::{Job, JobError};
use super::Books;
use super::bill::{draw, stored};
use super::close::evidence_engine;
use super::closing::{Closed, charges_of, closed_months};
use super::pinned::from_parquet;
use super::rows::Rows;
use super::sums::Charges;

/// A line with everything behind it.
#[derive(Debug)]
pub struct Explanation {
    /// The invoice it is on.
    pub invoice: Invoice,
    /// The line.
    pub line: Line,
    /// Its charges, in order.
    pub charges: Vec<ChargeRow>,
    /// Of a correction: the charges that were printed before.
    pub printed: Vec<ChargeRow>,
    /// Whose usage it is, by key.
    pub keys: Vec<KeyUsage>,
    /// A query that lists its events; none where no usage is priced.
    pub events: Option<String>,
}

/// A row of `charges_daily`, without what all rows of the line share.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct ChargeRow {
    /// The billing day.
    pub day: BillingDay,
    /// The dimensions.
    pub dimensions: String,
    /// The tier.
    pub tier: String,
    /// Where the counter stood.
    pub month_to_date_before: i64,
    /// Usage.
    pub quantity: i64,
    /// Units the price is for.
    pub billed: Option<i64>,
    /// The price of one.
    pub unit_price: Option<Nanos>,
    /// The amount.
    pub amount: Nanos,
}

/// Usage of one key.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct KeyUsage {
    /// The source; none: usage that belongs to the customer as a whole.
    pub source: Option<String>,
    /// The key.
    pub key_ref: Option<String>,
    /// Its name for people.
    pub label: Option<String>,
    /// Usage.
    pub quantity: i64,
    /// Events behind it.
    pub events: i64,
}

/// Explains `NUMBER/LINE` of what was issued, or `MONTH/CUSTOMER/LINE` of a preview.
pub async fn explain(job: &Job, books: &Books<'_>, name: &str) -> Result<Explanation, JobError> {
    let missing = || JobError::NoSuchLine(name.to_owned());
    let (of, number) = name.rsplit_once('/').ok_or_else(missing)?;
    let number: u32 = number.parse().map_err(|_| missing())?;
    let closed = closed_months(&job.lake).await?;
    for close in &closed {
        let found = close.invoices().await?.into_iter().find(|invoice| invoice.number.as_deref() == Some(of));
        if let Some(invoice) = found {
            return issued(job, books, &closed, close, invoice, number).await?.ok_or_else(missing);
        }
    }
    let (month, customer) = of.split_once('/').ok_or_else(missing)?;
    let month: BillingMonth = month.parse().map_err(|_| missing())?;
    if closed.iter().any(|close| close.month() == month) {
        return Err(missing());
    }
    let bill = draw(job, books, month, &[]).await?;
    let invoice = bill.invoices.into_iter().find(|i| i.customer_id == customer).ok_or_else(missing)?;
    let line = invoice.lines.iter().find(|line| line.line == number).cloned().ok_or_else(missing)?;
    let of = line.key.month;
    let source = stored(job, books, of).await?;
    let charges = charge_rows(&source.engine, &source.charges, &invoice, &line).await?;
    let printed = printed_rows(&closed, &invoice, &line).await?;
    finish(job, books, invoice, line, charges, printed).await
}

async fn issued(
    job: &Job,
    books: &Books<'_>,
    closed: &[Closed],
    close: &Closed,
    invoice: Invoice,
    number: u32,
) -> Result<Option<Explanation>, JobError> {
    let Some(line) = invoice.lines.iter().find(|line| line.line == number).cloned() else { return Ok(None) };
    let charges = match close.has(&charges_of(line.key.month)) {
        true => evidence_rows(close, &invoice, &line).await?,
        false => Vec::new(),
    };
    let before = closed.iter().position(|other| other.month() == close.month()).unwrap_or(0);
    let printed = printed_rows(&closed[..before], &invoice, &line).await?;
    finish(job, books, invoice, line, charges, printed).await.map(Some)
}

/// The charges under which a corrected line was printed last.
async fn printed_rows(closed: &[Closed], invoice: &Invoice, line: &Line) -> Result<Vec<ChargeRow>, JobError> {
    let name = charges_of(line.key.month);
    match closed.iter().rev().find(|close| close.has(&name)).filter(|_| line.is_correction()) {
        Some(close) => evidence_rows(close, invoice, line).await,
        None => Ok(Vec::new()),
    }
}

async fn evidence_rows(close: &Closed, invoice: &Invoice, line: &Line) -> Result<Vec<ChargeRow>, JobError> {
    let rows = close.document(&charges_of(line.key.month)).await?;
    let engine = evidence_engine(from_parquet(Table::ChargesDaily, rows)?)?;
    charge_rows(&engine, &Charges::Stored, invoice, line).await
}

async fn finish(
    job: &Job,
    books: &Books<'_>,
    invoice: Invoice,
    line: Line,
    charges: Vec<ChargeRow>,
    printed: Vec<ChargeRow>,
) -> Result<Explanation, JobError> {
    let is_usage = line.key.kind == LineKind::Usage;
    let keys = if is_usage { keys(job, books, &invoice, &charges, &line).await? } else { Vec::new() };
    let events = is_usage.then(|| events_sql(books, &invoice.customer_id, &keys, &charges, &line)).flatten();
    Ok(Explanation { invoice, line, charges, printed, keys, events })
}

async fn charge_rows(
    engine: &Engine,
    charges: &Charges,
    invoice: &Invoice,
    line: &Line,
) -> Result<Vec<ChargeRow>, JobError> {
    let key = &line.key;
    let is = |column: &str, value: Option<&str>| match value {
        Some(value) => format!("{column} = {}", text_literal(value)),
        None => format!("{column} IS NULL"),
    };
    let mut wanted = vec![
        is("customer_id", Some(&invoice.customer_id)),
        is("currency", Some(&invoice.currency.code)),
        is("kind", Some(key.kind.name())),
        is("plan", key.plan.as_deref()),
        is("price_id", key.price_id.as_deref()),
        is("meter", key.meter.as_deref()),
        match key.price_from {
            Some(from) => format!("price_from = TIMESTAMP '{from}'"),
            None => "price_from IS NULL".to_owned(),
        },
        format!("day >= DATE '{}' AND day <= DATE '{}'", key.month.first_day(), key.month.last_day()),
    ];
    wanted.extend(key.tier.as_deref().map(|tier| is("tier", Some(tier))));
    let wanted = wanted.join(" AND ");
    let mut batches = Vec::new();
    for relation in charges.relations() {
        let sql = format!(
            "SELECT day, dimensions, tier, month_to_date_before, quantity, billed, unit_price, amount FROM {relation} \
             WHERE {wanted} ORDER BY day, dimensions, month_to_date_before, tier"
        );
        batches.extend(engine.query(&sql).await?.collect().await?);
    }
    let mut found = Vec::new();
    for batch in batches {
        let rows = Rows { batch: &batch, of: "charges_daily" };
        let (days, mut dimensions, mut tiers) = (rows.days("day")?, rows.texts("dimensions")?, rows.texts("tier")?);
        let (before, quantities) = (rows.bigints("month_to_date_before")?, rows.bigints("quantity")?);
        let (billed, prices, amounts) = (rows.wholes("billed")?, rows.amounts("unit_price")?, rows.amounts("amount")?);
        for row in 0..batch.num_rows() {
            found.push(ChargeRow {
                day: days[row].unwrap_or(key.month.first_day()),
                dimensions: dimensions[row].take().unwrap_or_default(),
                tier: tiers[row].take().unwrap_or_default(),
                month_to_date_before: before[row],
                quantity: quantities[row],
                billed: billed[row].and_then(|billed| i64::try_from(billed).ok()),
                unit_price: prices[row],
                amount: amounts[row].unwrap_or_default(),
            });
        }
    }
    Ok(found)
}

/// The keys whose usage on the days and dimensions of these charges it is.
async fn keys(
    job: &Job,
    books: &Books<'_>,
    invoice: &Invoice,
    charges: &[ChargeRow],
    line: &Line,
) -> Result<Vec<KeyUsage>, JobError> {
    let Some(meter) = &line.key.meter else { return Ok(Vec::new()) };
    let parts: BTreeSet<String> = charges
        .iter()
        .map(|charge| {
            format!(
                "(usage_daily.day = DATE '{}' AND usage_daily.dimensions = {})",
                charge.day,
                text_literal(&charge.dimensions)
            )
        })
        .collect();
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    let engine = Engine::open(&job.lake, books.derivation.engine).await?;
    let sql = format!(
        "SELECT usage_daily.source, usage_daily.key_ref, max(names.label) AS label, \
         CAST(sum(CAST(usage_daily.quantity AS DECIMAL(38, 0))) AS BIGINT) AS quantity, \
         CAST(sum(usage_daily.events) AS BIGINT) AS events FROM usage_daily \
         LEFT JOIN (SELECT source, key_ref, max(label) AS label FROM api_keys GROUP BY source, key_ref) AS names \
         ON names.source = usage_daily.source AND names.key_ref = usage_daily.key_ref \
         WHERE usage_daily.attribution = 'mapped' AND usage_daily.customer_id = {} AND usage_daily.meter = {} AND ({}) \
         GROUP BY usage_daily.source, usage_daily.key_ref ORDER BY usage_daily.source, usage_daily.key_ref",
        text_literal(&invoice.customer_id),
        text_literal(meter),
        parts.into_iter().collect::<Vec<_>>().join(" OR ")
    );
    let mut keys = Vec::new();
    for batch in engine.query(&sql).await?.collect().await? {
        let rows = Rows { batch: &batch, of: "usage_daily" };
        let (mut sources, mut refs) = (rows.texts("source")?, rows.texts("key_ref")?);
        let mut labels = rows.texts("label")?;
        let (quantities, events) = (rows.bigints("quantity")?, rows.bigints("events")?);
        for row in 0..batch.num_rows() {
            keys.push(KeyUsage {
                source: sources[row].take(),
                key_ref: refs[row].take(),
                label: labels[row].take(),
                quantity: quantities[row],
                events: events[row],
            });
        }
    }
    Ok(keys)
}

/// A query that lists the events of these charges: the meter's rule, its dimensions, the keys and the days.
fn events_sql(
    books: &Books<'_>,
    customer_id: &str,
    keys: &[KeyUsage],
    charges: &[ChargeRow],
    line: &Line,
) -> Option<String> {
    let rules = books.derivation.meters_of(line.key.month);
    let meter = rules.iter().find(|meter| Some(&meter.name) == line.key.meter.as_ref())?;
    let (first, last) = (charges.first()?.day, charges.last()?.day);
    let zone = books.derivation.zone;
    let (from, to): (Micros, Micros) = (zone.start(first), zone.start(last.next()));
    let owned = owned(books, line.key.month, customer_id, keys);
    let sources: Vec<String> = meter.sources.iter().map(|source| text_literal(source)).collect();
    let of_dimensions = meter.dimensions_sql().ok()?;
    let rule = meter.rule_sql().ok()?;
    let mut by_day: BTreeMap<BillingDay, BTreeSet<String>> = BTreeMap::new();
    for charge in charges {
        by_day.entry(charge.day).or_default().insert(text_literal(&charge.dimensions));
    }
    let of_days = by_day.into_iter().map(|(day, dimensions)| {
        let (start, end) = (zone.start(day), zone.start(day.next()));
        let dimensions = dimensions.into_iter().collect::<Vec<_>>().join(", ");
        format!(
            "(event_time >= TIMESTAMP '{start}' AND event_time < TIMESTAMP '{end}' AND {of_dimensions} IN ({dimensions}))"
        )
    });
    let of_days = of_days.collect::<Vec<_>>().join("\n        OR ");
    Some(format!(
        "SELECT event_time, request_id, source, key_ref, source_object, source_position\nFROM {}\nWHERE source IN ({})\n    \
         AND day >= DATE '{}' AND day <= DATE '{}'\n    AND event_time >= TIMESTAMP '{from}' AND event_time < TIMESTAMP '{to}'\n    \
         AND ({owned})\n    AND NOT coalesce(conflict, FALSE) AND NOT coalesce(status IN (401, 403), FALSE)\n    \
         AND ({rule})\n    AND ({of_days})\nORDER BY event_time, request_id",
        meter.table.name(),
        sources.join(", "),
        from.day(),
        Micros(to.0 - 1).day(),
    ))
}

/// When each of these keys was the customer's, as a condition.
fn owned(books: &Books<'_>, month: BillingMonth, customer_id: &str, keys: &[KeyUsage]) -> String {
    let owners = books.derivation.owners(month);
    let mut spans = Vec::new();
    for owner in owners.iter().filter(|owner| owner.customer_id == customer_id) {
        let is_of = |key: &&KeyUsage| {
            key.source.as_deref() == Some(&*owner.source) && key.key_ref.as_deref() == Some(&*owner.key_ref)
        };
        if keys.iter().any(|key| is_of(&key)) {
            let end = owner.valid.to.map(|to| format!(" AND event_time < TIMESTAMP '{to}'")).unwrap_or_default();
            spans.push(format!(
                "(source = {} AND key_ref = {} AND event_time >= TIMESTAMP '{}'{end})",
                text_literal(&owner.source),
                text_literal(&owner.key_ref),
                owner.valid.from
            ));
        }
    }
    if spans.is_empty() { "FALSE".to_owned() } else { spans.join("\n        OR ") }
}
