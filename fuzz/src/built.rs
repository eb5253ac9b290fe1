//! Inputs of which objects are made, so that what must come of them is known: packed, put into envelopes and error records,
//! rendered by a format that is made up too, or with a secret key wherever a caller could put it.

use std::borrow::Cow;

use crate::decode::{DecodePlan, KeySpec, Limits};

use crate::input::Input;
use crate::object::{Read, check, read_by};
use crate::pack::{PACKINGS, envelope as document, gzip, packed, quoted, undelivered};
use crate::plans::{JSONS, OWNS, REALTIME, STANDARDS, TEXTS, plan, templates, variable};

/// A record before what an input holds, so that it is not taken for something packed.
const LINE: &[u8] = b"1764000000.123\t203.0.113.9\t200\t1\tGET\t/\tA==\t-\t-\t-\t-\t-\t-\t-\n";

/// Anything that may be packed; or lines packed up to three times over, and perhaps damaged.
pub(crate) fn unpack(data: &[u8]) {
    let mut input = Input(data);
    let (made, chunk) = (input.is(), input.choose(5));
    if !made {
        let small = input.is();
        check(&REALTIME[usize::from(small)], input.0, chunk);
        return;
    }
    let packings: Vec<_> = (0..=input.choose(3)).map(|_| input.choose(PACKINGS)).collect();
    let damage = input.is().then(|| (input.choose(256), input.choose(256)));
    let plain = [LINE, input.0].concat();
    let mut object = packings.iter().fold(plain.clone(), |bytes, packing| packed(&bytes, *packing));
    if let Some((at, byte)) = damage {
        let at = at * object.len() / 256;
        object[at] ^= byte as u8;
        check(&REALTIME[0], &object, chunk);
    } else {
        let plain = read_by(&REALTIME[0], &plain, plain.len());
        assert_eq!(check(&REALTIME[0], &object, chunk), plain.ok(), "packing does not matter");
    }
}

/// Messages in CloudWatch Logs documents, in every layout in which Firehose leaves them.
pub(crate) fn envelope(data: &[u8]) {
    let plans = [&JSONS[0], &JSONS[4], &TEXTS[0], &TEXTS[4], &OWNS[0], &STANDARDS[2]];
    let mut input = Input(data);
    let plan = plans[input.choose(plans.len())];
    let (layout, chunk) = (input.choose(6), input.choose(5));
    let messages: Vec<_> = input.parts().into_iter().map(String::from_utf8_lossy).collect();
    let documents: Vec<_> = messages.chunks(2).map(|two| document(two.iter().map(AsRef::as_ref))).collect();
    let members = || documents.iter().map(|document| gzip(document.as_bytes())).collect::<Vec<_>>();
    let object = match layout {
        0 => documents.concat().into_bytes(),
        1 => documents.join("\n").into_bytes(),
        2 => members().concat(),
        3 => members().join(&b'\n'),
        4 => gzip(&members().concat()),
        _ => members().iter().map(|member| undelivered(member)).collect::<String>().into_bytes(),
    };
    let plain = read_by(plan, documents.concat().as_bytes(), usize::MAX);
    let read = check(plan, &object, chunk);
    assert_eq!(read, plain.ok(), "the layout does not matter");
    if let Some(read) = read {
        assert_eq!(read.counts.records, messages.len() as u64, "a message is a record");
    }
    messages.iter().take(4).for_each(|message| check_bare(plan, message));
}

/// A record that stands alone is the same record in an envelope.
fn check_bare(plan: &DecodePlan, message: &str) {
    let is_more = ["rawData", "logEvents", "\0"].iter().any(|sign| message.contains(sign));
    if is_more || message.starts_with(|c: char| c.is_ascii_whitespace()) {
        return;
    }
    if let Ok(bare) = read_by(plan, message.as_bytes(), usize::MAX)
        && (bare.counts.records, bare.counts.events) == (1, 1)
    {
        let wrapped = read_by(plan, document([message]).as_bytes(), usize::MAX);
        assert_eq!(wrapped.map(|read| read.events), Ok(bare.events), "{message:?}");
    }
}

/// An object in an error record of Firehose is read as if it lay there itself.
pub(crate) fn failed(data: &[u8]) {
    let plans = [&REALTIME[0], &STANDARDS[0], &JSONS[0], &TEXTS[0], &OWNS[0]];
    let mut input = Input(data);
    let plan = plans[input.choose(plans.len())];
    let (form, chunk) = (input.choose(3), input.choose(5));
    let raw = match form {
        0 => input.0.to_vec(),
        1 => gzip(input.0),
        _ => packed(input.0, 4),
    };
    let wrapped = check(plan, undelivered(&raw).as_bytes(), chunk);
    let finder = memchr::memmem::Finder::new("rawData");
    if finder.find(input.0).is_some() {
        return;
    }
    if let (Some(wrapped), Ok(direct)) = (wrapped, read_by(plan, &raw, usize::MAX)) {
        let is_reject = (wrapped.counts.records, wrapped.counts.rejects) == (1, 1);
        // The limits on what may be in an error record are lower than those on an object.
        if wrapped.counts != direct.counts {
            assert!(is_reject, "{:?} in an error record, {:?} alone", wrapped.counts, direct.counts);
        } else {
            assert_eq!(wrapped.events, direct.events);
        }
    }
}

