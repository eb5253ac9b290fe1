//! An object of which nothing is known, opened: its first bytes in, plain bytes and a sample of its records out, with what
//! they were packed in. Where only its first bytes were read, or it is damaged, what lies before that is looked at all the
//! same. Refused: nothing; what cannot be opened says why.

use crate::decode::envelope::{self, Envelope, Followed, Kind, Message};
use crate::decode::failed;
use crate::decode::gunzip::{Gunzip, Space};
use crate::decode::json::Text;
use crate::decode::lines::{Line, Lines};
use crate::decode::own_json;
use crate::decode::parquet_rows::{self, ParquetRows};
use crate::decode::values::{Taker, Value, Values};
use crate::decode::{Limits, ObjectError};

use super::{Container, Specimen};

/// Plain bytes looked at of one object.
pub(super) const PLAIN_BYTES_MAX: usize = 32 << 20;
/// Records of one object that the guessing is done by.
const RECORDS_MAX: usize = 1000;
/// Their bytes.
const RECORDS_BYTES_MAX: usize = 8 << 20;
/// Bytes looked at to tell text from something else.
const HEAD_BYTES: usize = 4096;

/// How plain bytes are cut into records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// There is nothing but white space.
    Empty,
    /// No text.
    Binary(&'static str),
    /// JSON objects, one after another.
    Json,
    /// A JSON array.
    Array,
    Lines,
    Parquet,
}

/// An object, opened.
pub(super) struct Opened {
    /// Its plain bytes; where they stop too early, up to the end of the last whole record.
    pub(super) plain: Vec<u8>,
    pub(super) form: Form,
    pub(super) container: Container,
    /// The first records.
    pub(super) records: Vec<Vec<u8>>,
    /// Lines that begin with `#`.
    pub(super) header: Vec<String>,
    /// There is more that was not looked at.
    pub(super) is_cut: bool,
    /// What stopped the reading.
    pub(super) problem: Option<ObjectError>,
}

impl Opened {
    pub(super) fn new(specimen: &Specimen) -> Self {
        let mut opened = Self {
            plain: Vec::new(),
            form: Form::Empty,
            container: Container::default(),
            records: Vec::new(),
            header: Vec::new(),
            is_cut: specimen.is_cut,
            problem: None,
        };
        opened.unpack(&specimen.bytes);
        opened.form = form_of(&opened.plain);
        let plain = std::mem::take(&mut opened.plain);
        let whole = opened.frame(&plain, opened.form, opened.is_cut || opened.problem.is_some());
        opened.plain = plain;
        opened.plain.truncate(whole);
        opened
    }

    fn unpack(&mut self, bytes: &[u8]) {
        let limits = Limits { object_bytes_max: PLAIN_BYTES_MAX as u64, ..Limits::default() };
        let mut gunzip = Gunzip::new(&limits, Space::default());
        gunzip.push(bytes);
        gunzip.end();
        loop {
            match gunzip.plain() {
                Ok(Some(part)) => self.plain.extend_from_slice(part),
                Ok(None) => break,
                Err(ObjectError::TooLarge { .. }) => {
                    self.is_cut = true;
                    break;
                }
                Err(ObjectError::Truncated) if self.is_cut => break,
                Err(error) => {
                    self.problem = Some(error);
                    break;
                }
            }
        }
        self.container.packings = gunzip.packings();
    }

    /// Finds the records and gives the length of what holds whole ones. `open`: its end is not that of the object.
    fn frame(&mut self, plain: &[u8], form: Form, open: bool) -> usize {
        match form {
            Form::Empty | Form::Binary(_) | Form::Array => plain.len(),
            Form::Lines => self.lines(plain, open),
            Form::Json => self.values(plain, open),
            Form::Parquet => {
                if !open {
                    self.rows(plain);
                }
                plain.len()
            }
        }
    }

