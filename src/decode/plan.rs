//! A source's settings, checked once and made ready to read any number of objects: [`DecodePlan`].

use std::fmt;
use std::sync::Arc;

use super::apigateway::{Fmt, OriginPlan, Slots};
use super::cloudfront::EdgePlan;
use super::defaults::DEFAULTS;
use super::edge_rows::{EdgeKey, EdgeRules};
use super::error::{Api, SpecError};
use super::fields::{FIELDS, Field, Layout};
use super::fingerprint::Fingerprints;
use super::literal::Literal;
use super::lockstep::Lockstep;
use super::mask::Masker;
use super::own_json::OwnPlan;
use super::privacy::secret_check_value;
use super::standard::{Columns, StandardPlan};
use super::template::{TemplatePlan, name_length};
use super::{
    ClientIp, DECODER_GENERATION, FieldSet, Format, Identifies, KeySecret, KeySpec, Limits, Micros, OwnJson, Privacy,
    SourceSpec, Template,
};
use crate::base::{Digest, Digester};
use crate::schema::Table;

/// Everything needed to read the objects of one source. Cheap to clone.
#[derive(Clone)]
pub struct DecodePlan(pub(super) Arc<Plan>);

pub(super) struct Plan {
    pub(super) source: String,
    pub(super) reading: Reading,
    pub(super) fingerprints: Fingerprints,
    pub(super) masker: Masker,
    /// What masks and hashes: the newest secret, or the lake's fingerprint key where no secret is configured.
    pub(super) hash_key: Vec<u8>,
    pub(super) limits: Limits,
    unforgeable: bool,
    decode_id: Digest,
    warnings: Vec<String>,
}

/// How records are read.
pub(super) enum Reading {
    Edge(Arc<EdgePlan>),
    Origin(Arc<OriginPlan>),
    Standard(Arc<StandardPlan>),
    Own(Arc<OwnPlan>),
}

impl Reading {
    /// The kind of the source, as the configuration spells it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Edge(_) => "cloudfront-realtime",
            Self::Origin(_) => "api-gateway",
            Self::Standard(_) => "cloudfront-standard",
            Self::Own(_) => "json",
        }
    }
}

impl fmt::Debug for DecodePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodePlan").field("source", &self.0.source).field("decode_id", &self.0.decode_id).finish()
    }
}

impl DecodePlan {
    /// Checks a source's settings. `fingerprint_key` is the lake's.
    pub fn new(
        spec: &SourceSpec,
        privacy: &Privacy,
        fingerprint_key: [u8; 16],
        limits: &Limits,
    ) -> Result<Self, SpecError> {
        let mut checked = match &spec.format {
            Format::CloudFrontRealtime(sets) => edge(spec, sets, privacy.client_ip, limits)?,
            Format::ApiGateway(templates) => origin(spec, templates, privacy.client_ip)?,
            Format::CloudFrontStandard(sets) => standard(spec, sets, privacy.client_ip, limits)?,
            Format::Json(own) => self::own(spec, own, privacy.client_ip)?,
        };
        let secret = privacy.key_secrets.first();
        if checked.hashes && secret.is_none() {
            return Err(SpecError::MissingSecret);
        }
        let decode_id = decode_id(&mut checked, spec, privacy.client_ip, secret, limits);
        Ok(Self(Arc::new(Plan {
            source: spec.name.clone(),
            reading: checked.reading,
            fingerprints: Fingerprints::new(&fingerprint_key),
            masker: Masker { key_names: checked.key_names },
            hash_key: secret.map_or_else(|| fingerprint_key.to_vec(), |secret| secret.0.clone()),
            limits: limits.clone(),
            unforgeable: checked.unforgeable,
            decode_id,
            warnings: checked.warnings,
        })))
    }

    /// The table its events belong to.
    pub fn table(&self) -> Table {
        match &self.0.reading {
            Reading::Edge(_) | Reading::Standard(_) => Table::EdgeRequests,
            Reading::Origin(_) => Table::OriginRequests,
            Reading::Own(plan) => plan.table,
        }
    }

