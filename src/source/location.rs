//! A place that holds objects: a local folder. `s3://` is recognised and refused by name until the S3 part is built.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use url::Url;

/// Where objects lie.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Location {
    /// A local folder.
    Folder(PathBuf),
}

/// An open place: the store whose root is the place itself.
#[derive(Clone, Debug)]
pub struct Place {
    /// The store; paths in it are relative to the place.
    pub store: Arc<dyn ObjectStore>,
    /// The same place as a URL that ends in `/`.
    pub url: Url,
}

/// A place that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    /// Not built yet.
    #[error("`{0}`: s3:// locations are not supported by this version; copy or mount the objects into a folder")]
    S3(String),
    /// Another scheme than we know.
    #[error("`{0}` is neither a folder nor an s3:// address")]
    Scheme(String),
    /// The folder cannot be made or opened.
    #[error("cannot open the folder {}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Location {
    /// Reads what the configuration says: a folder's path, or a URL.
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        match text.split_once("://") {
            None => Ok(Self::Folder(PathBuf::from(text))),
            Some(("file", path)) => Ok(Self::Folder(PathBuf::from(path))),
            Some(("s3", _)) => Err(LocationError::S3(text.to_owned())),
            Some(_) => Err(LocationError::Scheme(text.to_owned())),
        }
    }

    /// Opens the place; `None` where the folder is not there.
    pub fn open_existing(&self) -> Result<Option<Place>, LocationError> {
        let Self::Folder(folder) = self;
        if folder.is_dir() { open_folder(folder).map(Some) } else { Ok(None) }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Folder(folder) = self;
        folder.display().fmt(f)
    }
}

fn open_folder(folder: &Path) -> Result<Place, LocationError> {
    let absolute = folder.canonicalize().map_err(|source| failed(folder, source))?;
    let store = LocalFileSystem::new_with_prefix(&absolute).map_err(|source| failed(folder, source))?;
    let url = Url::from_directory_path(&absolute).map_err(|()| failed(folder, "its path is not absolute"))?;
    Ok(Place { store: Arc::new(store), url })
}

fn failed(folder: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LocationError {
    LocationError::Folder { folder: folder.to_owned(), source: source.into() }
}
