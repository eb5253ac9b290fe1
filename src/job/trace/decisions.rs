//! What the meters made of one event. The event is counted and attributed by the very statements that make `usage_slots` and
//! `usage_daily`, run over this event alone; beside them stand the rows of keys, usage and charges that it leads to.

use arrow::array::RecordBatch;

use crate::base::UtcDay;
use crate::model::{Engine, EventName, Meter, MeterValue, UsageDay, UsageOf, usage_sql};
use crate::schema::Table;

use super::super::JobError;
use super::super::derive::Derivation;
use super::super::rows::Rows;
use super::all;

/// What a meter decided, and what followed.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The meter.
    pub meter: String,
    /// Its rule as configured; none: every event counts.
    pub rule: Option<String>,
    /// What an event counts for, as configured.
    pub counts: String,
    /// What the rule is for this event: true, false, or neither.
    pub holds: Option<bool>,
    /// What the event would count for.
    pub value: Option<String>,
    /// Its dimensions, whether or not it counts.
    pub dimensions: String,
    /// `counted`, `not_billable` or `undecided`.
    pub outcome: String,
    /// What it counts for.
    pub quantity: i64,
    /// `mapped`, or the first reason why not.
    pub attribution: String,
    /// Who is charged.
    pub customer_id: Option<String>,
    /// Every owner of the key, with the interval, the plan, and whether it holds at the event.
    pub keys: RecordBatch,
    /// The row of `usage_daily` it is part of; with a customer's own figure, two.
    pub usage: RecordBatch,
    /// The rows of `charges_daily` that this usage led to, of all its events together; none: it is not charged.
    pub charges: Option<RecordBatch>,
}

/// What each meter of the event's source decided, in the order of the configuration.
pub(super) async fn of(
    engine: &Engine,
    with: &Derivation,
    name: &EventName,
    event: &RecordBatch,
) -> Result<Vec<Decision>, JobError> {
    let day = with.zone.day_of(name.at);
    let day = UsageDay {
        day: UtcDay(day.0),
        from: with.zone.start(day),
        to: with.zone.start(day.next()),
        is_before_start: with.start.is_some_and(|start| day < start),
        has_rates: with.has_rates,
        // The event is counted at its own instant, so no interval can cut it.
        cuts: Vec::new(),
    };
    let key_ref = first(Rows { batch: event, of: name.table.name() }.texts("key_ref")?);
    // No key is called by the empty text: an event without a key has no owners.
    let keys = all(engine, Table::ApiKeys, &name.keys_sql(&key_ref.unwrap_or_default(), day.from)).await?;
    let mut decisions = Vec::new();
    for meter in with.meters.iter().filter(|meter| meter.sources.contains(&name.source)) {
        decisions.push(decide(engine, meter, name, &day, keys.clone()).await?);
    }
    Ok(decisions)
}

async fn decide(
    engine: &Engine,
    meter: &Meter,
    name: &EventName,
    day: &UsageDay,
    keys: RecordBatch,
) -> Result<Decision, JobError> {
    let judged = all(engine, name.table, &name.meter_sql(meter)?).await?;
    let judged = Rows { batch: &judged, of: name.table.name() };
    let part = format!("one event of {}", name.source);
    let slot = engine.make(Table::UsageSlots, &part, &name.slots_sql(meter)?).await?;
    engine.put(Table::UsageSlots, vec![slot.clone()])?;
    let slot = Rows { batch: &slot, of: Table::UsageSlots.name() };
    let usage = engine.make(Table::UsageDaily, &part, &usage_sql(day, &[])?).await?;
    let usage = Rows { batch: &usage, of: Table::UsageDaily.name() };
    let cell = |column: &str| usage.texts(column).map(first);
    let (attribution, customer_id) = (cell("attribution")?.unwrap_or_default(), cell("customer_id")?);
    let (dimensions, key_ref) = (cell("dimensions")?.unwrap_or_default(), cell("key_ref")?);
    let of = UsageOf {
        day: day.day,
        source: &name.source,
        meter: &meter.name,
        dimensions: &dimensions,
        attribution: &attribution,
        customer_id: customer_id.as_deref(),
        key_ref: key_ref.as_deref(),
    };
    let mut rows = all(engine, Table::UsageDaily, &of.sql()).await?;
    if rows.num_rows() == 0 && customer_id.is_none() && key_ref.is_some() {
        // Callers can make keys up; of those nobody owns, a day keeps only the most used apart.
        rows = all(engine, Table::UsageDaily, &UsageOf { key_ref: Some("other"), ..of }.sql()).await?;
    }
    let charges = match of.charges_sql().filter(|_| attribution == "mapped") {
        Some(sql) => Some(all(engine, Table::ChargesDaily, &sql).await?),
        None => None,
    };
    Ok(Decision {
        meter: meter.name.clone(),
        rule: meter.where_sql.clone(),
        counts: match &meter.value {
            MeterValue::Count => "count".to_owned(),
            MeterValue::Sum(value) => value.clone(),
            MeterValue::Unique(value) => format!("unique({value})"),
            MeterValue::Max(value) => format!("max({value})"),
        },
        holds: first(judged.texts("rule")?).map(|rule| rule == "true"),
        value: first(judged.texts("value")?),
        dimensions: first(judged.texts("dimensions")?).unwrap_or_default(),
        outcome: first(slot.texts("outcome")?).unwrap_or_default(),
        quantity: slot.bigints("quantity")?.first().copied().unwrap_or_default(),
        usage: rows,
        charges,
        attribution,
        customer_id,
        keys,
    })
}

fn first(column: Vec<Option<String>>) -> Option<String> {
    column.into_iter().next().flatten()
}
