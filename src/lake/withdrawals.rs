//! Withdrawals: object versions that shall leave the tables. Like a receipt, a withdrawal waits in the lake until a build has
//! carried it out and the ledger says so: whoever asks for one may be killed, and it is done all the same.

use futures::{StreamExt, TryStreamExt, stream};
use object_store::PutOptions;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::create::create;
use super::error::{Doing, LakeError};
use super::ledger_rows::ObjectState;
use super::{Lake, layout, meta};
use crate::base::Digest;

/// Withdrawals written at once.
const AT_ONCE: usize = 32;

/// A version that is to leave the tables, or not to get there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Withdrawal {
    /// Name of the configured source.
    pub source: String,
    /// The version's id.
    pub object_id: Digest,
    /// What becomes of it: superseded or retracted.
    pub state: ObjectState,
    /// Why it is retracted.
    pub reason: Option<String>,
}

/// A withdrawal as its file spells it.
#[derive(Serialize, Deserialize)]
struct WithdrawalFile {
    object_id: String,
    source: String,
    state: String,
    reason: Option<String>,
}

impl Lake {
    /// Whether a build has anything to carry out: receipts or withdrawals.
    pub async fn has_waiting(&self) -> Result<bool, LakeError> {
        for folder in [layout::RECEIPTS, layout::WITHDRAWALS] {
            if self.store().list(Some(&Path::from(folder))).next().await.transpose().doing("list", folder)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Every withdrawal that waits, ordered by source and id.
    pub async fn withdrawals(&self) -> Result<Vec<Withdrawal>, LakeError> {
        let files = meta::read_waiting::<WithdrawalFile>(self.store(), layout::WITHDRAWALS).await?;
        let mut found = files.into_iter().map(|(path, file)| file.withdrawal(&path)).collect::<Result<Vec<_>, _>>()?;
        found.sort_by(|a, b| (&a.source, a.object_id).cmp(&(&b.source, b.object_id)));
        Ok(found)
    }

    /// Asks for versions to be withdrawn: from here on they will be. A retraction that waits is not replaced by less.
    pub async fn withdraw(&self, withdrawals: &[Withdrawal]) -> Result<(), LakeError> {
        stream::iter(withdrawals.iter().map(Ok))
            .try_for_each_concurrent(AT_ONCE, |withdrawal| async move {
                let path = layout::withdrawal(&withdrawal.source, withdrawal.object_id);
                let json = meta::to_json(&path, &WithdrawalFile::of(withdrawal))?;
                if withdrawal.state == ObjectState::Retracted {
                    self.store().put_opts(&path, json.into(), PutOptions::default()).await.doing("write", &path)?;
                } else {
                    create(self.store(), &path, json.into()).await?;
                }
                Ok(())
            })
            .await
    }

    /// Deletes withdrawals that the ledger knows of; those already gone are no error.
    pub async fn delete_withdrawals(&self, done: &[Withdrawal]) -> Result<(), LakeError> {
        self.delete(done.iter().map(|w| layout::withdrawal(&w.source, w.object_id)).collect()).await
    }
}

impl WithdrawalFile {
    fn of(withdrawal: &Withdrawal) -> Self {
        Self {
            object_id: withdrawal.object_id.to_string(),
            source: withdrawal.source.clone(),
            state: withdrawal.state.name().to_owned(),
            reason: withdrawal.reason.clone(),
        }
    }

    fn withdrawal(self, path: &Path) -> Result<Withdrawal, LakeError> {
        let wrong = |error: &dyn std::fmt::Display| LakeError::corrupt(path, error);
        Ok(Withdrawal {
            object_id: self.object_id.parse().map_err(|e| wrong(&e))?,
            state: self.state.parse().map_err(|e| wrong(&e))?,
            source: self.source,
            reason: self.reason,
        })
    }
}
