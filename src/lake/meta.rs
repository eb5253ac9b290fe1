//! What the lake remembers of itself, under `_meta/`: its format and fingerprint key, check values of secrets, its sources,
//! and the configurations it was built under. Everything is create-if-absent: of two first runs one wins and both read what it wrote.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::{Doing, LakeError};
use super::{Lake, create, layout};
use crate::base::Digest;
use crate::schema::Table;

/// The newest format of a lake this version reads and writes.
pub const FORMAT: u32 = 1;

/// Files of one numbered list read at once.
const READS_AT_ONCE: usize = 16;
/// Files of what waits read at once.
const WAITING_READS_AT_ONCE: usize = 32;

#[derive(Serialize, Deserialize)]
struct Description {
    format: u32,
    fingerprint_key: String,
}

/// All that a newer description is sure to have.
#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

#[derive(Serialize, Deserialize)]
struct Secret {
    check: String,
}

#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Declared {
    table: String,
    split: u32,
}

#[derive(Serialize, Deserialize)]
struct Config {
    digest: String,
    text: String,
}

/// Reads the lake's fingerprint key, or makes the lake with a key from `entropy`.
pub(super) async fn fingerprint_key(store: &dyn ObjectStore, entropy: [u8; 16]) -> Result<[u8; 16], LakeError> {
    let path = layout::description();
    let bytes = match read(store, &path).await? {
        Some(bytes) => bytes,
        None => {
            let key = format!("{:032x}", u128::from_be_bytes(entropy));
            create(store, &path, &Description { format: FORMAT, fingerprint_key: key }).await?;
            // Read back also what was just written: whoever came first, both go on with one key.
            read(store, &path).await?.ok_or_else(|| LakeError::corrupt(&path, "it vanished while being made"))?
        }
    };
    let FormatOnly { format } = parse(&path, &bytes)?;
    if format > FORMAT {
        return Err(LakeError::NewerFormat { found: format, known: FORMAT });
    }
    let description: Description = parse(&path, &bytes)?;
    match u128::from_str_radix(&description.fingerprint_key, 16) {
        Ok(key) if description.fingerprint_key.len() == 32 => Ok(key.to_be_bytes()),
        _ => Err(LakeError::corrupt(&path, "the fingerprint key is not 32 hex digits")),
    }
}

impl Lake {
    /// Holds a source against what the lake remembers of it; the first time it is stored. Its table and the number of parts
    /// its hours are split into decide where its events lie, so they can never change.
    pub async fn declare_source(&self, source: &str, table: Table, split: u32) -> Result<(), LakeError> {
        let path = layout::source(source);
        let declared = Declared { table: table.name().to_owned(), split };
        let bytes = match read(self.store(), &path).await? {
            Some(bytes) => bytes,
            None if create(self.store(), &path, &declared).await? => return Ok(()),
            None => read(self.store(), &path).await?.ok_or_else(|| LakeError::corrupt(&path, "it vanished"))?,
        };
        let known: Declared = parse(&path, &bytes)?;
        if known == declared {
            return Ok(());
        }
        Err(LakeError::SourceChanged {
            name: source.to_owned(),
            known: format!("table {}, split {}", known.table, known.split),
            now: format!("table {}, split {split}", declared.table),
        })
    }

    /// Holds the configured secrets' check values, newest first, against those the lake knows.
    ///
    /// The first ever seen is stored. Later the newest must be known, or an older one must be, which makes it a
    /// rotation and the newest known; else every key would silently become another.
    pub async fn check_secrets(&self, check_values: &[String]) -> Result<(), LakeError> {
        let Some(newest) = check_values.first() else { return Ok(()) };
        loop {
            let known: Vec<Secret> = read_numbered(self.store(), &layout::secrets()).await?;
            if known.iter().any(|secret| secret.check == *newest) {
                return Ok(());
            }
            let rotates = check_values.iter().any(|value| known.iter().any(|secret| secret.check == *value));
            if !known.is_empty() && !rotates {
                return Err(LakeError::UnknownSecret);
            }
            let path = numbered(&layout::secrets(), known.len() + 1);
            if create(self.store(), &path, &Secret { check: newest.clone() }).await? {
                return Ok(());
            }
        }
    }

