//! The `cloudevents` format: `usage.cloudevents.jsonl` with one CloudEvents 1.0 event per row of usage, in JSON, one a line.
//! The type is the meter, the subject the customer, the time the middle of the billing day, `data` holds the value and the
//! dimensions. It is what OpenMeter ingests; other meters of usage take it with the names changed. A preview is refused.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::BillingZone;
use super::{Export, ExportError, ExportFile, Statement, UsageRow, events, json_lines};
use crate::base::Micros;

/// Usage as CloudEvents.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CloudEvents {
    /// Who says so, a URI reference: two lakes that feed one receiver need two.
    pub source: String,
    /// The billing time zone.
    pub zone: BillingZone,
}

const FORMAT: &str = "cloudevents";

#[derive(Serialize)]
struct Event<'a> {
    specversion: &'static str,
    id: String,
    source: &'a str,
    #[serde(rename = "type")]
    meter: &'a str,
    subject: &'a str,
    time: Micros,
    datacontenttype: &'static str,
    data: Data,
}

#[derive(Serialize)]
struct Data {
    value: i64,
    dimensions: BTreeMap<String, serde_json::Value>,
}

impl Export for CloudEvents {
    fn name(&self) -> &'static str {
        FORMAT
    }

    fn files(&self, statement: &Statement) -> Result<Vec<ExportFile>, ExportError> {
        events::only_closed(FORMAT, statement)?;
        let events = statement.usage.iter().map(|row| self.event(row)).collect::<Result<Vec<_>, _>>()?;
        Ok(vec![json_lines(FORMAT, "usage.cloudevents.jsonl", &events)?])
    }
}

impl CloudEvents {
    fn event<'a>(&'a self, row: &'a UsageRow) -> Result<Event<'a>, ExportError> {
        let dimensions = serde_json::from_str(&row.dimensions).map_err(|error| ExportError::Failed {
            format: FORMAT,
            problem: format!("the dimensions `{}` of `{}` are no JSON object: {error}", row.dimensions, row.meter),
        })?;
        Ok(Event {
            specversion: "1.0",
            id: events::id(row),
            source: &self.source,
            meter: &row.meter,
            subject: &row.customer_id,
            time: events::middle(self.zone, row.day),
            datacontenttype: "application/json",
            data: Data { value: row.quantity, dimensions },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn format() -> CloudEvents {
        CloudEvents { source: "meterlake".to_owned(), zone: BillingZone::named("Europe/Berlin").unwrap() }
    }

    #[test]
    fn looks_like_this() {
        let files = format().files(&sample::statement()).unwrap();
        insta::assert_snapshot!(String::from_utf8_lossy(&files[0].bytes));
    }

    #[test]
    fn an_event_has_what_the_specification_asks_for() {
        let statement = sample::statement();
        let files = format().files(&statement).unwrap();
        let text = String::from_utf8(files[0].bytes.clone()).unwrap();
        for (line, row) in text.lines().zip(&statement.usage) {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(event["specversion"], "1.0");
            assert_eq!(event["id"].as_str().unwrap().len(), 32);
            assert_eq!(
                (&event["type"], &event["subject"]),
                (&row.meter.clone().into(), &row.customer_id.clone().into())
            );
            let at: Micros = event["time"].as_str().unwrap().parse().unwrap();
            assert_eq!(format().zone.day_of(at), row.day);
            assert_eq!(event["data"]["value"], row.quantity);
        }
        assert_eq!(text.lines().count(), statement.usage.len());
    }

    #[test]
    fn refuses_a_preview_and_broken_dimensions() {
        assert!(format().files(&sample::preview()).is_err());
        let mut statement = sample::statement();
        statement.usage[0].dimensions = "[1]".to_owned();
        assert!(format().files(&statement).unwrap_err().to_string().contains("are no JSON object"));
    }
}
