//! Samples of logs for `doctor`: files, folders and prefixes in, the first bytes of some of their objects out. Bounded
//! whatever lies there: in how much is listed, how many objects are read and how much of each. Nothing is written.

use std::path::{Path, PathBuf};

use crate::decode::doctor::Specimen;
use crate::source::{Buckets, LandingObject, Location, Place, find, head, key_path, list_some};

use super::{JobError, Progress};

/// Objects of a folder or prefix that are listed to choose from.
const LISTED_MAX: usize = 10_000;

/// How much is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Objects of one sample.
    pub objects_max: usize,
    /// Bytes of one object, as stored.
    pub object_bytes_max: u64,
}

/// What was read of one sample.
#[derive(Clone, Debug)]
pub struct Sample {
    /// As it was given.
    pub name: String,
    /// The folder or prefix that a source of it would have as `location`.
    pub location: String,
    /// Objects found in it.
    pub found: usize,
    /// There are more, which were not even listed.
    pub has_more: bool,
    /// Their size as stored, bytes.
    pub bytes: u64,
    /// Where each of the objects looked at lies.
    pub addresses: Vec<Address>,
}

/// Where an object lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// A file.
    File(PathBuf),
    /// An object of a bucket.
    Object {
        /// The bucket.
        bucket: String,
        /// Its key.
        key: String,
    },
}

/// Reads the samples: what was found at each, and the objects of all, in order.
pub async fn gather(
    samples: &[String],
    buckets: &dyn Buckets,
    bounds: Bounds,
    progress: &dyn Progress,
) -> Result<(Vec<Sample>, Vec<Specimen>), JobError> {
    let (mut seen, mut specimens) = (Vec::new(), Vec::new());
    for name in samples {
        let (sample, place, objects) = find_objects(name, buckets, bounds).await?;
        progress.begin("look", objects.len() as u64);
        let is_folder = matches!(Location::parse(name)?, Location::Folder(_));
        for (object, address) in objects.iter().zip(&sample.addresses) {
            let bytes = head(&place, object, bounds.object_bytes_max).await?;
            // A file is as old as its copy, unless its name tells when it arrived.
            let told = !is_folder || object.arrived_at != object.written_at;
            specimens.push(Specimen {
                name: address.to_string(),
                is_cut: (bytes.len() as u64) < object.bytes,
                bytes: bytes.to_vec(),
                arrived_at: told.then_some(object.arrived_at),
            });
            progress.step();
        }
        progress.end();
        seen.push(sample);
    }
    Ok((seen, specimens))
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Object { bucket, key } => write!(f, "s3://{bucket}/{key}"),
        }
    }
}

async fn find_objects(
    name: &str,
    buckets: &dyn Buckets,
    bounds: Bounds,
) -> Result<(Sample, Place, Vec<LandingObject>), JobError> {
    let location = Location::parse(name)?;
    let nothing = || JobError::NothingThere(name.to_owned());
    if let Some((location, place, object)) = single(&location, buckets).await? {
        let address = address(&location, &object.key);
        let sample = Sample {
            name: name.to_owned(),
            location: text_of(&location),
            found: 1,
            has_more: false,
            bytes: object.bytes,
            addresses: vec![address],
        };
        return Ok((sample, place, vec![object]));
    }
    let place = location.open_existing(buckets)?.ok_or_else(nothing)?;
    let (found, has_more) = list_some(&place, LISTED_MAX).await?;
    if found.is_empty() {
        return Err(nothing());
    }
    let chosen = spread(found.len(), bounds.objects_max);
    let chosen: Vec<_> = chosen.map(|at| found[at].clone()).collect();
    let sample = Sample {
        name: name.to_owned(),
        location: text_of(&location),
        found: found.len(),
        has_more,
        bytes: found.iter().map(|object| object.bytes).sum(),
        addresses: chosen.iter().map(|object| address(&location, &object.key)).collect(),
    };
    Ok((sample, place, chosen))
}

/// A file or an object of a bucket, with the folder or prefix it lies in; none: the location is one of these itself.
async fn single(
    location: &Location,
    buckets: &dyn Buckets,
) -> Result<Option<(Location, Place, LandingObject)>, JobError> {
    let (folder, name) = match location {
        Location::Folder(path) if path.is_file() => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            (Location::Folder(parent.to_owned()), name)
        }
        Location::Bucket { bucket, prefix } if !prefix.is_empty() => {
            let (parent, name) = prefix.rsplit_once('/').unwrap_or(("", prefix));
            key_path(bucket, name)?;
            (Location::Bucket { bucket: bucket.clone(), prefix: parent.to_owned() }, name.to_owned())
        }
        Location::Folder(_) | Location::Bucket { .. } => return Ok(None),
    };
    let Some(place) = folder.open_existing(buckets)? else { return Ok(None) };
    Ok(find(&place, &name).await?.map(|object| (folder, place, object)))
}

/// Some of so many, evenly chosen, the first and the last among them.
fn spread(found: usize, wanted: usize) -> impl Iterator<Item = usize> {
    let wanted = wanted.clamp(1, found.max(1)).min(found);
    (0..wanted).map(move |number| if wanted == 1 { found - 1 } else { number * (found - 1) / (wanted - 1) })
}

fn address(location: &Location, key: &str) -> Address {
    match location {
        Location::Folder(folder) if folder == Path::new(".") => Address::File(PathBuf::from(key)),
        Location::Folder(folder) => Address::File(folder.join(key)),
        Location::Bucket { bucket, prefix } if prefix.is_empty() => {
            Address::Object { bucket: bucket.clone(), key: key.to_owned() }
        }
        Location::Bucket { bucket, prefix } => {
            Address::Object { bucket: bucket.clone(), key: format!("{prefix}/{key}") }
        }
    }
}

/// As a configuration would spell it.
fn text_of(location: &Location) -> String {
    location.to_string().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_chosen_evenly() {
        let chosen = |found, wanted| spread(found, wanted).collect::<Vec<_>>();
        assert_eq!(chosen(3, 20), [0, 1, 2]);
        assert_eq!(chosen(11, 3), [0, 5, 10]);
        assert_eq!(chosen(9, 1), [8]);
        assert!(chosen(0, 5).is_empty());
    }
}
