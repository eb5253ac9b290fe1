//! `[[source]]`: where objects land, how their records are written and where these carry the caller's key.

use crate::base::Micros;
use crate::base::document::{Item, Section};
use crate::base::problem::listed;
use crate::base::time::ParseTimeError;
use crate::billing::is_hashed;
use crate::decode::{Api, Constants, FieldSet, Format, Identifies, KeySpec, SourceSpec, Template, names_a_caller};
use crate::schema::Table;

use super::place::Place;
use super::{Around, SourceSettings, place};

const KEYS: &[&str] =
    &["name", "kind", "location", "fields", "format", "key", "identifies", "set", "heartbeat", "split"];
const SPLIT_MAX: i64 = 256;

/// A source as far as it could be read.
pub(super) struct Declared<'d> {
    /// Its name; none only where a problem was noted.
    pub(super) name: Option<String>,
    /// Where it stands.
    pub(super) section: Section<'d>,
    /// The table of its events.
    pub(super) table: Option<Table>,
    /// Where its objects land.
    pub(super) place: Option<Place>,
    /// The whole of it; none only where a problem was noted.
    pub(super) settings: Option<SourceSettings>,
}

impl Declared<'_> {
    /// Notes a problem where its location stands.
    pub(super) fn problem_with_location(&self, message: String) {
        match self.section.get("location") {
            Some(item) => item.problem(message),
            None => self.section.problem(message),
        }
    }

    /// Whether a secret is needed to read it.
    pub(super) fn hashes_keys(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| is_hashed(&settings.spec.key))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    CloudFrontRealtime,
    ApiGateway,
}

/// All sources.
pub(super) fn read<'d>(root: &Section<'d>, around: &Around<'_>) -> Vec<Declared<'d>> {
    let mut declared: Vec<Declared<'d>> = Vec::new();
    for section in root.sections("source", KEYS) {
        let source = source(section, around);
        if let Some(name) = &source.name
            && declared.iter().any(|other| other.name == source.name)
        {
            source.section.problem(format!("source `{name}` is defined twice"));
        }
        declared.push(source);
    }
    declared
}

fn source<'d>(section: Section<'d>, around: &Around<'_>) -> Declared<'d> {
    let name = section.required("name").and_then(|item| name(&item));
    let place = section.required("location").and_then(|item| place::read(&item, around));
    let kind = section.required("kind").and_then(|item| kind(&item));
    let format = kind.and_then(|kind| format(&section, kind));
    let key = match (section.get("key"), kind) {
        (Some(item), Some(kind)) => key(&item, kind),
        (None, _) => Some(KeySpec::None),
        (Some(_), None) => None,
    };
    if section.get("key").is_none() {
        check_anonymous(&section, format.as_ref());
    }
    let identifies = identifies(&section, key.as_ref());
    let set = constants(&section);
    let heartbeat = section.get("heartbeat").map_or(Some(false), |item| item.boolean());
    let split = section.get("split").map_or(Some(1), |item| split(&item));
    let settings = || {
        Some(SourceSettings {
            spec: SourceSpec { name: name.clone()?, format: format?, key: key?, identifies: identifies?, set: set? },
            location: place.as_ref()?.text.clone(),
            heartbeat: heartbeat?,
            split: split?,
            line: section.line(),
        })
    };
    let settings = settings();
    let table = kind.map(|kind| match kind {
        Kind::CloudFrontRealtime => Table::EdgeRequests,
        Kind::ApiGateway => Table::OriginRequests,
    });
    Declared { name, section, table, place, settings }
}

/// A name that can be part of a path.
pub(super) fn name(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if text.len() > 64 || !text.bytes().all(plain) {
        item.problem("a name has at most 64 lower-case letters, digits, `-` and `_`");
        return None;
    }
    Some(text.to_owned())
}

/// A number of days, at least one.
pub(super) fn days(item: &Item<'_>) -> Option<u32> {
    item.integer(1..=36_500).and_then(|days| u32::try_from(days).ok())
}