    fn lines(&mut self, plain: &[u8], open: bool) -> usize {
        let whole = if open { memchr::memrchr(b'\n', plain).map_or(0, |at| at + 1) } else { plain.len() };
        let mut lines = Lines::new(Limits::default().record_bytes_max);
        let mut on = |line: Line<'_>| {
            self.container.documents += 1;
            match line {
                Line::Whole(line) if line.first() == Some(&b'#') => self.directive(line),
                Line::Whole(line) => self.record(line),
                Line::TooLong(_) => self.container.broken += 1,
            }
            Ok(())
        };
        // Neither can fail: `on` does not.
        let _ = lines.push(&plain[..whole], &mut on).and_then(|()| lines.finish(&mut on));
        whole
    }

    fn directive(&mut self, line: &[u8]) {
        self.container.documents -= 1;
        if self.header.len() < RECORDS_MAX {
            self.header.push(String::from_utf8_lossy(line).into_owned());
        }
    }

    fn values(&mut self, plain: &[u8], open: bool) -> usize {
        let limits = Limits::default();
        let mut values =
            Values::new(limits.document_bytes_max.max(limits.record_bytes_max), limits.json_depth_max, false);
        let mut taken = Taken { opened: self, bytes: 0, documents: 0 };
        let mut whole = plain.len();
        // Neither can fail: taking does not.
        let _ = values.push(plain, &mut taken);
        if open {
            whole -= usize::try_from(values.pending()).unwrap_or(whole).min(whole);
        } else {
            let _ = values.finish(&mut taken);
        }
        let Taken { bytes, documents, .. } = taken;
        // What is not of a document stands between two.
        let between = (whole as u64).saturating_sub(bytes);
        self.container.run_together += documents.saturating_sub(1).saturating_sub(between);
        self.container.documents += documents;
        whole
    }

    fn rows(&mut self, plain: &[u8]) {
        let mut rows = ParquetRows::new(&Limits::default());
        let read = rows.push(plain).and_then(|()| {
            let mut more = true;
            while more && self.wants_more() {
                more = rows.next(&mut |record| {
                    self.record(record);
                    Ok(())
                })?;
            }
            Ok(())
        });
        self.problem = read.err();
    }

    fn wants_more(&self) -> bool {
        self.records.len() < RECORDS_MAX && self.records.iter().map(Vec::len).sum::<usize>() < RECORDS_BYTES_MAX
    }

    fn record(&mut self, record: &[u8]) {
        if own_json::is_of_lambda(record) {
            self.container.lambda_lines += 1;
        } else if self.records.len() < RECORDS_MAX && self.wants_more() {
            self.records.push(record.to_vec());
        }
    }

    /// Takes one JSON object of the outermost level.
    fn document(&mut self, document: &[u8]) {
        if let Some(raw) = failed::raw_data(document) {
            self.container.failed += 1;
            // What is in it is read as if it stood in the object itself.
            let plain = raw.map_err(str::to_owned).and_then(|raw| failed::unpacked(raw, &Limits::default()));
            match plain {
                Ok(plain) if self.container.failed <= RECORDS_MAX as u64 => {
                    let (documents, form) = (self.container.documents, form_of(&plain));
                    self.frame(&plain, form, false);
                    self.container.documents = documents;
                }
                Ok(_) => {}
                Err(_) => self.container.broken += 1,
            }
            return;
        }
        let mut envelope = Envelope::default();
        match envelope::may_be_envelope(&envelope::sign(), document).then(|| envelope.read(document)) {
            Some(Ok(Some(Kind::Control))) => self.container.control += 1,
            Some(Ok(Some(_))) => {
                self.container.envelopes += 1;
                for message in &envelope.messages {
                    match *message {
                        Some(Message::Plain(start, end)) => self.record(&document[start..end]),
                        Some(Message::Escaped(start, end)) => {
                            let mut text = Vec::new();
                            Text { at: start, raw: &document[start..end], escaped: true }.unescape(&mut text);
                            self.record(&text);
                        }
                        Some(Message::Followed(at)) => {
                            let Followed { text, records, .. } = &envelope.followed;
                            match records.get(at) {
                                Some(record) => self.record(&text[record.text.clone()]),
                                None => self.container.broken += 1,
                            }
                        }
                        None => self.container.broken += 1,
                    }
                }
            }
            Some(Err(_)) => self.container.broken += 1,
            Some(Ok(None)) | None => self.record(document),
        }
    }
}

/// Takes JSON objects and counts their bytes.
struct Taken<'a> {
    opened: &'a mut Opened,
    bytes: u64,
    documents: u64,
}

