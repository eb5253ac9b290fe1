//! The statements that make the derived tables, rendered: exactly the text that runs, and that `sql TABLE` prints.
//! They name one part of a table each: some hours of a source and meter, a billing day, a billing month, a UTC day.

use std::collections::{BTreeMap, BTreeSet};

use chrono::Datelike;

use super::meter::{Meter, MeterError, Pieces};
use super::params::{boolean, choose, date, instant, render, text};
use super::rule::NUMBER_MAX;
use super::sql_text;
use crate::base::time::HOUR_MICROS;
use crate::base::{Micros, UtcDay, UtcHour};
use crate::schema::{ColumnType, Table};

/// Microseconds of a slot: a quarter of an hour.
const SLOT_MICROS: i64 = HOUR_MICROS / 4;

/// Unmapped keys of a day that stay apart.
const KEYS_MAX: u32 = 1_000;

/// The start of the slot an instant lies in.
pub fn slot_of(at: Micros) -> Micros {
    Micros(at.0.div_euclid(SLOT_MICROS) * SLOT_MICROS)
}

/// An owner's interval begins or ends within a slot of this key: the slot is counted from the events, in pieces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    /// The source the key was seen in.
    pub source: String,
    /// The key.
    pub key_ref: String,
    /// The instant; not the start of a slot.
    pub at: Micros,
}

/// What a day of usage depends on besides rows.
#[derive(Clone, Debug)]
pub struct UsageDay {
    /// The billing day.
    pub day: UtcDay,
    /// Its instants, `[from, to)`, whole slots.
    pub from: Micros,
    /// The first instant after.
    pub to: Micros,
    /// Billing begins later: everything is shown and nothing held.
    pub is_before_start: bool,
    /// There are prices, so that usage without one is held.
    pub has_rates: bool,
    /// The cuts within it.
    pub cuts: Vec<Cut>,
}

/// A billing month, or part of one: its days with their first instants, in order.
#[derive(Clone, Debug)]
pub struct MonthBounds {
    /// Each day and its first instant.
    pub days: Vec<(UtcDay, Micros)>,
}

impl MonthBounds {
    /// Days of the whole month, whichever of them are given.
    pub fn length(&self) -> u8 {
        self.days.first().map_or(31, |(day, _)| day.date().num_days_in_month())
    }

    /// Which day of its month a day is, from 1.
    pub(super) fn number(day: UtcDay) -> u32 {
        day.date().day()
    }
}

/// What a statement prices; by default all mapped usage.
#[derive(Clone, Default, Debug)]
pub struct Pricing {
    /// Whose.
    pub customers: CustomerSet,
    /// No plan has a minimum or a discount: the statement is made without what only they need.
    pub without_plan_terms: bool,
    /// Also usage that no price took: other prices may.
    pub unpriced_too: bool,
}

/// Some of the customers; by default all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CustomerSet {
    /// By the order of their ids: half-open, and open where nothing is given.
    Range {
        /// The first.
        from: Option<String>,
        /// The first after.
        to: Option<String>,
    },
    /// These.
    Only(Vec<String>),
}

impl Default for CustomerSet {
    fn default() -> Self {
        Self::Range { from: None, to: None }
    }
}

impl CustomerSet {
    /// As SQL; none where it is all of them.
    pub(crate) fn condition(&self) -> Option<String> {
        let (from, to) = match self {
            Self::Range { from, to } => (from, to),
            Self::Only(ids) => {
                let ids: Vec<String> = ids.iter().map(|id| text(id)).collect();
                return Some(format!("customer_id IN ({})", ids.join(", ")));
            }
        };
        let from = from.as_deref().map(|from| format!("customer_id >= {}", text(from)));
        let to = to.as_deref().map(|to| format!("customer_id < {}", text(to)));
        let bounds: Vec<String> = from.into_iter().chain(to).collect();
        (!bounds.is_empty()).then(|| bounds.join(" AND "))
    }

    /// Cuts customers, given in order with how many rows each has, into ranges of about as many rows at most.
    pub(super) fn ranges(customers: impl IntoIterator<Item = (String, u64)>, rows_max: u64) -> Vec<Self> {
        let shares = shares(customers, rows_max);
        let firsts: Vec<Option<String>> = shares.iter().skip(1).map(|share| share.first().cloned()).collect();
        let from = std::iter::once(None).chain(firsts.iter().cloned());
        from.zip(firsts.iter().cloned().chain([None])).map(|(from, to)| Self::Range { from, to }).collect()
    }

