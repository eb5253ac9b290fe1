//! Where edge records carry the caller's key, when nobody says where. Goes in: what each record holds of headers, log
//! data and query; comes out: the likeliest place, and what else was seen: keys that are only named, secrets in clear.
//! Names are counted, values are neither kept nor shown.

use std::collections::BTreeMap;

use crate::decode::key::elements;
use crate::decode::text::{form_decode, percent_decode};
use crate::decode::{KeySpec, Missing};

use super::names::is_secret;
use super::tree::plain;

/// Different names that are counted; callers make up the rest.
const NAMES_MAX: usize = 200;

/// Headers that carry keys, likeliest first, as [`plain`] makes them.
const HEADERS: [&str; 10] = [
    "xapikey",
    "apikey",
    "xapitoken",
    "xaccesskey",
    "xauthkey",
    "xclientkey",
    "xkey",
    "xsubscriptionkey",
    "xauthtoken",
    "xaccesstoken",
];
/// Query parameters that do.
const PARAMETERS: [&str; 8] =
    ["apikey", "xapikey", "accesskey", "subscriptionkey", "key", "apitoken", "token", "accesstoken"];

/// What one record holds.
#[derive(Clone, Copy, Default)]
pub(super) struct EdgeView<'a> {
    pub(super) headers: Option<&'a [u8]>,
    pub(super) header_names: Option<&'a [u8]>,
    pub(super) log_data: Option<&'a [u8]>,
    /// As logged, without the `?`.
    pub(super) query: Option<&'a [u8]>,
    pub(super) cookie: Option<&'a [u8]>,
}

/// What was seen of keys.
#[derive(Clone, Default, Debug)]
pub(super) struct Keys {
    /// By name, in lower case.
    headers: BTreeMap<String, usize>,
    named: BTreeMap<String, usize>,
    /// By name, with whether all values are such as the keyed hash of the edge function.
    tokens: BTreeMap<String, (usize, bool)>,
    parameters: BTreeMap<String, usize>,
    /// Records with secrets in clear, by what they are.
    pub(super) secrets: BTreeMap<String, u64>,
    log_data: usize,
}

/// A place for the key, and what is to be said of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) key: KeySpec,
    pub(super) records: usize,
    /// What the data cannot tell of it.
    pub(super) unknown: Option<String>,
}

impl Keys {
    /// Looks at one more record.
    pub(super) fn add(&mut self, view: &EdgeView<'_>) {
        let mut secrets = Vec::new();
        if view.cookie.is_some() {
            secrets.push("cookies (`cs-cookie`)".to_owned());
        }
        for (entry, _) in elements(view.headers.unwrap_or_default()) {
            let colon = memchr::memchr(b':', entry).unwrap_or(entry.len());
            if colon + 1 >= entry.len() {
                continue;
            }
            let name = decoded(&entry[..colon]).to_ascii_lowercase();
            // The key's own header is meant to be there.
            if is_secret(&name) && !HEADERS.contains(&plain(&name).as_str()) {
                secrets.push(format!("the header `{name}`"));
            }
            count(&mut self.headers, name);
        }
        for (name, _) in elements(view.header_names.unwrap_or_default()) {
            count(&mut self.named, decoded(name).to_ascii_lowercase());
        }
        if let Some(raw) = view.log_data {
            self.log_data += 1;
            self.tokens_of(raw);
        }
        let mut query = Vec::new();
        percent_decode(view.query.unwrap_or_default(), &mut query);
        for parameter in query.split(|&byte| byte == b'&') {
            let Some(equals) = memchr::memchr(b'=', parameter).filter(|at| at + 1 < parameter.len()) else { continue };
            let mut name = Vec::new();
            form_decode(&parameter[..equals], &mut name);
            let name = String::from_utf8_lossy(&name).into_owned();
            if is_secret(&name) {
                secrets.push(format!("the query parameter `{}`", name.to_ascii_lowercase()));
            }
            count(&mut self.parameters, name);
        }
        secrets.sort_unstable();
        secrets.dedup();
        secrets.into_iter().for_each(|what| *self.secrets.entry(what).or_default() += 1);
    }

    fn tokens_of(&mut self, raw: &[u8]) {
        let text = decoded(raw);
        for token in text.split(';') {
            let Some((name, value)) = token.trim().split_once('=').filter(|(_, value)| !value.is_empty()) else {
                continue;
            };
            if self.tokens.len() < NAMES_MAX || self.tokens.contains_key(name) {
                let (records, hashed) = self.tokens.entry(name.to_owned()).or_insert((0, true));
                *records += 1;
                *hashed &= value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
            }
        }
    }