    /// Whether callers cannot choose the id of a request: only then are several fingerprints under one id a conflict.
    pub fn id_is_unforgeable(&self) -> bool {
        self.0.unforgeable
    }

    /// Digest of all that decides what a record becomes: settings, secret (by its check value), the decoder's generation,
    /// and those limits that decide about a record, where they are not the usual ones. Not the limits that only decide
    /// whether an object can be read at all.
    pub fn decode_id(&self) -> Digest {
        self.0.decode_id
    }

    /// What works but deserves a thought, each in one sentence.
    pub fn warnings(&self) -> Vec<String> {
        self.0.warnings.clone()
    }
}

/// Settings found to be in order.
struct Checked {
    reading: Reading,
    unforgeable: bool,
    /// The key is a secret and is hashed.
    hashes: bool,
    key_names: Vec<Vec<u8>>,
    warnings: Vec<String>,
    /// The settings, spelled in one way, for the digest.
    canonical: Vec<String>,
}

fn edge(spec: &SourceSpec, sets: &[FieldSet], client_ip: ClientIp, limits: &Limits) -> Result<Checked, SpecError> {
    const TIME_FIELD: Field = Field::named("timestamp");
    const ID_FIELD: Field = Field::named("x-edge-request-id");
    const HEADERS: Field = Field::named("cs-headers");
    const COUNT: Field = Field::named("cs-headers-count");
    const LOG_DATA: Field = Field::named("viewer-request-log-data");
    const QUERY: Field = Field::named("cs-uri-query");
    const STEM: Field = Field::named("cs-uri-stem");

    ordered(sets.iter().map(|set| set.from), "field set")?;
    let layouts = sets.iter().map(Layout::new).collect::<Result<Vec<_>, _>>()?;
    let Some(last) = layouts.last() else { return Err(SpecError::Nothing { what: "fields" }) };
    // Only the newest set can still be changed. Records of older ones without id or time become rejects, and their
    // events are held where the key cannot be known.
    let need = |has: bool, field: Field, why| {
        if has { Ok(()) } else { Err(SpecError::MissingField { field: field.name(), why }) }
    };
    need(last.has(TIME_FIELD), TIME_FIELD, "every event needs its time")?;
    need(last.has(ID_FIELD), ID_FIELD, "it tells a record delivered twice from two requests")?;

    let mut warnings = Vec::new();
    let mut removed = vec![b"cf_api_key".to_vec()];
    let mut key_names = Vec::new();
    let key = match &spec.key {
        KeySpec::None => EdgeKey::None,
        KeySpec::Header(name) => {
            need(last.has(HEADERS), HEADERS, "the key is read from it")?;
            if !last.has(COUNT) {
                warnings.push(
                    "`cs-headers-count` is not among the fields: whether a header list without a key was cut can only be guessed; add it".to_owned(),
                );
            }
            let name = name.to_ascii_lowercase().into_bytes();
            removed.push(name.clone());
            key_names.push(name.clone());
            EdgeKey::Header(name)
        }
        KeySpec::LogData { name, plain, missing } => {
            need(last.has(LOG_DATA), LOG_DATA, "the key is read from it")?;
            key_names.push(name.to_ascii_lowercase().into_bytes());
            EdgeKey::LogData { name: name.clone().into_bytes(), plain: *plain, missing: *missing }
        }
        KeySpec::Query(name) => {
            need(last.has(QUERY) || last.has(STEM), QUERY, "the key is read from it")?;
            warnings.push(only_a_claim(name));
            removed.push(name.to_ascii_lowercase().into_bytes());
            key_names.push(name.to_ascii_lowercase().into_bytes());
            EdgeKey::Query(name.clone().into_bytes())
        }
        KeySpec::Variable(_) | KeySpec::Path { .. } => {
            let instead = "`key = { header = … }`, `{ log_data = … }` or `{ query = … }`";
            return Err(SpecError::KeyKind { kind: "CloudFront", key: "variable or path", instead });
        }
    };
    let hashes = !matches!(key, EdgeKey::None | EdgeKey::LogData { plain: true, .. });
    if hashes && spec.identifies == Identifies::Customer {
        return Err(SpecError::HashedCustomer);
    }
    if let Some(pair) = layouts.windows(2).find(|pair| pair[0].columns == pair[1].columns) {
        warnings.push(format!(
            "two neighbouring field sets have {} fields each: near the change a record cannot be told to be of the other set",
            pair[0].columns
        ));
    }
    let canonical = layouts.iter().map(|layout| format!("{:?} {}", layout.from, layout.canonical())).collect();
    if layouts.iter().any(|layout| layout.fields().any(|(at, _)| FIELDS[at].starts_with("cmcd-"))) {
        warnings.push(
            "`fields` has `cmcd-…` fields, which CloudFront may leave out of records: such records have too few columns and are rejected; leave these fields out of a log that is billed from".to_owned(),
        );
    }
    let rules = EdgeRules { key, removed, client_ip, stem_has_query: true, header_bytes_max: limits.header_bytes_max };
    let reading = Reading::Edge(Arc::new(EdgePlan { layouts, rules }));
    Ok(Checked { reading, unforgeable: true, hashes, key_names, warnings, canonical })
}

