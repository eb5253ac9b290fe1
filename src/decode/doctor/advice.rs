//! What is to be said of a log: what would hurt a bill made from it, what is worth knowing, and what the data cannot tell.
//! Each finding is a sentence that says what to do; none holds log text.

use crate::base::time::DAY_MICROS;
use crate::decode::{DecodePlan, Format, KeySpec};

use super::edge::Edge;
use super::gateway::Gateway;
use super::own::Own;
use super::{Kind, Log, Specimen, Tally};

/// Of a hundred records so many rejects are worth a look.
const REJECTS_PERCENT: u64 = 1;
/// An object's arrival is that of its first record, and Firehose may gather records for a quarter of an hour.
const CLOCKS_APART: i64 = 20 * 60 * 1_000_000;
/// Characters of a line's shape.
const SHAPE_CHARS: usize = 60;

/// How much a finding matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// It would hurt a bill.
    Harm,
    /// It is worth knowing.
    Note,
    /// The data cannot tell it.
    Unknown,
}

/// Something to say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// One word for scripts.
    pub code: &'static str,
    /// A sentence.
    pub text: String,
}

impl Finding {
    pub(super) fn harm(code: &'static str, text: impl Into<String>) -> Self {
        Self { level: Level::Harm, code, text: text.into() }
    }

    fn note(code: &'static str, text: impl Into<String>) -> Self {
        Self { level: Level::Note, code, text: text.into() }
    }

    fn unknown(text: impl Into<String>) -> Self {
        Self { level: Level::Unknown, code: "unknown", text: text.into() }
    }
}

/// Of a log of CloudFront: its fields and where the key is.
pub(super) fn on_edge(log: &mut Log, edge: &Edge) {
    let key = log.proposal.spec.key.clone();
    let is_realtime = log.kind == Kind::CloudFrontRealtime;
    let findings = &mut log.findings;
    edge.harm.iter().for_each(|text| findings.push(Finding::harm("layout", text.clone())));
    if !edge.has("x-edge-request-id") {
        let where_to = if is_realtime { "the log configuration and to `fields`" } else { "the fields of the log" };
        findings.push(Finding::harm(
            "no_id",
            format!("no `x-edge-request-id`, the id that no caller can choose: a record delivered twice cannot be told from two requests, so none is read. Add it to {where_to}"),
        ));
    }
    if is_realtime && !edge.has("timestamp") {
        findings.push(Finding::harm(
            "no_time",
            "no `timestamp`: no record can be read without its time. Add it to the log configuration",
        ));
    }
    if key == KeySpec::None {
        findings.push(no_edge_key(edge, is_realtime));
    }
    if edge.has("cs-headers") && !edge.has("cs-headers-count") && !matches!(key, KeySpec::Header(_)) {
        findings.push(Finding::note(
            "headers_count",
            "`cs-headers` without `cs-headers-count`: whether a header list was cut can only be guessed; add it",
        ));
    }
    secrets(findings, edge.keys.secrets.iter());
    edge.unknown.iter().for_each(|text| findings.push(Finding::unknown(text.clone())));
    if is_realtime {
        findings.push(Finding::unknown(
            "the sampling rate: no record shows it. It must be 100 in the real-time log configuration, or requests are missing from the bill",
        ));
        findings
            .push(Finding::unknown("whether every cache behaviour that is billed has this log configuration attached"));
    }
}

fn no_edge_key(edge: &Edge, is_realtime: bool) -> Finding {
    let remedy = if is_realtime {
        "let a CloudFront function write it to `viewer-request-log-data` and select that field, or select `cs-headers`"
    } else {
        "standard logs have no request headers: let a CloudFront function write it to `viewer-request-log-data` (version 2), or bill from real-time logs or the origin's"
    };
    let why = if let Some(name) = edge.keys.named_only() {
        format!("callers send the header `{name}`, but only its name is logged (`cs-header-names`)")
    } else if edge.keys.has_other_log_data() {
        "`viewer-request-log-data` holds something, but no `name=value`, which is what a key is read from".to_owned()
    } else if edge.keys.has_authorization() {
        "the only header that tells callers apart is `authorization`, which mostly changes from call to call".to_owned()
    } else {
        "no record carries anything that looks like a caller's key".to_owned()
    };
    Finding::harm("no_key", format!("{why}: all usage would be anonymous and nobody billed; {remedy}"))
}

/// Of a log of API Gateway: its format and who calls.
pub(super) fn on_gateway(log: &mut Log, gateway: &Gateway) {
    if log.proposal.spec.key == KeySpec::None && gateway.templates.is_empty() {
        log.findings.push(Finding::harm(
            "no_key",
            "the documented formats name no key: all usage would be anonymous and nobody billed. Add `$context.identity.apiKeyId` (REST API) or `$context.authorizer.customerId` (an authorizer's word) to the format of the stage and give it as `key`",
        ));
    }
    secrets(&mut log.findings, gateway.secrets.iter());
    gateway.unknown.iter().for_each(|text| log.findings.push(Finding::unknown(text.clone())));
}

