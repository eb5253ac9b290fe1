//! What are these logs? Objects of which nothing is known in; out comes, for each kind of log among them, what it is and
//! how it is packed, which fields or format it has, the settings of a source that reads it, what becomes of its records
//! under them, and what would hurt a bill made from it. No I/O, no clock, nothing configured; the records are counted by
//! the decoder that `convert` uses. Log text never comes out: names and counts do.
//!
//! `opened` unpacks and finds records, `foreign` knows other services' logs by name. `edge` works out CloudFront's fields
//! (`align` and `resemble` from values, `key` where the caller's key is), `gateway` API Gateway's format and `own` the
//! columns of JSON of one's own (`tree` and `names` from keys). `tally` decodes, `advice` judges.

mod advice;
mod align;
mod edge;
mod foreign;
mod gateway;
mod key;
mod names;
mod opened;
mod own;
mod resemble;
mod tally;
mod tree;

use std::collections::BTreeMap;

use crate::base::Micros;

use super::own_json::without_prefix;
use super::{
    ClientIp, Constants, DecodePlan, FieldSet, Format, Identifies, KeySecret, KeySpec, Limits, Privacy, SourceSpec,
};
use opened::{Form, Opened};

pub use advice::{Finding, Level};
pub use tally::{Rejected, Tally};

/// An object to look at.
#[derive(Clone, Debug)]
pub struct Specimen {
    /// What people call it: its path or address.
    pub name: String,
    /// Its first bytes, as stored.
    pub bytes: Vec<u8>,
    /// It has more bytes than these.
    pub is_cut: bool,
    /// When it arrived, where something tells.
    pub arrived_at: Option<Micros>,
}

/// How objects are packed and what stands around their records.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Container {
    /// Ways of packing, the outermost first.
    pub packings: Vec<&'static str>,
    /// Lines, JSON objects or rows of the outermost level.
    pub documents: u64,
    /// Documents of CloudWatch Logs that hold records.
    pub envelopes: u64,
    /// Documents of CloudWatch Logs about itself.
    pub control: u64,
    /// Records that Firehose could not deliver as configured, as its error objects hold them.
    pub failed: u64,
    /// Documents that follow the one before without anything between.
    pub run_together: u64,
    /// Pieces that are no whole line or JSON object.
    pub broken: u64,
    /// Lines that Lambda writes about invocations.
    pub lambda_lines: u64,
    /// The rows are those of Parquet files.
    pub is_parquet: bool,
}

/// A kind of log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// CloudFront real-time logs.
    CloudFrontRealtime,
    /// CloudFront standard logs.
    CloudFrontStandard,
    /// API Gateway access logs.
    ApiGateway,
    /// JSON of one's own.
    Json,
}

impl Kind {
    /// As `kind` of a `[[source]]` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::CloudFrontRealtime => "cloudfront-realtime",
            Self::CloudFrontStandard => "cloudfront-standard",
            Self::ApiGateway => "api-gateway",
            Self::Json => "json",
        }
    }

    /// What its source may be called.
    fn source_name(self) -> &'static str {
        match self {
            Self::CloudFrontRealtime => "edge",
            Self::CloudFrontStandard => "edge-standard",
            Self::ApiGateway => "origin",
            Self::Json => "app",
        }
    }
}

/// What the objects are.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    /// One entry per kind of log.
    pub logs: Vec<Log>,
    /// Objects that are none of them.
    pub strangers: Vec<Stranger>,
}

/// One kind of log among the objects.
#[derive(Clone, Debug)]
pub struct Log {
    /// Which.
    pub kind: Kind,
    /// What it is, in words.
    pub what: String,
    /// Its objects, by their places among the specimens.
    pub objects: Vec<usize>,
    /// How they are packed, all together.
    pub container: Container,
    /// The fields of a log of CloudFront.
    pub fields: Vec<String>,
    /// Keys of JSON records that nothing is read from.
    pub left_out: Vec<String>,
    /// The settings of a source that reads them, without its location.
    pub proposal: Proposal,
    /// What becomes of the records under them; none where no settings can read them.
    pub tally: Option<Tally>,
    /// What is to be said of them.
    pub findings: Vec<Finding>,
}

/// Settings of a source.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// They.
    pub spec: SourceSpec,
    /// Why they do not work on these objects, or not at all.
    pub refused: Option<String>,
    /// Fields that the log configuration must get first.
    pub added: Vec<&'static str>,
}

