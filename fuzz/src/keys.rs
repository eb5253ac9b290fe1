//! Records with a secret key in its place, and wherever else its caller could put it: no byte 2 of an input but becomes
//! that key. Whatever comes of such a record, the key does not come out, and an event is billed to it, or held where
//! nobody can be sure of it: a second key stands beside it, byte 3 of an input, or the field is one that is cut.

use std::sync::LazyLock;

use crate::decode::{DecodePlan, Format, KeySpec, Limits};
use crate::schema::Table;

use crate::input::Input;
use crate::object::check;
use crate::pack::{encoded, quoted};
use crate::plans::{
    OWN_EDGE, OWN_ORIGIN, header, log_data, own, path_key, plan, realtime, reference, standard, templates, variable,
};

const KEY: &str = "TESTKEY0TESTKEY1TESTKEY2";
const OTHER: &str = "OTHERKEY7OTHERKEY8";

/// Fields in the order of a real-time record. Those without a value here are what callers choose.
const REALTIME: [(&str, &str); 12] = [
    ("timestamp", "1764000000.123"),
    ("sc-status", "200"),
    ("cs-method", ""),
    ("cs-uri-stem", ""),
    ("x-edge-request-id", "A=="),
    ("cs-user-agent", ""),
    ("cs-referer", ""),
    ("cs-cookie", ""),
    ("cs-uri-query", ""),
    ("cs-headers", "list"),
    ("cs-headers-count", "3"),
    ("viewer-request-log-data", "data"),
];
const STANDARD: [(&str, &str); 9] = [
    ("date", "2026-02-03"),
    ("time", "04:05:06"),
    ("x-edge-request-id", "A=="),
    ("cs-method", ""),
    ("cs-uri-stem", ""),
    ("cs(User-Agent)", ""),
    ("cs(Cookie)", ""),
    ("cs-uri-query", ""),
    ("viewer-request-log-data", "data"),
];
/// Variables of a format, the same way.
const VARIABLES: [(&str, &str); 10] = [
    ("extendedRequestId", "A="),
    ("requestTimeEpoch", "1764000000456"),
    ("identity.apiKey", KEY),
    ("status", "200"),
    ("path", ""),
    ("identity.userAgent", ""),
    ("httpMethod", ""),
    ("error.responseType", ""),
    ("authorizer.customerId", ""),
    ("authorizer.cfid", ""),
];

fn names(fields: &[(&str, &str)]) -> String {
    fields.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
}

fn format(before: &str, between: &str, after: &str, of: impl Fn(&str) -> String) -> String {
    let parts: Vec<_> = VARIABLES.iter().map(|(name, _)| of(name)).collect();
    format!("{before}{}{after}", parts.join(between))
}

