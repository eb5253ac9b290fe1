//! `keys.csv`: which key belonged to whom and when, by instant. A key is known by its API Gateway id, by the
//! fingerprint of its value, or both. One reference with two owners at once is refused, and so is anything in the
//! fingerprint's column that could be a key itself: it is never shown.

use std::collections::HashMap;

use crate::base::{HalfOpen, Micros, Problems};

use super::interval::{Claim, overlaps};
use super::sheet::{ConfigFile, Grain, Sheet};
use super::zone::BillingZone;

const NOT_A_FINGERPRINT: &str = "`key_fingerprint` must be 32 lower-case hex digits and never the key itself \
    (so it is not shown here): it is the `key_ref` under which usage of the key is held, that is, the first 32 hex \
    digits of HMAC-SHA256 of the key with `key_secret`";

/// One row: a key of a customer for an interval.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    /// The owner.
    pub customer_id: String,
    /// API Gateway's id of the key, or another id that is no secret.
    pub api_key_id: Option<String>,
    /// The first 32 hex digits of the key's keyed hash.
    pub key_fingerprint: Option<String>,
    /// Name for people.
    pub label: Option<String>,
    /// When.
    pub valid: HalfOpen<Micros>,
    /// Columns of the user's own, `x_…`.
    pub extra: Vec<(String, String)>,
    /// Where it was written.
    pub line: u32,
}

/// The keys, in the order of the file.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Keys {
    file: Option<String>,
    rows: Vec<Key>,
}

impl Keys {
    /// Reads and checks the file; whether the customers exist is checked by [`super::Billing`].
    pub fn parse(file: &ConfigFile, zone: BillingZone) -> Result<Self, Problems> {
        let required = ["customer_id", "valid_from"];
        let mut sheet = Sheet::read(file, &required, &["api_key_id", "key_fingerprint", "label", "valid_to"]);
        let rows = sheet.each(|row| {
            let fingerprint = row.cell("key_fingerprint");
            if fingerprint.is_some_and(|text| !is_fingerprint(text)) {
                return Err(NOT_A_FINGERPRINT.to_owned());
            }
            let id = row.cell("api_key_id");
            if id.is_none() && fingerprint.is_none() {
                return Err("this row names no key: fill `api_key_id`, `key_fingerprint` or both".to_owned());
            }
            Ok(Key {
                customer_id: row.required("customer_id")?.to_owned(),
                api_key_id: id.map(str::to_owned),
                key_fingerprint: fingerprint.map(str::to_owned),
                label: row.cell("label").map(str::to_owned),
                valid: row.valid(zone, Grain::Instant)?,
                extra: row.extra(),
                line: row.line,
            })
        });
        let by_id: fn(&Key) -> Option<&String> = |row| row.api_key_id.as_ref();
        let by_fingerprint: fn(&Key) -> Option<&String> = |row| row.key_fingerprint.as_ref();
        for (column, reference) in [("api_key_id", by_id), ("key_fingerprint", by_fingerprint)] {
            let claims = rows
                .iter()
                .filter_map(|row| reference(row).map(|key| (key, Claim { valid: row.valid, line: row.line })));
            for overlap in overlaps(claims) {
                let first = overlap.first;
                sheet.problem(
                    overlap.second.line,
                    format!(
                        "this `{column}` is owned twice at once: line {} has it too, for {}; end that with `valid_to`, \
                         or leave this reference empty in one of the rows",
                        first.line,
                        zone.show(first.valid)
                    ),
                );
            }
        }
        // A token of an edge function may be either reference: one text in both columns would be two owners' or twice one's.
        let prints: HashMap<_, _> =
            rows.iter().filter_map(|row| Some((row.key_fingerprint.as_deref()?, row.line))).collect();
        for row in &rows {
            if let Some(first) = row.api_key_id.as_deref().and_then(|id| prints.get(id)) {
                let told = format!(
                    "this `api_key_id` is the `key_fingerprint` of line {first}: leave it in that column alone"
                );
                sheet.problem(row.line, told);
            }
        }
        sheet.problems.or(Self { file: Some(file.name.clone()), rows })
    }

    /// The file they were read from; none: no file is configured.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// Every row.
    pub fn rows(&self) -> &[Key] {
        &self.rows
    }
}

fn is_fingerprint(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
