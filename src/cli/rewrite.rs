//! A configuration file that a command changes: it is read together with what it was, and written only where it still is that. In a
//! bucket the write is conditional on the version that was read; a local file is looked at once more and replaced whole.

use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, UpdateVersion};

use super::world::World;

/// A file as it was read.
pub(crate) struct Rewritable {
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    name: String,
    place: Place,
}

enum Place {
    File(PathBuf),
    Object { store: Arc<dyn ObjectStore>, path: Path, version: UpdateVersion },
}

impl Rewritable {
    /// Reads a local file or `s3://bucket/key`.
    pub(crate) async fn read(name: &str, world: &World) -> Result<Self> {
        let failed = || format!("cannot read {name}");
        let (bytes, place) = if name.starts_with("s3://") {
            let (store, path) = world.place(name).await?;
            let found = store.get(&path).await.with_context(failed)?;
            let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
            (found.bytes().await.with_context(failed)?.to_vec(), Place::Object { store, path, version })
        } else {
            // What a link leads to is replaced, not the link.
            let path = fs::canonicalize(name).with_context(failed)?;
            (fs::read(&path).with_context(failed)?, Place::File(path))
        };
        Ok(Self { bytes, name: name.to_owned(), place })
    }

    /// Writes other content, unless somebody changed the file since it was read.
    pub(crate) async fn replace(self, content: Vec<u8>) -> Result<()> {
        let failed = || format!("cannot write {}", self.name);
        let changed = || format!("{} was changed meanwhile, and nothing was written; run it again", self.name);
        match &self.place {
            Place::File(path) => {
                if fs::read(path).with_context(failed)? != self.bytes {
                    bail!(changed());
                }
                replace_file(path, &content).with_context(failed)
            }
            Place::Object { store, path, version } => {
                let mode = PutMode::Update(version.clone());
                match store.put_opts(path, content.into(), mode.into()).await {
                    Ok(_) => Ok(()),
                    Err(object_store::Error::Precondition { .. }) => bail!(changed()),
                    Err(error) => Err(error).with_context(failed),
                }
            }
        }
    }
}

/// A reader sees the old content or the new.
fn replace_file(path: &FilePath, content: &[u8]) -> std::io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.new"));
    fs::write(&beside, content)?;
    let done = fs::metadata(path)
        .and_then(|old| fs::set_permissions(&beside, old.permissions()))
        .and_then(|()| fs::rename(&beside, path));
    if done.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    done
}
