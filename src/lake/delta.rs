//! Delta tables: made from the one schema of all tables, opened at the newest or an older version, with their files taken
//! apart into slots. Deltalake works on the lake's own store, so memory, folder and bucket go the same way.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use deltalake::kernel::transaction::CommitProperties;
use deltalake::kernel::{DataType, StructField};
use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore};
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::SaveMode;
use deltalake::table::state::DeltaTableState;
use deltalake::{DeltaTable, DeltaTableError, TableProperty};
use object_store::prefix::PrefixStore;

use super::commit::is_conflict;
use super::error::LakeError;
use super::slot::{FileName, FileSlot};
use super::{Lake, layout, stats};
use crate::base::UtcDay;
use crate::schema::{Column, ColumnType, Table};

/// How often a table is made, or gets its columns, where others are in the way.
const ATTEMPTS_MAX: usize = 5;

/// A table as it was at one version.
#[derive(Clone)]
pub struct LakeTable {
    pub(super) lake: Lake,
    pub(super) table: Table,
    pub(super) state: DeltaTableState,
    pub(super) log: LogStoreRef,
    files: Arc<HashMap<FileSlot, LakeFile>>,
}

/// A data file of a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LakeFile {
    /// Its path within the table.
    pub path: String,
    /// Its partition.
    pub day: Option<UtcDay>,
    /// Its place.
    pub slot: FileSlot,
    /// The first 16 hex digits of its content's digest.
    pub digest: String,
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
}

impl Lake {
    /// The table as it is now, with every column of the schema; it is made where there is none.
    ///
    /// Somebody else may do the same at once. Then either may be refused, or both, so after each attempt it is seen what is
    /// there; only where that is not enough does the attempt's own error count.
    pub async fn table(&self, table: Table) -> Result<LakeTable, LakeError> {
        let mut failed = None;
        for attempt in 0..=ATTEMPTS_MAX {
            let found = self.existing_table(table).await?;
            let older = match found {
                Some(found) if !found.is_older() => return Ok(found),
                older => older,
            };
            match failed {
                Some((action, error)) if attempt == ATTEMPTS_MAX || !is_conflict(&error) => {
                    return Err(delta(action, table, error));
                }
                _ => {}
            }
            failed = match &older {
                Some(older) => older.add_columns().await.err().map(|error| ("add columns to", error)),
                None => create(table, self.log_store(table)).await.err().map(|error| ("create", error)),
            };
        }
        Err(LakeError::corrupt(layout::table(table), "it vanished while being made"))
    }

    /// The table as it is now, or `None` where nothing was ever written to it.
    pub async fn existing_table(&self, table: Table) -> Result<Option<LakeTable>, LakeError> {
        let log = self.log_store(table);
        let mut state = DeltaTableState::try_new(log.as_ref(), None).await;
        if state.is_err() {
            if let Ok(false) = log.is_delta_table_location().await {
                return Ok(None);
            }
            // Another build may have made the table between the two looks; its first commit is whole once it is there.
            state = DeltaTableState::try_new(log.as_ref(), None).await;
        }
        let state = state.map_err(|source| delta("open", table, source))?;
        LakeTable::new(self.clone(), table, state, log).map(Some)
    }

    /// Whether anything was ever written to the table; cheaper than to open it.
    pub async fn has_table(&self, table: Table) -> Result<bool, LakeError> {
        self.log_store(table).is_delta_table_location().await.map_err(|source| delta("look for", table, source))
    }

    /// The table as it was at an older version.
    pub async fn table_at(&self, table: Table, version: u64) -> Result<LakeTable, LakeError> {
        let log = self.log_store(table);
        let state = DeltaTableState::try_new(log.as_ref(), Some(version)).await;
        LakeTable::new(self.clone(), table, state.map_err(|source| delta("open", table, source))?, log)
    }

    fn log_store(&self, table: Table) -> LogStoreRef {
        let mut url = self.inner.url.clone();
        url.set_path(&format!("{}/{}/", url.path().trim_end_matches('/'), layout::table(table)));
        let folder = self.inner.root.parts().chain(layout::table(table).parts()).collect::<object_store::path::Path>();
        let below = Arc::new(PrefixStore::new(Arc::clone(&self.inner.whole), folder));
        default_logstore(below, Arc::clone(&self.inner.whole), &url, &StorageConfig::default())
    }
}

