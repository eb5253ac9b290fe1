//! The configuration as tables for joins, and which of its rows matter to a day: adding a customer must not make a year again.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{AsArray, RecordBatch, StringViewArray};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::util::display::array_value_to_string;

use crate::base::{Digest, HalfOpen, Micros};
use crate::billing::ConfigTables;
use crate::lake::FileSlot;
use crate::schema::Table;

use super::super::JobError;
use super::{Work, arrow_fault, digest_of};

/// Writes the tables where they differ from what the lake holds.
pub(super) async fn build(work: &mut Work<'_>) -> Result<(), JobError> {
    let config = &work.with.config;
    for table in ConfigTables::TABLES {
        let rows = config.of(table);
        let inputs = digest_of(lines(table, rows)?);
        if work.keep(table, "all", vec![FileSlot::whole()], inputs, "") {
            continue;
        }
        let replacement = work.replacement(table, FileSlot::whole(), std::slice::from_ref(rows)).await?;
        work.commit(table, vec![("all".to_owned(), replacement)]).await?;
        work.built.made(table, "all", vec![FileSlot::whole()], inputs, "", rows.num_rows());
    }
    Ok(())
}

/// A row that is in force for an interval.
struct Term {
    /// What it is looked up by.
    name: String,
    /// What it leads to: a key's customer, a customer's plan.
    leads_to: String,
    valid: HalfOpen<Micros>,
    /// The whole row.
    line: String,
}

/// The configuration's rows, for finding those that matter.
pub(super) struct Terms {
    /// By `source key_ref`, leading to the customer.
    keys: Vec<Term>,
    /// By customer, leading to the plan.
    customers: Vec<Term>,
    /// By plan.
    prices: Vec<Term>,
    /// What they ask for, by plan; in force with the price whose interval it names.
    matches: Vec<Term>,
    /// What plans ask for besides their prices, by plan.
    plan_terms: Vec<Term>,
    /// Flat prices, by plan.
    fees: Vec<Term>,
}

/// A key of a source.
pub(super) type KeyName = (String, String);

impl Terms {
    pub(super) fn read(config: &ConfigTables) -> Result<Self, JobError> {
        let (fees, prices) = terms(Table::Prices, &config.prices, &["plan"], "price_id")?
            .into_iter()
            .zip(texts(&config.prices, "model")?)
            .partition::<Vec<_>, _>(|(_, model)| model == "flat");
        let only = |terms: Vec<(Term, String)>| terms.into_iter().map(|(term, _)| term).collect();
        Ok(Self {
            keys: terms(Table::ApiKeys, &config.api_keys, &["source", "key_ref"], "customer_id")?,
            customers: terms(Table::Customers, &config.customers, &["customer_id"], "plan")?,
            prices: only(prices),
            fees: only(fees),
            plan_terms: terms(Table::PlanTerms, &config.plan_terms, &["plan"], "currency")?,
            matches: terms(Table::PriceMatches, &config.price_matches, &["plan"], "price_id")?,
        })
    }

    /// The digest of the rows that matter to `bounds` where these keys occur.
    pub(super) fn digest(&self, keys: &BTreeSet<KeyName>, bounds: HalfOpen<Micros>) -> Digest {
        let names: BTreeSet<String> = keys.iter().map(|(source, key)| key_name(source, key)).collect();
        let mut lines = Vec::new();
        let customers = reached(&self.keys, &names, bounds, &mut lines);
        let plans = reached(&self.customers, &customers, bounds, &mut lines);
        reached(&self.prices, &plans, bounds, &mut lines);
        let prices: BTreeSet<_> = in_force(&self.prices, &plans, bounds).map(Term::price).collect();
        lines.extend(self.matches.iter().filter(|term| prices.contains(&term.price())).map(|term| term.line.clone()));
        digest_of(lines)
    }

    /// Whether days cost something whether or not there is usage.
    pub(super) fn charge_by_time(&self) -> bool {
        !self.fees.is_empty() || !self.plan_terms.is_empty()
    }

    /// The rows that matter to what `bounds` cost without any usage: fees, minimums, discounts, and who is on their plans.
    pub(super) fn digest_of_time(&self, bounds: HalfOpen<Micros>) -> Digest {
        let of_plans = || self.fees.iter().chain(&self.plan_terms).filter(|term| term.valid.overlaps(&bounds));
        let plans: BTreeSet<&str> = of_plans().map(|term| &*term.name).collect();
        let on_them =
            self.customers.iter().filter(|term| plans.contains(&*term.leads_to) && term.valid.overlaps(&bounds));
        digest_of(of_plans().chain(on_them).map(|term| term.line.clone()).collect())
    }

