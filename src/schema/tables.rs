//! Every table of the lake with its columns. Adding a column at the end of a table is safe for readers; renaming or retyping is not.

use serde::{Deserialize, Serialize};

use super::Column;
use super::ColumnType::{Amount, BigInt, Boolean, Date, Int, Price, SmallInt, Text, Timestamp};

/// A table of the lake.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Events of API Gateway access logs: what the backend processed.
    OriginRequests,
    /// Events of CloudFront logs: what the edge saw.
    EdgeRequests,
    /// Records that could not be read.
    Rejects,
    /// The ledger: one row per version of a landing object.
    Objects,
    /// Which object gave how many records to which hour.
    ObjectHours,
    /// How many requests somebody else counted for each hour.
    RequestCounts,
    /// Usage per quarter hour, before keys are mapped to customers.
    UsageSlots,
    /// Usage per billing day and customer.
    UsageDaily,
    /// Usage times price, per billing day and customer.
    ChargesDaily,
    /// What arrived for each hour.
    CoverageHourly,
    /// Which inputs each derived part was made from.
    Built,
    /// Customers and their plans, as configured.
    Customers,
    /// Which key belonged to whom and when, as configured.
    ApiKeys,
    /// Prices of every plan, one row per tier, as configured.
    Prices,
    /// Which dimension values a price asks for, as configured.
    PriceMatches,
    /// Monthly minimum and discount of the plans that have one, as configured.
    PlanTerms,
    /// Closed months: one row per invoice.
    Invoices,
    /// Closed months: the lines of the invoices.
    InvoiceLines,
}

const fn col(name: &'static str, kind: super::ColumnType, doc: &'static str) -> Column {
    Column { name, kind, doc }
}

impl Table {
    /// Every table, in the order data flows.
    pub const ALL: &[Self] = &[
        Self::OriginRequests,
        Self::EdgeRequests,
        Self::Rejects,
        Self::Objects,
        Self::ObjectHours,
        Self::RequestCounts,
        Self::CoverageHourly,
        Self::UsageSlots,
        Self::UsageDaily,
        Self::ChargesDaily,
        Self::Customers,
        Self::ApiKeys,
        Self::Prices,
        Self::PriceMatches,
        Self::PlanTerms,
        Self::Invoices,
        Self::InvoiceLines,
        Self::Built,
    ];

    /// The name in SQL and in paths.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OriginRequests => "origin_requests",
            Self::EdgeRequests => "edge_requests",
            Self::Rejects => "rejects",
            Self::Objects => "objects",
            Self::ObjectHours => "object_hours",
            Self::RequestCounts => "request_counts",
            Self::UsageSlots => "usage_slots",
            Self::UsageDaily => "usage_daily",
            Self::ChargesDaily => "charges_daily",
            Self::CoverageHourly => "coverage_hourly",
            Self::Built => "built",
            Self::Customers => "customers",
            Self::ApiKeys => "api_keys",
            Self::Prices => "prices",
            Self::PriceMatches => "price_matches",
            Self::PlanTerms => "plan_terms",
            Self::Invoices => "invoices",
            Self::InvoiceLines => "invoice_lines",
        }
    }

    /// What a row of it is, for people who browse a catalogue.
    pub const fn doc(self) -> &'static str {
        match self {
            Self::OriginRequests => {
                "Requests that the backend processed, from API Gateway access logs or logs of its own. One row per event, duplicates removed."
            }
            Self::EdgeRequests => {
                "Requests that the edge saw, from CloudFront logs. One row per event, duplicates removed."
            }
            Self::Rejects => {
                "Records that could not be read, with a masked excerpt and the reason. One row per record."
            }
            Self::Objects => {
                "The ledger: what was read and what became of it. One row per version of a landing object."
            }
            Self::ObjectHours => {
                "Which landing object gave how many records to which hour. One row per object version and UTC hour."
            }
            Self::UsageSlots => {
                "Usage before keys are mapped to customers. One row per UTC quarter hour, source, key, meter, outcome and dimensions."
            }
            Self::UsageDaily => {
                "Usage per customer, and what is held or not billable. One row per billing day, customer, key, source, meter, dimensions and attribution."
            }
            Self::ChargesDaily => {
                "Usage times price. One row per billing day, customer, plan, price, tier and dimensions; the rows of a month add up to its price."
            }
            Self::CoverageHourly => {
                "What arrived for each hour, and whether something is missing. One row per source and UTC hour."
            }
            Self::RequestCounts => {
                "How many requests AWS, or a file, counted besides the logs. One row per source and UTC hour."
            }
            Self::Built => {
                "What each part of a derived table was made from. One row per table and part; for meterlake itself."
            }
            Self::Customers => "Customers and their plans, as configured. One row per customer and interval.",
            Self::ApiKeys => {
                "Which key belonged to whom and when, as configured. One row per source, key and interval; no key is in it."
            }
            Self::Prices => "Prices of every plan, as configured. One row per plan, price, interval and tier.",
            Self::PriceMatches => {
                "Which dimension values a price asks for, as configured. One row per price, interval, column and value."
            }
            Self::PlanTerms => {
                "Monthly minimum and discount of the plans that have one, as configured. One row per plan and interval."
            }
            Self::Invoices => "Invoices of closed months. One row per invoice; rows never change.",
            Self::InvoiceLines => {
                "Lines of the invoices of closed months, corrections among them. One row per line; rows never change."
            }
        }
    }

    /// The table of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|table| table.name() == name)
    }

    /// Whether its files lie under `day=YYYY-MM-DD/`.
    pub const fn is_partitioned(self) -> bool {
        !matches!(
            self,
            Self::Built | Self::Customers | Self::ApiKeys | Self::Prices | Self::PriceMatches | Self::PlanTerms
        )
    }

    /// Its columns in order.
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::OriginRequests => ORIGIN_REQUESTS,
            Self::EdgeRequests => EDGE_REQUESTS,
            Self::Rejects => REJECTS,
            Self::Objects => OBJECTS,
            Self::ObjectHours => OBJECT_HOURS,
            Self::RequestCounts => REQUEST_COUNTS,
            Self::UsageSlots => USAGE_SLOTS,
            Self::UsageDaily => USAGE_DAILY,
            Self::ChargesDaily => CHARGES_DAILY,
            Self::CoverageHourly => COVERAGE_HOURLY,
            Self::Built => BUILT,
            Self::Customers => CUSTOMERS,
            Self::ApiKeys => API_KEYS,
            Self::Prices => PRICES,
            Self::PriceMatches => PRICE_MATCHES,
            Self::PlanTerms => PLAN_TERMS,
            Self::Invoices => INVOICES,
            Self::InvoiceLines => INVOICE_LINES,
        }
    }
}

