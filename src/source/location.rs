//! A place that holds objects: a local folder or a prefix of a bucket.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use url::Url;

/// Where objects lie.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Location {
    /// A local folder.
    Folder(PathBuf),
    /// Objects of a bucket.
    Bucket {
        /// Its name.
        bucket: String,
        /// What their keys begin with, a `/` after it; without one at its ends. May be empty.
        prefix: String,
    },
}

/// An open place: the store whose root is the place itself.
#[derive(Clone, Debug)]
pub struct Place {
    /// The store; paths in it are relative to the place.
    pub store: Arc<dyn ObjectStore>,
    /// The same place as a URL that ends in `/`.
    pub url: Url,
}

/// Opens buckets, with whatever credentials that takes.
pub trait Buckets: Send + Sync + fmt::Debug {
    /// The store of a bucket; its paths are the keys.
    fn open(&self, bucket: &str) -> Result<Arc<dyn ObjectStore>, LocationError>;
}

/// Of folders alone: no bucket can be opened.
#[derive(Clone, Copy, Debug)]
pub struct NoBuckets;

impl Buckets for NoBuckets {
    fn open(&self, bucket: &str) -> Result<Arc<dyn ObjectStore>, LocationError> {
        Err(LocationError::Bucket { bucket: bucket.to_owned(), source: "only folders can be opened here".into() })
    }
}

/// A place that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    /// Another scheme than we know, or an address without bucket.
    #[error("`{0}` is neither a folder nor an address such as s3://bucket/prefix")]
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
    /// The bucket cannot be used.
    #[error("cannot open the bucket {bucket}")]
    Bucket {
        /// Its name.
        bucket: String,
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
            Some(("s3", rest)) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                if bucket.is_empty() {
                    return Err(LocationError::Scheme(text.to_owned()));
                }
                Ok(Self::Bucket { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() })
            }
            Some(_) => Err(LocationError::Scheme(text.to_owned())),
        }
    }

    /// Opens the place; `None` where the folder is not there. Whether a bucket is there shows when it is used.
    pub fn open_existing(&self, buckets: &dyn Buckets) -> Result<Option<Place>, LocationError> {
        match self {
            Self::Folder(folder) if folder.is_dir() => open_folder(folder).map(Some),
            Self::Folder(_) => Ok(None),
            Self::Bucket { bucket, prefix } => {
                let store = buckets.open(bucket)?;
                let store: Arc<dyn ObjectStore> = match prefix.is_empty() {
                    true => store,
                    false => Arc::new(PrefixStore::new(store, key_path(bucket, prefix)?)),
                };
                Ok(Some(Place { store, url: bucket_url(bucket, prefix)? }))
            }
        }
    }

    /// The key of an object of a bucket relative to this location; `None` where it does not lie here.
    pub fn relative<'k>(&self, of_bucket: &str, key: &'k str) -> Option<&'k str> {
        match self {
            Self::Bucket { bucket, prefix } if bucket == of_bucket => {
                let rest = key.strip_prefix(prefix.as_str())?;
                let rest = if prefix.is_empty() { rest } else { rest.strip_prefix('/')? };
                (!rest.is_empty()).then_some(rest)
            }
            Self::Bucket { .. } | Self::Folder(_) => None,
        }
    }
}

/// A key as the store's path: as it is, nothing encoded.
pub fn key_path(bucket: &str, key: &str) -> Result<object_store::path::Path, LocationError> {
    let failed = |source| LocationError::Bucket { bucket: bucket.to_owned(), source: Box::new(source) };
    object_store::path::Path::parse(key).map_err(failed)
}

/// The address of a prefix, with a slash at its end.
pub fn bucket_url(bucket: &str, prefix: &str) -> Result<Url, LocationError> {
    let failed =
        |source: url::ParseError| LocationError::Bucket { bucket: bucket.to_owned(), source: Box::new(source) };
    let mut url = Url::parse(&format!("s3://{bucket}/")).map_err(failed)?;
    if !prefix.is_empty() {
        url.set_path(&format!("{prefix}/"));
    }
    Ok(url)
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            Self::Bucket { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::Bucket { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lie_in_a_location_at_whole_names() {
        let at = |location: &str, key: &'static str| Location::parse(location).unwrap().relative("b", key);
        assert_eq!(at("s3://b/logs/", "logs/2026/a.gz"), Some("2026/a.gz"));
        assert_eq!(at("s3://b/logs", "logs2/a.gz"), None);
        assert_eq!(at("s3://b/logs", "logs/"), None);
        assert_eq!(at("s3://b", "a.gz"), Some("a.gz"));
        assert_eq!(at("s3://other/logs", "logs/a.gz"), None);
        assert!(Location::parse("s3://").is_err() && Location::parse("gs://b").is_err());
    }
}