    /// The same of these customers alone; none of none.
    pub(super) fn lists(customers: impl IntoIterator<Item = (String, u64)>, rows_max: u64) -> Vec<Self> {
        shares(customers, rows_max).into_iter().map(Self::Only).collect()
    }
}

/// Cuts customers into shares of about as many rows at most, one customer at least.
fn shares(customers: impl IntoIterator<Item = (String, u64)>, rows_max: u64) -> Vec<Vec<String>> {
    let mut shares: Vec<Vec<String>> = Vec::new();
    let mut rows = 0_u64;
    for (customer, more) in customers {
        match shares.last_mut().filter(|_| rows == 0 || rows + more <= rows_max) {
            Some(share) => share.push(customer),
            None => {
                shares.push(vec![customer]);
                rows = 0;
            }
        }
        rows += more;
    }
    shares
}

/// The statement that counts some hours `[from, to)` of one source by one meter.
pub fn slots_sql(meter: &Meter, source: &str, from: UtcHour, to: UtcHour) -> Result<String, MeterError> {
    let quarter = "date_trunc('hour', event_time) + CASE \
                   WHEN extract(MINUTE FROM event_time) >= 45 THEN INTERVAL '45' MINUTE \
                   WHEN extract(MINUTE FROM event_time) >= 30 THEN INTERVAL '30' MINUTE \
                   WHEN extract(MINUTE FROM event_time) >= 15 THEN INTERVAL '15' MINUTE \
                   ELSE INTERVAL '0' MINUTE END";
    slots(meter, source, (from.start(), to.start()), quarter, "")
}

/// The statement that counts the events `within` that meet `only`, in slots that begin at `slot_start`.
pub(super) fn slots(
    meter: &Meter,
    source: &str,
    within: (Micros, Micros),
    slot_start: &str,
    only: &str,
) -> Result<String, MeterError> {
    let pieces = meter.pieces()?;
    let mut values = decided_values(meter, &pieces, source, within);
    values.extend([
        ("only", only.to_owned()),
        ("slot_start", slot_start.to_owned()),
        ("item", String::new()),
        ("kept_item", String::new()),
        ("meter", text(&meter.name)),
        ("total", pieces.total_sql.to_owned()),
    ]);
    Ok(filled(file(Table::UsageSlots), &values))
}

/// The events that a unique-count meter counts, each with its instant and its value: the slots' statement up to the
/// decision about each event, so that both decide alike.
fn seen(meter: &Meter, source: &str, within: (Micros, Micros)) -> Result<Option<String>, MeterError> {
    let pieces = meter.pieces()?;
    let Some(item) = &pieces.item_sql else { return Ok(None) };
    let mut values = decided_values(meter, &pieces, source, within);
    values.extend([
        ("only", String::new()),
        ("slot_start", "event_time".to_owned()),
        ("item", format!(",\n        {item} AS item")),
        ("kept_item", ",\n        item".to_owned()),
    ]);
    let decided = file(Table::UsageSlots).split_once(",\nshaped AS (").map_or("", |(decided, _)| decided);
    let inner = indented(&filled(decided, &values));
    Ok(Some(format!(
        "SELECT\n        slot_start AS event_time,\n        {} AS source,\n        key_ref,\n        {} AS meter,\n        \
         dimensions,\n        item\n    FROM (\n{inner}\n        SELECT slot_start, key_ref, dimensions, item\n        \
         FROM decided\n        WHERE outcome = 'counted' AND NOT is_refused AND NOT is_conflict\n            \
         AND key_ref IS NOT NULL AND coalesce(key_state, '') NOT IN ('absent', 'truncated')\n    ) AS counted",
        text(source),
        text(&meter.name)
    )))
}

/// What fills the slots' statement up to the decision about each event.
fn decided_values(
    meter: &Meter,
    pieces: &Pieces,
    source: &str,
    (from, to): (Micros, Micros),
) -> Vec<(&'static str, String)> {
    vec![
        ("events", meter.table.name().to_owned()),
        ("columns", columns_of(pieces)),
        ("source", text(source)),
        ("day_from", date(from.day())),
        ("day_last", date(Micros(to.0 - 1).day())),
        ("from", instant(from)),
        ("to", instant(to)),
        ("where", pieces.where_sql.clone()),
        ("value", pieces.value_sql.clone()),
        ("dimensions", pieces.dimensions_sql.clone()),
    ]
}

