//! What a command says beside its data: lines for a person on stderr, and a bar where one looks; or, where a log takes it up, a
//! JSON object a line with its time, its level and what it is about. A log also gets metrics. Messages hold no secret: errors
//! name objects and settings, never what stands in them.

use std::error::Error;
use std::io::Write;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::bar::Bar;
use super::metrics::Metrics;
use super::{open, report};

/// Where a command talks to.
pub(crate) struct Talk {
    /// Only what must be said.
    quiet: bool,
    /// To a log that reads JSON.
    is_log: bool,
    /// How far it has come.
    pub(crate) bar: Bar,
}

impl Talk {
    /// To a person, who may want it quiet.
    pub(crate) fn to_person(quiet: bool) -> Self {
        Self { quiet, is_log: false, bar: Bar::new(quiet) }
    }

    /// To a log.
    pub(crate) fn to_log() -> Self {
        Self { quiet: false, is_log: true, bar: Bar::new(true) }
    }

    /// Says a line.
    pub(crate) fn say(&self, line: impl AsRef<str>) {
        if !self.quiet {
            self.tell("INFO", line.as_ref(), &[]);
        }
    }

    /// Says a line even where it shall be quiet.
    pub(crate) fn warn(&self, line: impl AsRef<str>) {
        self.tell("WARN", line.as_ref(), &[]);
    }

    /// Says lines about errors that do not stop the work. What to do about each stands with it in a log; a person is told behind them,
    /// once.
    pub(crate) fn warn_of<'e>(&self, lines: impl IntoIterator<Item = (String, &'e (dyn Error + 'static))>) {
        let mut hints = Vec::new();
        for (line, error) in lines {
            let hint = report::hint_of(error);
            self.tell("WARN", &line, &hint.iter().map(|hint| ("hint", json!(hint))).collect::<Vec<_>>());
            hints.extend(hint);
        }
        hints.sort_unstable();
        hints.dedup();
        hints.iter().filter(|_| !self.is_log).for_each(|hint| self.warn(format!("hint: {hint}")));
    }

    /// Says a line of some level; a log also gets the fields.
    pub(crate) fn tell(&self, level: &str, message: &str, fields: &[(&str, Value)]) {
        let line = match self.is_log {
            true => log_line(level, message.trim(), fields),
            false => message.to_owned(),
        };
        // A closed stderr is no reason to stop working.
        let _ = writeln!(std::io::stderr(), "{line}");
    }

    /// Whether anybody wants metrics: a log does, a person does not.
    pub(crate) fn measures(&self) -> bool {
        self.is_log
    }

    /// Gives a log some metrics; a person gets none.
    pub(crate) fn measure(&self, metrics: &[Metrics]) {
        let Ok(now) = open::now() else { return };
        if self.is_log {
            let mut out = std::io::stdout().lock();
            // The same as with stderr.
            let _ = metrics.iter().try_for_each(|metrics| writeln!(out, "{}", metrics.line(now)));
            let _ = out.flush();
        }
    }
}

fn log_line(level: &str, message: &str, fields: &[(&str, Value)]) -> String {
    let now = open::now().ok().and_then(|now| DateTime::<Utc>::from_timestamp_micros(now.0)).unwrap_or_default();
    let mut line = Map::new();
    line.insert("timestamp".to_owned(), json!(now.to_rfc3339_opts(SecondsFormat::Millis, true)));
    line.insert("level".to_owned(), json!(level));
    line.insert("message".to_owned(), json!(message));
    line.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    Value::Object(line).to_string()
}
