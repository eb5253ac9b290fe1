//! The shape of the repository: one version of what must agree, modules that look only to the left,
//! and documents whose links lead somewhere.

use std::fs;
use std::path::{Path, PathBuf};

use meterlake::schema::{ColumnType, Table};

/// The module line; modules of one group do not use each other.
const LINE: &[&[&str]] = &[
    &["base"],
    &["schema"],
    &["decode"],
    &["source", "lake"],
    &["model"],
    &["billing"],
    &["glue"],
    &["job"],
    &["aws"],
    &["cli"],
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_under(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_under(&path, extension, found);
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
}

/// The sources of the library: (folder under `src/`, path, text without comments).
fn sources() -> Vec<(String, PathBuf, String)> {
    let src = root().join("src");
    let mut paths = Vec::new();
    files_under(&src, "rs", &mut paths);
    paths.sort();
    paths
        .into_iter()
        .filter_map(|path| {
            let inside = path.strip_prefix(&src).unwrap();
            let folder = inside.parent()?.components().next()?.as_os_str().to_str()?.to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
            Some((folder, path, code))
        })
        .collect()
}

/// The same without the tests at the foot of a file.
fn without_tests(code: &str) -> &str {
    code.split("#[cfg(test)]").next().unwrap_or(code)
}

/// The modules named after `crate::`, also inside `crate::{a, b::{c, d}}`.
fn modules_used(code: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut used = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            used.push(name(rest));
            continue;
        };
        let (mut depth, mut start) = (0, 0);
        for (i, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    used.push(name(group[start..i].trim_start()));
                    start = i + 1;
                    if c == '}' {
                        break;
                    }
                }
                _ => {}
            }
        }
    }
    used.retain(|module| !module.is_empty());
    used
}

#[test]
fn one_version_of_arrow_parquet_object_store_and_datafusion() {
    let lock: toml::Table = fs::read_to_string(root().join("Cargo.lock")).unwrap().parse().unwrap();
    for wanted in ["arrow", "parquet", "object_store", "datafusion", "deltalake-core"] {
        let packages = lock["package"].as_array().unwrap();
        let versions: Vec<_> =
            packages.iter().filter(|p| p["name"].as_str() == Some(wanted)).map(|p| &p["version"]).collect();
        assert_eq!(versions.len(), 1, "{wanted}: {versions:?}");
    }
}

#[test]
fn modules_use_only_what_stands_to_their_left() {
    assert_eq!(modules_used("use crate::{base::{Day, Hour}, lake::Lake};crate::model::x"), ["base", "lake", "model"]);
    let place = |module: &str| LINE.iter().position(|group| group.contains(&module));
    let mut wrong = Vec::new();
    for (folder, path, code) in sources() {
        let Some(own) = place(&folder) else { panic!("src/{folder} is not in the module line") };
        for used in modules_used(&code) {
            if used != folder && place(&used).is_none_or(|other| other >= own) {
                wrong.push(format!("{} uses crate::{used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_module_keeps_to_its_own_world() {
    // (what, where it may stand, why)
    let rules: &[(&[&str], &[&str], &str)] = &[
        (&["datafusion::", "datafusion_"], &["model"], "SQL runs in the model alone"),
        (
            &["deltalake::", "deltalake_core::"],
            &["lake", "model"],
            "tables are committed by the lake and read by the model",
        ),
        (&["aws_sdk", "aws_config", "lambda_runtime", "aws_lambda"], &["aws"], "nothing else knows AWS types"),
        (
            &["tokio::", "object_store::"],
            &["source", "lake", "model", "job", "aws", "cli"],
            "decoding and prices do no I/O",
        ),
        (
            &["std::env::", "SystemTime::now", "Utc::now", "Local::now", "Instant::now"],
            &["cli"],
            "no clock and no environment below the command line",
        ),
        (&["println!", "eprintln!", "print!(", "io::stdout", "io::stderr"], &["cli"], "only the command line prints"),
    ];
    let mut wrong = Vec::new();
    let is_of_tests = |path: &Path| path.to_string_lossy().ends_with("_tests.rs");
    for (folder, path, code) in sources().into_iter().filter(|(_, path, _)| !is_of_tests(path)) {
        for (words, places, why) in rules {
            for word in words.iter().filter(|word| without_tests(&code).contains(**word)) {
                if !places.contains(&folder.as_str()) {
                    wrong.push(format!("{} has `{word}`: {why}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_source_file_begins_with_what_it_is() {
    let mut paths = Vec::new();
    for folder in ["src", "tests"] {
        files_under(&root().join(folder), "rs", &mut paths);
    }
    let silent: Vec<_> = paths.iter().filter(|path| !fs::read_to_string(path).unwrap().starts_with("//!")).collect();
    assert!(silent.is_empty(), "no `//!` at the top: {silent:#?}");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut paths = vec![root().join("README.md"), root().join("CHANGELOG.md")];
    for folder in ["docs", "examples"] {
        files_under(&root().join(folder), "md", &mut paths);
    }
    let mut broken = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split([')', '#']).next().unwrap_or_default();
            let is_local = !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:");
            if is_local && !path.parent().unwrap().join(target).exists() {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The part of `docs/SQL.md` that is made from the schema.
fn tables_in_markdown() -> String {
    let mut text = String::new();
    for table in Table::ALL {
        text += &format!("\n### {}\n\n| column | type | |\n| --- | --- | --- |\n", table.name());
        for column in table.columns() {
            let kind = match column.kind {
                ColumnType::Text => "text",
                ColumnType::Boolean => "boolean",
                ColumnType::SmallInt => "smallint",
                ColumnType::Int => "int",
                ColumnType::BigInt => "bigint",
                ColumnType::Date => "date",
                ColumnType::Timestamp => "timestamp",
                ColumnType::Price => "decimal(18,9)",
                ColumnType::Amount => "decimal(38,9)",
            };
            text += &format!("| `{}` | {kind} | {} |\n", column.name, column.doc);
        }
    }
    text
}

#[test]
fn the_tables_are_documented_as_they_are() {
    const MARK: &str = "<!-- Made from the schema: a test compares it. -->\n";
    let path = root().join("docs/SQL.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, after) = text.split_once(MARK).unwrap();
    if after != tables_in_markdown() {
        let wanted = Path::new(env!("CARGO_TARGET_TMPDIR")).join("SQL.md");
        fs::write(&wanted, format!("{before}{MARK}{}", tables_in_markdown())).unwrap();
        panic!("docs/SQL.md is out of date: copy {} over it", wanted.display());
    }
}
