//! Builders of the two event tables' columns. A row is put together column by column, with no allocation of its own;
//! columns that are the same in every row of an object are made once per batch, as views on one value.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Int16Array, Int16Builder, Int32Builder, Int64Builder, RecordBatch,
    StringArray, StringViewBuilder, TimestampMicrosecondBuilder, UInt32Array,
};

use super::label::Label;
use super::redact::Scrub;
use super::text::{as_clean, percent_decode, push_clean};
use crate::schema::Table;

/// Rows of a full batch.
pub(super) const BATCH_ROWS: usize = 32_768;

/// A text column.
pub(super) struct Text {
    builder: StringViewBuilder,
    /// Bytes of its values.
    bytes: usize,
    decoded: Vec<u8>,
    clean: String,
}

impl Text {
    fn new() -> Self {
        Self { builder: StringViewBuilder::new(), bytes: 0, decoded: Vec::new(), clean: String::new() }
    }

    pub(super) fn null(&mut self) {
        self.builder.append_null();
    }

    /// Appends bytes as they are, but for control characters and invalid UTF-8.
    pub(super) fn clean(&mut self, bytes: Option<&[u8]>) {
        let Some(bytes) = bytes else { return self.null() };
        match as_clean(bytes) {
            Some(text) => {
                self.bytes += text.len();
                self.builder.append_value(text);
            }
            None => {
                self.clean.clear();
                push_clean(bytes, &mut self.clean);
                self.bytes += self.clean.len();
                self.builder.append_value(&self.clean);
            }
        }
    }

    /// Appends a field of a CloudFront log, percent-decoded once.
    pub(super) fn decoded(&mut self, raw: Option<&[u8]>) {
        self.private(raw, None);
    }

    /// The same with a key, should it stand in the field, replaced by its reference.
    pub(super) fn private(&mut self, raw: Option<&[u8]>, key: Option<&Scrub>) {
        let Some(raw) = raw else { return self.null() };
        if memchr::memchr(b'%', raw).is_none() {
            return self.private_bytes(raw, key);
        }
        let mut decoded = std::mem::take(&mut self.decoded);
        decoded.clear();
        percent_decode(raw, &mut decoded);
        self.private_bytes(&decoded, key);
        self.decoded = decoded;
    }

    /// The same for bytes that are decoded already.
    pub(super) fn private_bytes(&mut self, bytes: &[u8], key: Option<&Scrub>) {
        let scrubbed = key.and_then(|key| key.scrubbed(bytes));
        self.clean(Some(scrubbed.as_deref().unwrap_or(bytes)));
    }
}

/// A text column with one value, or none, in every row.
pub(super) struct Same(Option<String>);

/// `false` in every row: whether an event is in conflict is known only when objects are united.
pub(super) struct NoConflict;

/// The decoder's generation in every row.
pub(super) struct Generation;

/// What every column can do.
trait Column {
    fn finish(&mut self, rows: usize) -> ArrayRef;
    /// Bytes that it takes because of what values hold; those of a fixed length are left out.
    fn bytes(&self) -> usize {
        0
    }
}

