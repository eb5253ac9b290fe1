//! The small words everything else is made of: instants, days and hours, half-open ranges, exact money, digests and
//! problems in files with their place. Nothing here does I/O, reads a clock or knows a table.

pub(crate) mod as_text;
mod causes;
pub mod digest;
pub mod document;
pub mod money;
pub mod problem;
pub mod range;
pub mod time;

pub use causes::with_causes;
pub use digest::{Digest, Digester};
pub use money::{Nanos, Rounding};
pub use problem::{Problem, Problems};
pub use range::HalfOpen;
pub use time::{Micros, UtcDay, UtcHour};