const ORIGIN_REQUESTS: &[Column] = &[
    col("day", Date, "UTC day of event_time"),
    col("event_time", Timestamp, "when the request arrived, from the record itself"),
    col("request_id", Text, "extendedRequestId where logged, else requestId"),
    col(
        "caller_request_id",
        Text,
        "requestId where request_id is the extended one; on REST APIs the caller can choose it",
    ),
    col("fingerprint", BigInt, "keyed 64-bit hash of the record's bytes"),
    col("conflict", Boolean, "another event of this hour has the same unforgeable id: held"),
    col("key_ref", Text, "API key id, or the keyed hash of a key; never a key"),
    col("key_state", Text, "present or absent"),
    col("subject", Text, "customer or other id from an authorizer or claim"),
    col("account", Text, "AWS account id"),
    col("region", Text, "AWS region"),
    col("api_id", Text, "API Gateway API id"),
    col("stage", Text, "API stage"),
    col("domain", Text, "domain name the request came to"),
    col("method", Text, "HTTP method; of WebSocket APIs CONNECT, MESSAGE or DISCONNECT"),
    col("route", Text, "resource path or route key of the API"),
    col("path", Text, "request path, without query"),
    col("status", SmallInt, "HTTP status the client got"),
    col("response_bytes", BigInt, "response payload, bytes"),
    col("latency_ms", Int, "whole latency, ms"),
    col("integration_latency_ms", Int, "backend latency, ms"),
    col("integration_status", SmallInt, "status of the integration"),
    col("waf_response", Text, "WAF_ALLOW or WAF_BLOCK"),
    col("error_type", Text, "API Gateway error response type"),
    col("client_ip", Text, "caller's address, as the privacy setting leaves it"),
    col("user_agent", Text, "User-Agent header"),
    col("protocol", Text, "HTTP version"),
    col("authorizer", Text, "JSON of the authorizer properties in the log format"),
    col("edge_request_id", Text, "CloudFront's request id, where logged"),
    col("source", Text, "name of the configured source"),
    col("source_object", Text, "key of the landing object the event was kept from"),
    col("source_position", BigInt, "ordinal of the record in that object, from 0"),
    col("decoder", SmallInt, "generation of the decoder that read it"),
];

