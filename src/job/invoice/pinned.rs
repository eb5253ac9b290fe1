//! What a month was closed under: its meters, the configuration as tables, the terms of its invoices. It is kept with the close,
//! so the month can be priced the same way ever after, whatever the configuration says today.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};

use crate::billing::bill::MonthTerms;
use crate::billing::{BillingDay, ConfigTables};
use crate::model::Meter;
use crate::schema::Table;

use super::super::JobError;

/// The document with everything that is no table.
pub(super) const TERMS: &str = "terms.json";

/// What a closed month is priced under.
#[derive(Clone, PartialEq, Debug)]
pub struct Pinned {
    /// Everything that is no table.
    pub terms: PinnedTerms,
    /// Customers, keys and prices.
    pub config: ConfigTables,
}

/// Everything a closed month is priced under that is no table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PinnedTerms {
    /// The billing time zone, an IANA name.
    pub zone: String,
    /// Usage of earlier days is not charged.
    pub start: Option<BillingDay>,
    /// There are prices.
    pub has_rates: bool,
    /// The meters.
    pub meters: Vec<Meter>,
    /// How the month is rounded, taxed and adjusted.
    pub month: MonthTerms,
}

impl Pinned {
    /// Its documents by name; equal terms give equal bytes.
    pub(super) fn documents(&self) -> Result<BTreeMap<String, Vec<u8>>, JobError> {
        let mut documents = BTreeMap::new();
        let mut terms = serde_json::to_vec_pretty(&self.terms).map_err(|error| fault(TERMS, &error))?;
        terms.push(b'\n');
        documents.insert(TERMS.to_owned(), terms);
        for table in ConfigTables::TABLES {
            documents.insert(name_of(table), to_parquet(table, self.config.of(table))?);
        }
        Ok(documents)
    }

    /// Reads them back; `read` gives a document by name.
    pub(super) async fn read(read: impl AsyncFn(String) -> Result<Bytes, JobError>) -> Result<Self, JobError> {
        let terms = read(TERMS.to_owned()).await?;
        let terms = serde_json::from_slice(&terms).map_err(|error| fault(TERMS, &error))?;
        let mut config = ConfigTables::empty();
        for table in ConfigTables::TABLES {
            *config.of_mut(table) = from_parquet(table, read(name_of(table)).await?)?;
        }
        Ok(Self { terms, config })
    }
}

fn name_of(table: Table) -> String {
    format!("config/{}.parquet", table.name())
}

/// The customers a configuration knows.
pub(super) fn customers(config: &ConfigTables) -> BTreeSet<String> {
    let ids = config.customers.column_by_name("customer_id").and_then(|column| column.as_string_view_opt());
    ids.into_iter().flatten().flatten().map(str::to_owned).collect()
}

/// Rows as a Parquet file; equal rows give equal bytes.
pub(super) fn to_parquet(table: Table, rows: &RecordBatch) -> Result<Vec<u8>, JobError> {
    let failed = |error: ParquetError| fault(table.name(), &error);
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), Some(properties()?)).map_err(failed)?;
    writer.write(rows).map_err(failed)?;
    writer.close().map_err(failed)?;
    Ok(bytes)
}

/// How evidence is written. The writer's own version is in the file, so another version of the library may give other bytes.
pub(super) fn properties() -> Result<WriterProperties, JobError> {
    let level = ZstdLevel::try_new(3).map_err(|error| fault("evidence", &error))?;
    Ok(WriterProperties::builder().set_compression(Compression::ZSTD(level)).build())
}

/// The rows of such a file, in the table's schema.
pub(super) fn from_parquet(table: Table, bytes: Bytes) -> Result<RecordBatch, JobError> {
    let failed = |error: ParquetError| fault(table.name(), &error);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(failed)?.build().map_err(failed)?;
    let batches: Result<Vec<RecordBatch>, _> = reader.collect();
    let batches = batches.map_err(|error| fault(table.name(), &error))?;
    concat_batches(&table.schema(), &batches).map_err(|error| fault(table.name(), &error))
}

pub(super) fn fault(path: &str, error: &dyn std::error::Error) -> JobError {
    JobError::Closing { path: path.to_owned(), problem: error.to_string() }
}