/// The columns of an event that a meter's pieces use, beside its key, as they use them.
pub(super) fn columns_of(pieces: &Pieces) -> String {
    let mut columns = String::new();
    for column in pieces.columns.iter().filter(|column| !["key_ref", "key_state"].contains(&column.name)) {
        let name = column.name;
        columns.push_str(&match column.kind {
            ColumnType::SmallInt | ColumnType::Int => format!(",\n        CAST({name} AS BIGINT) AS {name}"),
            // Beyond this a number is no measurement: NULL, which holds the event.
            ColumnType::BigInt => {
                format!(",\n        CASE WHEN {name} BETWEEN -{NUMBER_MAX} AND {NUMBER_MAX} THEN {name} END AS {name}")
            }
            _ => format!(",\n        {name}"),
        });
    }
    columns
}

/// The statement that gives one billing day's usage to its owners. Only meters of distinct values and maxima matter, and
/// where there are cuts, all.
pub fn usage_sql(day: &UsageDay, meters: &[Meter]) -> Result<String, MeterError> {
    let (mut except, mut again) = (String::new(), String::new());
    if !day.cuts.is_empty() {
        let slots: Vec<String> = by_slot(&day.cuts)
            .into_iter()
            .map(|((source, slot), keys)| {
                format!(
                    "(source = {} AND slot_start = {} AND key_ref IN ({}))",
                    text(source),
                    instant(slot),
                    list(&keys)
                )
            })
            .collect();
        // A comparison with an absent key is NULL, and those rows stay.
        except = format!("\n        AND NOT coalesce({}, FALSE)", slots.join("\n            OR "));
        let sources: BTreeSet<&str> = day.cuts.iter().map(|cut| cut.source.as_str()).collect();
        for source in sources {
            let cuts: Vec<&Cut> = day.cuts.iter().filter(|cut| cut.source == source).collect();
            for meter in meters.iter().filter(|meter| meter.sources.iter().any(|s| s == source)) {
                again.push_str(&cut_slots(meter, source, &cuts)?);
            }
        }
    }
    let of_customer: BTreeSet<&str> =
        meters.iter().filter(|meter| meter.value.is_of_customer()).map(|meter| meter.name.as_str()).collect();
    let is_of_customer = match of_customer.is_empty() {
        true => boolean(false).to_owned(),
        false => format!("owned.meter IN ({})", list(&of_customer)),
    };
    let has_wholes = !of_customer.is_empty();
    let mut values = vec![
        ("day", date(day.day)),
        ("day_from", date(day.from.day())),
        ("day_last", date(Micros(day.to.0 - 1).day())),
        ("day_start", instant(day.from)),
        ("day_end", instant(day.to)),
        ("except_cut", except),
        ("cut_slots", again),
        ("is_before_start", boolean(day.is_before_start).to_owned()),
        ("has_rates", boolean(day.has_rates).to_owned()),
        ("keys_max", KEYS_MAX.to_string()),
        ("is_of_customer", is_of_customer),
    ];
    if has_wholes {
        values.push(("seen", all_seen(day, meters)?));
    }
    Ok(filled(&choose(file(Table::UsageDaily), "wholes", has_wholes), &values))
}

/// The events of the day whose distinct values count; none where nobody would be charged for them.
fn all_seen(day: &UsageDay, meters: &[Meter]) -> Result<String, MeterError> {
    let mut all = Vec::new();
    for meter in meters.iter().filter(|_| !day.is_before_start) {
        for source in &meter.sources {
            all.extend(seen(meter, source, (day.from, day.to))?);
        }
    }
    Ok(match all.is_empty() {
        true => "SELECT slot_start AS event_time, source, key_ref, meter, dimensions, key_ref AS item\n    \
                 FROM usage_slots\n    WHERE FALSE"
            .to_owned(),
        false => all.join("\n    UNION ALL\n    "),
    })
}

