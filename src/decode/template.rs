//! An API Gateway access-log format in JSON, as configured in the stage, to a plan for taking records apart again: which
//! key of which object holds which `$context` variable. A value is one variable, fixed text, or variables between fixed
//! text where that can be told apart; keys may have any name, and objects may lie inside each other.

use super::error::SpecError;
use super::json::Text;

/// What every variable begins with.
pub(super) const SIGIL: &[u8] = b"$context.";
const DEPTH_MAX: usize = 16;

/// A format, read.
#[derive(Debug)]
pub(super) struct TemplatePlan {
    /// The objects of the format, the outermost first.
    pub(super) objects: Vec<Vec<Member>>,
    /// Number of keys in all objects: each has a number below this.
    pub(super) keys: usize,
    /// The variables without `$context.`, each once.
    pub(super) variables: Vec<Variable>,
}

/// A variable of the format.
#[derive(Debug)]
pub(super) struct Variable {
    /// Its name without `$context.`.
    pub(super) name: String,
    /// The key whose value it is in.
    pub(super) key: String,
}

/// One key of an object.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) key: Vec<u8>,
    /// Its number among all keys of the format.
    pub(super) number: usize,
    pub(super) value: Shape,
}

/// What stands under a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// An object, by its place in [`TemplatePlan::objects`].
    Object(usize),
    /// One variable, by its place in [`TemplatePlan::variables`].
    Variable(usize),
    /// Variables and fixed text by turns.
    Mixed(Vec<Piece>),
    /// Nothing of interest.
    Fixed,
}

/// A part of a mixed value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Fixed(Vec<u8>),
    Variable(usize),
}

impl TemplatePlan {
    pub(super) fn new(text: &str) -> Result<Self, SpecError> {
        let mut reader = Reader {
            bytes: text.as_bytes(),
            at: 0,
            plan: Self { objects: Vec::new(), keys: 0, variables: Vec::new() },
        };
        reader.object(1)?;
        if reader.peek().is_some() {
            return reader.bad("something follows the object");
        }
        Ok(reader.plan)
    }

    /// The place of a variable.
    pub(super) fn slot(&self, name: &str) -> Option<usize> {
        self.variables.iter().position(|variable| variable.name == name)
    }

    /// Whether any of its objects has such a key.
    pub(super) fn has_key(&self, key: Text<'_>) -> bool {
        self.objects.iter().flatten().any(|member| key.is(&member.key))
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    plan: TemplatePlan,
}

impl Reader<'_> {
    fn bad<T>(&self, what: &'static str) -> Result<T, SpecError> {
        Err(SpecError::BadTemplate { at: self.at, what })
    }

    fn peek(&mut self) -> Option<u8> {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), SpecError> {
        if self.peek() != Some(byte) {
            return self.bad(what);
        }
        self.at += 1;
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<usize, SpecError> {
        if depth > DEPTH_MAX {
            return self.bad("too many objects inside each other");
        }
        let place = self.plan.objects.len();
        self.plan.objects.push(Vec::new());
        self.expect(b'{', "an object was expected")?;
        loop {
            let key = self.string()?;
            self.expect(b':', "a colon was expected")?;
            if self.plan.objects[place].iter().any(|member| member.key == key) {
                return self.bad("a key stands twice in one object");
            }
            let value = match self.peek() {
                Some(b'{') => Shape::Object(self.object(depth + 1)?),
                Some(b'"') => {
                    let text = self.string()?;
                    self.shape(&key, &text)?
                }
                Some(b'[') => return Err(ambiguous(&key, "it is a list")),
                _ => {
                    let text = self.bare()?;
                    self.shape(&key, &text)?
                }
            };
            let number = self.plan.keys;
            self.plan.keys += 1;
            self.plan.objects[place].push(Member { key, number, value });
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return self.bad("a comma or the object's end was expected"),
            }
        }
        self.at += 1;
        Ok(place)
    }

