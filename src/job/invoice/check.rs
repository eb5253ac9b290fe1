//! What stands against closing a month: anything that could still change its invoices, or that nobody has looked at. Each reason is a
//! sentence with its numbers. All of them are found before anything is said.

use crate::base::Micros;
use crate::base::time::HOUR_MICROS;
use crate::billing::BillingMonth;
use crate::lake::{Ledger, ObjectState};
use crate::model::Engine;
use crate::source::list;

use super::super::derive::{first_stale, months_with_usage};
use super::super::{Job, JobError};
use super::Books;
use super::closing::closed_months;
use super::rows::Rows;

/// Everything that stands against closing the month now.
pub async fn stands_against(job: &Job, books: &Books<'_>, month: BillingMonth) -> Result<Vec<String>, JobError> {
    let mut reasons = Vec::new();
    let end = books.derivation.zone.start(month.next().first_day());
    let open_from = Micros(end.0 + i64::from(books.billing.invoice.close_after_hours) * HOUR_MICROS);
    if books.now < open_from {
        let hours = books.billing.invoice.close_after_hours;
        reasons.push(format!("late records are waited for until {open_from}, {hours} hours after the month's end"));
    }
    let closed = closed_months(&job.lake).await?;
    let earlier = months_with_usage(&job.lake).await?;
    let first_open = earlier.into_iter().find(|of| *of < month && !closed.iter().any(|closed| closed.month() == *of));
    if let Some(first) = first_open {
        reasons.push(format!("{first} has usage and is still open; months are closed in order"));
    }
    let receipts = job.lake.receipts().await?.len();
    if receipts > 0 {
        reasons.push(format!("{receipts} converted objects wait to be built; run `meterlake build`"));
    }
    let withdrawals = job.lake.withdrawals().await?.len();
    if withdrawals > 0 {
        reasons.push(format!("{withdrawals} object versions wait to be withdrawn; run `meterlake build`"));
    }
    reasons.extend(not_converted(job).await?);
    if let Some((table, part)) = first_stale(&job.lake, books.derivation).await? {
        reasons.push(format!("{} is not up to date ({part}); run `meterlake build`", table.name()));
    }
    let engine = Engine::open(&job.lake, books.derivation.engine).await?;
    reasons.extend(gaps(&engine, books, month).await?);
    reasons.extend(held(&engine, books, month).await?);
    reasons.extend(rejects(&engine, books, month).await?);
    Ok(reasons)
}

/// Landing objects that are in no table: they failed, or nobody has converted them yet.
async fn not_converted(job: &Job) -> Result<Vec<String>, JobError> {
    let known = Ledger::open(&job.lake).await?.known(None, None).await?;
    let mut reasons = Vec::new();
    for source in &job.sources {
        let Some(place) = source.location.open_existing(job.buckets.as_ref())? else { continue };
        let mut missing = Vec::new();
        for object in list(&place).await? {
            let versions = known.get(&(source.name.clone(), object.key.clone()));
            let is_known = versions.is_some_and(|versions| {
                versions.iter().any(|version| version.etag == object.etag || version.state == ObjectState::Retracted)
            });
            if !is_known {
                missing.push(object.key);
            }
        }
        if let Some(first) = missing.first() {
            let count = missing.len();
            reasons.push(format!(
                "{count} objects of {} are not converted, the first is {first}; run `meterlake run`",
                source.name
            ));
        }
    }
    Ok(reasons)
}

async fn gaps(engine: &Engine, books: &Books<'_>, month: BillingMonth) -> Result<Vec<String>, JobError> {
    let bounds = books.derivation.zone.month_bounds(month);
    let sql = format!(
        "SELECT source, count(*) AS hours, min(hour_start) AS first_hour, \
         CAST(sum(expected - (events - conflicts)) AS BIGINT) AS missing FROM coverage_hourly \
         WHERE state = 'gap' AND hour_start >= TIMESTAMP '{}' AND hour_start < TIMESTAMP '{}' \
         GROUP BY source, expected IS NULL ORDER BY source, missing",
        bounds.from,
        bounds.to.unwrap_or(bounds.from)
    );
    let mut reasons = Vec::new();
    for batch in engine.query(&sql).await?.collect().await? {
        let rows = Rows { batch: &batch, of: "coverage_hourly" };
        let (sources, hours, first) = (rows.texts("source")?, rows.bigints("hours")?, rows.instants("first_hour")?);
        let missing = rows.wholes("missing")?;
        for row in 0..batch.num_rows() {
            let source = sources[row].as_deref().unwrap_or_default();
            let first = first[row].map(|at| at.to_string()).unwrap_or_default();
            let hours = hours[row];
            reasons.push(match missing[row] {
                Some(missing) => format!(
                    "{hours} hours of {source} have fewer requests than were counted elsewhere, {missing} in all, the first is {first}"
                ),
                None => format!("{hours} hours of {source} brought nothing, the first is {first}"),
            });
        }
    }
    Ok(reasons)
}

async fn held(engine: &Engine, books: &Books<'_>, month: BillingMonth) -> Result<Vec<String>, JobError> {
    let sql = format!(
        "SELECT attribution, CAST(sum(events) AS BIGINT) AS events FROM usage_daily \
         WHERE attribution IN ('unmapped', 'truncated', 'conflict', 'undecided', 'unpriced') \
         AND day >= DATE '{}' AND day <= DATE '{}' GROUP BY attribution ORDER BY attribution",
        month.first_day(),
        month.last_day()
    );
    let (mut all, mut parts) = (0_u64, Vec::new());
    for batch in engine.query(&sql).await?.collect().await? {
        let rows = Rows { batch: &batch, of: "usage_daily" };
        let (attributions, events) = (rows.texts("attribution")?, rows.bigints("events")?);
        for (attribution, events) in attributions.into_iter().zip(events) {
            all = all.saturating_add(u64::try_from(events).unwrap_or(0));
            parts.push(format!("{events} {}", attribution.unwrap_or_default()));
        }
    }
    let max = books.billing.invoice.held_events_max;
    let over = all > max;
    Ok(over.then(|| format!("{all} events are held ({}), more than {max}", parts.join(", "))).into_iter().collect())
}

async fn rejects(engine: &Engine, books: &Books<'_>, month: BillingMonth) -> Result<Vec<String>, JobError> {
    let sql = format!(
        "SELECT source, CAST(sum(records) AS BIGINT) AS records, CAST(sum(rejects) AS BIGINT) AS rejects FROM objects \
         WHERE state = 'applied' AND day >= DATE '{}' AND day <= DATE '{}' GROUP BY source ORDER BY source",
        month.first_day(),
        month.last_day()
    );
    let mut reasons = Vec::new();
    for batch in engine.query(&sql).await?.collect().await? {
        let rows = Rows { batch: &batch, of: "objects" };
        let (sources, records, rejects) = (rows.texts("source")?, rows.bigints("records")?, rows.bigints("rejects")?);
        for row in 0..batch.num_rows() {
            let (rejects, records) = (i128::from(rejects[row]), i128::from(records[row]));
            let percent = books.rejects_max_percent;
            if rejects * 100 > records * i128::from(percent) {
                let source = sources[row].as_deref().unwrap_or_default();
                reasons.push(format!(
                    "{rejects} of {records} records of {source} could not be read, more than {percent} %"
                ));
            }
        }
    }
    Ok(reasons)
}
