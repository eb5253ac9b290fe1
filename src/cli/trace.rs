//! `trace`: explains a request to a person, section by section, or to a machine. What is told is found by `job::trace`; here it
//! is put into words.

use std::fmt::Write;

use anyhow::Result;
use arrow::array::{Array, RecordBatch};
use arrow::util::display::array_value_to_string;
use serde_json::{Value, json};

use crate::base::UtcDay;
use crate::job::Job;
use crate::job::trace::{Decision, Trace, TracedEvent, trace as explain};

use super::grid::{Grid, count, size};
use super::rows::{grid_of, json_of};
use super::settings::Settings;
use super::{Outcome, Talk, open, print_json, print_text};

/// The columns of an event that matter to its price or in a dispute, of both tables.
const COLUMNS: &[&str] = &[
    "event_time",
    "source",
    "request_id",
    "caller_request_id",
    "edge_request_id",
    "key_ref",
    "key_state",
    "subject",
    "method",
    "route",
    "host",
    "path",
    "status",
    "request_bytes",
    "response_bytes",
    "conflict",
];

/// Explains the events of a request id.
pub(crate) async fn trace(
    settings: &Settings,
    job: &Job,
    id: &str,
    day: Option<UtcDay>,
    json: bool,
    talk: &Talk,
) -> Result<Outcome> {
    let trace = explain(job, &open::derivation(settings, job).await?, id, day, &talk.bar).await?;
    if trace.has_more {
        let shown = trace.events.len();
        talk.say(format!("more than {shown} events carry this id: the first {shown} are shown; --day narrows it"));
    }
    match json {
        true => print_json(&json_of_trace(id, &trace)?)?,
        false => print_text(&text_of(&trace)?)?,
    }
    Ok(Outcome::Done)
}

fn text_of(trace: &Trace) -> Result<String> {
    let mut text = String::new();
    for (event, number) in trace.events.iter().zip(1..) {
        if number > 1 {
            text.push('\n');
        }
        write!(
            text,
            "Event {number} of {}: {}\n{}",
            trace.events.len(),
            event.name.table.name(),
            columns(&event.row)?
        )?;
        write!(text, "\nRecord\n{}", record(event))?;
        write!(text, "\n{}", copies(event))?;
        if event.decisions.is_empty() {
            write!(text, "\nNo meter counts the source {}\n", event.name.source)?;
        }
        for decision in &event.decisions {
            write!(text, "\n{}", decided(event, decision)?)?;
        }
    }
    Ok(text)
}

fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> Grid {
    let mut grid = Grid::pairs();
    pairs.into_iter().for_each(|(name, value)| grid.row([name.to_owned(), value]));
    grid
}

/// The columns that matter and are not NULL.
fn columns(row: &RecordBatch) -> Result<Grid> {
    let mut cells = Vec::new();
    for name in COLUMNS {
        let Some(column) = row.column_by_name(name).filter(|column| !column.is_empty() && column.is_valid(0)) else {
            continue;
        };
        cells.push((*name, array_value_to_string(column, 0)?));
    }
    Ok(pairs(cells))
}

fn record(event: &TracedEvent) -> Grid {
    let from = &event.provenance;
    let mut cells = vec![
        ("object", from.object.clone()),
        ("position", from.position.to_string()),
        ("decoder", format!("generation {}, now {}", from.decoder, from.decoder_now)),
    ];
    if let Some(row) = &from.ledger {
        let (records, bytes, at) = (count(row.records), size(row.object.bytes), row.object.arrived_at);
        let settings = if from.decoded_as_now { "today's settings" } else { "other settings than today's" };
        let state = row.state.name();
        let ledger = format!("{state}; arrived {at}, {bytes}, {records} records, decoded under {settings}");
        cells.push(("ledger", ledger));
    }
    match &from.record {
        Ok(text) => cells.push(("masked", text.clone())),
        Err(problem) => cells.push(("not shown", problem.clone())),
    }
    pairs(cells)
}

fn copies(event: &TracedEvent) -> String {
    let (copies, objects) = (event.copies.len(), event.objects_read);
    let mut text = format!("Copies: {copies}, in {objects} objects with records of {}\n", event.name.at.hour());
    if copies > 0 {
        let mut grid = Grid::new(&["object", ">position", ""]);
        for copy in &event.copies {
            let kept = if copy.is_kept { "the event" } else { "a duplicate" };
            grid.row([copy.object.clone(), copy.position.to_string(), kept.to_owned()]);
        }
        text += &grid.to_string();
    }
    for (object, problem) in &event.objects_unread {
        text += &format!("  not looked into: {object}: {problem}\n");
    }
    text
}

