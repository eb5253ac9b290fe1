//! What meterlake does, as steps in order: convert landing objects, build the tables, and the jobs that look after a lake.
//! Each step can be interrupted anywhere and run again. A job is given everything it works on; it reads neither
//! configuration files nor a clock, and it prints nothing.

pub mod amend;
mod attempts;
pub mod build;
pub mod convert;
pub mod counts;
pub mod derive;
pub mod doctor;
mod error;
pub mod glue;
pub mod invoice;
pub mod notified;
mod progress;
pub mod publish;
mod renew;
pub mod replay;
mod rows;
pub mod trace;
pub mod verify;
pub mod worker;

use std::sync::Arc;

use crate::base::Micros;
use crate::decode::{DecodePlan, Limits};
use crate::lake::Lake;
use crate::source::{Buckets, Location};

pub use error::JobError;
pub use progress::{Progress, Silent};

/// A lake and what is configured to flow into it.
#[derive(Debug)]
pub struct Job {
    /// The lake.
    pub lake: Lake,
    /// The sources, in the order of the configuration.
    pub sources: Vec<Source>,
    /// Opens the buckets that sources lie in.
    pub buckets: Arc<dyn Buckets>,
    /// Bounds on what one object may make us do.
    pub limits: Limits,
    /// Objects or units worked on at a time.
    pub parallel: usize,
    /// The present instant: what was written before a job began is older than this.
    pub now: Micros,
}

/// One configured source.
#[derive(Debug)]
pub struct Source {
    /// How its records are decoded.
    pub plan: DecodePlan,
    /// Its name.
    pub name: String,
    /// Where its objects land.
    pub location: Location,
    /// Parts an hour's events are split into; a power of two.
    pub split: u32,
}

impl Job {
    /// The source of that name.
    pub fn source(&self, name: &str) -> Result<&Source, JobError> {
        self.sources.iter().find(|source| source.name == name).ok_or_else(|| JobError::UnknownSource(name.to_owned()))
    }
}