fn json_format() -> String {
    format("{", ",", "}", |name| format!(r#""{name}":"$context.{name}""#))
}

fn text_format() -> String {
    format("", "\t|\t", "", |name| format!("$context.{name}"))
}

static PLANS: LazyLock<[DecodePlan; 9]> = LazyLock::new(|| {
    let plan = |format: Format, key: KeySpec| plan(format, key, &Limits::default()).expect("the settings are in order");
    let secret = || variable("identity.apiKey");
    [
        plan(realtime(&names(&REALTIME)), header()),
        plan(realtime(&names(&REALTIME)), log_data()),
        plan(realtime(&names(&REALTIME)), KeySpec::Query("key".into())),
        plan(standard(""), log_data()),
        plan(standard(""), log_data()),
        plan(templates(&[&json_format()]), secret()),
        plan(templates(&[&text_format()]), secret()),
        plan(own(Table::OriginRequests, OWN_ORIGIN), path_key(false)),
        plan(own(Table::EdgeRequests, OWN_EDGE), path_key(false)),
    ]
});

/// What callers choose, by turns.
struct Free<'a> {
    parts: &'a [Vec<u8>],
    next: usize,
    /// The key's place holds a second one.
    twice: bool,
}

impl Free<'_> {
    fn bytes(&mut self) -> Vec<u8> {
        self.next += 1;
        self.parts[(self.next - 1) % self.parts.len()].clone()
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// A value of a CloudFront record.
    fn field(&mut self, name: &str, told: &str, kind: usize) -> String {
        let second = |text: &str| if self.twice { format!("{text}{OTHER}") } else { String::new() };
        match told {
            "" if name == "cs-uri-query" && kind == 2 => {
                let keys = format!("&key={KEY}{}", second("&key="));
                encoded(
                    &[self.bytes().split(|&byte| byte == b'&').next().unwrap_or_default(), keys.as_bytes()].concat(),
                )
            }
            "" => encoded(&self.bytes()),
            "list" if kind == 0 => {
                let second = second("x-api-key:");
                format!("host:h%0Ax-other:{}%0AX-Api-Key:{KEY}%0A{second}", encoded(&self.bytes()))
            }
            "list" => format!("host:h%0Ax-other:{}%0Ax-last:x%0A", encoded(&self.bytes())),
            "data" if kind != 0 && kind != 2 => {
                let second = second(";k=");
                // Any other token of that name would be a key.
                encoded(format!("v1;x={};k={KEY}{second}", self.text().replace(';', ",")).as_bytes())
            }
            "data" => encoded(&self.bytes()),
            told => told.to_owned(),
        }
    }

    fn object(&mut self, kind: usize) -> String {
        let mut fields = |fields: &[(&str, &str)], each: &dyn Fn(&str, String) -> String, between: &str| {
            let values = fields.iter().map(|(name, told)| each(name, self.field(name, told, kind)));
            values.collect::<Vec<_>>().join(between)
        };
        match kind {
            0..3 => fields(&REALTIME, &|_, value| value, "\t"),
            3 => format!("#Fields: {}\n{}", names(&STANDARD), fields(&STANDARD, &|_, value| value, "\t")),
            4 => {
                format!("{{{}}}", fields(&STANDARD, &|name, value| format!("{}:{}", quoted(name), quoted(&value)), ","))
            }
            5 | 6 => {
                let mut text = if kind == 5 { json_format() } else { text_format() };
                for (name, told) in VARIABLES {
                    let value = if told.is_empty() { self.text() } else { told.to_owned() };
                    let quoted = quoted(&value);
                    let written = if kind == 5 { &quoted[1..quoted.len() - 1] } else { &value };
                    text = text.replacen(&format!("$context.{name}"), written, 1);
                }
                text
            }
            _ => {
                let text = |free: &mut Self| quoted(&free.text());
                let mut inner = |names: &[&str]| {
                    names.iter().map(|name| format!("{}:{}", quoted(name), text(self))).collect::<Vec<_>>().join(",")
                };
                let request = inner(&["method", "path", "query"]);
                let outer =
                    inner(&["user_agent", "subject", "error_type", "domain", "referer", "host", "method", "more"]);
                format!(
                    r#"{{"request_id":"A","event_time":1764000000.5,"status":200,"request":{{{request}}},{outer},"auth":{{"key":"{KEY}"}}}}"#
                )
            }
        }
    }
}

pub(crate) fn keys(data: &[u8]) {
    let mut input = Input(data);
    // The first kinds again, with a second key.
    let number = input.choose(PLANS.len() + 3);
    let (kind, twice) = (number % PLANS.len(), number >= PLANS.len());
    let chunk = input.choose(5);
    let with = |part: Vec<u8>, byte: u8, key: &str| part.split(|&b| b == byte).collect::<Vec<_>>().join(key.as_bytes());
    let with_keys = |part: &[u8]| {
        let part = with(part.to_vec(), 2, KEY);
        if twice { with(part, 3, OTHER) } else { part }
    };
    let parts: Vec<_> = input.parts().into_iter().map(with_keys).collect();
    let object = Free { parts: &parts, next: 0, twice }.object(kind);
    let Some(read) = check(&PLANS[kind], object.as_bytes(), chunk) else { return };
    read.assert_hides(KEY);
    if twice {
        read.assert_hides(OTHER);
    }
    let expected = reference(KEY);
    for (state, key) in read.column("key_state").into_iter().zip(read.column("key_ref")) {
        match key {
            Some(key) => assert!(key == expected && !twice, "{object:?}"),
            None => assert_eq!(state.as_deref(), Some("truncated"), "{object:?}"),
        }
    }
}
