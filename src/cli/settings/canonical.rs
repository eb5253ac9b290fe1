//! One text for all that matters to results: equal for files that mean the same, different for any that do not. A line
//! per fact, sorted within its kind, so that two generations can be compared line by line. Neither secrets nor paths
//! are in it; what only says when or how fast to work is not either.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::base::{HalfOpen, Micros};
use crate::billing::Billing;
use crate::decode::{ClientIp, Format, Identifies, KeySpec, Limits, Missing};
use crate::model::{Meter, MeterValue, SHORTFALL_MAX_PER_MILLE};

use super::{Settings, SourceSettings};

pub(super) fn text(settings: &Settings) -> String {
    let mut lines = Vec::new();
    let mut part = |mut facts: Vec<String>| {
        facts.sort_unstable();
        lines.append(&mut facts);
    };
    part(settings.sources.iter().flat_map(source).collect());
    part(settings.meters.iter().map(meter).collect());
    part(settings.billing.iter().flat_map(billing).collect());
    let client_ip = match settings.privacy.client_ip {
        ClientIp::Keep => "keep",
        ClientIp::Truncate => "truncate",
        ClientIp::Drop => "drop",
    };
    let Limits {
        record_bytes_max,
        object_bytes_max,
        document_bytes_max,
        expansion_max,
        nesting_max,
        hours_max,
        parquet_bytes_max,
        json_depth_max,
        header_bytes_max,
    } = &settings.limits;
    let usual = Limits::default();
    let mut last = vec![
        fact("privacy", &[json!("client_ip"), json!(client_ip)]),
        fact("limits", &[json!(record_bytes_max), json!(object_bytes_max), json!(nesting_max), json!(hours_max)]),
    ];
    // Only where they are set: a lake's generation is not to change with a new limit that nobody set.
    for (name, value, is_usual) in [
        ("document_bytes_max", json!(document_bytes_max), *document_bytes_max == usual.document_bytes_max),
        ("expansion_max", json!(expansion_max), *expansion_max == usual.expansion_max),
        ("parquet_bytes_max", json!(parquet_bytes_max), *parquet_bytes_max == usual.parquet_bytes_max),
        ("json_depth_max", json!(json_depth_max), *json_depth_max == usual.json_depth_max),
        ("header_bytes_max", json!(header_bytes_max), *header_bytes_max == usual.header_bytes_max),
    ] {
        if !is_usual {
            last.push(fact("limits", &[json!(name), value]));
        }
    }
    part(last);
    lines.into_iter().fold(String::new(), |mut text, line| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line}");
        text
    })
}

/// Lists only: their order is ours, a map's is serde_json's.
fn fact(kind: &str, values: &[Value]) -> String {
    format!("{kind} {}", Value::Array(values.to_vec()))
}

fn source(source: &SourceSettings) -> Vec<String> {
    let spec = &source.spec;
    let at = |from: Option<Micros>| json!(from.map(|from| from.to_string()));
    let mut facts: Vec<String> = match &spec.format {
        // Here the order of the fields is that of the columns.
        Format::CloudFrontStandard(sets) => {
            let facts = sets.iter().map(|s| fact("columns", &[json!(spec.name), at(s.from), json!(s.fields)]));
            [fact("standard", &[json!(spec.name)])].into_iter().chain(facts).collect()
        }
        Format::Json(own) => {
            let columns =
                own.columns.iter().map(|(column, path)| fact("path", &[json!(spec.name), json!(column), json!(path)]));
            [fact("json", &[json!(spec.name), json!(own.table.name())])].into_iter().chain(columns).collect()
        }
        Format::CloudFrontRealtime(sets) => sets
            .iter()
            .map(|set| {
                let mut fields = set.fields.clone();
                fields.sort_unstable();
                fact("fields", &[json!(spec.name), at(set.from), json!(fields)])
            })
            .collect(),
        Format::ApiGateway(templates) => {
            templates.iter().map(|t| fact("format", &[json!(spec.name), at(t.from), json!(t.text)])).collect()
        }
    };
    let key = match &spec.key {
        KeySpec::None => json!([]),
        KeySpec::Header(name) => json!(["header", name]),
        KeySpec::LogData { name, plain, missing: Missing::Held } => json!(["log_data", name, plain]),
        KeySpec::LogData { name, plain, missing: Missing::Anonymous } => json!(["log_data", name, plain, "anonymous"]),
        KeySpec::Query(name) => json!(["query", name]),
        KeySpec::Path { path, plain } => json!(["path", path, plain]),
        KeySpec::Variable(name) => json!(["variable", name]),
    };
    let identifies = match spec.identifies {
        Identifies::Key => "key",
        Identifies::Customer => "customer",
    };
    let set = [&spec.set.account, &spec.set.region, &spec.set.stage];
    facts.push(fact(
        "source",
        &[json!(spec.name), key, json!(identifies), json!(set), json!(source.heartbeat), json!(source.split)],
    ));
    // Only where it is set: a lake's generation is not to change with a setting that nobody set.
    if source.shortfall_max_per_mille != SHORTFALL_MAX_PER_MILLE {
        facts.push(fact("shortfall", &[json!(spec.name), json!(source.shortfall_max_per_mille)]));
    }
    facts
}

