//! Which text columns hold few distinct values. Between the decoder and the files of the lake these travel as numbers into
//! a list of their values; readers of the tables see plain text.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::Table;

/// How a column of labels is held in memory.
pub fn label_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8))
}

/// The schema with the type of some columns changed.
pub fn retyped(schema: &Schema, to: impl Fn(&Field) -> Option<DataType>) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match to(field) {
        Some(kind) => Arc::new(field.as_ref().clone().with_data_type(kind)),
        None => field.clone(),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

impl Table {
    /// The columns in which values repeat. For those that callers fill this is a guess: where it is wrong, they are kept as
    /// any text.
    pub fn labels(self) -> &'static [&'static str] {
        match self {
            Self::EdgeRequests => &[
                "key_ref",
                "key_state",
                "log_data",
                "log_kind",
                "method",
                "host",
                "edge_location",
                "result_type",
                "response_result_type",
                "detailed_result_type",
                "country",
                "client_ip",
                "user_agent",
                "referer",
                "protocol",
                "tls_protocol",
                "content_type",
                "distribution",
                "behavior",
                "source",
                "source_object",
            ],
            Self::OriginRequests => &[
                "key_ref",
                "key_state",
                "subject",
                "account",
                "region",
                "api_id",
                "stage",
                "domain",
                "method",
                "route",
                "waf_response",
                "error_type",
                "client_ip",
                "user_agent",
                "protocol",
                "authorizer",
                "source",
                "source_object",
            ],
            _ => &[],
        }
    }

    /// The file schema with labels as dictionaries: the rows that the decoder makes and the lake unites.
    pub fn row_schema(self) -> SchemaRef {
        let is_label = |field: &Field| self.labels().contains(&field.name().as_str());
        retyped(&self.file_schema(), |field| is_label(field).then(label_type))
    }
}
