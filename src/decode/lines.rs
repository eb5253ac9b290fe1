//! Plain bytes in any chunks to lines. Lines end with LF, CRLF or the end of the object; blank lines are nothing.
//! A line over the limit is handed over cut, so that it can be kept as a reject; its rest is passed over up to the LF.

use super::ObjectError;

/// Bytes kept of a line that is too long: enough for a reject's excerpt.
const EXCERPT_BYTES: usize = 4096;

/// One line of an object.
pub(super) enum Line<'a> {
    /// A line without its end.
    Whole(&'a [u8]),
    /// The start of a line longer than the limit.
    TooLong(&'a [u8]),
}

/// Splits at LF, carrying half a line from chunk to chunk.
pub(super) struct Lines {
    carry: Vec<u8>,
    skipping: bool,
    bytes_max: usize,
}

impl Lines {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { carry: Vec::new(), skipping: false, bytes_max }
    }

    /// Hands over every line completed by `chunk`.
    pub(super) fn push(
        &mut self,
        chunk: &[u8],
        on: &mut impl FnMut(Line<'_>) -> Result<(), ObjectError>,
    ) -> Result<(), ObjectError> {
        let mut rest = chunk;
        while let Some(at) = memchr::memchr(b'\n', rest) {
            let (line, after) = (&rest[..at], &rest[at + 1..]);
            rest = after;
            if self.skipping {
                self.skipping = false;
            } else if self.carry.is_empty() {
                self.hand_over(line, on)?;
            } else {
                let mut carry = std::mem::take(&mut self.carry);
                carry.extend_from_slice(line);
                self.hand_over(&carry, on)?;
                carry.clear();
                self.carry = carry;
            }
        }
        if !self.skipping {
            self.carry.extend_from_slice(rest);
            // One byte over the limit may still be the CR of a line end.
            if self.carry.len() > self.bytes_max + 1 {
                let carry = std::mem::take(&mut self.carry);
                self.skipping = true;
                self.hand_over(&carry, on)?;
            }
        }
        Ok(())
    }

    /// Hands over a last line without LF.
    pub(super) fn finish(
        &mut self,
        on: &mut impl FnMut(Line<'_>) -> Result<(), ObjectError>,
    ) -> Result<(), ObjectError> {
        let carry = std::mem::take(&mut self.carry);
        self.hand_over(&carry, on)
    }

    fn hand_over(
        &self,
        line: &[u8],
        on: &mut impl FnMut(Line<'_>) -> Result<(), ObjectError>,
    ) -> Result<(), ObjectError> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > self.bytes_max {
            on(Line::TooLong(&line[..self.bytes_max.min(EXCERPT_BYTES)]))
        } else if line.trim_ascii().is_empty() {
            Ok(())
        } else {
            on(Line::Whole(line))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&str], bytes_max: usize) -> Vec<String> {
        let mut lines = Lines::new(bytes_max);
        let mut out = Vec::new();
        let mut on = |line: Line<'_>| {
            let (mark, bytes) = match line {
                Line::Whole(bytes) => ("", bytes),
                Line::TooLong(bytes) => ("!", bytes),
            };
            out.push(format!("{mark}{}", String::from_utf8_lossy(bytes)));
            Ok(())
        };
        for chunk in chunks {
            lines.push(chunk.as_bytes(), &mut on).unwrap();
        }
        lines.finish(&mut on).unwrap();
        out
    }

    #[test]
    fn line_ends_of_all_kinds_and_blank_lines() {
        assert_eq!(split(&["a\r\nb\n\n \t\r\nc"], 10), ["a", "b", "c"]);
        assert_eq!(split(&["a", "b\r", "\nc", "\n"], 10), ["ab", "c"]);
        assert!(split(&["", "\n"], 10).is_empty());
    }

    #[test]
    fn a_line_over_the_limit_is_one_reject_and_the_next_is_read() {
        assert_eq!(split(&["abcde\nabcdef\nx"], 5), ["abcde", "!abcde", "x"]);
        assert_eq!(split(&["abcdef", "ghi\n", "x\n"], 5), ["!abcde", "x"]);
        assert_eq!(split(&["abcde\r", "\nabcdef\r", "\nx"], 5), ["abcde", "!abcde", "x"]);
        assert_eq!(split(&["abcdefgh"], 5), ["!abcde"]);
    }
}