fn kind(item: &Item<'_>) -> Option<Kind> {
    if let Some(later @ ("cloudfront-standard" | "json")) = item.as_text() {
        item.problem(format!(
            "kind `{later}` is not supported by this version; known: `cloudfront-realtime`, `api-gateway`"
        ));
        return None;
    }
    item.word(&[("cloudfront-realtime", Kind::CloudFrontRealtime), ("api-gateway", Kind::ApiGateway)])
}

fn format(section: &Section<'_>, kind: Kind) -> Option<Format> {
    let (wanted, foreign) = match kind {
        Kind::CloudFrontRealtime => ("fields", "format"),
        Kind::ApiGateway => ("format", "fields"),
    };
    if let Some(item) = section.get(foreign) {
        item.problem(format!("`{foreign}` is for the other kind of source; this one has `{wanted}`"));
    }
    let item = match section.get(wanted) {
        Some(item) => item,
        // The documented formats are recognised by themselves.
        None if kind == Kind::ApiGateway => return Some(Format::ApiGateway(Vec::new())),
        None => section.required(wanted)?,
    };
    match kind {
        Kind::CloudFrontRealtime => field_sets(&item).map(Format::CloudFrontRealtime),
        Kind::ApiGateway => templates(&item).map(Format::ApiGateway),
    }
}

fn field_sets(item: &Item<'_>) -> Option<Vec<FieldSet>> {
    if item.list()?.iter().any(Item::is_table) {
        return by_arrival(item, "fields", |from, fields| Some(FieldSet { from, fields: field_names(fields)? }));
    }
    Some(vec![FieldSet { from: None, fields: field_names(item)? }])
}

fn field_names(item: &Item<'_>) -> Option<Vec<String>> {
    let members = item.list()?;
    if members.is_empty() {
        item.problem("`fields` is empty; list the fields of the real-time log configuration");
        return None;
    }
    let names: Vec<String> = members.iter().filter_map(|member| member.text().map(str::to_owned)).collect();
    (names.len() == members.len()).then_some(names)
}

fn templates(item: &Item<'_>) -> Option<Vec<Template>> {
    if item.as_list().is_some() {
        return by_arrival(item, "format", |from, text| Some(Template { from, text: text.text()?.to_owned() }));
    }
    Some(vec![Template { from: None, text: item.text()?.to_owned() }])
}