fn meter(meter: &Meter) -> String {
    let mut sources = meter.sources.clone();
    sources.sort_unstable();
    let value = match &meter.value {
        MeterValue::Count => json!(["count"]),
        MeterValue::Sum(expression) => json!(["sum", expression]),
        MeterValue::Unique(expression) => json!(["unique", expression]),
        MeterValue::Max(expression) => json!(["max", expression]),
    };
    fact("meter", &[json!(meter.name), json!(sources), json!(meter.where_sql), value, json!(meter.group_by)])
}

fn billing(billing: &Billing) -> Vec<String> {
    let start = billing.start.map(|day| day.to_string());
    let priced = billing.rates.is_some();
    let mut facts =
        vec![fact("billing", &[json!(billing.currency), json!(billing.zone.name()), json!(start), json!(priced)])];
    facts.extend(billing.customers.rows().iter().map(|row| {
        fact(
            "customer",
            &[
                json!(row.customer_id),
                json!(row.name),
                json!(row.plan),
                json!([row.address, row.tax_id, row.email, row.tax_ppm]),
                range(row.valid),
                extra(&row.extra),
            ],
        )
    }));
    facts.push(fact("invoice", &[json!(billing.invoice)]));
    facts.extend(billing.adjustments.rows().iter().map(|row| fact("adjustment", &[json!(row)])));
    facts.extend(billing.keys.rows().iter().map(|row| {
        let (id, fingerprint) = (&row.api_key_id, &row.key_fingerprint);
        let who = [json!(row.customer_id), json!(id), json!(fingerprint), json!(row.label)];
        fact("key", &[&who[..], &[range(row.valid), extra(&row.extra)]].concat())
    }));
    for plan in billing.rates.iter().flat_map(|rates| rates.plans()) {
        let terms: Vec<Value> =
            plan.terms.iter().map(|terms| json!([terms.minimum, terms.discount_ppm, range(terms.valid)])).collect();
        facts.push(fact("plan", &[json!(plan.id), json!(plan.name), json!(billing.currency_of(plan)), json!(terms)]));
        facts.extend(plan.prices.iter().enumerate().map(|(position, price)| {
            let tiers: Vec<Value> =
                price.tiers.iter().map(|tier| json!([tier.up_to, tier.unit_price.to_string()])).collect();
            let mut matches: Vec<Value> = price.matches.iter().map(|m| json!([m.column, m.values])).collect();
            matches.sort_by_key(Value::to_string);
            let numbers = json!([tiers, price.size, price.amount]);
            let terms = [json!(price.id), json!(price.meter), json!(price.model.name()), numbers, json!(matches)];
            fact("price", &[&[json!(plan.id), json!(position)][..], &terms, &[range(price.valid)]].concat())
        }));
    }
    facts
}

fn range(range: HalfOpen<Micros>) -> Value {
    json!([range.from.to_string(), range.to.map(|to| to.to_string())])
}

fn extra(columns: &[(String, String)]) -> Value {
    let mut columns: Vec<&(String, String)> = columns.iter().filter(|(_, value)| !value.is_empty()).collect();
    columns.sort_unstable();
    json!(columns)
}
