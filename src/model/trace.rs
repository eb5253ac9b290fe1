//! The statements that explain one event: where it is, what a meter makes of it, whose its key is, which usage and charges
//! it is part of. What decides about money is not written a second time: an event is counted by the statement that makes
//! `usage_slots`, over this event alone, and attributed by the one that makes `usage_daily`, over what that gave.

use super::Meter;
use super::meter::MeterError;
use super::params::{date, instant, render, text};
use super::statements::{columns_of, slots};
use crate::base::{Micros, UtcDay};
use crate::schema::Table;

/// Which event it is: its identity, and the time by which it is found at once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EventName {
    /// Its time.
    pub at: Micros,
    /// Its table.
    pub table: Table,
    /// Its source.
    pub source: String,
    /// Its request id.
    pub request_id: String,
    /// Its fingerprint.
    pub fingerprint: i64,
}

/// The columns of an event table that hold a request id.
pub fn id_columns(table: Table) -> impl Iterator<Item = &'static str> {
    const IDS: [&str; 3] = ["request_id", "caller_request_id", "edge_request_id"];
    table.columns().iter().map(|column| column.name).filter(|name| IDS.contains(name))
}

/// The statement that finds at most `limit` events of a table by a request id, of all days or one.
pub fn find_sql(table: Table, id: &str, day: Option<UtcDay>, limit: usize) -> String {
    let carries: Vec<String> = id_columns(table).map(|column| format!("{column} = {}", text(id))).collect();
    let on_day = day.map(|day| format!(" AND day = {}", date(day))).unwrap_or_default();
    let values = [
        ("events", table.name()),
        ("carries", &carries.join(" OR ")),
        ("on_day", &on_day),
        ("limit", &limit.to_string()),
    ];
    render(include_str!("../../sql/report/trace_find.sql"), &values)
}

/// A usage row that an event is part of.
#[derive(Clone, Copy, Debug)]
pub struct UsageOf<'a> {
    /// The billing day.
    pub day: UtcDay,
    /// The source.
    pub source: &'a str,
    /// The meter.
    pub meter: &'a str,
    /// The dimensions.
    pub dimensions: &'a str,
    /// What was decided.
    pub attribution: &'a str,
    /// The customer, where there is one.
    pub customer_id: Option<&'a str>,
    /// The key, where the row keeps it.
    pub key_ref: Option<&'a str>,
}

impl EventName {
    /// The statement that gives all its columns.
    pub fn sql(&self) -> String {
        let values = [("events", self.table.name()), ("is_event", &self.condition())];
        render(include_str!("../../sql/report/trace_event.sql"), &values)
    }

    /// The statement that gives what a meter's rule, value and dimensions are for it.
    pub fn meter_sql(&self, meter: &Meter) -> Result<String, MeterError> {
        let pieces = meter.pieces()?;
        let values = [
            ("events", self.table.name()),
            ("is_event", &self.condition()),
            ("columns", &columns_of(&pieces)),
            ("where", &pieces.where_sql),
            ("value", pieces.item_sql.as_ref().unwrap_or(&pieces.value_sql)),
            ("dimensions", &pieces.dimensions_sql),
        ];
        Ok(render(include_str!("../../sql/report/trace_meter.sql"), &values))
    }

    /// The statement that counts it alone, as rows of `usage_slots` that begin at its very instant.
    pub fn slots_sql(&self, meter: &Meter) -> Result<String, MeterError> {
        let only = format!(
            "\n        AND request_id = {} AND fingerprint = {}",
            text(&self.request_id),
            fingerprint(self.fingerprint)
        );
        slots(meter, &self.source, (self.at, Micros(self.at.0 + 1)), "event_time", &only)
    }

    /// The statement that gives every owner of its key; `day_start` is that of its billing day.
    pub fn keys_sql(&self, key_ref: &str, day_start: Micros) -> String {
        let values = [
            ("at", instant(self.at)),
            ("day_start", instant(day_start)),
            ("source", text(&self.source)),
            ("key", text(key_ref)),
        ];
        rendered(include_str!("../../sql/report/trace_keys.sql"), &values)
    }

    fn condition(&self) -> String {
        format!(
            "source = {} AND day = {} AND event_time = {} AND request_id = {} AND fingerprint = {}",
            text(&self.source),
            date(self.at.day()),
            instant(self.at),
            text(&self.request_id),
            fingerprint(self.fingerprint)
        )
    }
}

impl UsageOf<'_> {
    /// The statement that gives the row; with it, where the day's figure is the customer's and not a key's, the row of that.
    pub fn sql(&self) -> String {
        let is = |value: Option<&str>| value.map_or_else(|| "IS NULL".to_owned(), |value| format!("= {}", text(value)));
        let values = [
            ("day", date(self.day)),
            ("source", text(self.source)),
            ("meter", text(self.meter)),
            ("dimensions", text(self.dimensions)),
            ("attribution", text(self.attribution)),
            ("is_customer", is(self.customer_id)),
            ("is_key", is(self.key_ref)),
        ];
        rendered(include_str!("../../sql/report/trace_usage.sql"), &values)
    }

    /// The statement that gives the charges it led to, where there is a customer.
    pub fn charges_sql(&self) -> Option<String> {
        let values = [
            ("day", date(self.day)),
            ("customer", text(self.customer_id?)),
            ("meter", text(self.meter)),
            ("dimensions", text(self.dimensions)),
        ];
        Some(rendered(include_str!("../../sql/report/trace_charges.sql"), &values))
    }
}

/// A literal of any 64 bits: the least of them is no number without its sign.
fn fingerprint(value: i64) -> String {
    format!("CAST('{value}' AS BIGINT)")
}

fn rendered(sql: &str, values: &[(&str, String)]) -> String {
    let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
    render(sql, &values)
}
