//! The summary after a run, and `status`: what came in, what it costs whom, what is held, how complete the hours are.
//! All of it is read back from the tables by the statements under `sql/report/`, so that anyone can ask the same.

use std::fmt::Write;

use anyhow::Result;
use arrow::array::RecordBatch;
use serde_json::{Map, Value};

use crate::model::Engine;

use super::rows::{grid_of, json_of};

/// Attributions that wait for somebody and block a close, for an `IN` list.
const HELD: &str = "'unmapped', 'truncated', 'conflict', 'undecided', 'unpriced'";
/// The same where no customers are configured: then a key without an owner is simply a key.
const HELD_WITHOUT_CUSTOMERS: &str = "'truncated', 'conflict', 'undecided'";

/// One part of the summary.
struct Section {
    /// Its name in JSON.
    name: &'static str,
    /// Its title for people.
    title: &'static str,
    /// What is said where it has no rows; nothing: it is left out.
    empty: Option<&'static str>,
    /// Its rows.
    batches: Vec<RecordBatch>,
}

/// Rows of a section that a person is shown; a machine gets all.
const ROWS_SHOWN: usize = 40;

impl Section {
    /// The rows for people, and how many more there are.
    fn grid(&self) -> Result<String> {
        let mut left = ROWS_SHOWN;
        let mut shown = Vec::new();
        for batch in &self.batches {
            let rows = batch.num_rows().min(left);
            shown.push(batch.slice(0, rows));
            left -= rows;
        }
        let all: usize = self.batches.iter().map(RecordBatch::num_rows).sum();
        let more = match all.saturating_sub(ROWS_SHOWN) {
            0 => String::new(),
            more => format!("  … and {more} more; `--json` prints all, `meterlake query` any part\n"),
        };
        Ok(format!("{}{more}", grid_of(&shown)?))
    }
}

/// What the lake says of itself.
pub(crate) struct Summary {
    sections: Vec<Section>,
}

/// Which parts a summary has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Detail {
    /// After a run.
    Run,
    /// Everything.
    Status,
}

impl Summary {
    /// Reads the summary from the tables.
    pub(crate) async fn read(engine: &Engine, has_customers: bool, has_rates: bool, detail: Detail) -> Result<Self> {
        let held = if has_customers { HELD } else { HELD_WITHOUT_CUSTOMERS };
        let unmapped = if has_customers { "'mapped'" } else { "'unmapped'" };
        let usage = include_str!("../../sql/report/usage.sql").replace("$unmapped", unmapped);
        let held = include_str!("../../sql/report/held.sql").replace("$held", held);
        let mut wanted =
            vec![("sources", "Sources", Some("nothing yet"), include_str!("../../sql/report/sources.sql"))];
        if detail == Detail::Status {
            wanted.push(("coverage", "Hours", None, include_str!("../../sql/report/coverage.sql")));
        }
        if !has_rates || detail == Detail::Status {
            wanted.push(("usage", "Usage", Some("none"), &usage));
        }
        if has_rates {
            wanted.push(("charges", "Charges", Some("none"), include_str!("../../sql/report/charges.sql")));
            wanted.push(("totals", "Total per customer", None, include_str!("../../sql/report/totals.sql")));
        }
        wanted.push(("held", "Held: cannot be charged yet", Some("nothing"), &held));
        if detail == Detail::Status {
            wanted.push(("rejects", "Rejects", Some("none"), include_str!("../../sql/report/rejects.sql")));
        }
        Self::of(engine, &wanted).await
    }

    /// Any parts: the name of each in JSON, its title for people, what is said where it has no rows, and its statement.
    pub(crate) async fn of(
        engine: &Engine,
        wanted: &[(&'static str, &'static str, Option<&'static str>, &str)],
    ) -> Result<Self> {
        let mut sections = Vec::new();
        for &(name, title, empty, sql) in wanted {
            let batches = engine.query(sql).await?.collect().await?;
            sections.push(Section { name, title, empty, batches });
        }
        Ok(Self { sections })
    }

    /// Whether anything is held.
    pub(crate) fn has_held(&self) -> bool {
        self.sections.iter().any(|s| s.name == "held" && s.batches.iter().any(|b| b.num_rows() > 0))
    }

    /// The parts as JSON, rows as objects.
    pub(crate) fn json(&self) -> Result<Map<String, Value>> {
        let mut all = Map::new();
        for section in &self.sections {
            all.insert(section.name.to_owned(), json_of(&section.batches)?);
        }
        Ok(all)
    }

    /// The parts for people.
    pub(crate) fn text(&self) -> Result<String> {
        let mut text = String::new();
        for section in &self.sections {
            let rows = section.batches.iter().any(|batch| batch.num_rows() > 0);
            let gap = if text.is_empty() { "" } else { "\n" };
            let _ = match (rows, section.empty) {
                (false, None) => Ok(()),
                (false, Some(empty)) => writeln!(text, "{gap}{}: {empty}", section.title),
                (true, _) => write!(text, "{gap}{}\n{}", section.title, section.grid()?),
            };
        }
        Ok(text)
    }
}
