//! The files of `sql/`: one table, one text, with a header that says what the table is. Headers are parsed, so that a
//! test can hold them to the text.

use crate::schema::Table;

/// The text of the table's file with its parameters as they are written; none where the table is not made by SQL.
pub fn sql_text(table: Table) -> Option<&'static str> {
    match table {
        Table::UsageSlots => Some(include_str!("../../sql/usage_slots.sql")),
        Table::UsageDaily => Some(include_str!("../../sql/usage_daily.sql")),
        Table::ChargesDaily => Some(include_str!("../../sql/charges_daily.sql")),
        Table::CoverageHourly => Some(include_str!("../../sql/coverage_hourly.sql")),
        _ => None,
    }
}

/// What the first lines of a file say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlHeader {
    /// The table the statement makes.
    pub table: String,
    /// What one row is.
    pub grain: String,
    /// The columns that tell rows apart.
    pub key: Vec<String>,
    /// The tables it reads.
    pub reads: Vec<String>,
    /// The partition column.
    pub partition: String,
    /// Why it is so.
    pub why: String,
}

/// Reads the header of a text; none where a line is missing.
pub fn header(text: &str) -> Option<SqlHeader> {
    let lines: Vec<&str> = text
        .lines()
        .map_while(|line| line.strip_prefix("--"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    let field = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let list = |value: &str| value.split(", ").map(str::to_owned).collect();
    let blank = lines.iter().position(|line| line.is_empty())?;
    Some(SqlHeader {
        table: field("table")?.to_owned(),
        grain: field("grain")?.to_owned(),
        key: list(field("key")?),
        reads: list(field("reads")?),
        partition: field("partition")?.to_owned(),
        why: lines[blank + 1..].join(" "),
    })
}
