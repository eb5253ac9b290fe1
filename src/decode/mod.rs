//! Bytes of a landing object in, Arrow batches of events and rejects out. No I/O, no clock: bytes are pushed in
//! any chunks and the same rows come out. A bad record becomes a reject; a bad object (truncated, over a limit) is an error.
//!
//! The way of a byte: `gunzip` unpacks, with `unpack` for what is not gzip; `lines` or `values` find the records, `envelope`
//! the ones within CloudWatch Logs documents, `failed` those that Firehose could not deliver, `parquet_rows` the rows of a
//! Parquet object (`parquet_pages` sees to it that they can be held); `cloudfront`, `standard` (both by `edge_rows`), `apigateway` or `own_json` (by `json_paths`) read a record
//! into `columns`, hashing keys on the way (`key`, `privacy`, `redact`); what cannot be read goes to `rejects`, masked (`mask`).
//! `plan` holds what is fixed for a source (`spec`, `fields`; `template` and `literal` for API Gateway's formats, `domain` for
//! what their variables can hold, `defaults` for the documented ones), `decoder` drives it all for one object, `guess` says
//! which fields its records may have. `doctor` looks at objects of which nothing is known, with all of these.

mod apigateway;
mod cloudfront;
mod columns;
mod decoder;
mod defaults;
pub mod doctor;
mod domain;
mod edge_rows;
mod envelope;
mod error;
mod failed;
mod fields;
mod fingerprint;
mod guess;
mod gunzip;
mod index;
mod json;
mod json_paths;
mod key;
mod label;
mod lines;
mod literal;
mod lockstep;
mod mask;
mod own_json;
mod parquet_pages;
mod parquet_rows;
mod plan;
mod privacy;
mod redact;
mod rejects;
mod spec;
mod standard;
mod template;
mod text;
mod unpack;
mod values;

use crate::base::Micros;

pub use decoder::{Counts, Decoder};
pub use error::{Api, ObjectError, SpecError};
pub use gunzip::Space;
pub use json::JSON_DEPTH_MAX;
pub use plan::{DecodePlan, names_a_caller};
pub use privacy::{key_ref, secret_check_value};
pub use rejects::{REASONS, REJECT_SCHEMA};
pub use spec::{
    ClientIp, Constants, FieldSet, Format, Identifies, KeySecret, KeySpec, Limits, Missing, OwnJson, Privacy,
    SourceSpec, Template,
};

/// Generation of the decoders: raised when the same bytes give other rows. Of equal events the newer generation's is kept.
pub const DECODER_GENERATION: i16 = 1;
