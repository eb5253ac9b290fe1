//! Bytes of log fields to text and numbers: percent-decoding, decimals without floats, the two ways API Gateway and
//! CloudFront write times. Text that is stored never holds control characters: they stay or become `%XX`.

use crate::base::{Micros, UtcDay};

const HEX: &[u8; 16] = b"0123456789ABCDEF";
/// Digits of a number that surely fits an `i64`.
const FITTING_DIGITS: usize = 18;
/// First event time believed, 2000-01-01: anything earlier is damage, not a request.
const TIME_MIN: i64 = 946_684_800_000_000;
/// First event time no longer believed, 2100-01-01.
const TIME_END: i64 = 4_102_444_800_000_000;

fn hex_value(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The byte that a `%XX` at the start of `bytes` stands for.
pub(super) fn escaped_byte(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [b'%', high, low, ..] => Some(hex_value(*high)? << 4 | hex_value(*low)?),
        _ => None,
    }
}

/// Whether a byte may not be stored as it is.
pub(super) fn is_control(byte: u8) -> bool {
    (byte < 0x20) | (byte == 0x7f)
}

/// The text, if it may be stored as it is.
pub(super) fn as_clean(bytes: &[u8]) -> Option<&str> {
    // Every byte is looked at, whatever is found: sixteen at a time, where a search looks at one.
    let has_control = bytes.iter().fold(false, |found, &byte| found | is_control(byte));
    if has_control { None } else { std::str::from_utf8(bytes).ok() }
}

/// Percent-decodes exactly once, byte for byte. A `%` that starts no `%XX` (logs are cut at 800 bytes) stays as it is.
pub(super) fn percent_decode(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'%', rest) {
        out.extend_from_slice(&rest[..at]);
        match escaped_byte(&rest[at..]) {
            Some(byte) => {
                out.push(byte);
                rest = &rest[at + 3..];
            }
            None => {
                out.push(b'%');
                rest = &rest[at + 1..];
            }
        }
    }
    out.extend_from_slice(rest);
}

/// Decodes one name or value of a query as forms do: `+` is a space, then percent-decoding.
pub(super) fn form_decode(raw: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    percent_decode(raw, out);
    // `%2B` must stay a plus: only then is the raw text free of escapes and the plain replacement right.
    if memchr::memchr(b'+', raw).is_some() {
        out.truncate(start);
        for part in raw.split_inclusive(|&byte| byte == b'+') {
            let (text, plus) = part.strip_suffix(b"+").map_or((part, false), |text| (text, true));
            percent_decode(text, out);
            if plus {
                out.push(b' ');
            }
        }
    }
}

/// Appends `bytes` to `out` with control characters as `%XX` and invalid UTF-8 as U+FFFD.
pub(super) fn push_clean(bytes: &[u8], out: &mut String) {
    for chunk in bytes.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(at) = rest.bytes().position(is_control) {
            let byte = rest.as_bytes()[at];
            out.push_str(&rest[..at]);
            out.extend(['%', HEX[usize::from(byte >> 4)] as char, HEX[usize::from(byte & 15)] as char]);
            rest = &rest[at + 1..];
        }
        out.push_str(rest);
        if !chunk.invalid().is_empty() {
            out.push('\u{fffd}');
        }
    }
}

/// A whole number without sign.
pub(super) fn integer(raw: &[u8]) -> Option<i64> {
    decimal(raw, 0)
}

/// A decimal number without sign times 10^`places`; digits beyond those places are cut off.
pub(super) fn decimal(raw: &[u8], places: u32) -> Option<i64> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
    // So many digits are never too large.
    let is_short = raw.len() <= FITTING_DIGITS;
    let push = |value: i64, digit: i64| match is_short {
        true => Some(value * 10 + digit),
        false => value.checked_mul(10)?.checked_add(digit),
    };
    let (mut value, mut at) = (0, 0);
    while let Some(digit) = raw.get(at).and_then(digit) {
        value = push(value, digit)?;
        at += 1;
    }
    let fraction = match raw.get(at..)? {
        _ if at == 0 => return None,
        [] => &[],
        [b'.', fraction @ ..] if places > 0 && fraction.len() <= FITTING_DIGITS => fraction,
        _ => return None,
    };
    for place in 0..fraction.len().max(places as usize) {
        let digit = fraction.get(place).map_or(Some(0), digit)?;
        if place < places as usize {
            value = value.checked_mul(10)?.checked_add(digit)?;
        }
    }
    Some(value)
}

