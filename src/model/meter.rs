//! What a meter is and whether it can be used: its rule and value are SQL expressions over the columns of one event, and
//! nothing else. What passes is rewritten from its parsed form, so the text that runs holds only what was understood.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::rule::{self, Kind, Rule};
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
    /// Its customer's distinct values of an expression count, each once a day.
    Unique(String),
    /// The largest value of an integer expression that its customer has in a day counts.
    Max(String),
}

impl MeterValue {
    /// Reads `count`, `unique(EXPR)`, `max(EXPR)`, or an expression to sum. Whether EXPR can be used is for the meter's
    /// check to say.
    pub fn read(text: &str) -> Result<Self, MeterProblem> {
        if text.trim().eq_ignore_ascii_case("count") {
            return Ok(Self::Count);
        }
        let Some((name, arguments)) = rule::call(text) else { return Ok(Self::Sum(text.to_owned())) };
        let meant = |why: String| MeterProblem::NotAllowed { piece: text.trim().to_owned(), why };
        match (name.as_str(), arguments.as_deref()) {
            ("unique", Some([value])) => Ok(Self::Unique(value.clone())),
            ("max", Some([value])) => Ok(Self::Max(value.clone())),
            ("unique" | "max", _) => {
                Err(meant(format!("`{name}` takes one expression, such as `{name}(response_bytes)`")))
            }
            ("sum", Some([value])) => Err(meant(format!("an expression is summed as it is, did you mean `{value}`?"))),
            ("count", _) => Err(meant("did you mean `count`, or `unique(…)` for distinct values?".to_owned())),
            _ => match rule::nearest(&name, ["unique", "max", "count"].into_iter()) {
                Some(near) if !rule::FUNCTIONS.contains(&name.as_str()) => {
                    Err(meant(format!("did you mean `{near}`?")))
                }
                _ => Ok(Self::Sum(text.to_owned())),
            },
        }
    }

    /// Whether it belongs to a customer as a whole: what its keys, sources and slots have cannot be added up.
    pub(crate) fn is_of_customer(&self) -> bool {
        matches!(self, Self::Unique(_) | Self::Max(_))
    }
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

impl MeterPart {
    /// As it is written in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Where => "where",
            Self::Value => "value",
            Self::GroupBy => "group_by",
        }
    }
}

impl fmt::Display for MeterPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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
    /// An integer.
    pub(crate) value_sql: String,
    /// The function that makes one number of the values of a slot.
    pub(crate) total_sql: &'static str,
    /// As text, what a unique-count meter tells apart.
    pub(crate) item_sql: Option<String>,
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

    /// The rule, as it is run over the events.
    pub fn rule_sql(&self) -> Result<String, MeterError> {
        Ok(self.pieces()?.where_sql)
    }

    /// The text of an event's dimensions, as it is run over the events.
    pub fn dimensions_sql(&self) -> Result<String, MeterError> {
        Ok(self.pieces()?.dimensions_sql)
    }

    /// What the meter's rows depend on besides the events: everything but which sources it counts.
    pub fn definition(&self) -> Digest {
        let mut digester = Digester::default();
        digester.part(self.name.as_bytes()).part(self.table.name().as_bytes());
        digester.part(self.where_sql.as_deref().unwrap_or("TRUE").as_bytes());
        match &self.value {
            MeterValue::Count => digester.part(b"count"),
            MeterValue::Sum(value) => digester.part(b"sum").part(value.as_bytes()),
            MeterValue::Unique(value) => digester.part(b"unique").part(value.as_bytes()),
            MeterValue::Max(value) => digester.part(b"max").part(value.as_bytes()),
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
        let (mut total_sql, mut item_sql) = ("sum", None);
        let value_sql = match &self.value {
            MeterValue::Count => "1".to_owned(),
            MeterValue::Sum(text) => rule.expression(text, Kind::integer()).map_err(at(MeterPart::Value))?,
            MeterValue::Max(text) => {
                total_sql = "max";
                rule.expression(text, Kind::integer()).map_err(at(MeterPart::Value))?
            }
            MeterValue::Unique(text) => {
                let item = rule.item(text).map_err(at(MeterPart::Value))?;
                // Nothing to add up, and no value: undecided.
                let value = format!("CASE WHEN {item} IS NOT NULL THEN 0 END");
                item_sql = Some(item);
                value
            }
        };
        let dimensions_sql = self.dimensions(&mut rule).map_err(at(MeterPart::GroupBy))?;
        Ok(Pieces { where_sql, value_sql, total_sql, item_sql, dimensions_sql, columns: rule.used() })
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
