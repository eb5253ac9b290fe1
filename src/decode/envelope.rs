//! CloudWatch Logs subscription documents: `{"messageType":…,"logEvents":[{"message":…},…],…}`. Each message is one
//! record. Unknown keys are passed over; a second `logEvents` or `message` is refused, since one of them would be lost.

use std::ops::Range;

use super::json::{JsonError, Scalar, Scanner};
use super::lockstep::Span;

/// The key that gives an envelope away. In a bare record it can only stand within a string, its quotes escaped.
const SIGN: &[u8] = b"\"logEvents\"";

/// Log events of one document; more take more memory than the document. CloudWatch Logs sends some thousand.
const MESSAGES_MAX: usize = 1 << 20;

/// What kind of document it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Log events.
    Data,
    /// The service about itself: it checks whether it can deliver.
    Control,
    /// Another type of message, or none.
    Unknown,
}

/// A document, read.
#[derive(Default, Debug)]
pub(super) struct Envelope {
    /// The message of each log event; none for an event without message.
    pub(super) messages: Vec<Option<Message>>,
    /// The records among the messages that follow a format.
    pub(super) followed: Followed,
}

/// Records that were read in lockstep with their format, and unescaped in passing.
#[derive(Default, Debug)]
pub(super) struct Followed {
    pub(super) text: Vec<u8>,
    pub(super) spans: Vec<Span>,
    pub(super) records: Vec<FollowedRecord>,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct FollowedRecord {
    /// Where it is in the text.
    pub(super) text: Range<usize>,
    /// Where its values are among the spans.
    pub(super) spans: Range<usize>,
    /// Which format it follows.
    pub(super) format: usize,
}

/// Where a message stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Message {
    /// In the document, as it is.
    Plain(usize, usize),
    /// In the document, with escapes.
    Escaped(usize, usize),
    /// One of [`Envelope::followed`].
    Followed(usize),
}

/// Finds out whether a document may be an envelope.
pub(super) fn may_be_envelope(finder: &memchr::memmem::Finder<'_>, document: &[u8]) -> bool {
    finder.find(document).is_some()
}

/// The finder for [`may_be_envelope`].
pub(super) fn sign() -> memchr::memmem::Finder<'static> {
    memchr::memmem::Finder::new(SIGN)
}

impl Followed {
    fn clear(&mut self) {
        self.text.clear();
        self.spans.clear();
        self.records.clear();
    }
}

impl Envelope {
    /// Reads a document; `None` where it is no envelope.
    pub(super) fn read(&mut self, document: &[u8]) -> Result<Option<Kind>, JsonError> {
        let mut scanner = Scanner::new(document);
        let kind = self.read_next(&mut scanner, |_, _| None)?;
        scanner.end()?;
        Ok(kind)
    }

    /// Reads the envelope that `text` begins with; `None` where there is none, or not all of one. Also gives its length.
    /// `follow` may add the record that a message begins with and give its length, escapes included.
    pub(super) fn read_first(
        &mut self,
        text: &[u8],
        follow: impl FnMut(&[u8], &mut Followed) -> Option<usize>,
    ) -> Option<(Kind, usize)> {
        let mut scanner = Scanner::new(text);
        let kind = self.read_next(&mut scanner, follow).ok()??;
        Some((kind, scanner.at()))
    }

    fn read_next(
        &mut self,
        scanner: &mut Scanner<'_>,
        mut follow: impl FnMut(&[u8], &mut Followed) -> Option<usize>,
    ) -> Result<Option<Kind>, JsonError> {
        self.messages.clear();
        self.followed.clear();
        let (mut kind, mut has_events) = (None, false);
        let Self { messages, followed } = self;
        scanner.object(|scanner, key| {
            if key.is(b"messageType") {
                let found = match scanner.scalar()? {
                    Scalar::Text(text) if text.is(b"DATA_MESSAGE") => Kind::Data,
                    Scalar::Text(text) if text.is(b"CONTROL_MESSAGE") => Kind::Control,
                    _ => Kind::Unknown,
                };
                if kind.replace(found).is_some() {
                    return scanner.error("messageType stands twice");
                }
                Ok(())
            } else if key.is(b"logEvents") {
                if std::mem::replace(&mut has_events, true) {
                    return scanner.error("logEvents stands twice");
                }
                scanner.array(|scanner| {
                    if messages.len() == MESSAGES_MAX {
                        return scanner.error("more log events than any document has");
                    }
                    messages.push(event(scanner, |text| {
                        let number = followed.records.len();
                        follow(text, followed).map(|length| (length, Message::Followed(number)))
                    })?);
                    Ok(())
                })
            } else {
                scanner.skip()
            }
        })?;
        Ok(kind.filter(|_| has_events))
    }
}

fn event(
    scanner: &mut Scanner<'_>,
    mut follow: impl FnMut(&[u8]) -> Option<(usize, Message)>,
) -> Result<Option<Message>, JsonError> {
    let mut message = None;
    scanner.object(|scanner, key| {
        if !key.is(b"message") {
            return scanner.skip();
        }
        let known = match scanner.peek() {
            Some(b'"') => follow(&scanner.rest()[1..]).filter(|(length, _)| scanner.close_text(*length)),
            _ => None,
        };
        let found = match known {
            Some((_, message)) => message,
            None => match scanner.scalar()? {
                Scalar::Text(text) if text.escaped => Message::Escaped(text.at, text.at + text.raw.len()),
                Scalar::Text(text) => Message::Plain(text.at, text.at + text.raw.len()),
                _ => return Ok(()),
            },
        };
        if message.replace(found).is_some() { scanner.error("message stands twice") } else { Ok(()) }
    })?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(document: &str) -> Result<Option<(Kind, Vec<String>)>, JsonError> {
        let mut envelope = Envelope::default();
        let kind = envelope.read(document.as_bytes())?;
        let texts = envelope.messages.iter().map(|message| match message {
            Some(Message::Plain(start, end) | Message::Escaped(start, end)) => document[*start..*end].to_owned(),
            Some(Message::Followed(_)) => panic!("no format was followed"),
            None => "-".to_owned(),
        });
        Ok(kind.map(|kind| (kind, texts.collect())))
    }

    #[test]
    fn every_message_is_found() {
        let document = r#"{"messageType":"DATA_MESSAGE","policyLevel":"ACCOUNT","owner":"1","logEvents":[
            {"id":"1","timestamp":5,"message":"{\"a\":1}","extractedFields":{"x":[1]}},{"id":"2"}]}"#;
        assert_eq!(read(document).unwrap(), Some((Kind::Data, vec![r#"{\"a\":1}"#.to_owned(), "-".to_owned()])));
        let control = r#"{"logEvents":[{"message":"CWL CONTROL MESSAGE: Checking"}],"messageType":"CONTROL_MESSAGE"}"#;
        assert_eq!(read(control).unwrap().unwrap().0, Kind::Control);
    }

    #[test]
    fn other_documents_are_none() {
        assert_eq!(read(r#"{"requestId":"1"}"#).unwrap(), None);
        assert_eq!(read(r#"{"logEvents":[]}"#).unwrap(), None);
        assert!(!may_be_envelope(&sign(), br#"{"ua":"\"logEvents\""}"#));
    }

    #[test]
    fn nothing_stands_twice() {
        assert!(read(r#"{"messageType":"DATA_MESSAGE","logEvents":[],"logEvents":[]}"#).is_err());
        assert!(read(r#"{"messageType":"DATA_MESSAGE","logEvents":[{"message":"a","message":"b"}]}"#).is_err());
    }
}
