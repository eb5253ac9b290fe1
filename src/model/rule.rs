//! One expression of a meter: parsed, typed and written again. Only what is listed here passes, and it means the same in
//! DataFusion and Trino: no casts that can fail, no division by what may be zero, no text compared with numbers.
//! Integers carry the range they can take, so that no sum of columns can wrap around in silence.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator as Op, CaseWhen, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, UnaryOperator, Value,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::meter::MeterProblem;
use super::params;
use crate::schema::{Column, ColumnType, Table};

/// Numbers of an event beyond this are read as NULL, which holds the event.
pub(crate) const NUMBER_MAX: i64 = 1 << 53;

/// Bytes of an expression, and how deep it may nest: a chain of ANDs nests once per link, an IN list does not.
const TEXT_BYTES_MAX: usize = 10_000;
const DEPTH_MAX: usize = 100;

/// Columns a meter may not use: where an event came from, and what the program itself decides.
const PRIVATE: &[&str] =
    &["day", "event_time", "fingerprint", "conflict", "source", "source_object", "source_position", "decoder"];

/// The functions a meter may use, as they are listed to people.
pub(crate) const FUNCTIONS: &[&str] = &[
    "abs",
    "coalesce",
    "greatest",
    "least",
    "length",
    "lower",
    "nullif",
    "replace",
    "starts_with",
    "strpos",
    "substr",
    "upper",
];

/// The type of a piece; integers with the range they can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    Text,
    Integer { min: i128, max: i128 },
    Null,
}

impl Kind {
    /// Any integer of 64 bits.
    pub(crate) fn integer() -> Self {
        Self::Integer { min: i128::from(i64::MIN), max: i128::from(i64::MAX) }
    }

    fn named(self) -> &'static str {
        match self {
            Self::Boolean => "a condition",
            Self::Text => "text",
            Self::Integer { .. } => "an integer",
            Self::Null => "NULL",
        }
    }

    /// Whether a value of this type may stand where `wanted` is asked for.
    fn fits(self, wanted: Self) -> bool {
        self == Self::Null || std::mem::discriminant(&self) == std::mem::discriminant(&wanted)
    }

    /// The type of a value that is one or the other.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Null, kind) | (kind, Self::Null) => kind,
            (Self::Integer { min: a, max: b }, Self::Integer { min: c, max: d }) => {
                Self::Integer { min: a.min(c), max: b.max(d) }
            }
            (kind, _) => kind,
        }
    }
}

/// A piece that passed: what it is and how it is written.
struct Piece {
    kind: Kind,
    sql: String,
}

/// Reads expressions over one event table and remembers the columns they use.
#[derive(Debug)]
pub(crate) struct Rule {
    table: Table,
    used: BTreeSet<usize>,
    depth: usize,
}

impl Rule {
    pub(crate) fn new(table: Table) -> Self {
        Self { table, used: BTreeSet::new(), depth: 0 }
    }

