//! The ledger: which object versions the tables were made from, which object gave how many records to which hour, and the
//! rejects. Rows are replaced by object id within the file of their day, so applying a receipt again changes nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{SortColumn, SortOptions};
use arrow::compute::{concat_batches, filter_record_batch, lexsort_to_indices, take_record_batch};
use futures::{StreamExt, TryStreamExt, stream};

use super::commit::Replacement;
use super::delta::{LakeFile, LakeTable};
use super::error::{Doing, LakeError};
use super::ledger_rows::{KnownObject, ObjectHour, ObjectRow, Texts};
use super::receipt::Receipt;
use super::slot::FileSlot;
use super::{Lake, read};
use crate::base::{HalfOpen, UtcDay, UtcHour};
use crate::schema::Table;

/// Files read at once.
const READS_AT_ONCE: usize = 16;

/// The ledger's tables as they were when it was opened.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// One row per object version.
    pub objects: LakeTable,
    /// One row per object version and hour.
    pub hours: LakeTable,
    /// One row per record that could not be read.
    pub rejects: LakeTable,
}

/// What a build has to tell the ledger.
#[derive(Clone, Default, Debug)]
pub struct LedgerChange {
    /// Conversions whose events are in the tables now.
    pub applied: Vec<Receipt>,
    /// Versions that no longer feed the tables: their new state. Their hours and rejects leave the ledger.
    pub withdrawn: Vec<ObjectRow>,
    /// What the ledger held of versions that are applied again under the same id and gave something else before: that goes.
    pub renewed: Vec<ObjectRow>,
}

impl LedgerChange {
    /// Versions whose former hours and rejects leave the ledger.
    fn leaving(&self) -> impl Iterator<Item = &ObjectRow> {
        self.withdrawn.iter().chain(&self.renewed)
    }
}

/// Every version the ledger knows of an object, by source and key.
pub type KnownObjects = HashMap<(String, String), Vec<KnownObject>>;

/// Rows of one table to be replaced: per slot, the object ids whose rows go, and the rows that come.
#[derive(Default)]
struct Edits {
    slots: BTreeMap<FileSlot, (HashSet<String>, Vec<RecordBatch>)>,
}

impl Ledger {
    /// Opens the ledger as it is now, making its tables where there are none.
    pub async fn open(lake: &Lake) -> Result<Self, LakeError> {
        let tables = (lake.table(Table::Objects), lake.table(Table::ObjectHours), lake.table(Table::Rejects));
        let (objects, hours, rejects) = futures::try_join!(tables.0, tables.1, tables.2)?;
        Ok(Self { objects, hours, rejects })
    }

    /// The versions known of each object, of one source or all, that arrived on `since` or later.
    pub async fn known(&self, source: Option<&str>, since: Option<UtcDay>) -> Result<KnownObjects, LakeError> {
        let columns = [&KnownObject::TEXTS[..], &["arrived_at", "written_at"]].concat();
        let files = files(&self.objects, |day| since.is_none_or(|since| day >= since));
        let mut known = KnownObjects::new();
        for batch in self.objects.read_files(files, Some(&columns)).await? {
            let texts = Texts::of(&batch, &KnownObject::TEXTS, Table::Objects)?;
            for row in 0..batch.num_rows() {
                if source.is_some_and(|source| texts.get(0, row) != source) {
                    continue;
                }
                let object = (texts.get(0, row).to_owned(), texts.get(1, row).to_owned());
                known.entry(object).or_default().push(KnownObject::read(&batch, &texts, row)?);
            }
        }
        Ok(known)
    }

    /// Every object version that arrived on these days.
    pub async fn objects(&self, days: HalfOpen<UtcDay>) -> Result<Vec<ObjectRow>, LakeError> {
        let files = files(&self.objects, |day| days.contains(day));
        let batches = self.objects.read_files(files, None).await?;
        batches.iter().map(ObjectRow::read_all).collect::<Result<Vec<_>, _>>().map(|rows| rows.concat())
    }

    /// Which object gave how many records to these hours.
    pub async fn object_hours(&self, hours: HalfOpen<UtcHour>) -> Result<Vec<ObjectHour>, LakeError> {
        let to = hours.to.map(UtcHour::start);
        let files =
            files(&self.hours, |day| day.next().start() > hours.from.start() && to.is_none_or(|to| day.start() < to));
        let batches = self.hours.read_files(files, None).await?;
        let rows = batches.iter().map(ObjectHour::read_all).collect::<Result<Vec<_>, _>>()?.concat();
        Ok(rows.into_iter().filter(|row| hours.contains(row.hour)).collect())
    }

    /// Writes a change: rejects and hours first, then the objects, which say that all of it is done. On a conflict open
    /// the ledger again and repeat.
    pub async fn commit(&self, change: &LedgerChange, operation: &str) -> Result<(), LakeError> {
        self.rejects.commit(self.reject_replacements(change).await?, operation).await?;
        self.hours.commit(self.hour_replacements(change).await?, operation).await?;
        self.objects.commit(self.object_replacements(change).await?, operation).await?;
        Ok(())
    }

    async fn object_replacements(&self, change: &LedgerChange) -> Result<Vec<Replacement>, LakeError> {
        let applied = change.applied.iter().map(ObjectRow::applied);
        let mut days: BTreeMap<UtcDay, Vec<ObjectRow>> = BTreeMap::new();
        for row in applied.chain(change.withdrawn.iter().cloned()) {
            days.entry(row.object.arrived_at.day()).or_default().push(row);
        }
        let mut edits = Edits::default();
        for (day, rows) in days {
            let ids = rows.iter().map(|row| row.object_id.to_string()).collect();
            edits.slots.insert(FileSlot::day(day), (ids, vec![ObjectRow::batch(&rows)?]));
        }
        edits.replacements(&self.objects, &["source", "source_object", "object_id"]).await
    }