/// Of JSON of one's own.
pub(super) fn on_own(log: &mut Log, own: &Own) {
    if own.key == KeySpec::None {
        log.findings.push(Finding::harm(
            "no_key",
            "no key of the records looks like a caller's (`apiKeyId`, `customerId`, …): all usage would be anonymous; write one, or name it: `key = { path = \"…\" }`",
        ));
    }
    if let Some(path) = &own.sampled {
        log.findings.push(Finding::harm(
            "sampling",
            format!(
                "`{}` says that only a part of the requests is logged: the others are missing from the bill",
                clean(path)
            ),
        ));
    }
    log.findings.push(Finding::harm(
        "no_id",
        "whoever writes these logs may take the id from the caller: repeated ids cannot be held as conflicts. Make the id yourself, or log API Gateway's `extendedRequestId`",
    ));
    secrets(&mut log.findings, own.secrets.iter());
    own.unknown.iter().for_each(|text| log.findings.push(Finding::unknown(text.clone())));
}

fn secrets<'s>(findings: &mut Vec<Finding>, secrets: impl Iterator<Item = (&'s String, &'s u64)>) {
    let listed: Vec<String> =
        secrets.map(|(what, records)| format!("{} ({records} of the records looked at)", clean(what))).collect();
    if !listed.is_empty() {
        findings.push(Finding::harm(
            "secrets",
            format!(
                "secrets lie in the log in clear: {}. meterlake does not store them, but whoever can read the bucket can: take them out of the log, and expire its objects",
                listed.join(", ")
            ),
        ));
    }
}

/// What the settings are warned of wherever they are used.
pub(super) fn on_plan(log: &mut Log, plan: &DecodePlan) {
    let said_of_key = log.findings.iter().any(|finding| finding.code == "no_key");
    for warning in plan.warnings() {
        let code = match warning.as_str() {
            text if text.contains("cs-headers-count") => "headers_count",
            text if text.contains("`key`: all its usage") && said_of_key => continue,
            text if text.contains("`key`: all its usage") => "no_key",
            text if text.contains("can be chosen by the caller") => "no_id",
            text if text.contains("writes the secret key") => "secrets",
            text if text.contains("claim") => "key_in_query",
            _ => "settings",
        };
        log.findings.push(Finding::harm(code, warning));
    }
    if matches!(log.proposal.spec.key, KeySpec::Query(_)) && !log.findings.iter().any(|f| f.code == "key_in_query") {
        log.findings
            .push(Finding::harm("key_in_query", "the key stands only in the query: anybody can write any key there"));
    }
}

/// What becomes of the records.
pub(super) fn on_records(log: &mut Log, tally: &Tally, specimens: &[Specimen]) {
    let counts = tally.counts;
    let mut findings = Vec::new();
    for (object, error) in &tally.unread {
        findings.push(Finding::harm(
            "unread",
            format!("{object} cannot be read whole, and nothing of it would be: {error}"),
        ));
    }
    // Where no record can have an id, that is said.
    let said = |code: &str| log.findings.iter().any(|finding| finding.code == code);
    let is_said = said("no_id") && counts.rejects > 0 && tally.rejects.iter().all(|r| r.reason == "no_id");
    if counts.rejects * 100 > counts.records * REJECTS_PERCENT && !is_said {
        findings.push(Finding::harm(
            "rejects",
            format!("{} of {} records cannot be read, and nobody is billed for these", counts.rejects, counts.records),
        ));
    }
    keys(log, tally, &mut findings);
    let conflicts = tally.conflicts;
    if conflicts > 0 {
        findings.push(Finding::harm(
            "conflicts",
            format!("{conflicts} records have the id of another one, but not its bytes: under an id that no caller can choose they are held, else each is an event of its own"),
        ));
    }
    if tally.duplicates > 0 {
        findings.push(Finding::note(
            "duplicates",
            format!("{} records are there more than once, byte for byte; meterlake counts each once", tally.duplicates),
        ));
    }
    times(tally, &mut findings);
    layout(log, &mut findings);
    let cut = log.objects.iter().filter(|&&object| specimens[object].is_cut).count();
    if cut > 0 {
        findings.push(Finding::note("cut", format!("of {cut} objects only the beginning was looked at")));
    }
    log.findings.extend(findings);
}