/// One source's cut slots counted from its events: the same text as the slots', each slot in pieces.
fn cut_slots(meter: &Meter, source: &str, cuts: &[&Cut]) -> Result<String, MeterError> {
    let (mut only, mut pieces) = (Vec::new(), Vec::new());
    let (mut from, mut to) = (Micros(i64::MAX), Micros(i64::MIN));
    for ((_, slot), keys) in by_slot(cuts.iter().copied()) {
        let end = Micros(slot.0 + SLOT_MICROS);
        (from, to) = (from.min(slot), to.max(end));
        let within = format!("event_time >= {} AND event_time < {}", instant(slot), instant(end));
        only.push(format!("(key_ref IN ({}) AND {within})", list(&keys)));
        for key in &keys {
            let mut at: Vec<Micros> =
                cuts.iter().filter(|cut| cut.key_ref == *key && slot_of(cut.at) == slot).map(|cut| cut.at).collect();
            // The latest piece first: the first condition that holds is the piece an event lies in.
            at.sort_unstable_by(|a, b| b.cmp(a));
            at.dedup();
            at.push(slot);
            pieces.extend(at.iter().map(|start| {
                format!(
                    "WHEN key_ref = {} AND event_time >= {} AND event_time < {} THEN {}",
                    text(key),
                    instant(*start),
                    instant(end),
                    instant(*start)
                )
            }));
        }
    }
    let only = format!("\n        AND ({})", only.join("\n            OR "));
    let slot_start = format!("CASE\n            {}\n        END", pieces.join("\n            "));
    let inner = indented(&slots(meter, source, (from, to), &slot_start, &only)?);
    Ok(format!(
        "\n    UNION ALL\n    SELECT\n        slot_start,\n        source,\n        key_ref,\n        key_state,\n        \
         refused,\n        conflict,\n        meter,\n        outcome,\n        dimensions,\n        quantity,\n        \
         events\n    FROM (\n{inner}\n    ) AS cut"
    ))
}

/// A statement within another: without its header.
fn indented(sql: &str) -> String {
    let lines = sql.lines().filter(|line| !line.starts_with("--")).map(|line| format!("        {line}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Cuts by source and slot: the keys whose slot it is.
fn by_slot<'a>(cuts: impl IntoIterator<Item = &'a Cut>) -> BTreeMap<(&'a str, Micros), BTreeSet<&'a str>> {
    let mut slots: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for cut in cuts {
        slots.entry((cut.source.as_str(), slot_of(cut.at))).or_default().insert(cut.key_ref.as_str());
    }
    slots
}

pub(super) fn list(values: &BTreeSet<&str>) -> String {
    values.iter().map(|value| text(value)).collect::<Vec<_>>().join(", ")
}

/// The statement that prices a billing month up to its last given day; of no days it gives no rows.
pub fn charges_sql(month: &MonthBounds) -> String {
    charges_sql_of(month, &Pricing::default())
}

/// The same for some of the usage.
pub fn charges_sql_of(month: &MonthBounds, pricing: &Pricing) -> String {
    let mut days: Vec<String> = month
        .days
        .iter()
        .map(|(day, start)| format!("\n        ({}, {}, {})", date(*day), instant(*start), MonthBounds::number(*day)))
        .collect();
    if days.is_empty() {
        days.push("\n        (CAST(NULL AS DATE), CAST(NULL AS TIMESTAMP), 0)".to_owned());
    }
    let first = month.days.first().map_or(UtcDay(0), |(day, _)| *day);
    let last = month.days.last().map_or(UtcDay(0), |(day, _)| *day);
    let values = [
        ("days", days.join(",")),
        ("day_from", date(first)),
        ("day_last", date(last)),
        ("month_days", month.length().to_string()),
        ("attributions", if pricing.unpriced_too { "'mapped', 'unpriced'" } else { "'mapped'" }.to_owned()),
        ("and_customers", pricing.customers.condition().map_or_else(String::new, |these| format!(" AND {these}"))),
        (
            "where_customers",
            pricing.customers.condition().map_or_else(String::new, |these| format!("\n    WHERE {these}")),
        ),
    ];
    filled(&choose(file(Table::ChargesDaily), "plan_terms", !pricing.without_plan_terms), &values)
}

pub(super) fn filled(sql: &str, values: &[(&str, String)]) -> String {
    let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
    render(sql, &values)
}

pub(super) fn file(table: Table) -> &'static str {
    sql_text(table).unwrap_or_default()
}

#[cfg(test)]
#[path = "statements_tests.rs"]
mod tests;