impl Column for Text {
    fn finish(&mut self, _rows: usize) -> ArrayRef {
        self.bytes = 0;
        Arc::new(self.builder.finish())
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Column for Label {
    fn finish(&mut self, _rows: usize) -> ArrayRef {
        Self::finish(self)
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Column for Same {
    fn finish(&mut self, rows: usize) -> ArrayRef {
        same_text(self.0.as_deref(), rows)
    }
}

impl Column for NoConflict {
    fn finish(&mut self, rows: usize) -> ArrayRef {
        Arc::new(BooleanArray::from(vec![false; rows]))
    }
}

impl Column for Generation {
    fn finish(&mut self, rows: usize) -> ArrayRef {
        Arc::new(Int16Array::from_value(super::DECODER_GENERATION, rows))
    }
}

macro_rules! numbers {
    ($($builder:ty),*) => {
        $(impl Column for $builder {
            fn finish(&mut self, _rows: usize) -> ArrayRef {
                Arc::new(<$builder>::finish(self))
            }
        })*
    };
}
numbers!(Int16Builder, Int32Builder, Int64Builder, TimestampMicrosecondBuilder);

fn same_text(value: Option<&str>, rows: usize) -> ArrayRef {
    let keys = match value {
        Some(_) => UInt32Array::from_value(0, rows),
        None => UInt32Array::new_null(rows),
    };
    let values: StringArray = value.into_iter().map(Some).collect();
    Arc::new(DictionaryArray::new(keys, Arc::new(values)))
}

/// The columns that every object's events share.
pub(super) struct Origin<'a> {
    pub(super) source: &'a str,
    pub(super) object: &'a str,
    /// What kind of log it is; only edge logs say so.
    pub(super) log_kind: &'static str,
}

macro_rules! make_column {
    (Text, $($_:tt)*) => {
        Text::new()
    };
    (Label, $($_:tt)*) => {
        Label::new()
    };
    (Time, $($_:tt)*) => {
        TimestampMicrosecondBuilder::new().with_timezone("UTC")
    };
    (Source, $of:ident) => {
        Same(Some($of.source.to_owned()))
    };
    (Object, $of:ident) => {
        Same(Some($of.object.to_owned()))
    };
    (Kind, $of:ident) => {
        Same(Some($of.log_kind.to_owned()))
    };
    (NoConflict, $($_:tt)*) => {
        NoConflict
    };
    (Generation, $($_:tt)*) => {
        Generation
    };
    ($number:ident, $($_:tt)*) => {
        $number::new()
    };
}

macro_rules! column_type {
    (Time) => {
        TimestampMicrosecondBuilder
    };
    (Source) => {
        Same
    };
    (Object) => {
        Same
    };
    (Kind) => {
        Same
    };
    ($kind:ident) => {
        $kind
    };
}

/// A struct of column builders in the order of the table's data files.
macro_rules! columns {
    ($(#[$doc:meta])* $name:ident, $table:expr, { $($column:ident: $kind:ident),* $(,)? }) => {
        $(#[$doc])*
        pub(super) struct $name { $(pub(super) $column: column_type!($kind)),* }

        impl $name {
            pub(super) fn new(of: &Origin<'_>) -> Self {
                Self { $($column: make_column!($kind, of)),* }
            }

            /// Bytes that the rows so far take because of what their values hold.
            pub(super) fn bytes(&self) -> usize {
                [$(Column::bytes(&self.$column)),*].into_iter().sum()
            }

            /// The rows so far as a batch; the builders start again.
            pub(super) fn finish(&mut self, rows: usize) -> RecordBatch {
                let columns: Vec<ArrayRef> = vec![$(Column::finish(&mut self.$column, rows)),*];
                RecordBatch::try_new($table.row_schema(), columns).expect("every row fills every column of the table")
            }
        }
    };
}

columns!(
    /// `edge_requests` without `day`.
    EdgeColumns, Table::EdgeRequests, {
        event_time: Time,
        request_id: Text,
        fingerprint: Int64Builder,
        conflict: NoConflict,
        key_ref: Label,
        key_state: Label,
        log_data: Label,
        log_kind: Kind,
        method: Label,
        host: Label,
        path: Text,
        query: Text,
        status: Int16Builder,
        request_bytes: Int64Builder,
        response_bytes: Int64Builder,
        time_taken_ms: Int32Builder,
        time_to_first_byte_ms: Int32Builder,
        origin_latency_ms: Int32Builder,
        edge_location: Label,
        result_type: Label,
        response_result_type: Label,
        detailed_result_type: Label,
        country: Label,
        asn: Int64Builder,
        client_ip: Label,
        user_agent: Label,
        referer: Label,
        protocol: Label,
        tls_protocol: Label,
        content_type: Label,
        distribution: Label,
        behavior: Label,
        source: Source,
        source_object: Object,
        source_position: Int64Builder,
        decoder: Generation,
    }
);

columns!(
    /// `origin_requests` without `day`.
    OriginColumns, Table::OriginRequests, {
        event_time: Time,
        request_id: Text,
        caller_request_id: Text,
        fingerprint: Int64Builder,
        conflict: NoConflict,
        key_ref: Label,
        key_state: Label,
        subject: Label,
        account: Label,
        region: Label,
        api_id: Label,
        stage: Label,
        domain: Label,
        method: Label,
        route: Label,
        path: Text,
        status: Int16Builder,
        response_bytes: Int64Builder,
        latency_ms: Int32Builder,
        integration_latency_ms: Int32Builder,
        integration_status: Int16Builder,
        waf_response: Label,
        error_type: Label,
        client_ip: Label,
        user_agent: Label,
        protocol: Label,
        authorizer: Label,
        edge_request_id: Text,
        source: Source,
        source_object: Object,
        source_position: Int64Builder,
        decoder: Generation,
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_batch_has_the_tables_schema() {
        let of = Origin { source: "s", object: "o", log_kind: "realtime" };
        assert_eq!(EdgeColumns::new(&of).finish(0).schema(), Table::EdgeRequests.row_schema());
        assert_eq!(OriginColumns::new(&of).finish(0).schema(), Table::OriginRequests.row_schema());
    }
}
