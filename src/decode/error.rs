//! What can be wrong with a source's settings ([`SpecError`]), with a whole object ([`ObjectError`]) and with one
//! record ([`Reject`]). A bad record is kept as a reject and reading goes on; a bad object fails whole, and the
//! caller drops whatever was read of it. The caller knows the object's key and names it; no message holds log text.

use std::borrow::Cow;

use super::rejects::REASONS;

/// A source whose settings cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// A field that CloudFront does not have.
    #[error("`{name}` is not a field of CloudFront {logs} logs; the nearest is `{nearest}`")]
    UnknownField {
        /// As configured.
        name: String,
        /// The kind of logs.
        logs: &'static str,
        /// The known field spelled most like it.
        nearest: &'static str,
    },
    /// A field named twice in one set.
    #[error("field `{name}` is named twice; a record holds it once")]
    RepeatedField {
        /// The field.
        name: String,
    },
    /// No field set or template at all.
    #[error("the source names no {what}")]
    Nothing {
        /// What is missing.
        what: &'static str,
    },
    /// Sets or templates out of order.
    #[error("each {what} but the first needs a `from` later than the one before")]
    Unordered {
        /// Field set or format.
        what: &'static str,
    },
    /// A field without which no event can be made or no key be found.
    #[error("field `{field}` is missing: {why}; add it to the log configuration in CloudFront and to `fields`")]
    MissingField {
        /// The field to add.
        field: &'static str,
        /// What it is needed for.
        why: &'static str,
    },
    /// A key that this kind of log cannot carry.
    #[error("{kind} logs cannot carry a key given as `{key}`; use {instead}")]
    KeyKind {
        /// The kind of log.
        kind: &'static str,
        /// The kind of key setting.
        key: &'static str,
        /// What would work.
        instead: &'static str,
    },
    /// A secret key is to be hashed and no secret is configured.
    #[error("the key is a secret and is stored only as a keyed hash: set `key_secret` under [privacy]")]
    MissingSecret,
    /// A hash can never be a customer's id.
    #[error(
        "`identifies = \"customer\"` needs the customer's id itself, but this key is stored as a hash; use an id that is no secret"
    )]
    HashedCustomer,
    /// A column that own JSON cannot fill.
    #[error("`{name}` is no column of `{table}` that `columns` can fill; the nearest is `{nearest}`")]
    UnknownColumn {
        /// As configured.
        name: String,
        /// The table.
        table: &'static str,
        /// The column spelled most like it.
        nearest: &'static str,
    },
    /// A column without which no event can be made.
    #[error("`columns` does not say where `{column}` is: {why}")]
    MissingColumn {
        /// The column.
        column: &'static str,
        /// What it is needed for.
        why: &'static str,
    },
    /// A table that own JSON has no columns for.
    #[error("own JSON can fill `origin_requests` or `edge_requests`, not `{table}`")]
    NoEventTable {
        /// As configured.
        table: &'static str,
    },
    /// One path leads to a value, another through it.
    #[error("the path `{path}` leads through the value of another path, or has an empty part")]
    BadPath {
        /// The path, with dots.
        path: String,
    },
    /// An access-log format that holds nothing of a request.
    #[error("the access-log format names no `$context` variable. One that has all that is needed: {}", Api::Rest.recommended())]
    NoVariables,
    /// A variable of the access-log format without a name.
    #[error("a `$context.` in the access-log format names no variable")]
    NoName,
    /// Two neighbours in an access-log format, or in one value of it, that cannot be told apart.
    #[error(
        "`{first}` and `{second}` in the access-log format cannot be told apart: {why}; put another variable or a text such as `\" \"` between them, or use JSON with a key for each"
    )]
    Inseparable {
        /// The variable that comes first.
        first: String,
        /// The one behind it.
        second: String,
        /// Why not.
        why: &'static str,
    },
    /// An access-log format, not JSON, whose records begin with what callers choose.
    #[error(
        "the access-log format begins with `{variable}`, which callers choose: one could send a whole log document there; put `$context.requestId` before it"
    )]
    CallerFirst {
        /// The variable.
        variable: String,
    },
    /// The JSON of the access-log format cannot be read.
    #[error("the access-log format begins with `{{` and is not valid JSON at byte {at}: {what}")]
    BadTemplate {
        /// Byte offset in the text.
        at: usize,
        /// What was found.
        what: &'static str,
    },
    /// A value of the access-log format that cannot be taken apart again.
    #[error(
        "the value of `{key}` in the access-log format cannot be taken apart again: {why}; give each variable a key of its own"
    )]
    AmbiguousTemplate {
        /// The JSON key.
        key: String,
        /// Why not.
        why: &'static str,
    },
    /// The access-log format lacks a variable.
    #[error(
        "the access-log format has no `{variable}`: {why}. A format that has all that is needed: {}", .api.recommended()
    )]
    MissingVariable {
        /// The variable to add.
        variable: String,
        /// What it is needed for.
        why: &'static str,
        /// The kind of API the format is for.
        api: Api,
    },
}

/// Kinds of API whose access logs have other variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// REST API: has keys.
    Rest,
    /// HTTP API: has none; an authorizer says who calls.
    Http,
}

/// A recommended format; the kinds of API differ in who calls and in what is called.
macro_rules! recommended {
    ($caller:literal, $route:literal) => {
        concat!(
            r#"{"extendedRequestId":"$context.extendedRequestId","requestId":"$context.requestId","#,
            r#""requestTimeEpoch":"$context.requestTimeEpoch","apiId":"$context.apiId","stage":"$context.stage","#,
            $caller,
            r#","httpMethod":"$context.httpMethod","#,
            $route,
            r#","status":"$context.status","responseLength":"$context.responseLength","#,
            r#""responseLatency":"$context.responseLatency","integrationLatency":"$context.integrationLatency","#,
            r#""ip":"$context.identity.sourceIp","path":"$context.path"}"#
        )
    };
}

