//! What a meter is and whether it can be used: its rule and value are SQL expressions over the columns of one event, and
//! nothing else. What passes is rewritten from its parsed form, so the text that runs holds only what was understood.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::rule::{Kind, Rule};
use crate::base::{Digest, Digester};
use crate::schema::{Column, ColumnType, Table};

/// A rule that turns the events of some sources into usage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meter {
    /// Its name.
    pub name: String,
    /// The sources it counts, all of one event table.
    pub sources: Vec<String>,
    /// Their event table.
    pub table: Table,
    /// Which events count; none: all.
    pub where_sql: Option<String>,
    /// What an event counts for.
    pub value: MeterValue,
    /// The columns that become dimensions, in this order.
    pub group_by: Vec<String>,
}

/// What an event counts for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeterValue {
    /// One.
    Count,
    /// The value of an integer expression.
    Sum(String),
}

/// A meter that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{part}` of meter `{meter}`: {problem}")]
pub struct MeterError {
    /// The meter.
    pub meter: String,
    /// Which of its settings.
    pub part: MeterPart,
    /// What is wrong with it.
    pub problem: MeterProblem,
}

/// A setting of a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeterPart {
    /// `where`
    Where,
    /// `value`
    Value,
    /// `group_by`
    GroupBy,
}

impl fmt::Display for MeterPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Where => "where",
            Self::Value => "value",
            Self::GroupBy => "group_by",
        })
    }
}

/// What is wrong with an expression of a meter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MeterProblem {
    /// It is no SQL expression.
    #[error("not an SQL expression: {0}")]
    Syntax(String),
    /// A column the event table does not have, or that a meter may not use.
    #[error("no column `{column}` for meters of `{table}`{}", hint(.near))]
    UnknownColumn {
        /// The name asked for.
        column: String,
        /// The event table.
        table: &'static str,
        /// The nearest column there is.
        near: Option<String>,
    },
    /// A construct or function that is not allowed.
    #[error("`{piece}` cannot be used here: {why}")]
    NotAllowed {
        /// The offending piece.
        piece: String,
        /// What is allowed.
        why: String,
    },
    /// An operand of the wrong type.
    #[error("`{piece}` is {found}, but {wanted} is wanted")]
    WrongType {
        /// The offending piece.
        piece: String,
        /// Its type.
        found: &'static str,
        /// The type wanted.
        wanted: &'static str,
    },
    /// Arithmetic that could leave 64 bits.
    #[error("`{piece}` could exceed 64 bits; numbers of an event are taken to be at most 2^53")]
    TooLarge {
        /// The offending piece.
        piece: String,
    },
    /// A dimension named twice.
    #[error("`{0}` is named twice")]
    Twice(String),
}

fn hint(near: &Option<String>) -> String {
    near.as_ref().map(|near| format!(", did you mean `{near}`?")).unwrap_or_default()
}

/// The checked pieces of a meter, as SQL.
#[derive(Debug)]
pub(crate) struct Pieces {
    pub(crate) where_sql: String,
    pub(crate) value_sql: String,
    pub(crate) dimensions_sql: String,
    /// The columns the pieces use, in the order of the table.
    pub(crate) columns: Vec<&'static Column>,
}

impl Meter {
    /// Whether the meter can be used: its expressions have only columns of its table, constants, operators and
    /// deterministic functions that mean the same in every engine, and no number can silently wrap.
    pub fn check(&self) -> Result<(), MeterError> {
        self.pieces().map(drop)
    }

    /// What the meter's rows depend on besides the events: everything but which sources it counts.
    pub fn definition(&self) -> Digest {
        let mut digester = Digester::default();
        digester.part(self.name.as_bytes()).part(self.table.name().as_bytes());
        digester.part(self.where_sql.as_deref().unwrap_or("TRUE").as_bytes());
        match &self.value {
            MeterValue::Count => digester.part(b"count"),
            MeterValue::Sum(value) => digester.part(b"sum").part(value.as_bytes()),
        };
        for column in &self.group_by {
            digester.part(column.as_bytes());
        }
        digester.finish()
    }

    pub(crate) fn pieces(&self) -> Result<Pieces, MeterError> {
        let mut rule = Rule::new(self.table);
        let at = |part| move |problem| MeterError { meter: self.name.clone(), part, problem };
        let where_sql = match &self.where_sql {
            None => "TRUE".to_owned(),
            Some(text) => rule.expression(text, Kind::Boolean).map_err(at(MeterPart::Where))?,
        };
        let value_sql = match &self.value {
            MeterValue::Count => "1".to_owned(),
            MeterValue::Sum(text) => rule.expression(text, Kind::integer()).map_err(at(MeterPart::Value))?,
        };
        let dimensions_sql = self.dimensions(&mut rule).map_err(at(MeterPart::GroupBy))?;
        Ok(Pieces { where_sql, value_sql, dimensions_sql, columns: rule.used() })
    }

    /// The JSON text of the dimensions. Stored text has no control characters, so only `\` and `"` need escaping.
    fn dimensions(&self, rule: &mut Rule) -> Result<String, MeterProblem> {
        let mut parts = Vec::new();
        for (i, name) in self.group_by.iter().enumerate() {
            if self.group_by[..i].contains(name) {
                return Err(MeterProblem::Twice(name.clone()));
            }
            let column = rule.column(name)?;
            let text = match column.kind {
                ColumnType::Text => column.name.to_owned(),
                _ => format!("CAST({} AS VARCHAR)", column.name),
            };
            let comma = if i == 0 { "" } else { "," };
            parts.push(format!(
                "'{comma}\"{0}\":' || coalesce('\"' || replace(replace({text}, '\\', '\\\\'), '\"', '\\\"') || '\"', 'null')",
                column.name
            ));
        }
        Ok(match parts.is_empty() {
            true => "'{}'".to_owned(),
            false => format!("'{{' || {} || '}}'", parts.join(" || ")),
        })
    }
}

#[cfg(test)]
#[path = "meter_tests.rs"]
mod tests;
