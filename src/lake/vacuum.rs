//! Vacuum: deletes what nobody can need any more. Of a table: files that a commit removed before the given instant, and
//! files of builds that never committed. Of the staging area: files of objects that the ledger holds. What a table names, a
//! receipt names, or may yet be committed is never touched.

use std::collections::HashSet;

use deltalake::checkpoints::{cleanup_metadata, create_checkpoint};
use futures::TryStreamExt;
use object_store::ObjectMeta;
use object_store::path::Path;

use super::delta::{LakeTable, delta};
use super::error::{Doing, LakeError};
use super::slot::FileName;
use super::{Lake, layout};
use crate::base::{Digest, Micros};
use crate::schema::Table;

/// What a vacuum may delete.
pub struct VacuumRules<'a> {
    /// Files removed or written in vain before this instant. At most 30 days back: the log forgets removals then.
    pub before: Micros,
    /// Files staged before this instant.
    pub staged_before: Micros,
    /// Whether the staged files of this object, of that source, are no longer needed: the ledger holds it.
    pub staged_is_done: &'a (dyn Fn(&str, Digest) -> bool + Sync),
    /// Only tell what would be deleted.
    pub dry_run: bool,
}

/// What a vacuum deleted, or would.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Vacuumed {
    /// The files, relative to the lake, in order.
    pub paths: Vec<String>,
    /// Their size.
    pub bytes: u64,
}

impl Lake {
    /// Deletes what nobody can need any more.
    pub async fn vacuum(&self, rules: &VacuumRules<'_>) -> Result<Vacuumed, LakeError> {
        let mut found = Vec::new();
        for table in Table::ALL {
            found.extend(self.unused_files(*table, rules).await?);
        }
        found.extend(self.unused_staged(rules).await?);
        found.sort_by(|a, b| a.location.cmp(&b.location));
        if !rules.dry_run {
            self.delete(found.iter().map(|meta| meta.location.clone()).collect()).await?;
        }
        let bytes = found.iter().map(|meta| meta.size).sum();
        Ok(Vacuumed { paths: found.iter().map(|meta| meta.location.to_string()).collect(), bytes })
    }

    async fn unused_files(&self, table: Table, rules: &VacuumRules<'_>) -> Result<Vec<ObjectMeta>, LakeError> {
        let folder = layout::table(table);
        // The listing comes before the snapshot: what is committed in between is named by the snapshot.
        let mut listed = self.list(&folder).await?;
        let Some(now) = self.existing_table(table).await? else { return Ok(Vec::new()) };
        let mut needed: HashSet<String> = now.files().into_iter().map(|file| file.path.clone()).collect();
        needed.extend(now.removed_since(rules.before).await?);
        listed.retain(|meta| {
            let Some(path) = within(&folder, &meta.location) else { return false };
            // A file for the next version may be on its way to be committed, however old it looks: a build that
            // repeats a crashed one writes the same path again. Once that version is there, it is committed or in vain.
            let in_vain = FileName::parse(&path).is_some_and(|name| name.generation <= now.version());
            in_vain && !needed.contains(&path) && is_before(meta, rules.before)
        });
        Ok(listed)
    }

    async fn unused_staged(&self, rules: &VacuumRules<'_>) -> Result<Vec<ObjectMeta>, LakeError> {
        let folder = Path::from(layout::STAGED);
        let mut listed = self.list(&folder).await?;
        let waiting: HashSet<(String, Digest)> =
            self.receipts().await?.into_iter().map(|receipt| (receipt.object.source, receipt.object_id)).collect();
        listed.retain(|meta| {
            let Some((source, object)) = within(&folder, &meta.location).as_deref().and_then(staged_object) else {
                return false;
            };
            is_before(meta, rules.staged_before)
                && !waiting.contains(&(source.clone(), object))
                && (rules.staged_is_done)(&source, object)
        });
        Ok(listed)
    }

    async fn list(&self, folder: &Path) -> Result<Vec<ObjectMeta>, LakeError> {
        self.store().list(Some(folder)).try_collect().await.doing("list", folder)
    }
}

impl LakeTable {
    /// Files that commits removed at this instant or later; readers of older versions may still be at them.
    async fn removed_since(&self, since: Micros) -> Result<HashSet<String>, LakeError> {
        let removed = self.state.all_tombstones(self.log.as_ref());
        removed
            .try_filter_map(|file| async move {
                // Milliseconds there, microseconds here. No time at all: it may have been just now.
                let recent = file.deletion_timestamp().is_none_or(|at| at.saturating_mul(1_000) >= since.0);
                Ok(recent.then(|| file.path().into_owned()))
            })
            .try_collect()
            .await
            .map_err(|source| delta("read the removed files of", self.table(), source))
    }

    /// Writes a checkpoint of this version and deletes log entries older than the table keeps. Commits do so by
    /// themselves every so often; this is for a table that is read much and written seldom.
    pub async fn maintain(&self) -> Result<(), LakeError> {
        let table = self.delta().await?;
        let fail = |source| delta("maintain", self.table(), source);
        create_checkpoint(&table, None).await.map_err(fail)?;
        cleanup_metadata(&table, None).await.map_err(fail)?;
        Ok(())
    }
}

fn is_before(meta: &ObjectMeta, instant: Micros) -> bool {
    meta.last_modified.timestamp_micros() < instant.0
}

/// The path below a folder.
fn within(folder: &Path, path: &Path) -> Option<String> {
    Some(path.prefix_match(folder)?.collect::<Path>().to_string())
}

/// Source and object of a path below `staged/`.
fn staged_object(path: &str) -> Option<(String, Digest)> {
    let (source, rest) = path.split_once('/')?;
    let name = rest.rsplit('/').next()?.strip_suffix(".parquet")?;
    Some((source.to_owned(), name.parse().ok()?))
}