/// A list of `{ from, … }`: each holds for objects that arrive from an instant on.
fn by_arrival<T>(
    item: &Item<'_>,
    key: &str,
    mut read: impl FnMut(Option<Micros>, &Item<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let members = item.list()?;
    if members.is_empty() {
        item.problem(format!("`{key}` is empty"));
    }
    let mut values = Vec::with_capacity(members.len());
    let mut previous: Option<Micros> = None;
    for (at, member) in members.iter().enumerate() {
        let Some(section) = member.section(&["from", key]) else { continue };
        let value = section.required(key);
        let from = match section.get("from") {
            Some(item) => instant(&item).map(Some),
            None if at == 0 => Some(None),
            None => {
                section.problem("`from` is missing: only the first may hold from the beginning");
                None
            }
        };
        let (Some(from), Some(value)) = (from, value) else { continue };
        if at > 0 && from <= previous {
            section.problem("each `from` must be later than the one before");
            continue;
        }
        previous = from;
        values.extend(read(from, &value));
    }
    (values.len() == members.len() && !members.is_empty()).then_some(values)
}

fn instant(item: &Item<'_>) -> Option<Micros> {
    let text = item.moment()?;
    text.parse().map_err(|error: ParseTimeError| item.problem(error.to_string())).ok()
}

/// A format that cannot tell whose request it was gives usage that nobody is billed for: only if told so.
fn check_anonymous(section: &Section<'_>, format: Option<&Format>) {
    let Some(Format::ApiGateway(templates)) = format else { return };
    if let Some(Template { text, .. }) = templates.iter().find(|template| !names_a_caller(&template.text)) {
        let is_http = text.contains("$context.routeKey") && !text.contains("$context.resourcePath");
        let (variable, api) = match is_http {
            true => ("$context.authorizer.customerId", Api::Http),
            false => ("$context.identity.apiKeyId", Api::Rest),
        };
        section.problem(format!(
            "the access-log format says nothing of whose request it was: add `{variable}` to it in the stage and name it as `key`, \
             or set `key = \"none\"` if nobody is billed. A format that has all that is needed: {}",
            api.recommended()
        ));
    }
}

fn key(item: &Item<'_>, kind: Kind) -> Option<KeySpec> {
    const FOR_EDGE: &str = "a CloudFront source has its key in { header = \"x-api-key\" }, { log_data = \"k\" } \
        or { query = \"api_key\" }";
    // Never the value: somebody may have put a key here.
    match (kind, item.is_table()) {
        (Kind::ApiGateway, false) => match item.text()? {
            "none" => Some(KeySpec::None),
            text if text.strip_prefix("$context.").is_some_and(|rest| !rest.is_empty()) => {
                Some(KeySpec::Variable(text.to_owned()))
            }
            _ => {
                item.problem("the key of an API Gateway source is a variable of its format such as \"$context.identity.apiKeyId\"");
                None
            }
        },
        (Kind::ApiGateway, true) => {
            item.problem("an API Gateway log has no headers: name a variable such as \"$context.identity.apiKeyId\"");
            None
        }
        (Kind::CloudFrontRealtime, false) => {
            item.problem(FOR_EDGE);
            None
        }
        (Kind::CloudFrontRealtime, true) => edge_key(item, FOR_EDGE),
    }
}

fn edge_key(item: &Item<'_>, usage: &str) -> Option<KeySpec> {
    let section = item.section(&["header", "log_data", "query", "plain"])?;
    let plain = section.get("plain").map_or(Some(false), |item| item.boolean())?;
    let text = |key: &str| section.get(key).map(|item| item.text().map(str::to_owned));
    let spec = match (text("header"), text("log_data"), text("query")) {
        (Some(name), None, None) => KeySpec::Header(name?.to_ascii_lowercase()),
        (None, Some(name), None) => KeySpec::LogData { name: name?, plain },
        (None, None, Some(name)) => KeySpec::Query(name?),
        _ => {
            section.problem(usage);
            return None;
        }
    };
    if plain && !matches!(spec, KeySpec::LogData { .. }) {
        section.problem("`plain` is for `log_data`: what callers send in a header or query is a secret");
        return None;
    }
    Some(spec)
}

fn identifies(section: &Section<'_>, key: Option<&KeySpec>) -> Option<Identifies> {
    let Some(item) = section.get("identifies") else { return Some(Identifies::Key) };
    let identifies = item.word(&[("key", Identifies::Key), ("customer", Identifies::Customer)])?;
    match key {
        Some(KeySpec::None) => {
            item.problem("`identifies` says what the key is, but this source has no `key`");
            None
        }
        Some(key) if identifies == Identifies::Customer && is_hashed(key) => {
            item.problem("this key is hashed, so it cannot be a customer's id; name a value that is one as it stands");
            None
        }
        _ => Some(identifies),
    }
}

fn constants(section: &Section<'_>) -> Option<Constants> {
    let Some(item) = section.get("set") else { return Some(Constants::default()) };
    let set = item.section(&["account", "region", "stage"])?;
    let text = |key: &str| match set.get(key) {
        Some(item) => item.text().map(|text| Some(text.to_owned())),
        None => Some(None),
    };
    Some(Constants { account: text("account")?, region: text("region")?, stage: text("stage")? })
}

fn split(item: &Item<'_>) -> Option<u32> {
    let parts = u32::try_from(item.integer(1..=SPLIT_MAX)?).ok()?;
    if !parts.is_power_of_two() {
        let powers: Vec<String> = (0..=8).map(|bits| (1_u32 << bits).to_string()).collect();
        item.problem(format!("`split` must be one of {}", listed(&powers)));
        return None;
    }
    Some(parts)
}