fn believed(micros: i64) -> Option<Micros> {
    (TIME_MIN..TIME_END).contains(&micros).then_some(Micros(micros))
}

/// CloudFront's `1759687234.191`: seconds since the epoch.
pub(super) fn epoch_seconds(raw: &[u8]) -> Option<Micros> {
    believed(decimal(raw, 6)?)
}

/// API Gateway's `requestTimeEpoch`: milliseconds since the epoch.
pub(super) fn epoch_millis(raw: &[u8]) -> Option<Micros> {
    believed(integer(raw)?.checked_mul(1000)?)
}

/// API Gateway's `requestTime`: `09/Jun/2023:12:54:08 +0000`.
pub(super) fn clf_time(raw: &[u8]) -> Option<Micros> {
    const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let [
        d1,
        d2,
        b'/',
        m1,
        m2,
        m3,
        b'/',
        y1,
        y2,
        y3,
        y4,
        b':',
        h1,
        h2,
        b':',
        n1,
        n2,
        b':',
        s1,
        s2,
        b' ',
        sign,
        z1,
        z2,
        z3,
        z4,
    ] = *raw
    else {
        return None;
    };
    let month = MONTHS.chunks_exact(3).position(|month| *month == [m1, m2, m3])? as u32 + 1;
    let year = i32::try_from(integer(&[y1, y2, y3, y4])?).ok()?;
    let day = UtcDay::from_ymd(year, month, u32::try_from(integer(&[d1, d2])?).ok()?)?;
    let within = |digits: [u8; 2], end: i64| integer(&digits).filter(|value| *value < end);
    // 60 is a leap second; it counts into the next minute, as in POSIX time.
    let seconds = (within([h1, h2], 24)? * 60 + within([n1, n2], 60)?) * 60 + within([s1, s2], 61)?;
    let zone = (within([z1, z2], 24)? * 60 + within([z3, z4], 60)?) * 60;
    let zone = match sign {
        b'+' => zone,
        b'-' => -zone,
        _ => return None,
    };
    believed(day.start().0 + (seconds - zone) * 1_000_000)
}

/// The `date` and `time` of CloudFront's standard logs: `2026-02-03` and `04:05:06`, UTC.
pub(super) fn w3c_time(date: &[u8], time: &[u8]) -> Option<Micros> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *date else { return None };
    let [h1, h2, b':', n1, n2, b':', s1, s2] = *time else { return None };
    let number = |digits: &[u8]| u32::try_from(integer(digits)?).ok();
    let year = i32::try_from(integer(&[y1, y2, y3, y4])?).ok()?;
    let day = UtcDay::from_ymd(year, number(&[m1, m2])?, number(&[d1, d2])?)?;
    let within = |digits: [u8; 2], end: i64| integer(&digits).filter(|value| *value < end);
    let seconds = (within([h1, h2], 24)? * 60 + within([n1, n2], 60)?) * 60 + within([s1, s2], 61)?;
    believed(day.start().0 + seconds * 1_000_000)
}