impl Taker for Taken<'_> {
    fn at_once(&mut self, _: &[u8]) -> Result<Option<usize>, ObjectError> {
        Ok(None)
    }

    fn value(&mut self, value: Value<'_>) -> Result<(), ObjectError> {
        match value {
            Value::Whole(document) | Value::Closed(document) | Value::Text(document) => {
                self.documents += 1;
                self.bytes += document.len() as u64;
                self.opened.document(document);
            }
            Value::Broken { bytes, .. } => {
                self.bytes += bytes;
                self.opened.container.broken += 1;
            }
        }
        Ok(())
    }
}

fn form_of(plain: &[u8]) -> Form {
    let Some(start) = plain.iter().position(|byte| !byte.is_ascii_whitespace()) else { return Form::Empty };
    let text = &plain[start..];
    if plain.starts_with(parquet_rows::MAGIC) {
        return Form::Parquet;
    }
    if let Some(what) = binary(plain) {
        return Form::Binary(what);
    }
    let second = text[1..].iter().find(|byte| !byte.is_ascii_whitespace());
    match (text[0], second) {
        (b'{', _) => Form::Json,
        (b'[', Some(b'{' | b']')) => Form::Array,
        _ => Form::Lines,
    }
}

/// Formats of files that begin so.
const MAGICS: [(&[u8], &str); 9] = [
    (b"ORC", "an ORC file"),
    (b"Obj\x01", "an Avro file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\x04\x22\x4d\x18", "an LZ4 file"),
    (b"%PDF-", "a PDF file"),
    (b"\x89PNG", "a picture"),
    (b"\x7fELF", "a program"),
];

/// What it is where it is no text.
fn binary(plain: &[u8]) -> Option<&'static str> {
    let head = &plain[..plain.len().min(HEAD_BYTES)];
    let odd = head.iter().filter(|&&byte| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x1b)).count();
    if let Some((_, what)) = MAGICS.iter().find(|(magic, _)| head.starts_with(magic))
        && (odd > 0 || head.iter().any(|byte| !byte.is_ascii()))
    {
        return Some(what);
    }
    // One odd byte in fifty is damage or a caller's; more, or many bytes that are no UTF-8, is no text.
    let invalid: usize = head.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
    (odd + invalid > head.len() / 50).then_some("binary data")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(bytes: &[u8], is_cut: bool) -> Opened {
        Opened::new(&Specimen { name: "object".into(), bytes: bytes.to_vec(), is_cut, arrived_at: None })
    }

    #[test]
    fn documents_that_run_together_are_counted() {
        let run = |text: &str| opened(text.as_bytes(), false).container.run_together;
        assert_eq!(run("{\"a\":1}\n{\"a\":2}\n"), 0);
        assert_eq!(run("{\"a\":1}{\"a\":2}{\"a\":3}"), 2);
        assert_eq!(run("{\"a\":1}{\"a\":2}\n{\"a\":3}"), 1);
    }

    #[test]
    fn what_is_cut_ends_with_its_last_whole_record() {
        let cut = opened(b"a\tb\nc\td\ne\t", true);
        assert_eq!((cut.plain.as_slice(), cut.records.len()), (&b"a\tb\nc\td\n"[..], 2));
        let cut = opened(b"{\"a\":1}\n{\"a\":2}{\"a\"", true);
        assert_eq!((cut.plain.as_slice(), cut.records.len()), (&b"{\"a\":1}\n{\"a\":2}"[..], 2));
        let whole = opened(b"{\"a\":1}{\"a\"", false);
        assert_eq!((whole.plain.len(), whole.container.broken), (11, 1));
    }

    #[test]
    fn forms_are_told_by_their_first_bytes() {
        for (bytes, form) in [
            (&b""[..], Form::Empty),
            (b" \n\n", Form::Empty),
            (b"PAR1xxxx", Form::Parquet),
            (b"BZh91AY&SY\x01\x02", Form::Binary("a bzip2 file")),
            (b"ORCHID sales went up", Form::Lines),
            (b"\x00\x01\x02\x03\x04\xff\xfe", Form::Binary("binary data")),
            (b" {\"a\":1}", Form::Json),
            (b"[ {\"a\":1}]", Form::Array),
            (b"[09/Jun/2023:12:54:08 +0000] GET /", Form::Lines),
        ] {
            assert_eq!(form_of(bytes), form, "{bytes:?}");
        }
    }
}
