//! A source's settings as the `[[source]]` block of a configuration, ready to paste.

use std::fmt::Write;

use crate::decode::{FieldSet, Format, Identifies, KeySpec, Missing, SourceSpec, Template};

/// Characters of a line of field names.
const LINE_CHARS: usize = 110;

/// The block.
pub(super) fn block(spec: &SourceSpec, kind: &str, location: &str) -> String {
    let mut text = format!(
        "[[source]]\nname = {}\nkind = {}\nlocation = {}\n",
        quoted(&spec.name),
        quoted(kind),
        quoted(location)
    );
    match &spec.format {
        Format::CloudFrontRealtime(sets) | Format::CloudFrontStandard(sets) => fields(sets, &mut text),
        Format::ApiGateway(templates) => formats(templates, &mut text),
        Format::Json(own) => {
            let _ = write!(text, "table = {}\ncolumns = {{", quoted(own.table.name()));
            for (number, (column, path)) in own.columns.iter().enumerate() {
                let comma = if number > 0 { "," } else { "" };
                let _ = write!(text, "{comma} {column} = {}", path_of(path));
            }
            text.push_str(" }\n");
        }
    }
    match &spec.key {
        // Said aloud, so that nobody takes it for forgotten; the others have no such word.
        KeySpec::None if matches!(spec.format, Format::ApiGateway(_)) => text.push_str("key = \"none\"\n"),
        KeySpec::None => {}
        KeySpec::Path { path, plain } => {
            let plain = if *plain { ", plain = true" } else { "" };
            let _ = writeln!(text, "key = {{ path = {}{plain} }}", path_of(path));
        }
        KeySpec::Header(name) => {
            let _ = writeln!(text, "key = {{ header = {} }}", quoted(name));
        }
        KeySpec::LogData { name, plain, missing } => {
            let plain = if *plain { ", plain = true" } else { "" };
            let missing = if *missing == Missing::Anonymous { ", missing = \"anonymous\"" } else { "" };
            let _ = writeln!(text, "key = {{ log_data = {}{plain}{missing} }}", quoted(name));
        }
        KeySpec::Query(name) => {
            let _ = writeln!(text, "key = {{ query = {} }}", quoted(name));
        }
        KeySpec::Variable(name) => {
            let _ = writeln!(text, "key = {}", quoted(name));
        }
    }
    if spec.identifies == Identifies::Customer {
        text.push_str("identifies = \"customer\"\n");
    }
    text
}

fn fields(sets: &[FieldSet], text: &mut String) {
    match sets {
        [] => {}
        [one] => {
            text.push_str("fields = [\n");
            lines(&one.fields, "    ", text);
            text.push_str("]\n");
        }
        many => {
            text.push_str("fields = [\n");
            for set in many {
                let from = set.from.map(|from| format!("from = {}, ", quoted(&from.to_string()))).unwrap_or_default();
                let _ = writeln!(text, "    {{ {from}fields = [");
                lines(&set.fields, "        ", text);
                text.push_str("    ] },\n");
            }
            text.push_str("]\n");
        }
    }
}

fn lines(names: &[String], indent: &str, text: &mut String) {
    let mut line = String::new();
    for name in names {
        let name = quoted(name);
        if !line.is_empty() && indent.len() + line.len() + name.len() + 2 > LINE_CHARS {
            let _ = writeln!(text, "{indent}{}", line.trim_end());
            line.clear();
        }
        let _ = write!(line, "{name}, ");
    }
    if !line.is_empty() {
        let _ = writeln!(text, "{indent}{}", line.trim_end());
    }
}

fn formats(templates: &[Template], text: &mut String) {
    match templates {
        [] => {}
        [one] => {
            let _ = writeln!(text, "format = {}", quoted(&one.text));
        }
        many => {
            text.push_str("format = [\n");
            for template in many {
                let from =
                    template.from.map(|from| format!("from = {}, ", quoted(&from.to_string()))).unwrap_or_default();
                let _ = writeln!(text, "    {{ {from}format = {} }},", quoted(&template.text));
            }
            text.push_str("]\n");
        }
    }
}

/// `"http.status"`, or a list where a key itself has a dot.
fn path_of(path: &[String]) -> String {
    if path.iter().any(|key| key.contains('.')) {
        let keys: Vec<_> = path.iter().map(|key| quoted(key)).collect();
        return format!("[{}]", keys.join(", "));
    }
    quoted(&path.join("."))
}

/// A text as TOML writes it: as it stands where that goes.
fn quoted(text: &str) -> String {
    let is_plain = !text.chars().any(char::is_control);
    if is_plain && !text.contains(['"', '\\']) {
        return format!("\"{text}\"");
    }
    if is_plain && !text.contains('\'') {
        return format!("'{text}'");
    }
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_from_toml() {
        for text in ["plain", r#"{"a":"b"}"#, r#"it's "so""#, "a\\b", "a\nb'\"\u{7f}", "", "'''\""] {
            let table: toml::Table = format!("a = {}", quoted(text)).parse().unwrap();
            assert_eq!(table["a"].as_str(), Some(text));
        }
    }
}