fn keys(log: &Log, tally: &Tally, findings: &mut Vec<Finding>) {
    let (events, with_key) = (tally.counts.events, tally.with_key);
    let key = &log.proposal.spec.key;
    if events == 0 || *key == KeySpec::None {
        return;
    }
    if with_key == 0 {
        findings.push(Finding::harm(
            "no_key",
            format!("no event has a value where the key is looked for ({key}): all usage would be anonymous and nobody billed"),
        ));
    } else if with_key + tally.key_truncated < events {
        let without = events - with_key - tally.key_truncated;
        findings.push(Finding::note(
            "some_without_key",
            format!("{without} of {events} events carry no key: they are anonymous and nobody is billed for them"),
        ));
    }
    if tally.key_truncated > 0 {
        findings.push(Finding::harm(
            "truncated",
            format!("{} of {events} events may have lost their key, since CloudFront cuts long header lists and log data: they are held, not billed", tally.key_truncated),
        ));
    }
}

fn times(tally: &Tally, findings: &mut Vec<Finding>) {
    if tally.after_arrival > 0 && tally.after_arrival_max > CLOCKS_APART {
        findings.push(Finding::harm(
            "clock",
            format!(
                "{} events are later than the arrival of their object, by up to {}: a clock is wrong or a time is not UTC, and usage lands on the wrong day",
                tally.after_arrival,
                span(tally.after_arrival_max)
            ),
        ));
    }
    if tally.before_arrival_max > 2 * DAY_MICROS {
        findings.push(Finding::harm(
            "late",
            format!(
                "events arrived up to {} after their time: a month that is closed before they come bills them as a correction. Wait with closing, or look for what delays the delivery",
                span(tally.before_arrival_max)
            ),
        ));
    }
    if let Some((apart, object)) = tally.apart_max.as_ref().filter(|(apart, _)| *apart > DAY_MICROS) {
        findings.push(Finding::harm(
            "apart",
            format!("the events of {object} are up to {} apart: late ones are put into their own days, but look whether a clock or a time zone is wrong", span(*apart)),
        ));
    }
    if tally.disordered > 0 {
        let text = format!(
            "{} records stand behind a later one, by up to {}; the time in the record decides, so no figure changes",
            tally.disordered,
            span(tally.disorder_max)
        );
        findings.push(Finding::note("disorder", text));
    }
}

fn layout(log: &Log, findings: &mut Vec<Finding>) {
    let container = &log.container;
    if container.run_together > 0 {
        findings.push(Finding::note(
            "run_together",
            format!(
                "{} documents follow the one before without a line end; they are told apart all the same",
                container.run_together
            ),
        ));
    }
    if container.failed > 0 {
        findings.push(Finding::note(
            "failed",
            format!("{} records come from error objects of Firehose: it could not deliver them as configured. Where they were delivered elsewhere too, they count once", container.failed),
        ));
    }
    if log.left_out.is_empty() {
        return;
    }
    let more = log.left_out.len().saturating_sub(20);
    let shown: Vec<String> = log.left_out.iter().take(20).map(|key| format!("`{}`", clean(key))).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let what = if matches!(log.proposal.spec.format, Format::Json(_)) {
        "no column is read from"
    } else {
        "not recognised and passed over:"
    };
    findings.push(Finding::note("left_out", format!("{what} {}{more}", shown.join(", "))));
}

/// A time span in words.
pub(super) fn span(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let of = |value: i64, unit: &str| format!("{value} {unit}{}", if value == 1 { "" } else { "s" });
    match seconds {
        0 => format!("{} ms", micros / 1000),
        1..=119 => of(seconds, "second"),
        120..=7199 => of(seconds / 60, "minute"),
        7200..=172_799 => of(seconds / 3600, "hour"),
        _ => of(seconds / 86_400, "day"),
    }
}

/// A name for people: without control characters, and not endless.
pub(super) fn clean(name: &str) -> String {
    let mut text: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).take(80).collect();
    if name.chars().count() > 80 {
        text.push('…');
    }
    text
}

/// What a line looks like: its letters as `a`, its digits as `0`.
pub(super) fn shape(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(&line[..line.len().min(4 * SHAPE_CHARS)]).into_owned();
    let masked = text.chars().take(SHAPE_CHARS).map(|c| match c {
        '\t' => '→',
        c if c.is_ascii_digit() => '0',
        c if c.is_alphabetic() => 'a',
        c if c.is_control() || !c.is_ascii() => '?',
        c => c,
    });
    let masked: String = masked.collect();
    let more = if line.len() > masked.chars().count() { "…" } else { "" };
    format!("`{masked}{more}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_tells_no_letter_and_no_digit() {
        assert_eq!(shape(b"203.0.113.9 key=SECRET\t\x1bx"), "`000.0.000.0 aaa=aaaaaa→?a`");
        assert_eq!(shape("é".repeat(100).as_bytes()), format!("`{}…`", "a".repeat(60)));
    }

    #[test]
    fn spans_are_told_in_the_unit_that_suits() {
        for (micros, text) in [
            (1_500, "1 ms"),
            (1_000_000, "1 second"),
            (119_000_000, "119 seconds"),
            (7_200_000_000, "2 hours"),
            (3 * DAY_MICROS, "3 days"),
        ] {
            assert_eq!(span(micros), text);
        }
    }
}
