//! Notifications of S3: which objects were created. Goes in: the text of one message, in any wrapping that AWS has (S3 itself,
//! in SQS, in SNS, in SNS in SQS, EventBridge); it is told by its shape. Comes out: the objects, their keys as they are in the
//! bucket, and counts of what else was told. A text that is none of these is refused.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// How deep notifications are wrapped in one another at most.
const WRAPPED_MAX: usize = 4;

/// An object that was created.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Notice {
    /// Its bucket.
    pub bucket: String,
    /// Its key, as it is in the bucket.
    pub key: String,
    /// Orders the notifications of one key; hex digits.
    pub sequencer: Option<String>,
    /// Its version, where the bucket keeps versions.
    pub version: Option<String>,
    /// Token of its content, without quotes.
    pub etag: Option<String>,
    /// Its size.
    pub bytes: Option<u64>,
}

/// What a message tells.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Notices {
    /// Objects created.
    pub created: Vec<Notice>,
    /// Objects removed, restored, tagged and whatever else happens to objects.
    pub other: u64,
    /// Messages by which S3 tries out whether it can notify.
    pub tests: u64,
}

/// A message that is no notification.
#[derive(Debug, thiserror::Error)]
pub enum NoticeError {
    /// It is not JSON.
    #[error("the message is not JSON")]
    Json(#[source] serde_json::Error),
    /// It is something else.
    #[error("the message is no notification of S3: {0}")]
    Shape(&'static str),
    /// A key that cannot be decoded.
    #[error("the notification names a key that is not form-encoded UTF-8: `{0}`")]
    Key(String),
}

/// Reads a message.
pub fn notices(message: &[u8]) -> Result<Notices, NoticeError> {
    let mut found = Notices::default();
    read(&serde_json::from_slice(message).map_err(NoticeError::Json)?, &mut found, 0)?;
    Ok(found)
}

fn read(value: &Value, found: &mut Notices, depth: usize) -> Result<(), NoticeError> {
    let Value::Object(object) = value else { return Err(NoticeError::Shape("it is not an object")) };
    if depth > WRAPPED_MAX {
        return Err(NoticeError::Shape("it is wrapped too often"));
    }
    if let Some(records) = object.get("Records") {
        let Value::Array(records) = records else { return Err(NoticeError::Shape("`Records` is not a list")) };
        return records.iter().try_for_each(|record| record_of(record, found, depth));
    }
    match (text(object, "Type"), text(object, "Message")) {
        (Some("Notification"), Some(message)) => return inner(message, found, depth),
        (Some("SubscriptionConfirmation" | "UnsubscribeConfirmation"), _) => {
            found.other += 1;
            return Ok(());
        }
        _ => {}
    }
    if text(object, "Event") == Some("s3:TestEvent") {
        found.tests += 1;
        return Ok(());
    }
    if text(object, "source") == Some("aws.s3") {
        return bridged(object, found);
    }
    Err(NoticeError::Shape("it has neither `Records` nor `detail` of aws.s3"))
}

fn record_of(record: &Value, found: &mut Notices, depth: usize) -> Result<(), NoticeError> {
    let Value::Object(record) = record else { return Err(NoticeError::Shape("a record is not an object")) };
    // SQS to Lambda, SNS to Lambda.
    if let Some(body) = text(record, "body") {
        return inner(body, found, depth);
    }
    if let Some(message) = record.get("Sns").and_then(|sns| sns.get("Message")).and_then(Value::as_str) {
        return inner(message, found, depth);
    }
    if text(record, "eventSource") != Some("aws:s3") {
        return Err(NoticeError::Shape("a record is of another service"));
    }
    // An unknown major version could mean anything; a missing one is what hand-made messages have.
    if text(record, "eventVersion").is_some_and(|version| version.split('.').next() != Some("2")) {
        return Err(NoticeError::Shape("its `eventVersion` is not 2"));
    }
    if !text(record, "eventName").is_some_and(is_creation) {
        found.other += 1;
        return Ok(());
    }
    let s3 = record.get("s3").and_then(Value::as_object).ok_or(NoticeError::Shape("a record has no `s3`"))?;
    let (bucket, object) = bucket_and_object(s3)?;
    let key = text(object, "key").ok_or(NoticeError::Shape("a record has no key"))?;
    found.created.push(Notice {
        bucket,
        key: form_decoded(key).ok_or_else(|| NoticeError::Key(key.to_owned()))?,
        sequencer: text(object, "sequencer").map(str::to_owned),
        version: text(object, "versionId").map(str::to_owned),
        etag: text(object, "eTag").map(unquoted),
        bytes: object.get("size").and_then(Value::as_u64),
    });
    Ok(())
}

fn inner(text: &str, found: &mut Notices, depth: usize) -> Result<(), NoticeError> {
    read(&serde_json::from_str(text).map_err(NoticeError::Json)?, found, depth + 1)
}

/// EventBridge: keys are not encoded.
fn bridged(event: &Map<String, Value>, found: &mut Notices) -> Result<(), NoticeError> {
    if text(event, "detail-type") != Some("Object Created") {
        found.other += 1;
        return Ok(());
    }
    let detail = event.get("detail").and_then(Value::as_object).ok_or(NoticeError::Shape("it has no `detail`"))?;
    let (bucket, object) = bucket_and_object(detail)?;
    found.created.push(Notice {
        bucket,
        key: text(object, "key").ok_or(NoticeError::Shape("it has no key"))?.to_owned(),
        sequencer: text(object, "sequencer").map(str::to_owned),
        version: text(object, "version-id").map(str::to_owned),
        etag: text(object, "etag").map(unquoted),
        bytes: object.get("size").and_then(Value::as_u64),
    });
    Ok(())
}

/// `ObjectCreated:Put` and its like; `ObjectRestore` and the rest bring nothing new.
fn is_creation(name: &str) -> bool {
    name.strip_prefix("s3:").unwrap_or(name).starts_with("ObjectCreated:")
}

fn bucket_and_object(of: &Map<String, Value>) -> Result<(String, &Map<String, Value>), NoticeError> {
    let bucket = of.get("bucket").and_then(|bucket| bucket.get("name")).and_then(Value::as_str);
    let object = of.get("object").and_then(Value::as_object);
    match (bucket, object) {
        (Some(bucket), Some(object)) => Ok((bucket.to_owned(), object)),
        _ => Err(NoticeError::Shape("it names no bucket and object")),
    }
}

fn text<'v>(of: &'v Map<String, Value>, key: &str) -> Option<&'v str> {
    of.get(key).and_then(Value::as_str)
}