/// An object that is no log that meterlake reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stranger {
    /// Its place among the specimens.
    pub object: usize,
    /// What it is, where that can be told: "a log of CloudTrail".
    pub what: Option<&'static str>,
    /// What follows from that, or what was seen instead.
    pub detail: String,
    /// It holds no record, and nothing is wrong with that.
    pub is_empty: bool,
}

/// What a single object is taken for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Realtime,
    Standard,
    GatewayJson,
    GatewayText,
    Own,
}

/// Says what the objects are.
pub fn diagnose(specimens: &[Specimen]) -> Diagnosis {
    let mut diagnosis = Diagnosis::default();
    let mut groups: BTreeMap<Class, Vec<(usize, Opened)>> = BTreeMap::new();
    for (object, specimen) in specimens.iter().enumerate() {
        let mut opened = Opened::new(specimen);
        // Only the sample is needed from here on.
        opened.plain = Vec::new();
        match classify(&opened, object) {
            Ok(class) => groups.entry(class).or_default().push((object, opened)),
            Err(stranger) => diagnosis.strangers.push(stranger),
        }
    }
    let kinds = groups.len();
    for (class, objects) in groups {
        diagnosis.logs.push(examine(class, &objects, specimens, kinds > 1));
    }
    distinct_names(&mut diagnosis.logs);
    diagnosis
}

fn distinct_names(logs: &mut [Log]) {
    for at in 1..logs.len() {
        let name = logs[at].proposal.spec.name.clone();
        let same = logs[..at].iter().filter(|log| log.proposal.spec.name.starts_with(&name)).count();
        if same > 0 && logs[..at].iter().any(|log| log.proposal.spec.name == name) {
            logs[at].proposal.spec.name = format!("{name}-{}", same + 1);
        }
    }
}

fn classify(opened: &Opened, object: usize) -> Result<Class, Stranger> {
    let stranger = |what, detail: String| Stranger { object, what, detail, is_empty: false };
    let unread = opened.problem.as_ref().map(ToString::to_string);
    if opened.records.is_empty() && unread.is_some() {
        return Err(stranger(None, unread.unwrap_or_default()));
    }
    if let Some(foreign) = foreign::name(opened) {
        return Err(stranger(Some(foreign.what), foreign.advice.to_owned()));
    }
    if edge::fields_of(&opened.header).is_some_and(|names| edge::is_standard(names.iter().map(String::as_str))) {
        return Ok(Class::Standard);
    }
    let records: Vec<&[u8]> = opened.records.iter().map(Vec::as_slice).collect();
    if records.is_empty() {
        return Err(without_records(opened, object));
    }
    let is_json = |record: &&[u8]| record.trim_ascii_start().first() == Some(&b'{');
    let json: Vec<&[u8]> = records.iter().copied().filter(is_json).collect();
    if json.len() * 2 > records.len() {
        return of_json(opened, &json).map_err(|detail| stranger(None, detail));
    }
    // A function's lines have the words of Lambda before the JSON.
    let written: Vec<&[u8]> = records.iter().map(|record| without_prefix(record).trim_ascii()).collect();
    let written: Vec<&[u8]> = written.into_iter().filter(is_json).collect();
    if written.len() * 2 > records.len() {
        return of_own(&written).map(|()| Class::Own).map_err(|detail| stranger(None, detail));
    }
    if edge::is_realtime(&records) {
        return Ok(Class::Realtime);
    }
    if edge::is_plain_standard(&records) {
        return Ok(Class::Standard);
    }
    if gateway::of_text(&records).is_some() {
        return Ok(Class::GatewayText);
    }
    Err(stranger(None, of_text(opened, &records)))
}

fn without_records(opened: &Opened, object: usize) -> Stranger {
    let detail = match (&opened.container, opened.is_cut) {
        (container, _) if container.control > 0 => {
            "it holds only control messages of CloudWatch Logs, which checks whether it can deliver".to_owned()
        }
        (container, _) if container.lambda_lines > 0 => {
            "it holds only what Lambda writes about invocations (START, END, REPORT)".to_owned()
        }
        (_, true) => "not one whole record lies in the part that was looked at; --mib looks at more".to_owned(),
        (container, _) if container.broken > 0 => "it holds nothing but pieces of records".to_owned(),
        _ => "it is empty".to_owned(),
    };
    let only_service = opened.container.control + opened.container.lambda_lines > 0 && opened.container.broken == 0;
    let is_empty = (opened.form == Form::Empty || only_service) && !opened.is_cut;
    Stranger { object, what: None, detail, is_empty }
}

