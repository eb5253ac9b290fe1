//! Receipts: what one conversion staged. A receipt is written after the files it names, so it is the commit of the
//! conversion; it waits in the lake until a build has applied it and the ledger holds the object.

use futures::{StreamExt, stream};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::error::{Doing, LakeError};
use super::{Lake, layout, meta};
use crate::base::{Digest, Micros, UtcHour};
use crate::schema::Table;

/// One version of a landing object, decoded under certain settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectVersion {
    /// Name of the configured source.
    pub source: String,
    /// The object's key.
    pub key: String,
    /// The store's token of this version.
    pub etag: String,
    /// Its size, bytes.
    pub bytes: u64,
    /// When it arrived.
    pub arrived_at: Micros,
    /// When the store says it was written: of several versions that wait the last one written counts.
    pub written_at: Micros,
    /// Its key held nothing any more when it was read: it may be older than what the ledger knows. The ledger does not keep
    /// this and gives `false`.
    pub gone: bool,
    /// Digest of the settings it is decoded under.
    pub decode_id: Digest,
}

impl ObjectVersion {
    /// The id of this version under these settings; names its staged files and its row in the ledger.
    pub fn object_id(&self) -> Digest {
        Digest::of([self.source.as_str(), &self.key, &self.etag, &self.decode_id.to_string()])
    }
}

/// What one conversion staged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// The object converted.
    pub object: ObjectVersion,
    /// Its id.
    pub object_id: Digest,
    /// The table its events belong to.
    pub table: Table,
    /// Generation of the decoder.
    pub decoder: i16,
    /// Records found in it: `staged + rejects + control`.
    pub records: u64,
    /// Records that became staged rows.
    pub staged: u64,
    /// Records that could not be read.
    pub rejects: u64,
    /// Control messages of the log service.
    pub control: u64,
    /// Earliest event.
    pub event_time_min: Option<Micros>,
    /// Latest event.
    pub event_time_max: Option<Micros>,
    /// The staged files, one per hour, in order.
    pub hours: Vec<StagedHour>,
    /// The file of its rejects, where it has any.
    pub rejects_path: Option<String>,
}

/// The events of one object in one hour.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StagedHour {
    /// The hour.
    pub hour: UtcHour,
    /// The staged file, relative to the lake.
    pub path: String,
    /// Its rows.
    pub rows: u64,
}

/// Names a receipt.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReceiptId {
    /// Name of the configured source.
    pub source: String,
    /// The object's id.
    pub object_id: Digest,
}

impl Receipt {
    /// The name of this receipt.
    pub fn id(&self) -> ReceiptId {
        ReceiptId { source: self.object.source.clone(), object_id: self.object_id }
    }
}

impl Lake {
    /// Every receipt that waits, ordered by source, key and id.
    pub async fn receipts(&self) -> Result<Vec<Receipt>, LakeError> {
        let files = meta::read_waiting::<ReceiptFile>(self.store(), layout::RECEIPTS).await?;
        let mut found = files.into_iter().map(|(path, file)| file.receipt(&path)).collect::<Result<Vec<_>, _>>()?;
        found.sort_by(|a, b| {
            let key = |r: &Receipt| (r.object.source.clone(), r.object.key.clone(), r.object_id);
            key(a).cmp(&key(b))
        });
        Ok(found)
    }

    /// Whether the conversion of an object waits to be applied.
    pub async fn receipt(&self, id: &ReceiptId) -> Result<Option<Receipt>, LakeError> {
        let path = layout::receipt(&id.source, id.object_id);
        match meta::read(self.store(), &path).await? {
            Some(bytes) => meta::parse::<ReceiptFile>(&path, &bytes)?.receipt(&path).map(Some),
            None => Ok(None),
        }
    }

    /// Where the events of an object in an hour are staged, relative to the lake.
    pub fn staged_path(&self, source: &str, hour: UtcHour, object_id: Digest) -> String {
        layout::staged(source, hour, object_id).to_string()
    }