    /// The columns used so far, in the table's order.
    pub(crate) fn used(&self) -> Vec<&'static Column> {
        self.used.iter().map(|&i| &self.table.columns()[i]).collect()
    }

    /// The checked text of an expression that must be `wanted`.
    pub(crate) fn expression(&mut self, text: &str, wanted: Kind) -> Result<String, MeterProblem> {
        Ok(self.typed(&parsed(text)?, wanted)?.sql)
    }

    /// The checked text of an expression of any type, as a text: values that differ give texts that differ.
    pub(crate) fn item(&mut self, text: &str) -> Result<String, MeterProblem> {
        let expr = parsed(text)?;
        let piece = self.piece(&expr)?;
        match piece.kind {
            Kind::Null => Err(refused(&expr, "it is never a value")),
            Kind::Text => Ok(format!("({})", piece.sql)),
            Kind::Boolean | Kind::Integer { .. } => Ok(format!("CAST(({}) AS VARCHAR)", piece.sql)),
        }
    }

    /// A column by its name.
    pub(crate) fn column(&mut self, name: &str) -> Result<&'static Column, MeterProblem> {
        let columns = self.table.columns();
        let usable = |column: &&Column| !PRIVATE.contains(&column.name);
        match columns.iter().position(|column| column.name == name && usable(&column)) {
            Some(i) => {
                self.used.insert(i);
                Ok(&columns[i])
            }
            None => Err(MeterProblem::UnknownColumn {
                column: name.to_owned(),
                table: self.table.name(),
                near: nearest(name, columns.iter().filter(usable).map(|column| column.name)),
            }),
        }
    }

    fn typed(&mut self, expr: &Expr, wanted: Kind) -> Result<Piece, MeterProblem> {
        let piece = self.piece(expr)?;
        expect(expr, piece.kind, wanted)?;
        Ok(piece)
    }

    fn piece(&mut self, expr: &Expr) -> Result<Piece, MeterProblem> {
        if self.depth == DEPTH_MAX {
            return Err(MeterProblem::Syntax(format!("it nests more than {DEPTH_MAX} deep")));
        }
        self.depth += 1;
        let piece = self.node(expr);
        self.depth -= 1;
        piece
    }

    fn node(&mut self, expr: &Expr) -> Result<Piece, MeterProblem> {
        let boolean = |sql| Ok(Piece { kind: Kind::Boolean, sql });
        let not = |negated: &bool| if *negated { "NOT " } else { "" };
        match expr {
            Expr::Identifier(name) => {
                let lower = name.value.to_ascii_lowercase();
                let column = self.column(if name.quote_style.is_some() { &name.value } else { &lower })?;
                Ok(Piece { kind: kind_of(column), sql: column.name.to_owned() })
            }
            Expr::Value(value) => literal(&value.value),
            Expr::Nested(inner) => {
                let piece = self.piece(inner)?;
                Ok(Piece { sql: format!("({})", piece.sql), ..piece })
            }
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
                boolean(format!("NOT ({})", self.typed(expr, Kind::Boolean)?.sql))
            }
            Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } => {
                let piece = self.typed(inner, Kind::integer())?;
                let kind = match piece.kind {
                    Kind::Integer { min, max } => bounded(expr, -max, -min)?,
                    other => other,
                };
                Ok(Piece { kind, sql: format!("(- {})", piece.sql) })
            }
            Expr::BinaryOp { left, op, right } => self.binary(expr, left, op, right),
            Expr::IsNull(inner) => boolean(format!("{} IS NULL", self.operand(inner)?.sql)),
            Expr::IsNotNull(inner) => boolean(format!("{} IS NOT NULL", self.operand(inner)?.sql)),
            Expr::IsTrue(inner) => boolean(format!("coalesce({}, FALSE)", self.typed(inner, Kind::Boolean)?.sql)),
            Expr::IsFalse(inner) => {
                boolean(format!("coalesce(NOT ({}), FALSE)", self.typed(inner, Kind::Boolean)?.sql))
            }
            Expr::InList { expr: inner, list, negated } => {
                let tested = self.operand(inner)?;
                let list = list
                    .iter()
                    .map(|item| self.typed(item, tested.kind).map(|item| item.sql))
                    .collect::<Result<Vec<_>, _>>()?;
                boolean(format!("{} {}IN ({})", tested.sql, not(negated), list.join(", ")))
            }
            Expr::Between { expr: inner, negated, low, high } => {
                let tested = self.operand(inner)?;
                let low = self.typed(low, tested.kind)?;
                let high = self.typed(high, tested.kind)?;
                boolean(format!("({} {}BETWEEN {} AND {})", tested.sql, not(negated), low.sql, high.sql))
            }
            Expr::Like { negated, any: false, expr: inner, pattern, escape_char: None } => {
                let tested = self.typed(inner, Kind::Text)?;
                let shown = self.typed(pattern, Kind::Text)?.sql;
                match **pattern {
                    Expr::Value(_) if !shown.contains('\\') => {
                        boolean(format!("({} {}LIKE {shown})", tested.sql, not(negated)))
                    }
                    _ => Err(refused(pattern, "a pattern is quoted text without a backslash")),
                }
            }
            Expr::Case { operand: None, conditions, else_result, .. } => self.case(conditions, else_result.as_deref()),
            Expr::Cast { kind, expr: inner, data_type, format: None, .. } => self.cast(expr, kind, inner, data_type),
            Expr::Substring { expr: inner, substring_from: Some(from), substring_for, .. } => {
                let mut args = vec![self.typed(inner, Kind::Text)?.sql, self.positive(from)?];
                if let Some(len) = substring_for {
                    args.push(self.positive(len)?);
                }
                Ok(Piece { kind: Kind::Text, sql: format!("substr({})", args.join(", ")) })
            }
            Expr::Function(function) => self.function(expr, function),
            _ => Err(refused(
                expr,
                "a meter has columns, constants, comparisons, AND, OR, NOT, IN lists, BETWEEN, LIKE, CASE, \
                 + - * / % and a few functions",
            )),
        }
    }

    /// An operand that may stand before IN, IS or BETWEEN: in parentheses where it is more than one word.
    fn operand(&mut self, expr: &Expr) -> Result<Piece, MeterProblem> {
        let piece = self.piece(expr)?;
        Ok(match expr {
            Expr::Identifier(_) | Expr::Value(_) | Expr::Nested(_) => piece,
            _ => Piece { sql: format!("({})", piece.sql), ..piece },
        })
    }

    fn binary(&mut self, whole: &Expr, left: &Expr, op: &Op, right: &Expr) -> Result<Piece, MeterProblem> {
        let (l, r) = (self.operand(left)?, self.operand(right)?);
        let asked = |kind| expect(left, l.kind, kind).and_then(|()| expect(right, r.kind, kind));
        let kind = match op {
            Op::And | Op::Or => {
                asked(Kind::Boolean)?;
                Kind::Boolean
            }
            Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq => {
                asked(l.kind.or(r.kind))?;
                Kind::Boolean
            }
            Op::StringConcat => {
                asked(Kind::Text)?;
                Kind::Text
            }
            Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo => {
                asked(Kind::integer())?;
                match (l.kind, r.kind) {
                    (Kind::Integer { min: a, max: b }, Kind::Integer { min: c, max: d }) => {
                        arithmetic(whole, op, (a, b), (c, d))?
                    }
                    _ => return Err(refused(whole, "NULL has no place in arithmetic")),
                }
            }
            _ => return Err(refused(whole, "the operators are = <> < <= > >= AND OR + - * / % ||")),
        };
        Ok(Piece { kind, sql: format!("{} {op} {}", l.sql, r.sql) })
    }

    fn case(&mut self, conditions: &[CaseWhen], otherwise: Option<&Expr>) -> Result<Piece, MeterProblem> {
        let mut kind = Kind::Null;
        let mut sql = "CASE".to_owned();
        for when in conditions {
            let condition = self.typed(&when.condition, Kind::Boolean)?;
            let result = self.alike(&when.result, &mut kind)?;
            sql.push_str(&format!(" WHEN {} THEN {result}", condition.sql));
        }
        if let Some(otherwise) = otherwise {
            sql.push_str(&format!(" ELSE {}", self.alike(otherwise, &mut kind)?));
        }
        sql.push_str(" END");
        Ok(Piece { kind, sql })
    }

    /// A result that must be of the same type as those before it.
    fn alike(&mut self, expr: &Expr, kind: &mut Kind) -> Result<String, MeterProblem> {
        let piece = match *kind {
            Kind::Null => self.piece(expr)?,
            known => self.typed(expr, known)?,
        };
        *kind = kind.or(piece.kind);
        Ok(piece.sql)
    }

    fn cast(&mut self, whole: &Expr, how: &CastKind, inner: &Expr, to: &DataType) -> Result<Piece, MeterProblem> {
        let piece = self.piece(inner)?;
        match (how, piece.kind, to) {
            (CastKind::Cast | CastKind::TryCast, Kind::Integer { .. }, DataType::BigInt(None)) => Ok(piece),
            (CastKind::Cast | CastKind::TryCast, Kind::Integer { .. }, DataType::Varchar(None)) => {
                Ok(Piece { kind: Kind::Text, sql: format!("CAST({} AS VARCHAR)", piece.sql) })
            }
            (CastKind::TryCast, Kind::Text, DataType::BigInt(None)) => {
                Ok(Piece { kind: Kind::integer(), sql: format!("TRY_CAST({} AS BIGINT)", piece.sql) })
            }
            _ => Err(refused(
                whole,
                "casts are CAST(integer AS VARCHAR) and TRY_CAST(text AS BIGINT), which is NULL where the text is no number",
            )),
        }
    }

    fn function(&mut self, whole: &Expr, function: &Function) -> Result<Piece, MeterProblem> {
        let name = function.name.to_string().to_ascii_lowercase();
        let Some(args) = plain_arguments(function) else {
            return Err(refused(whole, "a function has plain arguments here, no window, filter or star"));
        };
        let (mut kind, mut list) = (Kind::Null, Vec::new());
        let texts: &[Kind] = &[Kind::Text, Kind::Text, Kind::Text];
        let (wanted, result): (&[Kind], Kind) = match (name.as_str(), args.len()) {
            ("lower" | "upper", 1) => (&texts[..1], Kind::Text),
            ("replace", 3) => (texts, Kind::Text),
            ("starts_with", 2) => (&texts[..2], Kind::Boolean),
            ("strpos", 2) => (&texts[..2], Kind::Integer { min: 0, max: i128::from(i32::MAX) }),
            ("length", 1) => (&texts[..1], Kind::Integer { min: 0, max: i128::from(i32::MAX) }),
            ("substr", 2 | 3) => {
                list.push(self.typed(args[0], Kind::Text)?.sql);
                for arg in &args[1..] {
                    list.push(self.positive(arg)?);
                }
                return Ok(Piece { kind: Kind::Text, sql: format!("substr({})", list.join(", ")) });
            }
            ("abs", 1) => {
                let piece = self.typed(args[0], Kind::integer())?;
                let Kind::Integer { min, max } = piece.kind else {
                    return Err(refused(whole, "NULL has no place in arithmetic"));
                };
                let least = if min <= 0 && max >= 0 { 0 } else { min.abs().min(max.abs()) };
                let kind = bounded(whole, least, min.abs().max(max.abs()))?;
                return Ok(Piece { kind, sql: format!("abs({})", piece.sql) });
            }
            ("coalesce", 1..) | ("nullif", 2) | ("greatest" | "least", 2..) => {
                for arg in args {
                    list.push(self.alike(arg, &mut kind)?);
                }
                // `greatest` and `least` skip NULL in one engine and give NULL in the other.
                let sql = match name.as_str() {
                    "greatest" | "least" => {
                        let missing: Vec<String> = list.iter().map(|arg| format!("({arg}) IS NULL")).collect();
                        format!("CASE WHEN {} THEN NULL ELSE {name}({}) END", missing.join(" OR "), list.join(", "))
                    }
                    _ => format!("{name}({})", list.join(", ")),
                };
                return Ok(Piece { kind, sql });
            }
            _ => {
                let (last, others) = FUNCTIONS.split_last().unwrap_or((&"", &[]));
                return Err(refused(whole, &format!("the functions are {} and {last}", others.join(", "))));
            }
        };
        for (arg, wanted) in args.iter().zip(wanted) {
            list.push(self.typed(arg, *wanted)?.sql);
        }
        Ok(Piece { kind: result, sql: format!("{name}({})", list.join(", ")) })
    }

    /// A positive constant: engines differ in what other positions and lengths mean.
    fn positive(&mut self, expr: &Expr) -> Result<String, MeterProblem> {
        match self.piece(expr)? {
            Piece { kind: Kind::Integer { min, max }, sql } if min == max && min > 0 => Ok(sql),
            _ => Err(refused(expr, "a position or length is a positive number")),
        }
    }
}

