//! Fills the named parameters of an SQL text. A parameter is `$name`; its value is SQL already: a literal quoted here or
//! a fragment made from checked pieces. The text is read once, so a value that holds a `$` is never filled in again.

use chrono::DateTime;

use crate::base::{Micros, UtcDay};

/// The text with each `$name` replaced. Names the text asks for and the caller lacks, or the reverse, are our own bug.
pub(crate) fn render(text: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut used = vec![false; values.len()];
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let len = after.find(|c: char| !(c.is_ascii_lowercase() || c == '_')).unwrap_or(after.len());
        let (name, tail) = after.split_at(len);
        match values.iter().position(|(known, _)| *known == name) {
            Some(i) => {
                used[i] = true;
                out.push_str(values[i].1);
            }
            None => panic!("the SQL text asks for `${name}`, which is not given"),
        }
        rest = tail;
    }
    out.push_str(rest);
    if let Some(i) = used.iter().position(|used| !used) {
        panic!("the SQL text does not ask for `${}`", values[i].0);
    }
    out
}

/// The text without the parts that do not apply. A part begins with a line `-- if name`, may have a line `-- else`, and ends with a line
/// `-- end`; parts are not nested. Of a name that `is` true the first half stays, else the second.
pub(crate) fn choose(text: &str, name: &str, is: bool) -> String {
    let begin = format!("-- if {name}");
    let mut out = String::with_capacity(text.len());
    let mut keep = None;
    for line in text.lines() {
        match (line.trim(), keep) {
            (mark, None) if mark == begin => keep = Some(is),
            ("-- else", Some(half)) => keep = Some(!half),
            ("-- end", Some(_)) => keep = None,
            (_, None | Some(true)) => {
                out.push_str(line);
                out.push('\n');
            }
            (_, Some(false)) => {}
        }
    }
    out
}

/// A text literal: quotes are doubled, nothing else has a meaning inside.
pub(crate) fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// A date literal.
pub(crate) fn date(day: UtcDay) -> String {
    format!("DATE '{day}'")
}

/// A literal of an instant, always with its zone, so that no session's zone can move it.
pub(crate) fn instant(at: Micros) -> String {
    let shown = DateTime::from_timestamp_micros(at.0).unwrap_or(DateTime::UNIX_EPOCH);
    let form = if at.0.rem_euclid(1_000_000) == 0 { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M:%S%.6f" };
    format!("TIMESTAMP '{} +00:00'", shown.format(form))
}

/// `TRUE` or `FALSE`.
pub(crate) fn boolean(value: bool) -> &'static str {
    if value { "TRUE" } else { "FALSE" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_not_filled_in_again() {
        assert_eq!(render("a = $a AND b = $b", &[("a", "'$b'"), ("b", "2")]), "a = '$b' AND b = 2");
    }

    #[test]
    #[should_panic(expected = "asks for `$b`")]
    fn a_missing_value_is_a_bug() {
        render("$a $b", &[("a", "1")]);
    }

    #[test]
    fn parts_that_do_not_apply_are_left_out() {
        let text = "a\n-- if x\nb\n-- else\nc\n-- end\nd\n  -- if y\ne\n-- end\nf\n";
        assert_eq!(choose(&choose(text, "x", true), "y", false), "a\nb\nd\nf\n");
        assert_eq!(choose(&choose(text, "x", false), "y", true), "a\nc\nd\ne\nf\n");
    }

    #[test]
    fn literals_hold_what_they_are_given() {
        assert_eq!(text("O'Brien' OR ''='"), "'O''Brien'' OR ''''='''");
        assert_eq!(instant("2026-10-01T00:15:00Z".parse().unwrap()), "TIMESTAMP '2026-10-01 00:15:00 +00:00'");
        assert_eq!(instant(Micros(-1)), "TIMESTAMP '1969-12-31 23:59:59.999999 +00:00'");
    }
}