    async fn hour_replacements(&self, change: &LedgerChange) -> Result<Vec<Replacement>, LakeError> {
        let mut days: BTreeMap<UtcDay, (HashSet<String>, Vec<ObjectHour>)> = BTreeMap::new();
        for receipt in &change.applied {
            for row in ObjectHour::of(receipt) {
                let (ids, rows) = days.entry(row.hour.day()).or_default();
                ids.insert(row.object_id.to_string());
                rows.push(row);
            }
        }
        for row in change.leaving() {
            // An object's hours lie between its events, or at its arrival.
            let arrived = row.object.arrived_at.day();
            let (first, last) = row.event_times.map_or((arrived, arrived), |(low, high)| (low.day(), high.day()));
            let between = files(&self.hours, |day| (first..=last).contains(&day) || day == arrived);
            for day in between.into_iter().filter_map(|file| file.day) {
                days.entry(day).or_default().0.insert(row.object_id.to_string());
            }
        }
        let mut edits = Edits::default();
        for (day, (ids, rows)) in days {
            let rows = if rows.is_empty() { Vec::new() } else { vec![ObjectHour::batch(&rows)?] };
            edits.slots.insert(FileSlot::day(day), (ids, rows));
        }
        edits.replacements(&self.hours, &["hour_start", "source", "source_object", "object_id"]).await
    }

    async fn reject_replacements(&self, change: &LedgerChange) -> Result<Vec<Replacement>, LakeError> {
        let lake = self.rejects.lake();
        let mut edits = Edits::default();
        for receipt in &change.applied {
            let Some(path) = &receipt.rejects_path else { continue };
            let found = read::all(lake, Table::Rejects, path, None).await;
            let batches = found.map_err(|error| error.or_missing(path, &receipt.object.key))?;
            let found = batches.iter().map(|batch| batch.num_rows() as u64).sum();
            if found != receipt.rejects {
                return Err(LakeError::Lost { what: format!("rows of `{path}`"), expected: receipt.rejects, found });
            }
            let (ids, rows) = edits.at(ObjectRow::applied(receipt).reject_slot());
            ids.insert(receipt.object_id.to_string());
            rows.extend(batches);
        }
        for row in change.leaving().filter(|row| row.rejects > 0) {
            edits.at(row.reject_slot()).0.insert(row.object_id.to_string());
        }
        edits.replacements(&self.rejects, &["source_object", "source_position", "object_id"]).await
    }
}

impl ObjectRow {
    fn reject_slot(&self) -> FileSlot {
        FileSlot::source_day(self.object.arrived_at.day(), &self.object.source)
    }
}

impl Edits {
    fn at(&mut self, slot: FileSlot) -> &mut (HashSet<String>, Vec<RecordBatch>) {
        self.slots.entry(slot).or_default()
    }

    async fn replacements(self, at: &LakeTable, order: &[&str]) -> Result<Vec<Replacement>, LakeError> {
        let edits = stream::iter(self.slots).map(|(slot, (ids, rows))| async move {
            let mut kept = Vec::new();
            if let Some(file) = at.current(&slot) {
                for batch in at.lake().read_file(at.table(), file, None).await? {
                    kept.push(without(&batch, &ids, at.table())?);
                }
            }
            kept.extend(rows);
            let batch = sorted(at.table(), &kept, order)?;
            let new = at.lake().write_file(at, slot.clone(), vec![batch]).await?;
            Ok(Replacement { slot, new })
        });
        edits.buffered(READS_AT_ONCE).try_collect().await
    }
}

/// The rows of other objects.
fn without(batch: &RecordBatch, ids: &HashSet<String>, table: Table) -> Result<RecordBatch, LakeError> {
    let texts = Texts::of(batch, &["object_id"], table)?;
    let keep = (0..batch.num_rows()).map(|row| Some(!ids.contains(texts.get(0, row)))).collect();
    filter_record_batch(batch, &keep).doing("filter", table.name())
}

fn sorted(table: Table, batches: &[RecordBatch], order: &[&str]) -> Result<RecordBatch, LakeError> {
    let whole = concat_batches(&table.file_schema(), batches).doing("join", table.name())?;
    let columns = order.iter().filter_map(|name| whole.column_by_name(name)).map(|values| SortColumn {
        values: Arc::clone(values),
        options: Some(SortOptions { descending: false, nulls_first: true }),
    });
    let order = lexsort_to_indices(&columns.collect::<Vec<_>>(), None).doing("sort", table.name())?;
    take_record_batch(&whole, &order).doing("sort", table.name())
}

/// The files of the days wanted, in order.
fn files(table: &LakeTable, wanted: impl Fn(UtcDay) -> bool) -> Vec<LakeFile> {
    table.files().into_iter().filter(|file| file.day.is_some_and(&wanted)).cloned().collect()
}

impl LakeTable {
    /// Reads several files at once, in the order given: all columns, or those named.
    pub async fn read_files(
        &self,
        files: Vec<LakeFile>,
        columns: Option<&[&str]>,
    ) -> Result<Vec<RecordBatch>, LakeError> {
        let batches: Vec<Vec<RecordBatch>> = stream::iter(files)
            .map(|file| async move { self.lake().read_file(self.table(), &file, columns).await })
            .buffered(READS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(batches.concat())
    }
}
