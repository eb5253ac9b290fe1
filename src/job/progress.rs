//! How a job tells how far it is. The command line draws a bar; tests and machines stay silent.

/// Is told of each step of a long work.
pub trait Progress: Send + Sync {
    /// A work of `total` steps begins.
    fn begin(&self, what: &str, total: u64);
    /// One step is done.
    fn step(&self);
    /// The work is done.
    fn end(&self);
}

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _what: &str, _total: u64) {}
    fn step(&self) {}
    fn end(&self) {}
}
