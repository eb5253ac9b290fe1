//! x

mod meter;

pub use meter::{Meter, MeterError, MeterValue};