    /// The likeliest place: what the function wrote before what the caller sent.
    pub(super) fn place(&self) -> Option<Place> {
        self.of_log_data().or_else(|| self.of_headers()).or_else(|| self.of_query())
    }

    fn of_log_data(&self) -> Option<Place> {
        let wanted = |name: &str| name == "k" || super::names::KEYS.iter().any(|(known, _)| *known == plain(name));
        let most = |(name, (records, _)): &(&String, &(usize, bool))| {
            (wanted(name), *records, std::cmp::Reverse((*name).clone()))
        };
        let (name, &(records, hashed)) = self.tokens.iter().max_by_key(most)?;
        let unknown = (!hashed).then(|| {
            format!(
                "whether `{name}` of the log data is a secret: it is taken for one and hashed; where it is a public id, add `plain = true`"
            )
        });
        Some(Place {
            key: KeySpec::LogData { name: name.clone(), plain: hashed, missing: Missing::Held },
            records,
            unknown,
        })
    }

    fn of_headers(&self) -> Option<Place> {
        let (name, records) = first(&HEADERS, &self.headers)?;
        Some(Place { key: KeySpec::Header(name), records, unknown: None })
    }

    fn of_query(&self) -> Option<Place> {
        let (name, records) = first(&PARAMETERS, &self.parameters)?;
        Some(Place { key: KeySpec::Query(name), records, unknown: None })
    }

    /// A header that carries keys by its name, but only its name is logged.
    pub(super) fn named_only(&self) -> Option<String> {
        self.headers.is_empty().then(|| first(&HEADERS, &self.named)).flatten().map(|(name, _)| name)
    }

    /// Log data without anything like `name=value`.
    pub(super) fn has_other_log_data(&self) -> bool {
        self.log_data > 0 && self.tokens.is_empty()
    }

    /// Whether requests are signed or carry bearer tokens.
    pub(super) fn has_authorization(&self) -> bool {
        self.headers.contains_key("authorization")
    }
}

fn count(names: &mut BTreeMap<String, usize>, name: String) {
    if names.len() < NAMES_MAX || names.contains_key(&name) {
        *names.entry(name).or_default() += 1;
    }
}

/// Of the names that mean the first known one, the most frequent.
fn first(known: &[&str], names: &BTreeMap<String, usize>) -> Option<(String, usize)> {
    known.iter().find_map(|known| {
        let same = names.iter().filter(|(name, _)| plain(name) == *known);
        same.max_by_key(|(_, records)| **records).map(|(name, records)| (name.clone(), *records))
    })
}

fn decoded(raw: &[u8]) -> String {
    let mut bytes = Vec::new();
    percent_decode(raw, &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(views: &[EdgeView<'_>]) -> Keys {
        let mut keys = Keys::default();
        views.iter().for_each(|view| keys.add(view));
        keys
    }

    #[test]
    fn the_functions_word_wins_over_the_callers() {
        let headers =
            EdgeView { headers: Some(b"host:a%0AX-Api-Key:K%0Aauthorization:Bearer%20x%0A"), ..EdgeView::default() };
        let query = EdgeView { query: Some(b"a=1&api_key=K&token=T"), ..EdgeView::default() };
        let hash = b"v1;k=0123456789abcdef0123456789abcdef";
        let data = EdgeView { log_data: Some(hash), ..headers };
        let place = |views: &[EdgeView<'_>]| keys(views).place().map(|place| place.key);
        assert_eq!(place(&[query]), Some(KeySpec::Query("api_key".into())));
        assert_eq!(place(&[query, headers]), Some(KeySpec::Header("x-api-key".into())));
        assert_eq!(
            place(&[query, headers, data]),
            Some(KeySpec::LogData { name: "k".into(), plain: true, missing: Missing::Held })
        );
        let id = EdgeView { log_data: Some(b"v1%3Bk%3Dcust_42"), ..EdgeView::default() };
        let found = keys(&[data, id]).place().unwrap();
        assert!(matches!(found.key, KeySpec::LogData { plain: false, .. }) && found.unknown.is_some());
        let secrets: Vec<_> = keys(&[query, headers]).secrets.into_keys().collect();
        assert_eq!(
            secrets,
            ["the header `authorization`", "the query parameter `api_key`", "the query parameter `token`"]
        );
    }

    #[test]
    fn a_name_alone_is_no_key() {
        let named = keys(&[EdgeView { header_names: Some(b"host%0AX-Api-Key%0A"), ..EdgeView::default() }]);
        assert_eq!((named.place(), named.named_only().as_deref()), (None, Some("x-api-key")));
        let empty =
            keys(&[EdgeView { headers: Some(b"x-api-key:%0A"), query: Some(b"api_key="), ..EdgeView::default() }]);
        assert_eq!(empty.place(), None);
    }
}
