//! Commits: a set of slots gets new files, at once and only if nobody committed since the snapshot. The library may not
//! rebase a commit, because what is in the files was computed from the snapshot; the loser gets [`LakeError::Conflict`]
//! and computes again. A commit whose reply was lost is recognised by reading back what is at its version.

use std::collections::{HashMap, HashSet};

use deltalake::DeltaTableError;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties, TransactionError};
use deltalake::kernel::{Action, Add, Remove, Transaction};
use deltalake::logstore::get_actions;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::table::state::DeltaTableState;
use serde_json::{Value, json};

use super::delta::{LakeTable, delta};
use super::error::LakeError;
use super::layout;
use super::slot::{FileName, FileSlot};
use crate::base::Digester;

/// Marks our commits in the log; the application id of their transactions.
const APP: &str = "build";
/// The key of what we say about a commit in the log.
const COMMIT_KEY: &str = "meterlake";

/// A file that was written for a slot and belongs to the table once it is committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewFile {
    /// Its name; the generation ties it to the snapshot it was computed from.
    pub(super) name: FileName,
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Milliseconds since the epoch when the store wrote it; 0 where the content was there already and nothing was written.
    pub(super) modified_ms: i64,
    pub(super) stats: String,
}

/// What a slot shall hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replacement {
    /// The slot.
    pub slot: FileSlot,
    /// Its file from now on; none: it becomes empty.
    pub new: Option<NewFile>,
}

/// The outcome of a commit.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The table as it is now.
    pub table: LakeTable,
    /// Files added.
    pub added: usize,
    /// Files removed.
    pub removed: usize,
}

impl Committed {
    /// Whether anything changed; a commit that would change nothing is not made.
    pub fn changed(&self) -> bool {
        self.added + self.removed > 0
    }
}

impl LakeTable {
    /// The generation of files computed from this snapshot: the version their commit will have. So no path is ever
    /// used again, not even by a slot that was empty in between.
    pub(super) fn generation(&self) -> u64 {
        self.version() + 1
    }

    /// Gives each slot its new file, all at once. Slots whose content stays the same are left alone.
    ///
    /// `operation` is what the table's history says was done.
    pub async fn commit(&self, replace: Vec<Replacement>, operation: &str) -> Result<Committed, LakeError> {
        let mut seen = HashSet::new();
        let mut actions = Vec::new();
        let (mut added, mut removed) = (0, 0);
        for Replacement { slot, new } in replace {
            let current = self.current(&slot);
            if !seen.insert(slot.clone()) || new.as_ref().is_some_and(|new| new.name.slot != slot) {
                return Err(LakeError::corrupt(layout::table(self.table()), format!("`{slot}` is replaced twice")));
            }
            if current.map(|file| &file.digest) == new.as_ref().map(|new| &new.name.digest) {
                continue;
            }
            let day = slot.day.map(|day| ("day".to_owned(), Some(day.to_string())));
            let partition: HashMap<String, Option<String>> = day.into_iter().collect();
            if let Some(new) = new {
                if new.name.generation != self.generation() {
                    return Err(LakeError::Conflict { table: self.table().name() });
                }
                added += 1;
                actions.push(Action::Add(add(&new, partition.clone())?));
            }
            if let Some(file) = current {
                removed += 1;
                actions.push(Action::Remove(self.remove(&file.path)?));
            }
        }
        if actions.is_empty() {
            return Ok(Committed { table: self.clone(), added, removed });
        }
        let state = self.commit_actions(actions, operation).await?;
        let table = Self::new(self.lake().clone(), self.table(), state, self.log.clone())?;
        Ok(Committed { table, added, removed })
    }

    async fn commit_actions(&self, actions: Vec<Action>, operation: &str) -> Result<DeltaTableState, LakeError> {
        let id = commit_id(self.generation(), &actions);
        let said = json!({ "operation": operation, "id": &id });
        let version = i64::try_from(self.generation()).unwrap_or(i64::MAX);
        let properties = CommitProperties::default()
            // No retry: the library would check for conflicts by files and go on; ours is a function of the snapshot.
            .with_max_retries(0)
            // For other writers: two commits of this application from one snapshot exclude each other.
            .with_application_transaction(Transaction::new(APP, version))
            .with_metadata([(COMMIT_KEY.to_owned(), said)]);
        let write = DeltaOperation::Write {
            mode: SaveMode::Overwrite,
            partition_by: self.table().is_partitioned().then(|| vec!["day".to_owned()]),
            predicate: None,
        };
        let commit = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(&self.state), self.log.clone(), write)
            .await;
        let error = match commit {
            Ok(done) => return Ok(done.snapshot()),
            Err(error) => error,
        };
        match self.id_at(self.generation()).await {
            // The reply was lost, or a check-point after it failed; what was to be written is written.
            Ok(Some(found)) if found == id => DeltaTableState::try_new(self.log.as_ref(), Some(self.generation()))
                .await
                .map_err(|source| delta("open", self.table(), source)),
            Ok(_) if is_conflict(&error) => Err(LakeError::Conflict { table: self.table().name() }),
            Ok(_) | Err(_) => Err(delta("commit to", self.table(), error)),
        }
    }

    /// What the commit of a version says it is; `None` where there is no such version or it is not ours.
    async fn id_at(&self, version: u64) -> Result<Option<String>, DeltaTableError> {
        let Some(bytes) = self.log.read_commit_entry(version).await? else { return Ok(None) };
        let said = get_actions(version, &bytes)?.into_iter().find_map(|action| match action {
            Action::CommitInfo(info) => info.info.get(COMMIT_KEY).cloned(),
            _ => None,
        });
        Ok(said.as_ref().and_then(|said| said.get("id")).and_then(Value::as_str).map(str::to_owned))
    }

    fn remove(&self, path: &str) -> Result<Remove, LakeError> {
        let file = self.state.log_data().iter().find(|file| file.path() == path);
        let file =
            file.ok_or_else(|| LakeError::corrupt(layout::table(self.table()).join(path), "it is not in the table"))?;
        Ok(file.remove_action(true))
    }
}

fn add(new: &NewFile, partition_values: HashMap<String, Option<String>>) -> Result<Add, LakeError> {
    let path = new.name.to_string();
    let size = i64::try_from(new.bytes).map_err(|_| LakeError::corrupt(&path, "its size is out of range"))?;
    Ok(Add {
        path,
        partition_values,
        size,
        modification_time: new.modified_ms,
        data_change: true,
        stats: Some(new.stats.clone()),
        ..Add::default()
    })
}

/// The same for equal commits from one version: whoever finds it in the log has what it wanted to write.
fn commit_id(version: u64, actions: &[Action]) -> String {
    let mut digester = Digester::default();
    digester.part(&version.to_le_bytes());
    for action in actions {
        match action {
            Action::Add(add) => digester.part(b"add").part(add.path.as_bytes()),
            Action::Remove(remove) => digester.part(b"remove").part(remove.path.as_bytes()),
            _ => &mut digester,
        };
    }
    digester.finish().to_string()
}

/// Whether somebody else was in the way, or the store said so: it is to be seen what is there now.
pub(super) fn is_conflict(error: &DeltaTableError) -> bool {
    matches!(
        error,
        DeltaTableError::VersionAlreadyExists(_)
            // The library looked for the table that the store said was there.
            | DeltaTableError::InvalidVersion(_)
            | DeltaTableError::Transaction {
                source: TransactionError::MaxCommitAttempts(_)
                    | TransactionError::CommitConflict(_)
                    | TransactionError::VersionAlreadyExists(_)
            }
    )
}