fn parsed(text: &str) -> Result<Expr, MeterProblem> {
    let syntax = |e: &dyn std::fmt::Display| MeterProblem::Syntax(e.to_string());
    if text.len() > TEXT_BYTES_MAX {
        return Err(syntax(&format!("it is longer than {TEXT_BYTES_MAX} bytes")));
    }
    let mut parser = Parser::new(&GenericDialect {}).try_with_sql(text).map_err(|e| syntax(&e))?;
    let expr = parser.parse_expr().map_err(|e| syntax(&e))?;
    match parser.peek_token() {
        end if end.token == Token::EOF => Ok(expr),
        left => Err(syntax(&format!("`{left}` is left over"))),
    }
}

/// The function that a text as a whole calls, in lower case, and its arguments as texts where they are plain expressions.
pub(crate) fn call(text: &str) -> Option<(String, Option<Vec<String>>)> {
    let Ok(Expr::Function(function)) = parsed(text) else { return None };
    let arguments = plain_arguments(&function);
    let arguments = arguments.map(|arguments| arguments.into_iter().map(ToString::to_string).collect());
    Some((function.name.to_string().to_ascii_lowercase(), arguments))
}

/// The arguments of a function that has nothing but expressions as arguments.
fn plain_arguments(function: &Function) -> Option<Vec<&Expr>> {
    let plain = function.over.is_none()
        && function.filter.is_none()
        && function.null_treatment.is_none()
        && function.within_group.is_empty()
        && function.parameters == FunctionArguments::None;
    match &function.args {
        FunctionArguments::List(list) if plain && list.duplicate_treatment.is_none() && list.clauses.is_empty() => list
            .args
            .iter()
            .map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

fn literal(value: &Value) -> Result<Piece, MeterProblem> {
    match value {
        Value::Boolean(value) => Ok(Piece { kind: Kind::Boolean, sql: params::boolean(*value).to_owned() }),
        Value::Null => Ok(Piece { kind: Kind::Null, sql: "NULL".to_owned() }),
        Value::SingleQuotedString(text) => Ok(Piece { kind: Kind::Text, sql: params::text(text) }),
        Value::Number(digits, false) => match digits.parse::<i64>() {
            Ok(number) => {
                let kind = Kind::Integer { min: number.into(), max: number.into() };
                Ok(Piece { kind, sql: number.to_string() })
            }
            Err(_) => Err(MeterProblem::NotAllowed {
                piece: digits.clone(),
                why: "numbers are whole and fit 64 bits".to_owned(),
            }),
        },
        other => Err(MeterProblem::NotAllowed {
            piece: other.to_string(),
            why: "constants are whole numbers, 'text' in single quotes, TRUE, FALSE and NULL".to_owned(),
        }),
    }
}

fn kind_of(column: &Column) -> Kind {
    let within = |max: i64| Kind::Integer { min: -i128::from(max), max: i128::from(max) };
    match column.kind {
        ColumnType::Text => Kind::Text,
        ColumnType::Boolean => Kind::Boolean,
        ColumnType::SmallInt => within(1 << 15),
        ColumnType::Int => within(1 << 31),
        _ => within(NUMBER_MAX),
    }
}

fn arithmetic(whole: &Expr, op: &Op, (a, b): (i128, i128), (c, d): (i128, i128)) -> Result<Kind, MeterProblem> {
    // Operands are within 64 bits, so none of this leaves 128.
    let corners = |f: fn(i128, i128) -> i128| {
        let all = [f(a, c), f(a, d), f(b, c), f(b, d)];
        (all.iter().copied().fold(all[0], i128::min), all.iter().copied().fold(all[0], i128::max))
    };
    let (min, max) = match op {
        Op::Plus => (a + c, b + d),
        Op::Minus => (a - d, b - c),
        Op::Multiply => corners(|x, y| x * y),
        _ if c != d || c <= 0 => return Err(refused(whole, "a divisor is a positive constant")),
        Op::Divide => corners(|x, y| x / y),
        _ => (if a < 0 { 1 - c } else { 0 }, if b > 0 { c - 1 } else { 0 }),
    };
    bounded(whole, min, max)
}

fn expect(piece: &Expr, found: Kind, wanted: Kind) -> Result<(), MeterProblem> {
    match found.fits(wanted) {
        true => Ok(()),
        false => {
            Err(MeterProblem::WrongType { piece: piece.to_string(), found: found.named(), wanted: wanted.named() })
        }
    }
}

fn bounded(whole: &Expr, min: i128, max: i128) -> Result<Kind, MeterProblem> {
    match min >= i128::from(i64::MIN) && max <= i128::from(i64::MAX) {
        true => Ok(Kind::Integer { min, max }),
        false => Err(MeterProblem::TooLarge { piece: whole.to_string() }),
    }
}

fn refused(piece: &Expr, why: &str) -> MeterProblem {
    MeterProblem::NotAllowed { piece: piece.to_string(), why: why.to_owned() }
}

pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let lower = name.to_lowercase();
    known
        .map(|candidate| (strsim::damerau_levenshtein(&lower, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 3)
        .map(|(_, candidate)| candidate.to_owned())
}