/// A time as programs write it: RFC 3339, or seconds (also with a fraction), milliseconds, microseconds or nanoseconds
/// since the epoch, which cannot be mistaken for each other.
pub(super) fn any_time(raw: &[u8]) -> Option<Micros> {
    if let Some(number) = integer(raw) {
        let scales = [number.checked_mul(1_000_000), number.checked_mul(1_000), Some(number), Some(number / 1_000)];
        return scales.into_iter().flatten().find_map(believed);
    }
    epoch_seconds(raw).or_else(|| {
        let text = std::str::from_utf8(raw).ok().filter(|text| text.contains(['T', 't', ' ']))?;
        believed(text.parse::<Micros>().ok()?.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(raw: &str) -> String {
        let mut out = Vec::new();
        percent_decode(raw.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn percent_decoding_happens_once_and_tolerates_a_cut() {
        assert_eq!(decoded("q=a%2520b%2B+"), "q=a%20b++");
        assert_eq!(decoded("v1;k=x%"), "v1;k=x%");
        assert_eq!(decoded("v1;k=x%4"), "v1;k=x%4");
        assert_eq!(decoded("%zz%41"), "%zzA");
    }

    #[test]
    fn form_decoding_keeps_an_escaped_plus() {
        let mut out = Vec::new();
        form_decode(b"a+b%2Bc%20", &mut out);
        assert_eq!(out, b"a b+c ");
    }

    #[test]
    fn stored_text_has_no_control_characters_and_is_utf8() {
        let mut out = String::new();
        push_clean(b"a\nb\x1b[31m\x7f\xff\xc3\xa9", &mut out);
        assert_eq!(out, "a%0Ab%1B[31m%7F\u{fffd}\u{e9}");
    }

    #[test]
    fn decimals_are_exact() {
        assert_eq!(epoch_seconds(b"1759687234.191"), Some(Micros(1_759_687_234_191_000)));
        assert_eq!(epoch_seconds(b"1759687234"), Some(Micros(1_759_687_234_000_000)));
        assert_eq!(decimal(b"0.253", 3), Some(253));
        assert_eq!(decimal(b"0.2539", 3), Some(253));
        assert_eq!(integer(b"000"), Some(0));
        for wrong in ["", ".5", "-1", "1e3", "1.x", "12345678901234567890", " 1"] {
            assert_eq!(decimal(wrong.as_bytes(), 3), None, "{wrong}");
        }
        assert_eq!(epoch_seconds(b"12.000"), None, "1970 is no time of a request");
    }

    #[test]
    fn request_times_of_both_spellings_agree() {
        assert_eq!(clf_time(b"09/Jun/2023:12:54:08 +0000"), Some("2023-06-09T12:54:08Z".parse().unwrap()));
        assert_eq!(clf_time(b"10/Jun/2023:00:54:08 +0200"), Some("2023-06-09T22:54:08Z".parse().unwrap()));
        assert_eq!(epoch_millis(b"1678451388661"), Some("2023-03-10T12:29:48.661Z".parse().unwrap()));
        for wrong in ["31/Jun/2023:12:54:08 +0000", "09/jun/2023:12:54:08 +0000", "09/Jun/2023:24:00:00 +0000", "-"] {
            assert_eq!(clf_time(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_date_and_a_time_are_in_utc() {
        assert_eq!(w3c_time(b"2024-02-29", b"23:59:59"), Some("2024-02-29T23:59:59Z".parse().unwrap()));
        for (date, time) in
            [("2023-02-29", "00:00:00"), ("2024-2-29", "00:00:00"), ("2024-02-29", "24:00:00"), ("foo", "-")]
        {
            assert_eq!(w3c_time(date.as_bytes(), time.as_bytes()), None, "{date} {time}");
        }
    }

    #[test]
    fn times_of_programs_are_read_in_every_unit() {
        let at = "2025-11-24T16:00:00.123Z".parse().unwrap();
        for same in [
            "2025-11-24T16:00:00.123Z",
            "2025-11-24T17:00:00.123+01:00",
            "1764000000.123",
            "1764000000123",
            "1764000000123000",
            "1764000000123000999",
        ] {
            assert_eq!(any_time(same.as_bytes()), Some(at), "{same}");
        }
        assert_eq!(any_time(b"1764000000"), Some("2025-11-24T16:00:00Z".parse().unwrap()));
        for wrong in ["2025-11-24T16:00:00", "2025-11-24", "12", "-1764000000", "1.764e9", "1999-11-24T16:00:00Z", ""] {
            assert_eq!(any_time(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
