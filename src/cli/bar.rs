//! The progress bar: on stderr, only where a person looks at it.

use std::io::IsTerminal;
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};

use crate::job::Progress;

/// Draws one bar at a time.
#[derive(Debug)]
pub(crate) struct Bar {
    shown: bool,
    bar: Mutex<Option<ProgressBar>>,
}

impl Bar {
    /// A bar that shows itself on a terminal unless asked to be quiet.
    pub(crate) fn new(quiet: bool) -> Self {
        Self { shown: !quiet && std::io::stderr().is_terminal(), bar: Mutex::new(None) }
    }

    fn with(&self, act: impl FnOnce(&mut Option<ProgressBar>)) {
        // A poisoned lock only means that another thread panicked while drawing.
        act(&mut self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

impl Progress for Bar {
    fn begin(&self, what: &str, total: u64) {
        if !self.shown {
            return;
        }
        let bar = ProgressBar::new(total).with_message(what.to_owned());
        if let Ok(style) = ProgressStyle::with_template("{msg:>10} {wide_bar} {pos}/{len} {eta}") {
            bar.set_style(style);
        }
        self.with(|current| *current = Some(bar));
    }

    fn step(&self) {
        self.with(|current| current.iter().for_each(|bar| bar.inc(1)));
    }

    fn end(&self) {
        self.with(|current| current.take().iter().for_each(|bar| bar.finish_and_clear()));
    }
}