fn only_a_claim(name: &str) -> String {
    format!(
        "the key is read from the query parameter `{name}`, which is only what the caller claims: anyone can spend another customer's quota"
    )
}

fn standard(spec: &SourceSpec, sets: &[FieldSet], client_ip: ClientIp, limits: &Limits) -> Result<Checked, SpecError> {
    const LOG_DATA: Field = Field::named("viewer-request-log-data");
    const QUERY: Field = Field::named("cs-uri-query");
    const ID_FIELD: Field = Field::named("x-edge-request-id");

    if !sets.is_empty() {
        ordered(sets.iter().map(|set| set.from), "field set")?;
    }
    let columns = sets.iter().map(Columns::of).collect::<Result<Vec<_>, _>>()?;
    // Objects with a header are read by that, whatever is configured.
    let last = columns.last();
    let need = |has: bool, field, why| if has { Ok(()) } else { Err(SpecError::MissingField { field, why }) };
    let has = |field| last.is_none_or(|columns| columns.layout.has(field));
    need(last.is_none_or(Columns::has_time), "timestamp(ms)", "every event needs its time")?;
    need(has(ID_FIELD), ID_FIELD.name(), "it tells a record delivered twice from two requests")?;
    let (mut warnings, mut key_names) = (Vec::new(), Vec::new());
    let mut removed = vec![b"cf_api_key".to_vec()];
    let key = match &spec.key {
        KeySpec::None => EdgeKey::None,
        KeySpec::LogData { name, plain, missing } => {
            need(has(LOG_DATA), LOG_DATA.name(), "the key is read from it")?;
            key_names.push(name.to_ascii_lowercase().into_bytes());
            EdgeKey::LogData { name: name.clone().into_bytes(), plain: *plain, missing: *missing }
        }
        KeySpec::Query(name) => {
            need(has(QUERY), QUERY.name(), "the key is read from it")?;
            warnings.push(only_a_claim(name));
            removed.push(name.to_ascii_lowercase().into_bytes());
            key_names.push(name.to_ascii_lowercase().into_bytes());
            EdgeKey::Query(name.clone().into_bytes())
        }
        KeySpec::Header(_) | KeySpec::Variable(_) | KeySpec::Path { .. } => {
            let instead = "`key = { log_data = … }` (standard logging version 2) or `{ query = … }`";
            return Err(SpecError::KeyKind { kind: "CloudFront standard", key: "header, variable or path", instead });
        }
    };
    let hashes = matches!(key, EdgeKey::LogData { plain: false, .. } | EdgeKey::Query(_));
    if hashes && spec.identifies == Identifies::Customer {
        return Err(SpecError::HashedCustomer);
    }
    let canonical = sets.iter().map(|set| format!("{:?} {}", set.from, set.fields.join(" "))).collect();
    let rules = EdgeRules { key, removed, client_ip, stem_has_query: false, header_bytes_max: limits.header_bytes_max };
    let reading = Reading::Standard(Arc::new(StandardPlan::new(columns, rules)));
    Ok(Checked { reading, unforgeable: true, hashes, key_names, warnings, canonical })
}