fn decided(event: &TracedEvent, decision: &Decision) -> Result<String> {
    let Decision { meter, outcome, attribution, quantity, .. } = decision;
    let holds = match decision.holds {
        Some(true) => "true",
        Some(false) => "false",
        None => "neither true nor false",
    };
    let customer = decision.customer_id.as_ref().map(|customer| format!(" to {customer}")).unwrap_or_default();
    let cells = pairs([
        ("rule", decision.rule.clone().unwrap_or_else(|| "none: every event counts".to_owned())),
        ("holds", holds.to_owned()),
        ("value", format!("{} = {}", decision.counts, decision.value.as_deref().unwrap_or("NULL"))),
        ("dimensions", decision.dimensions.clone()),
        ("outcome", format!("{outcome}, quantity {}", count(*quantity))),
        ("attribution", format!("{attribution}{customer}: {}", because(attribution))),
    ]);
    let mut text = format!("Meter {meter}\n{cells}");
    if decision.keys.num_rows() > 0 {
        write!(text, "Owners of the key\n{}", grid_of(std::slice::from_ref(&decision.keys))?)?;
    }
    let day = event.billing_day;
    match decision.usage.num_rows() {
        0 => writeln!(text, "Usage of {day}: not there yet; `meterlake run` brings the tables up to date")?,
        _ => write!(text, "Usage of {day} that it is part of\n{}", grid_of(std::slice::from_ref(&decision.usage))?)?,
    }
    match &decision.charges {
        Some(charges) if charges.num_rows() > 0 => write!(
            text,
            "Charges of {day} for all events of this customer, meter and dimensions together\n{}",
            grid_of(std::slice::from_ref(charges))?
        )?,
        _ => writeln!(text, "Charges of {day}: none")?,
    }
    Ok(text)
}

/// Why an event is attributed so, in the words of the documents.
fn because(attribution: &str) -> &'static str {
    match attribution {
        "before_start" => "billing begins later",
        "not_billable" => "the meter's rule is false",
        "refused" => "the status is 401 or 403",
        "conflict" => "held, another record has the same id that nobody can choose",
        "truncated" => "held, the header list was cut before a key was seen",
        "anonymous" => "it carries no key",
        "undecided" => "held, the meter's rule or value is NULL, or the value is negative",
        "unmapped" => "held, nobody owned the key at that time",
        "unpriced" => "held, no price of the customer's plan takes it",
        _ => "the key's owner at that time",
    }
}

fn json_of_trace(id: &str, trace: &Trace) -> Result<Value> {
    let events = trace.events.iter().map(json_of_event).collect::<Result<Vec<_>>>()?;
    Ok(json!({"request_id": id, "has_more": trace.has_more, "events": events}))
}

fn json_of_event(event: &TracedEvent) -> Result<Value> {
    let from = &event.provenance;
    let ledger = from.ledger.as_ref().map(|row| {
        json!({
            "object_id": row.object_id.to_string(), "etag": row.object.etag, "bytes": row.object.bytes,
            "arrived_at": row.object.arrived_at.to_string(), "decode_id": row.object.decode_id.to_string(),
            "records": row.records, "staged": row.staged, "rejects": row.rejects, "control": row.control,
            "state": row.state.name(), "reason": row.reason,
        })
    });
    let copies = event.copies.iter();
    let copies = copies.map(|c| json!({"object": c.object, "position": c.position, "is_kept": c.is_kept}));
    let unread = event.objects_unread.iter().map(|(object, problem)| json!({"object": object, "problem": problem}));
    Ok(json!({
        "table": event.name.table.name(),
        "event": first(json_of(std::slice::from_ref(&event.row))?),
        "record": {
            "object": from.object, "position": from.position, "decoder": from.decoder, "decoder_now": from.decoder_now,
            "decoded_as_now": from.decoded_as_now, "ledger": ledger,
            "masked": from.record.as_ref().ok(), "problem": from.record.as_ref().err(),
        },
        "copies": copies.collect::<Vec<_>>(),
        "objects_read": event.objects_read,
        "objects_unread": unread.collect::<Vec<_>>(),
        "billing_day": event.billing_day.to_string(),
        "meters": event.decisions.iter().map(json_of_decision).collect::<Result<Vec<_>>>()?,
    }))
}

fn json_of_decision(decision: &Decision) -> Result<Value> {
    let charges = decision.charges.as_slice();
    Ok(json!({
        "meter": decision.meter, "rule": decision.rule, "counts": decision.counts, "holds": decision.holds,
        "value": decision.value, "dimensions": decision.dimensions, "outcome": decision.outcome,
        "quantity": decision.quantity, "attribution": decision.attribution, "customer_id": decision.customer_id,
        "keys": json_of(std::slice::from_ref(&decision.keys))?,
        "usage": json_of(std::slice::from_ref(&decision.usage))?,
        "charges": json_of(charges)?,
    }))
}

/// The only row of an array of rows; NULL where there is none.
fn first(rows: Value) -> Value {
    match rows {
        Value::Array(rows) => rows.into_iter().next().unwrap_or_default(),
        other => other,
    }
}
