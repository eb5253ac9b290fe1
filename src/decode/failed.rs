//! Records that Firehose could not deliver as configured, as it leaves them under its error prefix (`processing-failed/`,
//! `decompression-failed/`, `format-conversion-failed/`): one JSON object each, with the record as it came in, in base64.
//! They are known by their keys, wherever they lie. An object with any other key is none: a caller who manages to put
//! keys into an access-log record cannot make it one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::gunzip::{Gunzip, Space};
use super::json::{JsonError, Scalar, Scanner, Text};
use super::{Limits, ObjectError};

/// What it may say besides `attemptsMade`, `errorCode` and `rawData`, which it must.
const OTHERS: [&[u8]; 8] = [
    b"arrivalTimestamp",
    b"attemptEndingTimestamp",
    b"dataCatalogTable",
    b"errorMessage",
    b"lambdaARN",
    b"lambdaArn",
    b"sequenceNumber",
    b"subSequenceNumber",
];

/// Why it is no such object.
struct Other;

impl From<JsonError> for Other {
    fn from(_: JsonError) -> Self {
        Self
    }
}

/// The record that could not be delivered; none: the document is something else.
pub(super) fn raw_data(document: &[u8]) -> Option<Result<Vec<u8>, &'static str>> {
    if document.trim_ascii_start().first() != Some(&b'{') || memchr::memmem::find(document, b"\"rawData\"").is_none() {
        return None;
    }
    let (mut attempts, mut code, mut raw) = (false, false, None);
    let mut seen = [false; OTHERS.len()];
    let mut scanner = Scanner::new(document);
    let read = scanner.object(|scanner, key| {
        let is = |name: &[u8]| key.is(name);
        let twice = if is(b"attemptsMade") {
            let number = matches!(scanner.scalar()?, Scalar::Literal(_, [b'0'..=b'9', ..]));
            std::mem::replace(&mut attempts, number) || !number
        } else if is(b"errorCode") {
            let text = matches!(scanner.scalar()?, Scalar::Text(_));
            std::mem::replace(&mut code, text) || !text
        } else if is(b"rawData") {
            let Scalar::Text(text) = scanner.scalar()? else { return Err(Other) };
            raw.replace(text).is_some()
        } else {
            let known = OTHERS.iter().position(|name| is(name)).ok_or(Other)?;
            scanner.skip()?;
            std::mem::replace(&mut seen[known], true)
        };
        if twice { Err(Other) } else { Ok(()) }
    });
    let ended = read.and_then(|()| Ok(scanner.end()?));
    let raw = raw.filter(|_| ended.is_ok() && attempts && code)?;
    Some(decoded(raw))
}

fn decoded(raw: Text<'_>) -> Result<Vec<u8>, &'static str> {
    let mut text = Vec::new();
    raw.unescape(&mut text);
    STANDARD.decode(&text).map_err(|_| "`rawData` of an error record of Firehose is not base64")
}

/// What it holds when unpacked, up to the limit for one document: read whole first, so that nothing comes of a damaged one.
pub(super) fn unpacked(raw: Vec<u8>, limits: &Limits) -> Result<Vec<u8>, String> {
    let limits = Limits { object_bytes_max: limits.document_bytes_max as u64, ..limits.clone() };
    let told = |error: ObjectError| format!("`rawData` of an error record of Firehose: {error}");
    let mut gunzip = Gunzip::new(&limits, Space::default());
    gunzip.push(&raw);
    gunzip.end();
    let mut plain = Vec::new();
    while let Some(part) = gunzip.plain().map_err(told)? {
        plain.extend_from_slice(part);
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_keys_of_firehose_make_an_error_record() {
        let whole = r#"{"attemptsMade":4,"arrivalTimestamp":1,"errorCode":"Lambda.FunctionError","errorMessage":"m","attemptEndingTimestamp":2,"rawData":"YQ==","lambdaArn":"arn:x"}"#;
        assert_eq!(raw_data(whole.as_bytes()), Some(Ok(b"a".to_vec())));
        assert_eq!(raw_data(whole.replace("YQ==", "Y\\u0051==").as_bytes()), Some(Ok(b"a".to_vec())));
        assert!(matches!(raw_data(whole.replace("YQ==", "?").as_bytes()), Some(Err(_))));
        for other in [
            whole.replace("errorMessage", "requestId"),
            whole.replace("\"attemptsMade\":4", "\"attemptsMade\":\"4\""),
            whole.replace("arrivalTimestamp", "rawData"),
            whole.replace("\"errorMessage\":\"m\"", "\"errorCode\":\"m\""),
            whole.replace("errorCode", "lambdaARN"),
            whole.replace("rawData", "data"),
            format!("{whole}x"),
            whole[1..].to_owned(),
        ] {
            assert_eq!(raw_data(other.as_bytes()), None, "{other}");
        }
    }
}