    fn string(&mut self) -> Result<Vec<u8>, SpecError> {
        self.expect(b'"', "a string was expected")?;
        let start = self.at;
        let mut escaped = false;
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'"' => {
                    let raw = &self.bytes[start..self.at];
                    self.at += 1;
                    let mut meant = Vec::new();
                    Text { at: start, raw, escaped }.unescape(&mut meant);
                    return Ok(meant);
                }
                b'\\' => {
                    escaped = true;
                    self.at += 2;
                }
                _ => self.at += 1,
            }
        }
        self.bad("a string is not closed")
    }

    /// An unquoted variable, number or word.
    fn bare(&mut self) -> Result<Vec<u8>, SpecError> {
        let rest = &self.bytes[self.at..];
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'$' | b'_' | b'-' | b'+' | b'.');
        let length = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        if length == 0 {
            return self.bad("a value was expected");
        }
        self.at += length;
        Ok(rest[..length].to_vec())
    }

    fn shape(&mut self, key: &[u8], text: &[u8]) -> Result<Shape, SpecError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = memchr::memmem::find(rest, SIGIL) {
            if at > 0 {
                pieces.push(Piece::Fixed(rest[..at].to_vec()));
            }
            rest = &rest[at + SIGIL.len()..];
            let name = &rest[..name_length(rest)];
            if name.is_empty() {
                return Err(ambiguous(key, "a `$context.` names no variable"));
            }
            pieces.push(Piece::Variable(self.variable(key, name)));
            rest = &rest[name.len()..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Fixed(rest.to_vec()));
        }
        match pieces.as_slice() {
            [Piece::Variable(slot)] => Ok(Shape::Variable(*slot)),
            [] | [Piece::Fixed(_)] => Ok(Shape::Fixed),
            _ => {
                self.check_mixed(&pieces)?;
                Ok(Shape::Mixed(pieces))
            }
        }
    }

    fn variable(&mut self, key: &[u8], name: &[u8]) -> usize {
        let name = String::from_utf8_lossy(name).into_owned();
        if let Some(slot) = self.plan.slot(&name) {
            return slot;
        }
        self.plan.variables.push(Variable { name, key: String::from_utf8_lossy(key).into_owned() });
        self.plan.variables.len() - 1
    }

    /// Several variables can be told apart where each but the last is a single word and a blank, or another byte that
    /// no such word holds, follows it.
    fn check_mixed(&self, pieces: &[Piece]) -> Result<(), SpecError> {
        for (at, piece) in pieces.iter().enumerate() {
            let Piece::Variable(slot) = piece else { continue };
            let next = pieces[at + 1..].iter().find_map(|piece| match piece {
                Piece::Variable(slot) => Some(*slot),
                Piece::Fixed(_) => None,
            });
            let Some(next) = next else { break };
            let name = |slot: usize| format!("$context.{}", self.plan.variables[slot].name);
            let inseparable = |why| Err(SpecError::Inseparable { first: name(*slot), second: name(next), why });
            match pieces.get(at + 1) {
                Some(Piece::Fixed(text)) if matches!(text[0], b' ' | b'\t' | b'|' | b';' | b',' | b'"') => {}
                _ => return inseparable("neither a blank nor `|`, `;`, `,` or `\"` follows the first"),
            }
            if !is_one_word(&self.plan.variables[*slot].name) {
                return inseparable("the first can hold blanks");
            }
        }
        Ok(())
    }
}

/// Bytes of the name at the start of what follows a [`SIGIL`].
pub(super) fn name_length(text: &[u8]) -> usize {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let length = text.iter().position(|byte| !is_part(byte)).unwrap_or(text.len());
    let is_end = |byte: &u8| !matches!(byte, b'-' | b'.');
    text[..length].iter().rposition(is_end).map_or(0, |last| last + 1)
}

/// Variables whose values never hold a blank or a separator, whatever a caller sends.
fn is_one_word(name: &str) -> bool {
    matches!(
        name,
        "accountId"
            | "apiId"
            | "stage"
            | "domainName"
            | "domainPrefix"
            | "extendedRequestId"
            | "identity.apiKeyId"
            | "identity.sourceIp"
            | "integration.latency"
            | "integration.status"
            | "integrationLatency"
            | "integrationStatus"
            | "protocol"
            | "requestId"
            | "requestTimeEpoch"
            | "resourceId"
            | "responseLatency"
            | "responseLength"
            | "status"
            | "wafResponseCode"
            | "xrayTraceId"
    )
}

fn ambiguous(key: &[u8], why: &'static str) -> SpecError {
    SpecError::AmbiguousTemplate { key: String::from_utf8_lossy(key).into_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_keys_nested_and_unquoted() {
        let plan = TemplatePlan::new(
            r#"{ "id" : "$context.extendedRequestId", "who": {"ip":"$context.identity.sourceIp", "v": "1"},
                 "status": $context.status, "n": 3, "again":"$context.status" }"#,
        )
        .unwrap();
        let names: Vec<_> = plan.variables.iter().map(|variable| variable.name.as_str()).collect();
        assert_eq!(names, ["extendedRequestId", "identity.sourceIp", "status"]);
        assert_eq!(plan.keys, 7);
        assert_eq!(plan.objects[0][1].value, Shape::Object(1));
        assert_eq!(plan.objects[1][1].value, Shape::Fixed);
        assert_eq!(plan.objects[0][2].value, Shape::Variable(2));
        assert_eq!(plan.objects[0][4].value, Shape::Variable(2));
    }

    #[test]
    fn mixed_values_must_be_separable() {
        let plan = TemplatePlan::new(r#"{"t":"[$context.requestTime]","s":"$context.status $context.path"}"#).unwrap();
        let Shape::Mixed(pieces) = &plan.objects[0][0].value else { panic!() };
        assert_eq!(pieces[1], Piece::Variable(0));
        for (text, named) in [
            (r#"{"a":"$context.status","b":"$context.path $context.status"}"#, ["path", "status"]),
            (r#"{"b":"$context.status-$context.path"}"#, ["status", "path"]),
        ] {
            let Err(SpecError::Inseparable { first, second, .. }) = TemplatePlan::new(text) else { panic!("{text}") };
            assert_eq!([first, second], named.map(|name| format!("$context.{name}")));
        }
        for text in [r#"{"b":"$context.status.x$context."}"#, r#"{"b":["$context.status"]}"#] {
            let Err(SpecError::AmbiguousTemplate { key, .. }) = TemplatePlan::new(text) else { panic!("{text}") };
            assert_eq!(key, "b");
        }
    }

    #[test]
    fn broken_json_is_refused() {
        for text in [
            "",
            "{",
            "{\"a\"",
            "{\"a\":}",
            "{\"a\":\"b\"",
            "{\"a\":\"b\"} x",
            "{\"a\":\"b\",\"a\":\"c\"}",
            "{}",
            "{\"a\":\"\\",
        ] {
            assert!(matches!(TemplatePlan::new(text), Err(SpecError::BadTemplate { .. })), "{text}");
        }
    }
}