fn own(spec: &SourceSpec, own: &OwnJson, client_ip: ClientIp) -> Result<Checked, SpecError> {
    let (hashes, key_names) = match &spec.key {
        KeySpec::None => (false, Vec::new()),
        KeySpec::Path { path, plain } => {
            (!plain, path.last().map(|name| name.to_ascii_lowercase().into_bytes()).into_iter().collect())
        }
        KeySpec::Header(_) | KeySpec::LogData { .. } | KeySpec::Query(_) | KeySpec::Variable(_) => {
            let instead = "the keys that lead to it, such as `key = { path = \"auth.key\" }`";
            return Err(SpecError::KeyKind { kind: "own JSON", key: "header, log_data, query or variable", instead });
        }
    };
    if hashes && spec.identifies == Identifies::Customer {
        return Err(SpecError::HashedCustomer);
    }
    let plan = OwnPlan::new(own, &spec.key, &spec.set, client_ip)?;
    let mut columns = own.columns.clone();
    columns.sort_unstable();
    let canonical = vec![format!("{} {columns:?}", own.table.name())];
    let reading = Reading::Own(Arc::new(plan));
    // Whoever writes these logs may take the id from the caller.
    Ok(Checked { reading, unforgeable: false, hashes, key_names, warnings: Vec::new(), canonical })
}

fn origin(spec: &SourceSpec, templates: &[Template], client_ip: ClientIp) -> Result<Checked, SpecError> {
    if !templates.is_empty() {
        ordered(templates.iter().map(|template| template.from), "format")?;
    }
    let key = match &spec.key {
        KeySpec::None => None,
        KeySpec::Variable(name) => Some(name.strip_prefix("$context.").unwrap_or(name)),
        KeySpec::Header(_) | KeySpec::LogData { .. } | KeySpec::Query(_) | KeySpec::Path { .. } => {
            let instead = "a variable of the format, such as `key = \"$context.identity.apiKeyId\"`";
            return Err(SpecError::KeyKind {
                kind: "API Gateway access",
                key: "header, log_data, query or path",
                instead,
            });
        }
    };
    let hashes = key == Some("identity.apiKey");
    if hashes && spec.identifies == Identifies::Customer {
        return Err(SpecError::HashedCustomer);
    }
    let (mut formats, mut literals, mut key_names, mut warnings) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let given = templates.iter().map(|template| template.text.as_str());
    // Without a `format` the documented ones are known, of these only those that have the key.
    let known = DEFAULTS.iter().copied().filter(|text| templates.is_empty() && (key.is_none() || names(text, key)));
    let texts: Vec<&str> = given.chain(known).collect();
    if texts.is_empty() {
        let variable = format!("$context.{}", key.unwrap_or_default());
        return Err(SpecError::MissingVariable {
            variable,
            why: "it is the configured key, and no `format` is given; the documented formats do not have it",
            api: Api::Rest,
        });
    }
    for text in texts {
        let (literal, template) = if text.trim_start().starts_with('{') {
            (None, TemplatePlan::new(text)?)
        } else {
            let (literal, template) = Literal::new(text)?;
            (Some(literal), template)
        };
        let slots = Slots::new(&template, key);
        let is_http = template.slot("routeKey").is_some() && template.slot("resourcePath").is_none();
        let api = if is_http { Api::Http } else { Api::Rest };
        let missing = |variable: &str, why| Err(SpecError::MissingVariable { variable: variable.to_owned(), why, api });
        if slots.request_id.is_none() && slots.extended_id.is_none() {
            return missing("$context.extendedRequestId", "it tells a record delivered twice from two requests");
        }
        if slots.time.is_none() && slots.time_epoch.is_none() {
            return missing("$context.requestTimeEpoch", "every event needs its time");
        }
        match (key, slots.key) {
            (Some(name @ ("identity.apiKeyId" | "identity.apiKey")), None) if is_http => {
                let why =
                    "it is the configured key, but HTTP APIs have no API keys: let an authorizer tell the customer";
                return missing(&format!("$context.{name}"), why);
            }
            (Some(name), None) => return missing(&format!("$context.{name}"), "it is the configured key"),
            (_, Some(slot)) => key_names.push(template.variables[slot].key.to_ascii_lowercase().into_bytes()),
            _ => {}
        }
        match literal {
            None => {
                let lockstep = Lockstep::new(text, |name| template.slot(name));
                formats.push(Fmt { template, slots, lockstep });
            }
            Some(literal) => {
                if literal.is_fragile() {
                    warnings.push(
                        "the format is not JSON and has several values that callers choose: a record in which they hold what separates them is rejected, and nobody is billed for it; use JSON".to_owned(),
                    );
                }
                literals.push((literal, Fmt { template, slots, lockstep: None }));
            }
        }
    }
    if key.is_none() {
        warnings.push("the source has no `key`: all its usage is anonymous".to_owned());
    }
    let unforgeable = formats.iter().chain(literals.iter().map(|(_, format)| format)).all(Fmt::id_is_unforgeable);
    if !unforgeable {
        warnings.push(
            "`$context.requestId` of a REST API can be chosen by the caller: repeated ids cannot be held as conflicts; add `$context.extendedRequestId` to the format".to_owned(),
        );
    }
    if hashes {
        warnings.push("`$context.identity.apiKey` writes the secret key itself into your logs; `$context.identity.apiKeyId` does not".to_owned());
    }
    // Stable: of formats with as many keys, the latest comes first.
    formats.reverse();
    formats.sort_by_key(|format| std::cmp::Reverse(format.template.keys));
    // A record with the keys of a smaller format cannot have all of a larger one; of equals the first must be asked first.
    for at in 1..formats.len() {
        if formats[at].template.keys == formats[at - 1].template.keys {
            formats[at].lockstep = None;
        }
    }
    let canonical = templates.iter().map(|template| format!("{:?} {}", template.from, template.text)).collect();
    let reading = Reading::Origin(Arc::new(OriginPlan { formats, literals, constants: spec.set.clone(), client_ip }));
    Ok(Checked { reading, unforgeable, hashes, key_names, warnings, canonical })
}

