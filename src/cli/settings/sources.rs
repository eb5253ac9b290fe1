//! `[[source]]`: where objects land, how their records are written and where these carry the caller's key.

use crate::base::Micros;
use crate::base::document::{Item, Section};
use crate::base::problem::listed;
use crate::base::time::ParseTimeError;
use crate::billing::is_hashed;
use crate::decode::{
    Api, Constants, FieldSet, Format, Identifies, KeySpec, Missing, OwnJson, SourceSpec, Template, names_a_caller,
};
use crate::schema::Table;

use super::place::Place;
use super::{Around, SourceSettings, counts, place};

const KEYS: &[&str] = &[
    "name",
    "kind",
    "location",
    "fields",
    "format",
    "table",
    "columns",
    "key",
    "identifies",
    "set",
    "heartbeat",
    "count",
    "shortfall_max_per_mille",
    "split",
];
const SPLIT_MAX: i64 = 256;

/// A source as far as it could be read.
pub(super) struct Declared<'d> {
    /// Its name; none only where a problem was noted.
    pub(super) name: Option<String>,
    /// Where it stands.
    pub(super) section: Section<'d>,
    /// The table of its events.
    pub(super) table: Option<Table>,
    /// The kind of log.
    pub(super) kind: Option<Kind>,
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

/// The kind of log that a source's objects are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
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
    const ALL: [(&str, Self); 4] = [
        ("cloudfront-realtime", Self::CloudFrontRealtime),
        ("cloudfront-standard", Self::CloudFrontStandard),
        ("api-gateway", Self::ApiGateway),
        ("json", Self::Json),
    ];

    /// Whether both are logs of CloudFront, of which a distribution may write either or both.
    pub(super) fn is_view_beside(self, other: Self) -> bool {
        let of_cloudfront = |kind| matches!(kind, Self::CloudFrontRealtime | Self::CloudFrontStandard);
        self != other && of_cloudfront(self) && of_cloudfront(other)
    }

    /// Of the settings that only some kinds have, those that this one has.
    fn settings(self) -> &'static [&'static str] {
        match self {
            Self::CloudFrontRealtime | Self::CloudFrontStandard => &["fields"],
            Self::ApiGateway => &["format"],
            Self::Json => &["table", "columns"],
        }
    }
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
    let table = match kind {
        Some(Kind::CloudFrontRealtime | Kind::CloudFrontStandard) => Some(Table::EdgeRequests),
        Some(Kind::ApiGateway) => Some(Table::OriginRequests),
        // Whatever is wrong with it is noted already.
        Some(Kind::Json) => section.get("table").and_then(|item| Table::by_name(item.as_text()?)),
        None => None,
    };
    let counted = section.get("count").map_or(Some(Vec::new()), |item| counts::read(&item, table));
    let shortfall_max_per_mille = counts::shortfall_max(&section);
    let split = section.get("split").map_or(Some(1), |item| split(&item));
    let settings = || {
        Some(SourceSettings {
            spec: SourceSpec { name: name.clone()?, format: format?, key: key?, identifies: identifies?, set: set? },
            location: place.as_ref()?.text.clone(),
            heartbeat: heartbeat?,
            counted: counted?,
            shortfall_max_per_mille: shortfall_max_per_mille?,
            split: split?,
            line: section.line(),
        })
    };
    let settings = settings();
    Declared { name, section, table, kind, place, settings }
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
    item.word(&Kind::ALL)
}

fn format(section: &Section<'_>, kind: Kind) -> Option<Format> {
    let wanted = kind.settings();
    for foreign in ["fields", "format", "table", "columns"].into_iter().filter(|key| !wanted.contains(key)) {
        if let Some(item) = section.get(foreign) {
            let wanted: Vec<_> = wanted.iter().map(|key| format!("`{key}`")).collect();
            item.problem(format!("`{foreign}` is for another kind of source; this one has {}", wanted.join(" and ")));
        }
    }
    match kind {
        Kind::CloudFrontRealtime => field_sets(&section.required("fields")?).map(Format::CloudFrontRealtime),
        Kind::CloudFrontStandard => match section.get("fields") {
            Some(item) => field_sets(&item).map(Format::CloudFrontStandard),
            None => Some(Format::CloudFrontStandard(Vec::new())),
        },
        // The documented formats are recognised by themselves.
        Kind::ApiGateway => match section.get("format") {
            Some(item) => templates(&item).map(Format::ApiGateway),
            None => Some(Format::ApiGateway(Vec::new())),
        },
        Kind::Json => own_json(section).map(Format::Json),
    }
}

