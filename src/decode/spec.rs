//! What the configuration says about the records of a source: format, key, privacy and limits. Data only; checked when a plan is made of it.

use std::fmt;

use super::json::JSON_DEPTH_MAX;
use crate::base::Micros;
use crate::schema::Table;

/// What a `[[source]]` says about its records.
#[derive(Clone, Debug)]
pub struct SourceSpec {
    /// Name of the source: letters, digits, `-` and `_`; part of paths.
    pub name: String,
    /// How its records are written.
    pub format: Format,
    /// Where a record carries the caller's key.
    pub key: KeySpec,
    /// What that key is.
    pub identifies: Identifies,
    /// Columns that are the same in every record.
    pub set: Constants,
}

/// How records are written.
#[derive(Clone, Debug)]
pub enum Format {
    /// CloudFront real-time logs with the configured fields, one set per arrival interval, ordered by `from`.
    CloudFrontRealtime(Vec<FieldSet>),
    /// CloudFront standard logs, either version. Objects in plain format name no fields: of these, one set per arrival
    /// interval, ordered by `from`, its fields in the order of the record; empty where there are none such.
    CloudFrontStandard(Vec<FieldSet>),
    /// JSON objects that a function or backend of one's own writes; bare or in CloudWatch Logs envelopes.
    Json(OwnJson),
    /// API Gateway access logs of the configured templates, ordered by `from`; bare or in CloudWatch Logs envelopes. None: the
    /// documented ones.
    ApiGateway(Vec<Template>),
}

/// The CloudFront fields configured for objects that arrive from an instant on.
#[derive(Clone, Debug)]
pub struct FieldSet {
    /// First arrival it applies to; none: from the beginning.
    pub from: Option<Micros>,
    /// Field names in any order.
    pub fields: Vec<String>,
}

/// Where own JSON holds the columns of a table of events.
#[derive(Clone, Debug)]
pub struct OwnJson {
    /// `origin_requests` or `edge_requests`.
    pub table: Table,
    /// Column names, each with the keys that lead to its value from the outermost object inwards.
    pub columns: Vec<(String, Vec<String>)>,
}

/// The access-log format configured for objects that arrive from an instant on.
#[derive(Clone, Debug)]
pub struct Template {
    /// First arrival it applies to; none: from the beginning.
    pub from: Option<Micros>,
    /// The text as configured in the stage.
    pub text: String,
}

/// Where a record carries the caller's key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeySpec {
    /// Nowhere: every event is without key.
    None,
    /// A request header, from `cs-headers`; its value is a secret and is hashed.
    Header(String),
    /// A token `name=value` of `viewer-request-log-data`, separated by `;`. Hashed unless `plain` says the value is an id and no secret.
    LogData {
        /// Name of the token.
        name: String,
        /// The value is a public id: kept as it is.
        plain: bool,
        /// What a request is of which nothing was written there.
        missing: Missing,
    },
    /// A query parameter: what the caller claims; hashed.
    Query(String),
    /// A value of own JSON, by the keys that lead to it. Hashed unless `plain` says that it is an id and no secret.
    Path {
        /// The keys from the outermost object inwards.
        path: Vec<String>,
        /// The value is a public id: kept as it is.
        plain: bool,
    },
    /// A `$context` variable of the template, written with its `$context.`; `$context.identity.apiKey` is hashed, any other kept.
    Variable(String),
}

/// What a request is whose `viewer-request-log-data` is empty: no function ran that would have written there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Missing {
    /// In doubt, and held: a cache behaviour without the function must not be free of charge.
    #[default]
    Held,
    /// Without key.
    Anonymous,
}

/// As a configuration spells it, but for the case of a header's name.
impl fmt::Display for KeySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("nowhere"),
            Self::Header(name) => write!(f, "{{ header = {name:?} }}"),
            Self::LogData { name, plain, missing } => {
                let plain = if *plain { ", plain = true" } else { "" };
                let missing = if *missing == Missing::Anonymous { ", missing = \"anonymous\"" } else { "" };
                write!(f, "{{ log_data = {name:?}{plain}{missing} }}")
            }
            Self::Path { path, plain: false } => write!(f, "{{ path = {:?} }}", path.join(".")),
            Self::Path { path, plain: true } => write!(f, "{{ path = {:?}, plain = true }}", path.join(".")),
            Self::Query(name) => write!(f, "{{ query = {name:?} }}"),
            Self::Variable(name) => write!(f, "{name:?}"),
        }
    }
}