    /// The number of this configuration among those the lake was built under, counted from 1; a new one gets the next.
    ///
    /// A configuration that was followed by another is refused, so that an old file on some laptop cannot undo what
    /// was agreed since; `accept_superseded` makes it the newest again.
    pub async fn config_generation(
        &self,
        digest: Digest,
        text: &str,
        accept_superseded: bool,
    ) -> Result<u32, LakeError> {
        let folder = layout::configs();
        loop {
            let newest = count(self.store(), &folder).await?;
            if newest > 0 {
                let path = numbered(&folder, newest);
                let bytes = read(self.store(), &path).await?.ok_or_else(|| gap(&path))?;
                if parse::<Config>(&path, &bytes)?.digest == digest.to_string() {
                    return number(newest);
                }
            }
            let known: Vec<Config> = read_numbered(self.store(), &folder).await?;
            let earlier = known.iter().rposition(|config| config.digest == digest.to_string());
            if let (Some(earlier), false) = (earlier, accept_superseded)
                && earlier + 1 < known.len()
            {
                return Err(LakeError::ConfigSuperseded {
                    generation: number(earlier + 1)?,
                    newest: number(known.len())?,
                });
            }
            let next = Config { digest: digest.to_string(), text: text.to_owned() };
            // Where the newest changed since it was read, look again.
            if known.len() == newest && create(self.store(), &numbered(&folder, newest + 1), &next).await? {
                return number(newest + 1);
            }
        }
    }
}

fn number(position: usize) -> Result<u32, LakeError> {
    u32::try_from(position).map_err(|_| LakeError::corrupt(layout::configs(), "it has too many files"))
}

fn numbered(folder: &Path, number: usize) -> Path {
    folder.clone().join(format!("{number:06}.json"))
}

fn gap(path: &Path) -> LakeError {
    LakeError::corrupt(path, "it is missing though a later one exists")
}

async fn count(store: &dyn ObjectStore, folder: &Path) -> Result<usize, LakeError> {
    let names: Vec<_> = store.list(Some(folder)).try_collect().await.doing("list", folder)?;
    Ok(names.iter().filter(|meta| meta.location.as_ref().ends_with(".json")).count())
}

/// Every file of a numbered list, in order.
async fn read_numbered<T: DeserializeOwned>(store: &dyn ObjectStore, folder: &Path) -> Result<Vec<T>, LakeError> {
    let count = count(store, folder).await?;
    stream::iter((1..=count).map(|number| async move {
        let path = numbered(folder, number);
        let bytes = read(store, &path).await?.ok_or_else(|| gap(&path))?;
        parse(&path, &bytes)
    }))
    .buffered(READS_AT_ONCE)
    .try_collect()
    .await
}

/// Every file below a folder of what waits, in no order. One that is gone by the time it is read is left out: another build
/// has done what it asks for.
pub(super) async fn read_waiting<T: DeserializeOwned>(
    store: &dyn ObjectStore,
    folder: &str,
) -> Result<Vec<(Path, T)>, LakeError> {
    store
        .list(Some(&Path::from(folder)))
        .map(|meta| async {
            let path = meta.doing("list", folder)?.location;
            let Some(bytes) = read(store, &path).await? else { return Ok(None) };
            let parsed = parse(&path, &bytes)?;
            Ok(Some((path, parsed)))
        })
        .buffer_unordered(WAITING_READS_AT_ONCE)
        .try_filter_map(|file| async move { Ok(file) })
        .try_collect()
        .await
}

/// A file's content, or `None` where there is none.
pub(super) async fn read(store: &dyn ObjectStore, path: &Path) -> Result<Option<Bytes>, LakeError> {
    match store.get(path).await {
        Ok(found) => Ok(Some(found.bytes().await.doing("read", path)?)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(source) => Err(source).doing("read", path),
    }
}

/// Writes a file unless there is one; false where that says something else.
async fn create(store: &dyn ObjectStore, path: &Path, value: &impl Serialize) -> Result<bool, LakeError> {
    create::create(store, path, to_json(path, value)?.into()).await
}

pub(super) fn to_json(path: &Path, value: &impl Serialize) -> Result<Vec<u8>, LakeError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| LakeError::corrupt(path, error))?;
    text.push(b'\n');
    Ok(text)
}

pub(super) fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, LakeError> {
    serde_json::from_slice(bytes).map_err(|error| LakeError::corrupt(path, error))
}
