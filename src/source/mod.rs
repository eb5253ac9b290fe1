//! Landing objects: where they lie, which there are, and their bytes. Goes in: a folder (or, later, a bucket prefix);
//! comes out: a list of object versions and, for one of them, a stream of bytes that is refused where the object has changed since it was listed.

mod landing;
mod location;

pub use landing::{Fetch, LandingObject, SourceError, fetch, find, list};
pub use location::{Location, LocationError, Place};