fn of_json(opened: &Opened, records: &[&[u8]]) -> Result<Class, String> {
    let trees: Vec<_> = records.iter().filter_map(|record| tree::leaves(record.trim_ascii()).ok()).collect();
    if trees.is_empty() {
        return Err("records begin as JSON objects, and not one is whole JSON".to_owned());
    }
    let names = trees[0].iter().filter(|leaf| leaf.path.len() == 1).map(|leaf| leaf.path[0].as_str());
    if edge::is_standard(names) {
        return Ok(Class::Standard);
    }
    if opened.form == Form::Parquet {
        return Err(
            "a Parquet file, and its columns are not those of CloudFront's standard logs (version 2), the only Parquet files that are read".to_owned(),
        );
    }
    if gateway::is_one(records) {
        return Ok(Class::GatewayJson);
    }
    of_own(records).map(|()| Class::Own)
}

fn of_own(records: &[&[u8]]) -> Result<(), String> {
    let trees: Vec<_> = records.iter().filter_map(|record| tree::leaves(record).ok()).collect();
    own::of(&trees).map(drop).map_err(|why| {
        let mut keys: Vec<String> =
            tree::survey(trees.iter().map(Vec::as_slice)).iter().map(|seen| seen.path.join(".")).collect();
        let more = keys.len().saturating_sub(12);
        keys.truncate(12);
        let keys: Vec<String> = keys.iter().map(|key| format!("`{}`", advice::clean(key))).collect();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("JSON records with the keys {}{more}; {why}", keys.join(", "))
    })
}

/// Lines of text that fit nothing: their shape, since what they say is nobody's business.
fn of_text(opened: &Opened, records: &[&[u8]]) -> String {
    let first = advice::shape(records[0]);
    if gateway::is_other_text(records) {
        return format!(
            "lines of text that may be an access log of API Gateway in a format that is not documented: give the source `kind = \"api-gateway\"` and as `format` the access-log format of the stage. The first is such as {first}"
        );
    }
    let whole = if opened.container.envelopes > 0 { "messages of CloudWatch Logs" } else { "lines of text" };
    format!("{whole} that fit no log that meterlake reads. The first is such as {first}")
}

/// Looks closely at the objects of one kind.
fn examine(class: Class, objects: &[(usize, Opened)], specimens: &[Specimen], is_mixed: bool) -> Log {
    let opened: Vec<&Opened> = objects.iter().map(|(_, opened)| opened).collect();
    let records: Vec<&[u8]> = opened.iter().flat_map(|opened| opened.records.iter().map(Vec::as_slice)).collect();
    let mut log = match class {
        Class::Realtime => of_edge(Kind::CloudFrontRealtime, edge::realtime(&records), records.len()),
        Class::Standard => of_edge(Kind::CloudFrontStandard, edge::standard(&opened, &records), records.len()),
        Class::GatewayJson | Class::GatewayText => of_gateway(class, &records),
        Class::Own => of_own_json(&records),
    };
    log.objects = objects.iter().map(|(object, _)| *object).collect();
    opened.iter().for_each(|opened| add(&mut log.container, opened));
    if is_mixed {
        log.findings.push(Finding::harm(
            "mixed",
            "the place holds several kinds of logs: a source reads one of them and rejects the rest. Let each land under a prefix of its own",
        ));
    }
    let wanted = log.objects.iter().map(|&object| &specimens[object]);
    match plan(&log.proposal) {
        Ok(plan) => {
            let tally = Tally::of(&plan, wanted);
            advice::on_plan(&mut log, &plan);
            advice::on_records(&mut log, &tally, specimens);
            log.tally = Some(tally);
        }
        Err(error) => {
            log.findings.insert(0, Finding::harm("refused", error.to_string()));
            log.proposal.refused = Some(error.to_string());
        }
    }
    log.findings.sort_by_key(|finding| finding.level);
    log
}

/// A plan of the proposal; the secret masks and hashes what nobody will see.
fn plan(proposal: &Proposal) -> Result<DecodePlan, super::SpecError> {
    let mut spec = proposal.spec.clone();
    if let (false, Format::CloudFrontRealtime(sets)) = (proposal.added.is_empty(), &mut spec.format) {
        // The records are as they were before the fields were added.
        let later = FieldSet { from: Some(Micros(i64::MAX)), ..sets[0].clone() };
        sets[0].fields.retain(|name| !proposal.added.contains(&name.as_str()));
        sets.truncate(1);
        sets.push(later);
    }
    let secret = KeySecret(b"doctor: nothing of this is stored".to_vec());
    let privacy = Privacy { key_secrets: vec![secret], client_ip: ClientIp::Drop };
    DecodePlan::new(&spec, &privacy, [0; 16], &Limits::default())
}