const EDGE_REQUESTS: &[Column] = &[
    col("day", Date, "UTC day of event_time"),
    col("event_time", Timestamp, "when the edge finished responding, from the record itself"),
    col("request_id", Text, "x-edge-request-id"),
    col("fingerprint", BigInt, "keyed 64-bit hash of the record's bytes"),
    col("conflict", Boolean, "another event of this hour has the same id: held"),
    col("key_ref", Text, "keyed hash of the API key; never a key"),
    col("key_state", Text, "present, absent or truncated (the header list was cut before a key could be seen)"),
    col("log_data", Text, "viewer-request-log-data with the key replaced by its reference"),
    col("log_kind", Text, "realtime, standard or json: the kind of log the event is from"),
    col("method", Text, "HTTP method"),
    col("host", Text, "Host header of the viewer"),
    col("path", Text, "request path, without query"),
    col("query", Text, "query string, the key's parameter removed"),
    col("status", SmallInt, "HTTP status the viewer got; 0: left before a response"),
    col("request_bytes", BigInt, "bytes from the viewer, headers included"),
    col("response_bytes", BigInt, "bytes to the viewer, headers included"),
    col("time_taken_ms", Int, "whole time, ms"),
    col("time_to_first_byte_ms", Int, "time to the first byte, ms"),
    col("origin_latency_ms", Int, "origin last-byte latency, ms"),
    col("edge_location", Text, "CloudFront location"),
    col("result_type", Text, "x-edge-result-type"),
    col("response_result_type", Text, "x-edge-response-result-type"),
    col("detailed_result_type", Text, "x-edge-detailed-result-type"),
    col("country", Text, "viewer's country, ISO 3166-1 alpha-2"),
    col("asn", BigInt, "viewer's autonomous system number"),
    col("client_ip", Text, "viewer's address, as the privacy setting leaves it"),
    col("user_agent", Text, "User-Agent header"),
    col("referer", Text, "Referer header"),
    col("protocol", Text, "HTTP version"),
    col("tls_protocol", Text, "TLS version"),
    col("content_type", Text, "response content type"),
    col("distribution", Text, "domain name of the distribution"),
    col("behavior", Text, "path pattern of the cache behavior"),
    col("source", Text, "name of the configured source"),
    col("source_object", Text, "key of the landing object the event was kept from"),
    col("source_position", BigInt, "ordinal of the record in that object, from 0"),
    col("decoder", SmallInt, "generation of the decoder that read it"),
];

const REJECTS: &[Column] = &[
    col("day", Date, "UTC day the object arrived"),
    col("source", Text, "name of the configured source"),
    col("object_id", Text, "the ledger's id of the object version"),
    col("source_object", Text, "key of the landing object"),
    col("source_position", BigInt, "ordinal of the record in that object, from 0"),
    col("reason", Text, "why it could not be read, one word"),
    col("excerpt", Text, "start of the record with every token that could be a key hashed"),
    col("detail", Text, "what exactly was wrong"),
];

const OBJECTS: &[Column] = &[
    col("day", Date, "UTC day the object arrived"),
    col("object_id", Text, "digest of source, key, etag and decode_id"),
    col("source", Text, "name of the configured source"),
    col("source_object", Text, "key of the landing object"),
    col("etag", Text, "version token of the store"),
    col("bytes", BigInt, "size of the object, bytes"),
    col("arrived_at", Timestamp, "when the store says it was written"),
    col("decode_id", Text, "digest of the settings it was decoded under"),
    col("records", BigInt, "records found in it"),
    col("staged", BigInt, "records that became staged rows"),
    col("rejects", BigInt, "records that could not be read"),
    col("control", BigInt, "control messages of the log service"),
    col("event_time_min", Timestamp, "earliest event"),
    col("event_time_max", Timestamp, "latest event"),
    col("state", Text, "applied, superseded (a newer version of the same key was applied) or retracted"),
    col("reason", Text, "why it was retracted"),
    col(
        "written_at",
        Timestamp,
        "when the store says this version was written; of two versions of a key the later one counts",
    ),
];

const OBJECT_HOURS: &[Column] = &[
    col("day", Date, "UTC day of the hour"),
    col("hour_start", Timestamp, "the UTC hour of the events"),
    col("source", Text, "name of the configured source"),
    col("object_id", Text, "the ledger's id of the object version"),
    col("source_object", Text, "key of the landing object"),
    col("records", BigInt, "records this object gave to the hour, duplicates included"),
    col("rejects", BigInt, "records of this object that could not be read, counted in the hour it arrived"),
    col("arrived_at", Timestamp, "when the store says the object was written"),
];

