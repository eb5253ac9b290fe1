//! Packs bytes in every way that objects are packed, quotes and encodes text as AWS does.

use std::fmt::Write as _;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

/// Number of [`packed`]'s packings.
pub(crate) const PACKINGS: usize = 8;

/// The bytes in one of the packings.
pub(crate) fn packed(bytes: &[u8], packing: usize) -> Vec<u8> {
    let half = bytes.len() / 2;
    match packing {
        0 => gzip(bytes),
        1 => [gzip(&bytes[..half]), gzip(&bytes[half..])].join(&b'\n'),
        2 => zlib(bytes),
        3 => stored(bytes),
        4 => framed(bytes),
        5 => hadoop(bytes),
        6 => java(bytes),
        _ => zstd::bulk::compress(bytes, 1).expect("bytes can be compressed"),
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes all bytes")
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes all bytes")
}

/// A zip archive with one stored entry.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    let length = bytes.len() as u32;
    let sizes = [crc.sum(), length, length].map(u32::to_le_bytes).concat();
    let local = [b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0", &sizes[..], b"\x01\0\0\0e", bytes].concat();
    let entry =
        [b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0", &sizes[..], b"\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0e"].concat();
    let end = [entry.len() as u32, local.len() as u32].map(u32::to_le_bytes).concat();
    [&local[..], &entry, b"PK\x05\x06\0\0\0\0\x01\0\x01\0", &end, b"\0\0"].concat()
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = snap::write::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).expect("memory takes all bytes");
    encoder.into_inner().expect("memory takes all bytes")
}

fn block(bytes: &[u8]) -> Vec<u8> {
    let packed = snap::raw::Encoder::new().compress_vec(bytes).expect("it is short");
    [&(packed.len() as u32).to_be_bytes()[..], &packed].concat()
}

fn hadoop(bytes: &[u8]) -> Vec<u8> {
    let of = |part: &[u8]| [&(part.len() as u32).to_be_bytes()[..], &block(part)].concat();
    bytes.chunks(1000).flat_map(of).collect()
}

fn java(bytes: &[u8]) -> Vec<u8> {
    let head = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
    head.iter().copied().chain(bytes.chunks(1000).flat_map(block)).collect()
}

/// The bytes that CloudFront writes as `%XX`.
pub(crate) fn encoded(bytes: &[u8]) -> String {
    let mut out = String::new();
    for &byte in bytes {
        if byte <= 32 || byte >= 127 || b"<>\"#%{}|\\^~[]`'".contains(&byte) {
            let _ = write!(out, "%{byte:02X}");
        } else {
            out.push(byte as char);
        }
    }
    if out.is_empty() { "-".to_owned() } else { out }
}

/// A JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A document of a CloudWatch Logs subscription.
pub(crate) fn envelope<'a>(messages: impl IntoIterator<Item = &'a str>) -> String {
    let event = |message| format!(r#"{{"id":"1","timestamp":1764000000456,"message":{}}}"#, quoted(message));
    let events: Vec<_> = messages.into_iter().map(event).collect();
    format!(
        r#"{{"messageType":"DATA_MESSAGE","owner":"111122223333","logGroup":"/apigw/prod","logStream":"0f1e","subscriptionFilters":["to-firehose"],"logEvents":[{}]}}"#,
        events.join(",")
    )
}

/// What Firehose leaves of a record that it could not deliver.
pub(crate) fn undelivered(raw: &[u8]) -> String {
    format!(
        r#"{{"attemptsMade":4,"arrivalTimestamp":1764000000456,"errorCode":"Lambda.FunctionError","errorMessage":"m","attemptEndingTimestamp":1764000100456,"rawData":"{}","lambdaArn":"arn:x"}}"#,
        STANDARD.encode(raw)
    )
}