impl LakeTable {
    /// The columns of the schema that the table does not have: an older version made it.
    pub fn lacking(&self) -> Vec<&'static Column> {
        let schema = self.state.snapshot().schema();
        self.table.columns().iter().filter(|column| schema.field(column.name).is_none()).collect()
    }

    /// Whether an older version made the table, with fewer columns. The next build adds them; rows from before have NULL there.
    pub fn is_older(&self) -> bool {
        !self.lacking().is_empty()
    }

    /// Adds the columns that are lacking, if nobody changed the table meanwhile.
    async fn add_columns(&self) -> Result<(), DeltaTableError> {
        let fields: Vec<StructField> = self.lacking().into_iter().map(field).collect::<Result<_, _>>()?;
        let mut table = DeltaTable::new(Arc::clone(&self.log));
        table.load_version(self.version()).await?;
        let added = table.add_columns().with_fields(fields);
        added.with_commit_properties(CommitProperties::default().with_max_retries(0)).await.map(|_| ())
    }

    pub(super) fn new(lake: Lake, table: Table, state: DeltaTableState, log: LogStoreRef) -> Result<Self, LakeError> {
        let mut files = HashMap::new();
        for file in state.log_data().iter() {
            let path = file.path().into_owned();
            let full = || layout::table(table).join(path.as_str());
            let name = FileName::parse(&path)
                .ok_or_else(|| LakeError::corrupt(full(), "the table names a file that is not ours"))?;
            let rows =
                file.num_records().ok_or_else(|| LakeError::corrupt(full(), "the table does not say its rows"))?;
            let bytes = u64::try_from(file.size()).map_err(|_| LakeError::corrupt(full(), "its size is negative"))?;
            let day = name.slot.day;
            let file = LakeFile { path, day, slot: name.slot, digest: name.digest, rows: rows as u64, bytes };
            if let Some(other) = files.insert(file.slot.clone(), file) {
                return Err(LakeError::corrupt(layout::table(table), format!("two files hold `{}`", other.slot)));
            }
        }
        Ok(Self { lake, table, state, log, files: Arc::new(files) })
    }

    /// Which table this is.
    pub fn table(&self) -> Table {
        self.table
    }

    /// The lake it belongs to.
    pub fn lake(&self) -> &Lake {
        &self.lake
    }

    /// Its version; 0 where nothing was committed since it was made.
    pub fn version(&self) -> u64 {
        self.state.version()
    }

    /// Its files, ordered by slot.
    pub fn files(&self) -> Vec<&LakeFile> {
        let mut files: Vec<_> = self.files.values().collect();
        files.sort_by(|a, b| a.slot.cmp(&b.slot));
        files
    }

    /// The file a slot holds.
    pub fn current(&self, slot: &FileSlot) -> Option<&LakeFile> {
        self.files.get(slot)
    }

    /// The same version as a table of the Delta library, for SQL over it.
    pub async fn delta(&self) -> Result<DeltaTable, LakeError> {
        let mut table = DeltaTable::new(Arc::clone(&self.log));
        table.load_version(self.version()).await.map_err(|source| delta("open", self.table, source))?;
        Ok(table)
    }
}

impl fmt::Debug for LakeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (table, version) = (self.table.name(), self.version());
        f.debug_struct("LakeTable").field("table", &table).field("version", &version).finish_non_exhaustive()
    }
}

pub(super) fn delta(action: &'static str, table: Table, source: DeltaTableError) -> LakeError {
    LakeError::Delta { action, table: table.name(), source: Box::new(source) }
}

async fn create(table: Table, log: LogStoreRef) -> Result<(), DeltaTableError> {
    let columns = table.columns().iter().map(field).collect::<Result<Vec<_>, _>>()?;
    let stats: Vec<_> = stats::columns(table).collect();
    let properties = [
        // Files are replaced whenever late data comes.
        (TableProperty::AppendOnly, "false".to_owned()),
        // A reader replays at most this many commits after a checkpoint, which costs one more file to write.
        (TableProperty::CheckpointInterval, "20".to_owned()),
        // How far back one can ask why a figure changed.
        (TableProperty::LogRetentionDuration, "interval 30 days".to_owned()),
        // How long the log remembers which files were removed, and so the oldest time a vacuum can be asked to spare.
        (TableProperty::DeletedFileRetentionDuration, "interval 30 days".to_owned()),
        (TableProperty::DataSkippingStatsColumns, stats.join(",")),
    ];
    let mut builder = CreateBuilder::new()
        .with_log_store(log)
        .with_table_name(table.name())
        .with_columns(columns)
        .with_save_mode(SaveMode::Ignore)
        .with_commit_properties(CommitProperties::default().with_max_retries(0));
    for (key, value) in properties {
        if !value.is_empty() {
            builder = builder.with_configuration_property(key, Some(value));
        }
    }
    if table.is_partitioned() {
        builder = builder.with_partition_columns(["day"]);
    }
    builder.await.map(|_| ())
}

fn field(column: &Column) -> Result<StructField, DeltaTableError> {
    let kind = match column.kind {
        ColumnType::Text => DataType::STRING,
        ColumnType::Boolean => DataType::BOOLEAN,
        ColumnType::SmallInt => DataType::SHORT,
        ColumnType::Int => DataType::INTEGER,
        ColumnType::BigInt => DataType::LONG,
        ColumnType::Date => DataType::DATE,
        ColumnType::Timestamp => DataType::TIMESTAMP,
        ColumnType::Price => DataType::decimal(18, 9)?,
        ColumnType::Amount => DataType::decimal(38, 9)?,
    };
    Ok(StructField::nullable(column.name, kind).with_metadata([("comment", column.doc)]))
}
