//! What `doctor` found, for people: one part per kind of log, the settings last, so that they are at hand.

use std::fmt::Write;

use crate::billing::is_hashed;
use crate::cli::grid::{Grid, count, size};
use crate::decode::doctor::{Container, Level, Log, Stranger, Tally};
use crate::decode::{Format, KeySpec};

use super::{Configured, Report};

/// Characters of a line of prose.
const LINE_CHARS: usize = 110;
/// Objects that are named one by one.
const NAMED_MAX: usize = 10;

impl Report {
    /// All of it.
    pub(super) fn text(&self) -> String {
        let mut text = self.looked_at();
        for log in &self.diagnosis.logs {
            text.push('\n');
            self.log(log, &mut text);
        }
        self.strangers(&mut text);
        if let Some(configured) = &self.configured {
            self::configured(configured, &mut text);
        }
        for log in &self.diagnosis.logs {
            self.settings(log, &mut text);
        }
        text
    }

    fn looked_at(&self) -> String {
        let mut text = String::new();
        for sample in &self.samples {
            let (looked, found) = (sample.addresses.len(), sample.found);
            let _ = match (looked, sample.has_more) {
                (_, true) => {
                    writeln!(text, "{}: {looked} of more than {} objects looked at", sample.name, count(found as u64))
                }
                (1, _) if found == 1 => writeln!(text, "{}: {}", sample.name, size(sample.bytes)),
                _ if looked == found => {
                    writeln!(text, "{}: all {found} objects looked at, {}", sample.name, size(sample.bytes))
                }
                _ => writeln!(
                    text,
                    "{}: {looked} of {} objects looked at, evenly chosen; --objects looks at more",
                    sample.name,
                    count(found as u64)
                ),
            };
        }
        text
    }

    fn log(&self, log: &Log, text: &mut String) {
        let _ = writeln!(text, "{}", log.what);
        let mut grid = Grid::pairs();
        let mut row = |name: &str, what: String| grid.row([name.to_owned(), what]);
        if self.specimens.len() > 1 {
            row("objects", count(log.objects.len() as u64));
        }
        row("packed", packed(&log.container));
        if let Some(around) = around(&log.container) {
            row("in", around);
        }
        if !log.fields.is_empty() {
            for (number, line) in wrapped(&log.fields.join(" "), LINE_CHARS - 11).into_iter().enumerate() {
                row(if number == 0 { "fields" } else { "" }, line);
            }
        }
        row(
            "key",
            match &log.proposal.spec.key {
                KeySpec::None => "none found".to_owned(),
                key => key.to_string(),
            },
        );
        if let Some((first, last)) = log.tally.as_ref().and_then(|tally| tally.first.zip(tally.last)) {
            row("times", if first == last { first.to_string() } else { format!("{first} to {last}") });
        }
        let _ = write!(text, "{grid}");
        if let Some(tally) = &log.tally {
            let _ = write!(text, "\n{}", counts(tally));
            if !tally.rejects.is_empty() {
                let _ = write!(text, "\nRejects\n{}", rejects(tally));
            }
        }
        for (level, title) in
            [(Level::Harm, "Would hurt a bill"), (Level::Note, "Worth knowing"), (Level::Unknown, "Not in the data")]
        {
            let found =
                log.findings.iter().filter(|finding| finding.level == level).map(|finding| finding.text.as_str());
            listed(title, found, text);
        }
    }

    fn strangers(&self, text: &mut String) {
        let strangers = &self.diagnosis.strangers;
        let shown = strangers.iter().take(NAMED_MAX).map(|stranger| {
            let Stranger { object, what, detail, .. } = stranger;
            let name = &self.specimens[*object].name;
            match what {
                Some(what) => format!("{name}: this is {what}, meterlake does not read it; {detail}"),
                None => format!("{name}: {detail}"),
            }
        });
        let mut shown: Vec<String> = shown.collect();
        if strangers.len() > NAMED_MAX {
            shown.push(format!("and {} more objects; `--json` names all", strangers.len() - NAMED_MAX));
        }
        listed("Not recognised", shown.iter().map(String::as_str), text);
    }