fn log(kind: Kind, what: String, format: Format, key: KeySpec, identifies: Identifies) -> Log {
    let name = kind.source_name().to_owned();
    let spec = SourceSpec { name, format, key, identifies, set: Constants::default() };
    Log {
        kind,
        what,
        objects: Vec::new(),
        container: Container::default(),
        fields: Vec::new(),
        left_out: Vec::new(),
        proposal: Proposal { spec, refused: None, added: Vec::new() },
        tally: None,
        findings: Vec::new(),
    }
}

fn of_edge(kind: Kind, mut edge: edge::Edge, records: usize) -> Log {
    let key = edge::key_of(&mut edge, records);
    let mut sets = edge.lists.clone();
    let mut added = Vec::new();
    let format = match kind {
        Kind::CloudFrontRealtime => {
            for field in ["timestamp", "x-edge-request-id"] {
                if let Some(set) = sets.last_mut().filter(|set| !set.fields.iter().any(|name| name == field)) {
                    set.fields.push(field.to_owned());
                    added.push(field);
                }
            }
            if let (false, Some(last)) = (added.is_empty(), sets.last()) {
                // Older lists cannot be read either, or need not.
                sets = vec![FieldSet { from: None, fields: in_order(&last.fields) }];
            }
            Format::CloudFrontRealtime(sets)
        }
        _ => Format::CloudFrontStandard(sets),
    };
    let mut log = log(kind, edge.what.clone(), format, key, Identifies::Key);
    log.proposal.added = added;
    advice::on_edge(&mut log, &edge);
    log.fields = edge.fields;
    log
}

/// In the order of a record.
fn in_order(names: &[String]) -> Vec<String> {
    super::fields::FIELDS
        .iter()
        .filter(|field| names.iter().any(|name| name == *field))
        .map(|&name| name.to_owned())
        .collect()
}

fn of_gateway(class: Class, records: &[&[u8]]) -> Log {
    let found = if class == Class::GatewayText { gateway::of_text(records) } else { gateway::of_json(records) };
    let Some(found) = found else {
        // Each object alone looked like one.
        let format = Format::ApiGateway(Vec::new());
        return log(Kind::ApiGateway, "API Gateway access logs".to_owned(), format, KeySpec::None, Identifies::Key);
    };
    let what = format!("API Gateway access logs, {}", found.what);
    let mut log =
        log(Kind::ApiGateway, what, Format::ApiGateway(found.templates.clone()), found.key.clone(), found.identifies);
    advice::on_gateway(&mut log, &found);
    log.left_out = found.left_out;
    log
}

fn of_own_json(records: &[&[u8]]) -> Log {
    let trees: Vec<_> =
        records.iter().filter_map(|record| tree::leaves(without_prefix(record).trim_ascii()).ok()).collect();
    match own::of(&trees) {
        Ok(own) => {
            let what = format!("JSON of your own, for `{}`", own.json.table.name());
            let mut log = log(Kind::Json, what, Format::Json(own.json.clone()), own.key.clone(), Identifies::Key);
            advice::on_own(&mut log, &own);
            log.left_out = own.left_out;
            log
        }
        Err(why) => {
            // Each object alone could be read.
            let format =
                Format::Json(super::OwnJson { table: crate::schema::Table::OriginRequests, columns: Vec::new() });
            let mut log = log(Kind::Json, "JSON of your own".to_owned(), format, KeySpec::None, Identifies::Key);
            log.findings
                .push(Finding::harm("mixed", format!("taken together, {why}: the objects may be of different logs")));
            log
        }
    }
}

fn add(all: &mut Container, opened: &Opened) {
    let one = &opened.container;
    if all.packings.len() < one.packings.len() {
        all.packings.clone_from(&one.packings);
    }
    all.documents += one.documents;
    all.envelopes += one.envelopes;
    all.control += one.control;
    all.failed += one.failed;
    all.run_together += one.run_together;
    all.broken += one.broken;
    all.lambda_lines += one.lambda_lines;
    all.is_parquet |= opened.form == Form::Parquet;
}
