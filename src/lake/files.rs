//! Small files: batches that the caller computed and sorted become a slot's new file, and a file becomes batches again.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use object_store::{ObjectStoreExt, PutPayload};

use super::commit::NewFile;
use super::delta::{LakeFile, LakeTable};
use super::error::{Doing, LakeError};
use super::parquet::{self, EncodedFile};
use super::slot::{FileName, FileSlot};
use super::{Lake, layout, read};
use crate::schema::Table;

impl Lake {
    /// Writes rows, in the table's file schema and sorted by the caller, as a slot's new file; `None` for no rows.
    ///
    /// Nothing is seen of it until it is committed to `at`, the snapshot it was computed from.
    pub async fn write_file(
        &self,
        at: &LakeTable,
        slot: FileSlot,
        batches: Vec<RecordBatch>,
    ) -> Result<Option<NewFile>, LakeError> {
        let table = at.table();
        let encoded = tokio::task::spawn_blocking(move || parquet::encode(table, &batches)).await;
        match encoded.map_err(|source| LakeError::Stopped { path: slot.to_string(), source })?? {
            Some(file) => self.put_file(at, slot, file).await.map(Some),
            None => Ok(None),
        }
    }

    /// Writes an encoded file, unless the slot holds the same content already.
    pub(super) async fn put_file(
        &self,
        at: &LakeTable,
        slot: FileSlot,
        file: EncodedFile,
    ) -> Result<NewFile, LakeError> {
        let bytes = file.bytes.len() as u64;
        let name = FileName::new(slot, at.generation(), file.digest);
        let mut new = NewFile { name, rows: file.rows, bytes, modified_ms: 0, stats: file.stats };
        if at.current(&new.name.slot).is_some_and(|current| current.digest == new.name.digest) {
            return Ok(new);
        }
        let path = table_path(at.table(), &new.name.to_string());
        let store = self.store();
        store.put_opts(&path, PutPayload::from(file.bytes), Default::default()).await.doing("write", &path)?;
        // The store's own time: the log needs one, and no clock is read here.
        new.modified_ms = store.head(&path).await.doing("look at", &path)?.last_modified.timestamp_millis();
        Ok(new)
    }

    /// Reads a file of a table: all its columns, or those named, in their order; `day`, which no file holds, may be among them.
    pub async fn read_file(
        &self,
        table: Table,
        file: &LakeFile,
        columns: Option<&[&str]>,
    ) -> Result<Vec<RecordBatch>, LakeError> {
        let path = table_path(table, &file.path);
        let inside: Option<Vec<&str>> =
            columns.map(|names| names.iter().copied().filter(|name| *name != "day" || file.day.is_none()).collect());
        let batches = read::all(self, table, path.as_ref(), inside.as_deref()).await?;
        let rows: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        if rows != file.rows {
            return Err(LakeError::Lost { what: format!("rows of `{path}`"), expected: file.rows, found: rows });
        }
        let (Some(day), Some(names)) = (file.day, columns.filter(|names| names.contains(&"day"))) else {
            return Ok(batches);
        };
        let with_day = batches.into_iter().map(|batch| {
            let days: ArrayRef = Arc::new(Date32Array::from_value(day.0, batch.num_rows()));
            let columns = names.iter().map(|name| match batch.schema().field_with_name(name) {
                Ok(field) => (field.clone(), batch.column_by_name(name).map_or_else(|| days.clone(), Arc::clone)),
                Err(_) => (Field::new("day", DataType::Date32, true), days.clone()),
            });
            let (fields, columns): (Vec<_>, Vec<_>) = columns.unzip();
            RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).doing("read", &path)
        });
        with_day.collect()
    }
}

/// The path in the lake of a file of a table.
pub(super) fn table_path(table: Table, file: &str) -> object_store::path::Path {
    layout::table(table).parts().chain(object_store::path::Path::from(file).parts()).collect()
}