const REQUEST_COUNTS: &[Column] = &[
    col("day", Date, "UTC day of the hour"),
    col("hour_start", Timestamp, "the UTC hour"),
    col("source", Text, "name of the configured source"),
    col("requests", BigInt, "requests of the hour as counted by somebody else than the logs"),
    col("counted_by", Text, "who counted: cloudwatch or file"),
];

const USAGE_SLOTS: &[Column] = &[
    col("day", Date, "UTC day of the slot"),
    col("slot_start", Timestamp, "the UTC quarter hour"),
    col("source", Text, "name of the configured source"),
    col("key_ref", Text, "as in the events"),
    col("key_state", Text, "as in the events"),
    col("refused", Boolean, "status 401 or 403"),
    col("conflict", Boolean, "as in the events"),
    col("meter", Text, "name of the configured meter"),
    col("outcome", Text, "counted, not_billable (the meter's rule is false) or undecided (a rule or value is NULL)"),
    col("dimensions", Text, "JSON object of the meter's group_by columns, in their order"),
    col("quantity", BigInt, "what the meter counts; 0 unless counted; of distinct values 0, of a maximum the largest"),
    col("events", BigInt, "events behind it"),
];

const USAGE_DAILY: &[Column] = &[
    col("day", Date, "billing day, in the billing time zone"),
    col("customer_id", Text, "owner of the key at the event's time; NULL unless mapped"),
    col(
        "key_ref",
        Text,
        "as in the events; `other` past 1000 unmapped keys a day; NULL: no key, or the customer as a whole",
    ),
    col(
        "source",
        Text,
        "name of the configured source; NULL: the customer as a whole, of distinct values or a maximum",
    ),
    col("meter", Text, "name of the configured meter"),
    col("dimensions", Text, "JSON object of the meter's group_by columns"),
    col(
        "attribution",
        Text,
        "mapped; held: unmapped, truncated, conflict, undecided, unpriced; else: refused, anonymous, not_billable, before_start",
    ),
    col("quantity", BigInt, "what the meter counts; of distinct values and maxima only in the customer's row"),
    col("events", BigInt, "events behind it; 0 in a customer's row"),
];

const CHARGES_DAILY: &[Column] = &[
    col("day", Date, "billing day, in the billing time zone"),
    col("customer_id", Text, "who is charged"),
    col("plan", Text, "plan in force that day"),
    col("price_id", Text, "price that took the usage; `discount` or `minimum` where the plan asks for it"),
    col("meter", Text, "name of the configured meter; NULL where no usage is priced"),
    col("tier", Text, "number of the tier, from 1; `rerate`: what the month so far costs more or less in its new tier"),
    col("dimensions", Text, "JSON object of the meter's group_by columns"),
    col("quantity", BigInt, "usage in this tier; 0 where no usage is priced"),
    col("unit_price", Price, "per unit billed, in the plan's currency; NULL: the amount is no product"),
    col("amount", Amount, "billed times unit_price, where there is one"),
    col("month_to_date_before", BigInt, "position of the counter before this row"),
    col("currency", Text, "ISO 4217 code"),
    col("kind", Text, "usage, flat, discount or minimum"),
    col("model", Text, "per_unit, graduated, volume, package or flat; NULL for discount and minimum"),
    col("price_from", Timestamp, "start of the price's interval, or of the plan's terms; NULL for minimum"),
    col("billed", BigInt, "units the price is for: usage, packages begun, or usage rated again"),
];

const COVERAGE_HOURLY: &[Column] = &[
    col("day", Date, "UTC day of the hour"),
    col("hour_start", Timestamp, "the UTC hour"),
    col("source", Text, "name of the configured source"),
    col("objects", BigInt, "objects that gave records to the hour"),
    col("records", BigInt, "records given to the hour"),
    col("events", BigInt, "events left after duplicates are removed"),
    col("duplicates", BigInt, "records less events"),
    col("conflicts", BigInt, "events held because their id is not theirs alone"),
    col("rejects", BigInt, "unreadable records of objects that arrived in the hour"),
    col("arrived_min", Timestamp, "first arrival"),
    col("arrived_max", Timestamp, "last arrival"),
    col("lateness_max_s", BigInt, "last arrival less the hour's end, seconds, 0 at least"),
    col(
        "state",
        Text,
        "ok; quiet: nothing came; gap: nothing came though the source says it always should, or less than was counted",
    ),
    col("expected", BigInt, "requests of the hour as `request_counts` has them; NULL: nobody counted"),
];

const BUILT: &[Column] = &[
    col("table_name", Text, "the derived table"),
    col("part", Text, "which part: an hour and source, a day or a month"),
    col("inputs", Text, "digest of the files, SQL text and meters it was made from, and of the files it became"),
    col("config", Text, "digest of the configuration rows that matter to it"),
    col("row_count", BigInt, "rows written"),
];

