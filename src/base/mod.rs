//! The small words everything else is made of: instants, days and hours, half-open ranges, exact money and digests.
//! Nothing here does I/O, reads a clock or knows a table.

pub mod digest;
pub mod money;
pub mod range;
pub mod time;

pub use digest::{Digest, Digester};
pub use money::Nanos;
pub use range::HalfOpen;
pub use time::{Micros, UtcDay, UtcHour};