/// What stands for a variable: what API Gateway chooses itself. Any other is a part of the input, or not there.
const USUAL: [(&str, &str); 12] = [
    ("extendedRequestId", "BkJdhGC0yK4FcBA="),
    ("requestId", "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"),
    ("requestTimeEpoch", "1764000000456"),
    ("requestTime", "24/Nov/2025:16:00:00 +0000"),
    ("identity.apiKeyId", "k1"),
    ("identity.sourceIp", "203.0.113.9"),
    ("httpMethod", "GET"),
    ("resourcePath", "/items/{id}"),
    ("routeKey", "GET /items/{id}"),
    ("protocol", "HTTP/1.1"),
    ("status", "200"),
    ("responseLength", "34"),
];
/// What callers, backends and authorizers choose.
const FREE: [&str; 6] = [
    "path",
    "identity.userAgent",
    "error.message",
    "authorizer.customerId",
    "authorizer.cfid",
    "integrationErrorMessage",
];

/// Fixed text and names of variables by turns.
fn pieces(format: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = format;
    std::iter::from_fn(move || {
        let (fixed, after) = rest.split_once("$context.").unwrap_or((rest, ""));
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let length = after.find(|c| !is_part(c)).unwrap_or(after.len());
        let name = after[..length].trim_end_matches(['-', '.']);
        rest = &after[name.len()..];
        (!fixed.is_empty() || !name.is_empty()).then_some((fixed, name))
    })
}

/// A format as API Gateway renders it. `escaped`: free values are escaped as in JSON.
fn render(format: &str, free: &[Cow<'_, str>], escaped: bool) -> String {
    let (mut out, mut number) = (String::new(), 0);
    for (fixed, name) in pieces(format) {
        out.push_str(fixed);
        if let Some((_, value)) = USUAL.iter().find(|(known, _)| *known == name) {
            out.push_str(value);
        } else if FREE.contains(&name) && !free.is_empty() {
            let value = &free[number % free.len()];
            let quoted = quoted(value);
            out.push_str(if escaped { &quoted[1..quoted.len() - 1] } else { value });
            number += 1;
        } else if !name.is_empty() {
            out.push('-');
        }
    }
    out
}

/// A format that is made up, a parser derived from it, a record rendered: it is read right, or rejected.
pub(crate) fn template(data: &[u8]) {
    let mut input = Input(data);
    let escaped = input.is();
    let parts: Vec<_> = input.parts().into_iter().map(String::from_utf8_lossy).collect();
    let (format, free) = (&parts[0], &parts[1..]);
    let has = |name: &str| pieces(format).any(|(_, known)| known == name);
    let has_key = has("identity.apiKeyId");
    let key = if has_key { variable("identity.apiKeyId") } else { KeySpec::None };
    let plan = match plan(templates(&[format]), key, &Limits::default()) {
        Ok(plan) => plan,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let record = render(format, free, escaped);
    let Some(read) = check(&plan, document([record.as_str()]).as_bytes(), 2) else { return };
    assert_eq!(read.counts.records, 1, "a message is a record");
    let id = USUAL[usize::from(!has("extendedRequestId"))].1;
    for (column, expected) in [("request_id", Some(id)), ("key_ref", has_key.then_some("k1"))] {
        for found in read.column(column) {
            assert_eq!(found.as_deref(), expected, "{column} of {record:?}");
        }
    }
    check_blank(&plan, &record, &read);
    check_bare(&plan, &record);
}

/// A blank that means nothing has a record read in another way, to the same end.
fn check_blank(plan: &DecodePlan, record: &str, read: &Read) {
    let Some(rest) = record.strip_prefix('{').filter(|_| read.counts.events == 1) else { return };
    let spaced = format!("{{ {rest}");
    let other = read_by(plan, document([spaced.as_str()]).as_bytes(), usize::MAX).expect("it is an envelope");
    assert_eq!(other.counts, read.counts, "{record:?}");
    for (one, other) in read.events.iter().zip(&other.events) {
        let differ = |(field, (one, other)): &(&_, (&_, &_))| {
            let field: &std::sync::Arc<arrow::datatypes::Field> = field;
            let (one, other): (&arrow::array::ArrayRef, &arrow::array::ArrayRef) = (one, other);
            field.name() != "fingerprint" && one != other
        };
        let schema = one.schema();
        let columns = one.columns().iter().zip(other.columns());
        assert!(schema.fields().iter().zip(columns).find(differ).is_none(), "{record:?}");
    }
}