fn unquoted(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

/// Undoes form encoding. A `%` that begins no code stands for itself: hand-made messages do not encode.
pub(crate) fn form_decoded(key: &str) -> Option<String> {
    let bytes = key.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = (byte == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
        let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))) {
            Some(decoded) => {
                out.push(decoded);
                at += 3;
            }
            None => {
                out.push(if byte == b'+' { b' ' } else { byte });
                at += 1;
            }
        }
    }
    String::from_utf8(out).ok()
}

/// The same the other way: what S3 takes as it is stays, a space becomes `+`.
pub(crate) fn form_encoded(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'/' | b'!' | b'-' | b'_' | b'.' | b'*' | b'\'' | b'(' | b')' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            // Writing to a string cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

impl Notice {
    /// Whether this notification is later than another of the same key: sequencers are compared as numbers.
    pub fn is_later_than(&self, other: &Self) -> bool {
        let digits = |notice: &Self| {
            notice.sequencer.as_deref().unwrap_or_default().trim_start_matches('0').to_ascii_lowercase()
        };
        let (own, others) = (digits(self), digits(other));
        (own.len(), own) > (others.len(), others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"eventVersion":"2.4","eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},
        "object":{"key":"day%3D1/a+b%2Bc%C3%A9.gz","size":5,"eTag":"e","versionId":"v","sequencer":"0A1"}}}"#;

    fn keys(message: &str) -> Vec<String> {
        notices(message.as_bytes()).unwrap().created.into_iter().map(|notice| notice.key).collect()
    }

    #[test]
    fn every_wrapping_is_taken_off() {
        let plain = format!(r#"{{"Records":[{RECORD}]}}"#);
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        let sns = format!(r#"{{"Type":"Notification","MessageId":"1","Message":{}}}"#, quoted(&plain));
        let to_lambda =
            format!(r#"{{"Records":[{{"EventSource":"aws:sns","Sns":{{"Message":{}}}}}]}}"#, quoted(&plain));
        let queued = |body: &str| format!(r#"{{"Records":[{{"messageId":"m","body":{}}}]}}"#, quoted(body));
        for message in [plain.clone(), sns.clone(), to_lambda, queued(&plain), queued(&sns)] {
            assert_eq!(keys(&message), ["day=1/a b+cé.gz"], "{message}");
        }
        let found = notices(plain.as_bytes()).unwrap().created.remove(0);
        assert_eq!((found.version.as_deref(), found.etag.as_deref(), found.bytes), (Some("v"), Some("e"), Some(5)));
    }

    #[test]
    fn event_bridge_does_not_encode_keys() {
        let event = r#"{"source":"aws.s3","detail-type":"Object Created","detail":{"bucket":{"name":"b"},"object":{"key":"a+b%41","size":1}}}"#;
        assert_eq!(keys(event), ["a+b%41"]);
        let gone = event.replace("Object Created", "Object Deleted");
        assert_eq!(notices(gone.as_bytes()).unwrap(), Notices { other: 1, ..Default::default() });
    }

    #[test]
    fn what_creates_nothing_is_counted_and_what_is_no_notification_refused() {
        let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}"#;
        assert_eq!(notices(test.as_bytes()).unwrap().tests, 1);
        let gone = format!(r#"{{"Records":[{}]}}"#, RECORD.replace("ObjectCreated:Put", "ObjectRemoved:Delete"));
        assert_eq!(notices(gone.as_bytes()).unwrap().other, 1);
        for wrong in ["{}", "[]", "x", r#"{"Records":[{"eventSource":"aws:sqs"}]}"#, &RECORD.replace("2.4", "3.0")] {
            assert!(notices(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sequencers_are_numbers() {
        let notice = |sequencer: &str| Notice { sequencer: Some(sequencer.to_owned()), ..notices_of_record() };
        assert!(notice("0100").is_later_than(&notice("ff")));
        assert!(notice("00FF").is_later_than(&notice("0fe")));
        assert!(!notice("0A").is_later_than(&notice("a")));
    }

    fn notices_of_record() -> Notice {
        notices(format!(r#"{{"Records":[{RECORD}]}}"#).as_bytes()).unwrap().created.remove(0)
    }
}