    fn settings(&self, log: &Log, text: &mut String) {
        if log.proposal.refused.is_some() {
            let why = "No settings can read these objects as they are; what would hurt a bill says what to change.";
            let _ = writeln!(text, "\n{why}");
            return;
        }
        if let Some(block) = self.block(log) {
            let after = if log.proposal.added.is_empty() {
                String::new()
            } else {
                let added: Vec<_> = log.proposal.added.iter().map(|name| format!("`{name}`")).collect();
                format!(", once the log configuration has {}", added.join(" and "))
            };
            let _ = write!(text, "\nFor meterlake.toml{after}\n\n{block}\n");
        }
        let mut also = "It also needs `lake` and a [[meter]]".to_owned();
        if is_hashed(&log.proposal.spec.key) {
            also.push_str(", and `key_secret` under [privacy], which the key is hashed with");
        }
        also.push_str("; `meterlake init` writes an example.");
        if matches!(&log.proposal.spec.format, Format::ApiGateway(templates) if templates.is_empty()) {
            also.push_str(" A documented format needs no `format`.");
        }
        if !self.location(log).starts_with("s3://") && !self.location(log).starts_with('/') {
            also.push_str(" The location counts from where meterlake.toml lies.");
        }
        for line in wrapped(&also, LINE_CHARS) {
            let _ = writeln!(text, "{line}");
        }
    }
}

fn packed(container: &Container) -> String {
    match container.packings.as_slice() {
        [] => "no".to_owned(),
        packings => packings.join(" of "),
    }
}

/// What stands around the records.
fn around(container: &Container) -> Option<String> {
    let mut parts = Vec::new();
    let mut part = |number: u64, what: &str| {
        if number > 0 {
            parts.push(format!("{} {what}", count(number)));
        }
    };
    part(container.envelopes, "documents of CloudWatch Logs");
    part(container.control, "control messages of CloudWatch Logs");
    part(container.failed, "error records of Firehose");
    part(container.lambda_lines, "lines of Lambda");
    if container.is_parquet {
        parts.push("Parquet".to_owned());
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn counts(tally: &Tally) -> Grid {
    let mut grid =
        Grid::new(&[">records", ">events", ">rejects", ">control", ">duplicates", ">conflicts", ">with key", ">keys"]);
    let counts = tally.counts;
    let cells = [counts.records, counts.events, counts.rejects, counts.control, tally.duplicates, tally.conflicts];
    grid.row(cells.into_iter().chain([tally.with_key, tally.keys]).map(count));
    grid
}

fn rejects(tally: &Tally) -> Grid {
    let mut grid = Grid::new(&["reason", ">records", "because", "first"]);
    for rejected in &tally.rejects {
        let first = format!("record {} of {}", rejected.position, rejected.object);
        grid.row([rejected.reason.clone(), count(rejected.records), rejected.detail.clone(), first]);
    }
    grid
}

fn configured(configured: &Configured, text: &mut String) {
    let _ = writeln!(text, "\nUnder {}", configured.file);
    if !configured.taken.is_empty() {
        let mut grid =
            Grid::new(&["source", ">objects", ">records", ">events", ">rejects", ">control", ">with key", ">keys"]);
        for taken in &configured.taken {
            let counts = taken.tally.counts;
            let numbers = [taken.objects as u64, counts.records, counts.events, counts.rejects, counts.control];
            let numbers = numbers.into_iter().chain([taken.tally.with_key, taken.tally.keys]).map(count);
            grid.row([taken.source.clone()].into_iter().chain(numbers));
        }
        let _ = write!(text, "{grid}");
    }
    let mut said = Vec::new();
    for taken in &configured.taken {
        said.extend(
            taken
                .tally
                .unread
                .iter()
                .map(|(object, error)| format!("`{}` cannot read {object}: {error}", taken.source)),
        );
        said.extend(taken.tally.rejects.iter().map(|rejected| {
            format!(
                "`{}` rejects {} records as {}: {}",
                taken.source,
                count(rejected.records),
                rejected.reason,
                rejected.detail
            )
        }));
    }
    match configured.untaken.as_slice() {
        [] => {}
        [one] => said.push(format!("{one} lies in the location of no source")),
        [first, more @ ..] => {
            said.push(format!("{first} and {} more objects lie in the location of no source", more.len()))
        }
    }
    if let Some((source, tally)) = &configured.would_read {
        let counts = tally.counts;
        said.push(format!(
            "with the settings of `{source}`, {} of {} records there would be events",
            count(counts.events),
            count(counts.records)
        ));
    }
    items(said.iter().map(String::as_str), text);
}

fn listed<'t>(title: &str, lines: impl Iterator<Item = &'t str>, text: &mut String) {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        let _ = writeln!(text, "\n{title}");
        items(lines, text);
    }
}

fn items<'t>(lines: impl Iterator<Item = &'t str>, text: &mut String) {
    for item in lines {
        for (number, line) in wrapped(item, LINE_CHARS - 4).into_iter().enumerate() {
            let _ = writeln!(text, "{}{line}", if number == 0 { "  - " } else { "    " });
        }
    }
}

/// A text in lines of at most so many characters, where its words let it.
fn wrapped(text: &str, chars_max: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let at = lines.len() - 1;
        let line = &mut lines[at];
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= chars_max {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}