const CUSTOMERS: &[Column] = &[
    col("customer_id", Text, "customer"),
    col("customer_name", Text, "name for people"),
    col("plan", Text, "plan of the rates"),
    col("valid_from", Timestamp, "first instant, start of a billing day"),
    col("valid_to", Timestamp, "first instant after, NULL: open"),
];

const API_KEYS: &[Column] = &[
    col("source", Text, "source in which this reference is seen"),
    col("key_ref", Text, "API key id, keyed hash or customer id, as the source's events carry it"),
    col("customer_id", Text, "owner"),
    col("label", Text, "name for people"),
    col("valid_from", Timestamp, "first instant"),
    col("valid_to", Timestamp, "first instant after, NULL: open"),
];

const PRICES: &[Column] = &[
    col("plan", Text, "plan of the rates"),
    col("currency", Text, "ISO 4217 code"),
    col("price_id", Text, "price within the plan"),
    col("position", Int, "order within the plan: the first price of a meter that matches takes the usage"),
    col("meter", Text, "name of the configured meter; NULL: a flat price takes no usage"),
    col("model", Text, "per_unit, graduated, volume, package or flat"),
    col("match_columns", Int, "how many dimensions it asks for; 0: it takes any usage of its meter"),
    col("valid_from", Timestamp, "first instant, start of a billing day"),
    col("valid_to", Timestamp, "first instant after, NULL: open"),
    col("tier", Int, "number of the tier, from 1"),
    col("tier_from", BigInt, "the tier is (tier_from, tier_to]; of a package price: units that are free each month"),
    col("tier_to", BigInt, "NULL: no end"),
    col("unit_price", Price, "per unit, or per package; NULL: flat"),
    col("package_size", BigInt, "units of a package; NULL: no package price"),
    col("flat_amount", Amount, "per whole month; NULL: no flat price"),
];

const PRICE_MATCHES: &[Column] = &[
    col("plan", Text, "plan of the rates"),
    col("price_id", Text, "price within the plan"),
    col("valid_from", Timestamp, "first instant of the price's interval"),
    col("column_name", Text, "the dimension asked for"),
    col("fragment", Text, "a wanted `\"column\":\"value\"`, spelled as in dimensions"),
];

const PLAN_TERMS: &[Column] = &[
    col("plan", Text, "plan of the rates"),
    col("currency", Text, "ISO 4217 code of all its prices"),
    col("valid_from", Timestamp, "first instant, start of a billing day"),
    col("valid_to", Timestamp, "first instant after, NULL: open"),
    col("minimum", Amount, "what a whole month costs at least, after the discount"),
    col("discount_ppm", BigInt, "parts of a million taken off what usage and flat prices cost"),
];

const INVOICES: &[Column] = &[
    col("day", Date, "first day of the billing month"),
    col("number", Text, "number of the invoice"),
    col("kind", Text, "invoice or credit_note"),
    col("customer_id", Text, "who pays"),
    col("customer_name", Text, "name for people"),
    col("currency", Text, "ISO 4217 code"),
    col("subtotal", Amount, "sum of the printed lines before tax"),
    col("tax", Amount, "sum of the printed tax lines"),
    col("total", Amount, "sum of all printed lines"),
    col("issued_on", Date, "day of issue"),
    col("due_on", Date, "day payment is due; NULL: not stated"),
];

const INVOICE_LINES: &[Column] = &[
    col("day", Date, "first day of the billing month of the invoice"),
    col("number", Text, "number of the invoice"),
    col("line", Int, "number of the line, from 1"),
    col("customer_id", Text, "who pays"),
    col("kind", Text, "usage, flat, discount, minimum, adjustment or tax"),
    col("month", Date, "first day of the month the line is for: an earlier one where it corrects"),
    col("corrects", Text, "number of the invoice the line corrects; NULL: none"),
    col("plan", Text, "plan of the rates"),
    col("price_id", Text, "price within the plan"),
    col("price_from", Timestamp, "start of the price's interval"),
    col("model", Text, "how the price works"),
    col("meter", Text, "name of the configured meter"),
    col("tier", Text, "number of the tier"),
    col("quantity", BigInt, "usage; of a correction: the difference"),
    col("billed", BigInt, "units the price is for"),
    col("unit_price", Price, "per unit billed"),
    col("exact", Amount, "amount before rounding"),
    col("amount", Amount, "amount as printed"),
    col("currency", Text, "ISO 4217 code"),
    col("text", Text, "what the line says"),
];
