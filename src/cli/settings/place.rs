//! Folders and buckets: where the lake and the landing objects are. A source whose objects lie in the lake, or the other
//! way round, would read what we write, so the two may not overlap.

use std::path::{Component, Path, PathBuf};

use crate::base::document::Item;

use super::Around;
use super::sources::Declared;

/// A folder or bucket prefix.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// An absolute folder, or `s3://bucket/prefix` without a slash at its end.
    pub(super) text: String,
    /// The same for comparing: links resolved as far as the folder exists.
    parts: PathBuf,
}

impl Place {
    /// Whether one lies in the other or both are the same.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.parts.starts_with(&other.parts) || other.parts.starts_with(&self.parts)
    }
}

/// The place an item names.
pub(super) fn read(item: &Item<'_>, around: &Around<'_>) -> Option<Place> {
    let text = &around.resolved(item.text()?);
    if let Some((scheme, rest)) = text.split_once("://") {
        let rest = rest.trim_end_matches('/');
        if scheme != "s3" || rest.is_empty() || rest.starts_with('/') {
            item.problem("this must be a folder or s3://bucket/prefix");
            return None;
        }
        return Some(Place { text: format!("s3://{rest}"), parts: Path::new("s3:").join(rest) });
    }
    match std::path::absolute(text) {
        Ok(path) => {
            let path = without_dots(&path);
            Some(Place { text: path.display().to_string(), parts: resolved(&path) })
        }
        Err(error) => {
            item.problem(format!("this is not a folder: {error}"));
            None
        }
    }
}

/// Notes sources that lie in the lake, and warns of sources that lie in one another.
pub(super) fn check(sources: &[Declared<'_>], lake: Option<&Place>, warnings: &mut Vec<String>) {
    for (at, source) in sources.iter().enumerate() {
        let (Some(name), Some(place)) = (&source.name, &source.place) else { continue };
        if lake.is_some_and(|lake| lake.overlaps(place)) {
            source.problem_with_location(format!(
                "the location of source `{name}` and the lake overlap: it would read what meterlake writes; keep them apart"
            ));
        }
        for other in &sources[..at] {
            let (Some(other_name), Some(other_place)) = (&other.name, &other.place) else { continue };
            if other_place.overlaps(place) {
                warnings.push(format!(
                    "sources `{other_name}` and `{name}` read the same location: each object is converted for both"
                ));
            }
        }
    }
}

fn without_dots(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean
}

fn resolved(path: &Path) -> PathBuf {
    for ancestor in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (ancestor.canonicalize(), path.strip_prefix(ancestor)) {
            // Joining nothing would add a slash.
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    path.to_owned()
}