/// Whether a documented format has the key.
fn names(text: &str, key: Option<&str>) -> bool {
    key.is_some_and(|key| variables(text).any(|name| name == key))
}

/// The names of a format's variables, without `$context.`.
fn variables(text: &str) -> impl Iterator<Item = &str> {
    text.split("$context.").skip(1).map(|rest| &rest[..name_length(rest.as_bytes())])
}

/// Whether an access-log format has a variable that tells whose request it is.
pub fn names_a_caller(format: &str) -> bool {
    variables(format).any(|name| {
        matches!(
            name,
            "identity.apiKeyId" | "identity.apiKey" | "identity.user" | "identity.caller" | "identity.userArn"
        ) || name.starts_with("identity.cognito")
            || name.starts_with("identity.clientCert.")
            || name.starts_with("authorizer.")
    })
}

/// Each but the first has a `from`, and they rise.
fn ordered(mut froms: impl Iterator<Item = Option<Micros>>, what: &'static str) -> Result<(), SpecError> {
    let Some(mut before) = froms.next() else { return Err(SpecError::Nothing { what }) };
    for from in froms {
        if from.is_none() || from <= before {
            return Err(SpecError::Unordered { what });
        }
        before = from;
    }
    Ok(())
}

fn decode_id(
    checked: &mut Checked,
    spec: &SourceSpec,
    client_ip: ClientIp,
    secret: Option<&KeySecret>,
    limits: &Limits,
) -> Digest {
    let mut digester = Digester::default();
    let mut part = |text: &str| {
        digester.part(text.as_bytes());
    };
    part(&format!("decoder {DECODER_GENERATION}"));
    part(checked.reading.kind());
    checked.canonical.iter().for_each(|text| part(text));
    part(&format!("{:?} {:?} {:?} {client_ip:?}", spec.key, spec.identifies, spec.set));
    if let Some(secret) = secret.filter(|_| checked.hashes) {
        part(&secret_check_value(secret));
    }
    for limit in limits.of_records().into_iter().filter(|limit| !Limits::default().of_records().contains(limit)) {
        part(&format!("{limit:?}"));
    }
    digester.finish()
}
