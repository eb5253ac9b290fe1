//! Landing objects of one place: listing them and reading one. A version is (key, etag, size): an object that changed
//! after it was listed is not read, because what was listed is what the ledger will name. Names that begin with `.` or `_`
//! are not landing objects: half-made copies and markers are called so.

use bytes::Bytes;
use chrono::NaiveDateTime;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta};

use crate::base::Micros;

use super::{Place, keys};

/// One version of an object as delivered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LandingObject {
    /// Its key, relative to the source's location.
    pub key: String,
    /// Version token of the store: opaque, compared only for equality.
    pub etag: String,
    /// Size as stored, bytes.
    pub bytes: u64,
    /// When it arrived: what Firehose says in the name, else when the store says it was written.
    pub arrived_at: Micros,
    /// When the store says it was written: of two versions of a key the later one counts.
    pub written_at: Micros,
    /// The version to read, where a notification named one; else what is there now.
    pub version: Option<String>,
    /// Only this version was left when it was looked for: its key held nothing any more.
    pub gone: bool,
}

impl LandingObject {
    fn of(meta: &ObjectMeta) -> Self {
        Self {
            key: keys::of_path(&meta.location),
            etag: version_of(meta),
            bytes: meta.size,
            arrived_at: arrival_of(meta),
            written_at: Micros(meta.last_modified.timestamp_micros()),
            version: None,
            gone: false,
        }
    }

    /// Whether a name is that of a landing object: names that begin with `.` or `_` are not.
    pub fn is_hidden(key: &str) -> bool {
        key.split('/').any(|part| part.starts_with(['.', '_']))
    }
}

/// Landing objects that could not be listed or read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The listing failed.
    #[error("cannot list {place}")]
    List {
        /// The place listed.
        place: String,
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// The object could not be read.
    #[error("cannot read {key}")]
    Read {
        /// Key of the object.
        key: String,
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// The object is no longer the version that was listed.
    #[error("{key} changed while it was being read; the next run takes it as it is then")]
    Changed {
        /// Key of the object.
        key: String,
    },
}

/// Every landing object of a place, sorted by key.
pub async fn list(place: &Place) -> Result<Vec<LandingObject>, SourceError> {
    let failed = |source| SourceError::List { place: place.url.to_string(), source };
    let mut objects = Vec::new();
    let mut found = place.store.list(None);
    while let Some(meta) = found.try_next().await.map_err(failed)? {
        let object = LandingObject::of(&meta);
        // An object named like the place itself is what consoles make of an empty folder.
        if !LandingObject::is_hidden(&object.key) && !object.key.is_empty() {
            objects.push(object);
        }
    }
    objects.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Ok(objects)
}

/// The first landing objects of a place that the store names, at most so many, sorted by key, and whether there are more.
pub async fn list_some(place: &Place, objects_max: usize) -> Result<(Vec<LandingObject>, bool), SourceError> {
    let failed = |source| SourceError::List { place: place.url.to_string(), source };
    let mut objects = Vec::new();
    let mut found = place.store.list(None);
    let mut has_more = false;
    while let Some(meta) = found.try_next().await.map_err(failed)? {
        if LandingObject::is_hidden(meta.location.as_ref()) || meta.location.as_ref().is_empty() {
            continue;
        }
        has_more = objects.len() == objects_max;
        if has_more {
            break;
        }
        objects.push(LandingObject::of(&meta));
    }
    objects.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Ok((objects, has_more))
}

/// The object of that key as it is now; none: it is not there.
pub async fn find(place: &Place, key: &str) -> Result<Option<LandingObject>, SourceError> {
    find_version(place, key, None).await
}

/// A version of the object of that key, or where none is named the object as it is now; none: it is not there.
pub async fn find_version(
    place: &Place,
    key: &str,
    version: Option<&str>,
) -> Result<Option<LandingObject>, SourceError> {
    let failed = |source| SourceError::Read { key: key.to_owned(), source };
    let path = keys::to_path(key).map_err(|source| failed(source.into()))?;
    let version = version.map(str::to_owned);
    let options = GetOptions { head: true, version: version.clone(), ..Default::default() };
    match place.store.get_opts(&path, options).await {
        // A store of a prefix may answer with the whole key.
        Ok(found) => Ok(Some(LandingObject { key: key.to_owned(), version, ..LandingObject::of(&found.meta) })),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(source) => Err(failed(source)),
    }
}

/// The first bytes of an object, at most so many; whatever version is there now.
pub async fn head(place: &Place, object: &LandingObject, bytes_max: u64) -> Result<Bytes, SourceError> {
    let failed = |source| SourceError::Read { key: object.key.clone(), source };
    if object.bytes == 0 {
        return Ok(Bytes::new());
    }
    let path = Path::parse(&object.key).map_err(|source| failed(source.into()))?;
    let range = (bytes_max < object.bytes).then_some(GetRange::Bounded(0..bytes_max));
    let got = place.store.get_opts(&path, GetOptions { range, ..Default::default() }).await.map_err(failed)?;
    got.bytes().await.map_err(failed)
}

/// Bytes of an object asked for at a time: all of most objects, so that reading one is one request.
const PIECE_BYTES: u64 = 32 << 20;

/// An object being read.
pub struct Fetch<'a> {
    place: &'a Place,
    object: &'a LandingObject,
    path: Path,
    read: u64,
}

