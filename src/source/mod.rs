//! Landing objects: where they lie, which there are, and their bytes. Goes in: a folder or a bucket prefix, or a notification
//! that names objects; comes out: a list of object versions and, for one of them, a stream of bytes that is refused where the
//! object has changed since it was listed. Beside them: who else counts the requests that the objects tell of.

mod count;
pub(crate) mod keys;
mod landing;
mod location;
mod notices;
mod queue;

pub use count::{CountMetric, REQUESTS_MAX};
pub use landing::{Fetch, LandingObject, SourceError, fetch, find, find_version, head, list, list_some};
pub use location::{Buckets, Location, LocationError, NoBuckets, Place, bucket_url, key_path};
pub use notices::{Notice, NoticeError, Notices, notices};
pub(crate) use notices::{form_decoded, form_encoded};
pub use queue::{Message, Queue, QueueError};