    /// Whether they still are; staged files expire.
    pub async fn has_staged(&self, source: &str, hour: UtcHour, object_id: Digest) -> Result<bool, LakeError> {
        let path = layout::staged(source, hour, object_id);
        match self.store().head(&path).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(source).doing("look for", &path),
        }
    }

    /// Deletes receipts; those already gone are no error.
    pub async fn delete_receipts(&self, ids: &[ReceiptId]) -> Result<(), LakeError> {
        let paths: Vec<Path> = ids.iter().map(|id| layout::receipt(&id.source, id.object_id)).collect();
        self.delete(paths).await
    }

    /// Deletes files; those already gone are no error.
    pub(super) async fn delete(&self, paths: Vec<Path>) -> Result<(), LakeError> {
        let paths = stream::iter(paths.into_iter().map(Ok)).boxed();
        let mut deleted = self.store().delete_stream(paths);
        while let Some(result) = deleted.next().await {
            match result {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(source).doing("delete", "files"),
            }
        }
        Ok(())
    }

    /// Writes a receipt: from here on the conversion is done.
    pub(super) async fn put_receipt(&self, receipt: &Receipt) -> Result<(), LakeError> {
        let path = layout::receipt(&receipt.object.source, receipt.object_id);
        let json = meta::to_json(&path, &ReceiptFile::of(receipt))?;
        self.store().put_opts(&path, json.into(), Default::default()).await.doing("write", &path)?;
        Ok(())
    }
}

/// A receipt as its file spells it.
#[derive(Serialize, Deserialize)]
struct ReceiptFile {
    object_id: String,
    source: String,
    key: String,
    etag: String,
    bytes: u64,
    arrived_at: String,
    #[serde(default)]
    written_at: Option<String>,
    #[serde(default)]
    gone: bool,
    decode_id: String,
    table: String,
    decoder: i16,
    records: u64,
    staged: u64,
    rejects: u64,
    control: u64,
    event_time_min: Option<String>,
    event_time_max: Option<String>,
    hours: Vec<HourFile>,
    rejects_path: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct HourFile {
    hour: String,
    path: String,
    rows: u64,
}

impl ReceiptFile {
    fn of(receipt: &Receipt) -> Self {
        let object = &receipt.object;
        let hours = receipt.hours.iter();
        Self {
            object_id: receipt.object_id.to_string(),
            source: object.source.clone(),
            key: object.key.clone(),
            etag: object.etag.clone(),
            bytes: object.bytes,
            arrived_at: object.arrived_at.to_string(),
            written_at: Some(object.written_at.to_string()),
            gone: object.gone,
            decode_id: object.decode_id.to_string(),
            table: receipt.table.name().to_owned(),
            decoder: receipt.decoder,
            records: receipt.records,
            staged: receipt.staged,
            rejects: receipt.rejects,
            control: receipt.control,
            event_time_min: receipt.event_time_min.map(|at| at.to_string()),
            event_time_max: receipt.event_time_max.map(|at| at.to_string()),
            hours: hours.map(|h| HourFile { hour: h.hour.to_string(), path: h.path.clone(), rows: h.rows }).collect(),
            rejects_path: receipt.rejects_path.clone(),
        }
    }

    fn receipt(self, path: &Path) -> Result<Receipt, LakeError> {
        let wrong = |error: &dyn std::fmt::Display| LakeError::corrupt(path, error);
        let instant = |text: &str| text.parse::<Micros>().map_err(|e| wrong(&e));
        let object = ObjectVersion {
            source: self.source,
            key: self.key,
            etag: self.etag,
            bytes: self.bytes,
            arrived_at: instant(&self.arrived_at)?,
            written_at: instant(self.written_at.as_deref().unwrap_or(&self.arrived_at))?,
            gone: self.gone,
            decode_id: self.decode_id.parse().map_err(|e| wrong(&e))?,
        };
        let hours = self
            .hours
            .into_iter()
            .map(|h| Ok(StagedHour { hour: h.hour.parse().map_err(|e| wrong(&e))?, path: h.path, rows: h.rows }));
        let receipt = Receipt {
            object_id: self.object_id.parse().map_err(|e| wrong(&e))?,
            table: Table::by_name(&self.table).ok_or_else(|| wrong(&"it names no table of this version"))?,
            decoder: self.decoder,
            records: self.records,
            staged: self.staged,
            rejects: self.rejects,
            control: self.control,
            event_time_min: self.event_time_min.as_deref().map(instant).transpose()?,
            event_time_max: self.event_time_max.as_deref().map(instant).transpose()?,
            hours: hours.collect::<Result<_, LakeError>>()?,
            rejects_path: self.rejects_path,
            object,
        };
        if receipt.object_id != receipt.object.object_id() {
            return Err(wrong(&"its id is not that of the object it describes"));
        }
        Ok(receipt)
    }
}
