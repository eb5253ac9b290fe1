//! The lake: staged files and receipts, Delta tables of our own Parquet files, and the union of what is staged with what a
//! table holds. Everything is done through an `object_store` that the caller opens; no clock, environment or randomness is
//! read here. Data is written first and "done" after, so that a crash anywhere costs a repetition and nothing else.

mod closes;
mod commit;
mod create;
mod delta;
mod error;
mod files;
mod hybrid;
mod identity;
mod labels;
mod layout;
mod ledger;
mod ledger_rows;
mod merge;
mod meta;
mod pages;
mod parquet;
mod read;
mod receipt;
mod rejected;
mod slot;
mod sort;
mod staged;
mod stats;
mod unite;
mod vacuum;
mod withdrawals;

use std::fmt;
use std::sync::Arc;

use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreScheme};
use url::Url;

pub use closes::MonthFolder;
pub use commit::{Committed, NewFile, Replacement};
pub use delta::{LakeFile, LakeTable};
pub use error::{LakeError, LakeErrorKind};
pub(crate) use layout::table as table_folder;
pub use ledger::{KnownObjects, Ledger, LedgerChange};
pub use ledger_rows::{KnownObject, ObjectHour, ObjectRow, ObjectState};
pub use meta::FORMAT;
pub use receipt::{ObjectVersion, Receipt, ReceiptId, StagedHour};
pub use rejected::{Rejected, RejectedObjects};
pub use slot::{FileName, FileSlot};
pub use staged::StageWriter;
pub use unite::{SPLIT_MAX, StagedInput, Unit, UniteRules, United, unite};
pub use vacuum::{VacuumRules, Vacuumed};
pub use withdrawals::Withdrawal;

/// A lake, opened; cheap to clone.
#[derive(Clone)]
pub struct Lake {
    inner: Arc<Inner>,
}

struct Inner {
    /// The whole store, as Delta wants it.
    whole: Arc<dyn ObjectStore>,
    /// The same store below the lake's root.
    store: Arc<dyn ObjectStore>,
    root: Path,
    url: Url,
    fingerprint_key: [u8; 16],
}

impl Lake {
    /// Opens the lake at `root` of `store`, making it where there is none.
    ///
    /// `url` is the same place as the world names it (`file:///…`, `s3://bucket/prefix`): its path must be `root`.
    /// `entropy` becomes the fingerprint key of a new lake and is ignored by one that has a key.
    pub async fn open(store: Arc<dyn ObjectStore>, root: Path, url: Url, entropy: [u8; 16]) -> Result<Self, LakeError> {
        let at = match ObjectStoreScheme::parse(&url) {
            Ok((_, path)) => path,
            Err(_) => Path::from(url.path()),
        };
        if at != root {
            return Err(LakeError::RootMismatch { url: url.to_string(), root: root.to_string() });
        }
        let whole = store;
        let store: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(Arc::clone(&whole), root.clone()));
        let fingerprint_key = meta::fingerprint_key(store.as_ref(), entropy).await?;
        Ok(Self { inner: Arc::new(Inner { whole, store, root, url, fingerprint_key }) })
    }

    /// Whether there is a lake at the root of a store.
    pub async fn is_at(store: &dyn ObjectStore) -> Result<bool, LakeError> {
        Ok(meta::read(store, &layout::description()).await?.is_some())
    }

    /// The key of the records' fingerprints: made once, never changed.
    pub fn fingerprint_key(&self) -> [u8; 16] {
        self.inner.fingerprint_key
    }

    /// Where the lake is, as the world names it.
    pub fn url(&self) -> &Url {
        &self.inner.url
    }

    /// The store below the lake's root.
    pub fn store(&self) -> &dyn ObjectStore {
        self.inner.store.as_ref()
    }
}

impl fmt::Debug for Lake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lake").field("url", &self.inner.url.as_str()).finish_non_exhaustive()
    }
}
