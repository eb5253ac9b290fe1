//! Records that could not be read, as batches: where each stood, why, and a masked excerpt. The lake adds the object.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Int64Builder, RecordBatch, StringViewBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::error::Reject;
use super::text::{as_clean, push_clean};

/// The columns of a batch of rejects: `source_position`, `reason`, `excerpt`, `detail`, as in the table `rejects`.
pub static REJECT_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name| Field::new(name, DataType::Utf8View, true);
    let position = Field::new("source_position", DataType::Int64, true);
    Arc::new(Schema::new(vec![position, text("reason"), text("excerpt"), text("detail")]))
});

/// Every reason that a record can be rejected for, in order.
pub const REASONS: &[&str] = &[
    "ambiguous",
    "bad_envelope",
    "bad_json",
    "bad_number",
    "bad_raw_data",
    "bad_time",
    "columns",
    "directive",
    "duplicate_key",
    "format",
    "keys",
    "no_fields",
    "no_id",
    "no_message",
    "no_time",
    "not_json",
    "too_deep",
    "too_long",
];

/// Collects rejects.
pub(super) struct Rejects {
    position: Int64Builder,
    reason: StringViewBuilder,
    excerpt: StringViewBuilder,
    detail: StringViewBuilder,
    rows: usize,
}

impl Rejects {
    pub(super) fn new() -> Self {
        Self {
            position: Int64Builder::new(),
            reason: StringViewBuilder::new(),
            excerpt: StringViewBuilder::new(),
            detail: StringViewBuilder::new().with_deduplicate_strings(),
            rows: 0,
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn add(&mut self, position: i64, reject: &Reject, excerpt: &str) {
        self.position.append_value(position);
        self.reason.append_value(reject.reason);
        self.excerpt.append_value(excerpt);
        // It may name a key of the configuration, which can hold anything.
        match as_clean(reject.detail.as_bytes()) {
            Some(detail) => self.detail.append_value(detail),
            None => {
                let mut clean = String::new();
                push_clean(reject.detail.as_bytes(), &mut clean);
                self.detail.append_value(&clean);
            }
        }
        self.rows += 1;
    }

    /// The rejects so far; the builders start again.
    pub(super) fn finish(&mut self) -> RecordBatch {
        self.rows = 0;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.position.finish()),
            Arc::new(self.reason.finish()),
            Arc::new(self.excerpt.finish()),
            Arc::new(self.detail.finish()),
        ];
        RecordBatch::try_new(REJECT_SCHEMA.clone(), columns).expect("every reject fills every column")
    }
}