/// What the key identifies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Identifies {
    /// A key that a keys file maps to a customer.
    Key,
    /// The customer itself.
    Customer,
}

/// Columns that are the same in every record of a source; a value in the record itself wins.
#[derive(Clone, Default, Debug)]
pub struct Constants {
    /// AWS account id.
    pub account: Option<String>,
    /// AWS region.
    pub region: Option<String>,
    /// API stage.
    pub stage: Option<String>,
}

/// What is hashed, cut or dropped before anything is stored.
#[derive(Clone, Debug)]
pub struct Privacy {
    /// Secrets of the keyed hash, newest first; records are hashed with the newest. May be empty where no source needs one.
    pub key_secrets: Vec<KeySecret>,
    /// What becomes of client addresses.
    pub client_ip: ClientIp,
}

/// A secret of the keyed hash; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySecret(pub Vec<u8>);

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySecret(…)")
    }
}

/// What becomes of client addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ClientIp {
    /// Stored as logged.
    #[default]
    Keep,
    /// The last octet (IPv4) or the last 80 bits (IPv6) set to zero.
    Truncate,
    /// Not stored.
    Drop,
}

/// Bounds on what one object may make us hold or do.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of one record; a longer one is a reject.
    pub record_bytes_max: usize,
    /// Bytes of one object after decompression; more is an error of the object.
    pub object_bytes_max: u64,
    /// Bytes of one document that holds records, such as a CloudWatch Logs envelope; a longer one is a reject.
    pub document_bytes_max: usize,
    /// Plain bytes that may come of each byte of a compressed object, once it has unpacked to more than 64 MiB; more is an
    /// error of the object.
    pub expansion_max: u64,
    /// Times an object may be compressed over.
    pub nesting_max: usize,
    /// Different event hours in one object; more is an error of the object.
    pub hours_max: usize,
    /// Bytes of a Parquet object, which must be held whole to be read; more is an error of the object.
    pub parquet_bytes_max: u64,
    /// Objects and arrays inside each other in a record or document of JSON, 64 at most; more is a reject.
    pub json_depth_max: usize,
    /// Bytes of a list of headers or of their names in a record of CloudFront; more is a reject.
    pub header_bytes_max: usize,
}

impl Default for Limits {
    /// Safe for anything Firehose writes (records up to 1 000 KiB, objects up to 128 MiB before compression) with room to spare.
    fn default() -> Self {
        Self {
            record_bytes_max: 2 << 20,
            object_bytes_max: 4 << 30,
            document_bytes_max: 32 << 20,
            expansion_max: 200,
            nesting_max: 3,
            hours_max: 24 * 62,
            parquet_bytes_max: 256 << 20,
            json_depth_max: JSON_DEPTH_MAX,
            // CloudFront cuts its lists at 800 bytes; each may be logged as several characters.
            header_bytes_max: 16 << 10,
        }
    }
}

impl Limits {
    /// Those that decide whether a record becomes an event or a reject, by the names of their settings.
    pub(super) fn of_records(&self) -> [(&'static str, usize); 4] {
        [
            ("record_bytes_max", self.record_bytes_max),
            ("document_bytes_max", self.document_bytes_max),
            ("json_depth_max", self.json_depth_max),
            ("header_bytes_max", self.header_bytes_max),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_as_it_is_configured() {
        let name = || "k".to_owned();
        let log_data = |plain, missing| KeySpec::LogData { name: name(), plain, missing };
        for (key, shown) in [
            (KeySpec::Header(name()), r#"{ header = "k" }"#),
            (log_data(false, Missing::Held), r#"{ log_data = "k" }"#),
            (log_data(true, Missing::Held), r#"{ log_data = "k", plain = true }"#),
            (log_data(true, Missing::Anonymous), r#"{ log_data = "k", plain = true, missing = "anonymous" }"#),
            (KeySpec::Path { path: vec!["a".to_owned(), name()], plain: false }, r#"{ path = "a.k" }"#),
            (KeySpec::Path { path: vec![name()], plain: true }, r#"{ path = "k", plain = true }"#),
            (KeySpec::Query(name()), r#"{ query = "k" }"#),
            (KeySpec::Variable("$context.identity.apiKeyId".to_owned()), r#""$context.identity.apiKeyId""#),
        ] {
            assert_eq!(key.to_string(), shown);
        }
    }
}