fn own_json(section: &Section<'_>) -> Option<OwnJson> {
    let tables = [("origin_requests", Table::OriginRequests), ("edge_requests", Table::EdgeRequests)];
    let table = section.required("table").and_then(|item| item.word(&tables));
    let paths = section.required("columns")?.any_section()?;
    let columns: Vec<_> = paths.entries().map(|(column, item)| Some((column.to_owned(), path(&item)?))).collect();
    Some(OwnJson { table: table?, columns: columns.into_iter().collect::<Option<_>>()? })
}

/// The keys that lead to a value: `"http.status"`, or a list where a key itself has a dot.
fn path(item: &Item<'_>) -> Option<Vec<String>> {
    let keys: Option<Vec<String>> = match item.as_list() {
        Some(members) => members.iter().map(|member| member.text().map(str::to_owned)).collect(),
        None => Some(item.text()?.split('.').map(str::to_owned).collect()),
    };
    if keys.as_ref().is_some_and(|keys| keys.is_empty() || keys.iter().any(String::is_empty)) {
        item.problem(
            "a path is keys with dots between, \"http.status\", or a list of keys, [\"http.status\", \"code\"]",
        );
        return None;
    }
    keys
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
        item.problem("`fields` is empty; list the fields of the log configuration");
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
    const FOR_STANDARD: &str = "standard logs have no headers: the key is in { log_data = \"k\" } (standard logging \
        version 2) or { query = \"api_key\" }";
    const FOR_JSON: &str = "a source of own JSON has its key in { path = \"auth.key\" }, with plain = true where it is \
        an id and no secret";
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
        (Kind::CloudFrontRealtime, true) => {
            edge_key(item, &["header", "log_data", "query", "plain", "missing"], FOR_EDGE)
        }
        (Kind::CloudFrontStandard, true) if item.any_section()?.get("header").is_some() => {
            item.problem(FOR_STANDARD);
            None
        }
        (Kind::CloudFrontStandard, true) => edge_key(item, &["log_data", "query", "plain", "missing"], FOR_STANDARD),
        (Kind::Json, true) => {
            let section = item.section(&["path", "plain"])?;
            let plain = section.get("plain").map_or(Some(false), |item| item.boolean())?;
            let Some(item) = section.get("path") else {
                section.problem(FOR_JSON);
                return None;
            };
            Some(KeySpec::Path { path: path(&item)?, plain })
        }
        (Kind::CloudFrontRealtime | Kind::CloudFrontStandard | Kind::Json, false) => {
            item.problem(match kind {
                Kind::CloudFrontStandard => FOR_STANDARD,
                Kind::Json => FOR_JSON,
                Kind::CloudFrontRealtime | Kind::ApiGateway => FOR_EDGE,
            });
            None
        }
    }
}

fn edge_key(item: &Item<'_>, known: &[&str], usage: &str) -> Option<KeySpec> {
    let section = item.section(known)?;
    let plain = section.get("plain").map_or(Some(false), |item| item.boolean())?;
    let words = [("held", Missing::Held), ("anonymous", Missing::Anonymous)];
    let missing = section.get("missing").map_or(Some(Missing::default()), |item| item.word(&words))?;
    let text = |key: &str| section.get(key).map(|item| item.text().map(str::to_owned));
    let spec = match (text("header"), text("log_data"), text("query")) {
        (Some(name), None, None) => KeySpec::Header(name?.to_ascii_lowercase()),
        (None, Some(name), None) => KeySpec::LogData { name: name?, plain, missing },
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
    if let Some(item) = section.get("missing").filter(|_| !matches!(spec, KeySpec::LogData { .. })) {
        item.problem("`missing` is for `log_data`: it says what a request is for which no function wrote any");
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