/// Prepares to read the object.
pub fn fetch<'a>(place: &'a Place, object: &'a LandingObject) -> Result<Fetch<'a>, SourceError> {
    let path = keys::to_path(&object.key)
        .map_err(|source| SourceError::Read { key: object.key.clone(), source: source.into() })?;
    Ok(Fetch { place, object, path, read: 0 })
}

impl Fetch<'_> {
    /// The next piece, if the object still is the version that was listed; `None` once all of it was read.
    pub async fn next_piece(&mut self) -> Result<Option<Bytes>, SourceError> {
        let key = || self.object.key.clone();
        let left = self.object.bytes - self.read;
        if left == 0 {
            return Ok(None);
        }
        let expected = left.min(PIECE_BYTES);
        let range = (expected < self.object.bytes).then(|| GetRange::Bounded(self.read..self.read + expected));
        let options = GetOptions { range, version: self.object.version.clone(), ..Default::default() };
        let failed = |source| SourceError::Read { key: key(), source };
        let got = self.place.store.get_opts(&self.path, options).await.map_err(failed)?;
        if version_of(&got.meta) != self.object.etag {
            return Err(SourceError::Changed { key: key() });
        }
        let piece = got.bytes().await.map_err(failed)?;
        if piece.len() as u64 != expected {
            return Err(SourceError::Changed { key: key() });
        }
        self.read += expected;
        Ok(Some(piece))
    }
}

/// A store without etags still tells versions apart by time and size.
fn version_of(meta: &ObjectMeta) -> String {
    // S3 puts it in quotes, its notifications do not.
    let etag = meta.e_tag.as_deref().map(|etag| etag.trim_matches('"').to_owned());
    etag.unwrap_or_else(|| format!("{:x}-{:x}", meta.last_modified.timestamp_micros(), meta.size))
}

/// When an object arrived. Firehose writes the arrival of the oldest record into the name
/// (`…-2026-10-01-05-14-09-<uuid>`), which survives copying; any other object arrived when the store says it was written.
fn arrival_of(meta: &ObjectMeta) -> Micros {
    let name = meta.location.filename().unwrap_or_default();
    firehose_time(name).unwrap_or(Micros(meta.last_modified.timestamp_micros()))
}

fn firehose_time(name: &str) -> Option<Micros> {
    const TIME: &str = "2026-10-01-05-14-09";
    const UUID: usize = 36;
    // The uuid is the last thing but an extension, and uuids hold dashes: find a place where time and uuid fit.
    let dashes = name.match_indices('-').map(|(at, _)| at);
    let starts = std::iter::once(0).chain(dashes.map(|at| at + 1));
    for start in starts {
        let Some(time) = name.get(start..start + TIME.len()) else { break };
        let Some(uuid) = name.get(start + TIME.len() + 1..start + TIME.len() + 1 + UUID) else { break };
        let is_uuid = uuid.char_indices().all(|(i, c)| match i {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_hexdigit(),
        });
        if is_uuid && let Ok(at) = NaiveDateTime::parse_from_str(time, "%Y-%m-%d-%H-%M-%S") {
            return Some(Micros(at.and_utc().timestamp_micros()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firehose_names_tell_the_arrival() {
        let at = |name: &str| firehose_time(name).map(|at| at.to_string());
        let uuid = "6d0c1f7e-0a1b-4c2d-8e3f-123456789abc";
        assert_eq!(at(&format!("cf-rt-7-2026-02-03-04-05-06-{uuid}.gz")), Some("2026-02-03T04:05:06Z".into()));
        assert_eq!(at(&format!("2026-02-03-04-05-06-{uuid}")), Some("2026-02-03T04:05:06Z".into()));
        assert_eq!(at(&format!("a-2026-13-03-04-05-06-{uuid}")), None);
        assert_eq!(at("2026-02-03.log.gz"), None);
        assert_eq!(at("é-2026-02-03-04-05-06-ü"), None);
    }
}