impl Api {
    /// A JSON access-log format with everything a bill needs; values that callers choose come last.
    pub const fn recommended(self) -> &'static str {
        match self {
            Self::Rest => {
                recommended!(r#""apiKeyId":"$context.identity.apiKeyId""#, r#""resourcePath":"$context.resourcePath""#)
            }
            Self::Http => {
                recommended!(r#""customerId":"$context.authorizer.customerId""#, r#""routeKey":"$context.routeKey""#)
            }
        }
    }
}

/// An object that cannot be read as a whole; nothing of it may be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// The compressed data stop before their end.
    #[error("the compressed data end too early: the object is cut off or still being written")]
    Truncated,
    /// The compressed data are damaged.
    #[error("the compressed data are damaged near byte {at} of compression level {level}")]
    Corrupt {
        /// Bytes read at that level.
        at: u64,
        /// 1 is the outermost.
        level: usize,
    },
    /// Something that is not compressed follows a complete compressed member.
    #[error("byte {at} of compression level {level} follows a complete compressed member and starts no other")]
    TrailingGarbage {
        /// Bytes read at that level.
        at: u64,
        /// 1 is the outermost.
        level: usize,
    },
    /// The object unpacks to more than the limit.
    #[error("it unpacks to more than {limit} bytes, the limit for one object (`object_bytes_max` under [limits])")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The object unpacks to so much that it is made to.
    #[error("each of its bytes unpacks to more than {limit}, the limit `expansion_max` under [limits]; no log does")]
    TooDense {
        /// The limit.
        limit: u64,
    },
    /// The object is packed in a way that is not read.
    #[error("it is packed as {what}, which is not read")]
    Unsupported {
        /// In what way.
        what: &'static str,
    },
    /// The object is compressed over and over.
    #[error("it is compressed more than {limit} times over (`nesting_max` under [limits])")]
    TooNested {
        /// The limit.
        limit: usize,
    },
    /// The records have another number of columns than the configured fields.
    #[error(
        "records have {found} columns, the configured `fields` have {expected}: the two do not belong together{}",
        fitting(.likely)
    )]
    FieldsMismatch {
        /// Columns of the configured set in force.
        expected: usize,
        /// Columns of every record read.
        found: usize,
        /// The set that the records fit.
        likely: Option<String>,
    },
    /// The records have as many columns as the configured fields, but of other fields.
    #[error("what stands under `{field}` is never one, so the records are not of the configured `fields`{}", fitting(.likely))]
    FieldsMisfit {
        /// The first field that nothing fits.
        field: &'static str,
        /// The set that the records fit.
        likely: Option<String>,
    },
    /// Standard logs in plain format, of which nothing says what stands where.
    #[error(
        "no `#Fields` line says what stands where: give the source `fields`, in the order of the delivery's record fields"
    )]
    NoFields,
    /// Standard logs of a version that is not known.
    #[error("its `#Version` is not 1.0, the only one known: its records would be guesses")]
    UnknownVersion,
    /// Logs of a distribution that streams media by RTMP.
    #[error(
        "it is a log of an RTMP streaming distribution (`{field}` is among its fields), which has no requests to bill"
    )]
    Streaming {
        /// The field that gives it away.
        field: &'static str,
    },
    /// The columns of a `#Fields` line or of a Parquet file cannot be told apart or are too many.
    #[error("its header names {what}")]
    BadHeader {
        /// What is wrong.
        what: &'static str,
    },
    /// A Parquet object is too large to be held.
    #[error("it is a Parquet object of more than {limit} bytes (`parquet_bytes_max` under [limits])")]
    ParquetTooLarge {
        /// The limit.
        limit: u64,
    },
    /// A Parquet object among logs of another kind.
    #[error(
        "it is a Parquet object, and a source of kind `{kind}` reads none; CloudFront writes such as standard logs, which a source of kind `cloudfront-standard` reads"
    )]
    ParquetElsewhere {
        /// The kind of its source.
        kind: &'static str,
    },
    /// A Parquet object that cannot be read.
    #[error("it begins as a Parquet object, but cannot be read as one: it is cut off or damaged ({what})")]
    BadParquet {
        /// Which part.
        what: &'static str,
    },
    /// The events lie in more hours than one object can hold.
    #[error("its events lie in more than {limit} different hours (`hours_max` under [limits])")]
    TooManyHours {
        /// The limit.
        limit: usize,
    },
    /// So many records cannot be read that the source's settings must be wrong.
    #[error("more than {limit} records cannot be read, the first because `{reason}` ({detail})")]
    TooManyRejects {
        /// The limit.
        limit: u64,
        /// Reason of the first reject.
        reason: &'static str,
        /// Detail of the first reject.
        detail: String,
    },
}

fn fitting(likely: &Option<String>) -> String {
    likely.as_ref().map_or_else(String::new, |likely| format!("; they fit {likely}"))
}

/// Why one record could not be read. Neither part holds log text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reject {
    /// One word.
    pub(super) reason: &'static str,
    /// Which field, and what was wrong with it.
    pub(super) detail: Cow<'static, str>,
}

impl Reject {
    /// A reason is one of [`REASONS`], so that whoever says what to do about each knows all of them.
    pub(super) fn new(reason: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        debug_assert!(REASONS.contains(&reason), "`{reason}` is a reason that nobody knows");
        Self { reason, detail: detail.into() }
    }

    /// A caller who can break out of a string would send such a key.
    pub(super) fn duplicate_key() -> Self {
        Self::new("duplicate_key", "a key stands twice in one object")
    }
}