    /// The instants within `bounds` at which an interval of one of these keys begins or ends.
    pub(super) fn changes<'a>(
        &self,
        keys: &'a BTreeSet<KeyName>,
        bounds: HalfOpen<Micros>,
    ) -> Vec<(&'a KeyName, Micros)> {
        // Few intervals change within a day: these are found first, and only their keys looked for.
        let mut changes: BTreeMap<&str, Vec<Micros>> = BTreeMap::new();
        for term in &self.keys {
            let ends = [Some(term.valid.from), term.valid.to].into_iter().flatten();
            for at in ends.filter(|at| bounds.contains(*at)) {
                changes.entry(&term.name).or_default().push(at);
            }
        }
        if changes.is_empty() {
            return Vec::new();
        }
        let of = |key: &'a KeyName| {
            let at = changes.get(key_name(&key.0, &key.1).as_str()).cloned().unwrap_or_default();
            at.into_iter().map(move |at| (key, at))
        };
        keys.iter().flat_map(of).collect()
    }
}

fn key_name(source: &str, key_ref: &str) -> String {
    format!("{source} {key_ref}")
}

/// What the named rows in force lead to; their lines are added.
fn reached(
    terms: &[Term],
    names: &BTreeSet<String>,
    bounds: HalfOpen<Micros>,
    lines: &mut Vec<String>,
) -> BTreeSet<String> {
    in_force(terms, names, bounds)
        .map(|term| {
            lines.push(term.line.clone());
            term.leads_to.clone()
        })
        .collect()
}

/// The named rows that are in force at some instant of `bounds`.
fn in_force<'a>(
    terms: &'a [Term],
    names: &'a BTreeSet<String>,
    bounds: HalfOpen<Micros>,
) -> impl Iterator<Item = &'a Term> {
    terms.iter().filter(move |term| names.contains(&term.name) && term.valid.overlaps(&bounds))
}

impl Term {
    /// Which price this is, or is about: its plan, its id and when its interval begins.
    fn price(&self) -> (&str, &str, Micros) {
        (&self.name, &self.leads_to, self.valid.from)
    }
}

fn terms(table: Table, rows: &RecordBatch, name: &[&str], leads_to: &str) -> Result<Vec<Term>, JobError> {
    let names = name.iter().map(|name| Column::of(rows, table, name)).collect::<Result<Vec<_>, _>>()?;
    let leads_to = Column::of(rows, table, leads_to)?;
    let instants =
        |name: &str| rows.column_by_name(name).and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    let (from, to) = (instants("valid_from"), instants("valid_to"));
    let at = |column: Option<&arrow::array::TimestampMicrosecondArray>, row: usize| {
        use arrow::array::Array;
        column.filter(|column| column.is_valid(row)).map(|column| Micros(column.value(row)))
    };
    let terms = lines(table, rows)?.into_iter().enumerate().map(|(row, line)| Term {
        name: names.iter().map(|column| column.text(row)).collect::<Vec<_>>().join(" "),
        leads_to: leads_to.text(row),
        valid: HalfOpen { from: at(from, row).unwrap_or(Micros(i64::MIN)), to: at(to, row) },
        line,
    });
    Ok(terms.collect())
}

/// The texts of a column.
fn texts(rows: &RecordBatch, name: &str) -> Result<Vec<String>, JobError> {
    let column = Column::of(rows, Table::Prices, name)?;
    Ok((0..rows.num_rows()).map(|row| column.text(row)).collect())
}

/// A text column; NULL is empty.
struct Column<'a>(&'a StringViewArray);

impl<'a> Column<'a> {
    fn of(rows: &'a RecordBatch, table: Table, name: &str) -> Result<Self, JobError> {
        let column = rows.column_by_name(name).and_then(|column| column.as_string_view_opt());
        let missing = || arrow::error::ArrowError::SchemaError(format!("there is no text column {name}"));
        column.map(Self).ok_or_else(|| arrow_fault(table)(missing()))
    }

    fn text(&self, row: usize) -> String {
        use arrow::array::Array;
        if self.0.is_valid(row) { self.0.value(row).to_owned() } else { String::new() }
    }
}

/// The digest of a table's rows.
pub(super) fn lines_digest(table: Table, rows: &RecordBatch) -> Result<String, JobError> {
    Ok(digest_of(lines(table, rows)?).to_string())
}

/// Each row as one text.
fn lines(table: Table, rows: &RecordBatch) -> Result<Vec<String>, JobError> {
    (0..rows.num_rows())
        .map(|row| {
            let cells = rows.columns().iter().map(|column| array_value_to_string(column, row));
            let cells = cells.collect::<Result<Vec<_>, _>>().map_err(arrow_fault(table))?;
            Ok(format!("{}\u{1f}{}", table.name(), cells.join("\u{1f}")))
        })
        .collect()
}
