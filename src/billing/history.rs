//! A closed month's configuration, completed by what was nobody's when it was closed. A key that had no owner then may get one later,
//! and its usage is billed by itself; what was somebody's stays theirs, whatever the files say today.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::error::ArrowError;

use super::ConfigTables;
use crate::base::{HalfOpen, Micros};
use crate::schema::Table;

/// Whose a key was, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owner {
    /// The source whose events show the key so.
    pub source: String,
    /// The key.
    pub key_ref: String,
    /// Its owner.
    pub customer_id: String,
    /// When.
    pub valid: HalfOpen<Micros>,
}

impl ConfigTables {
    /// The owners of keys, in the order of the table.
    pub fn owners(&self) -> Vec<Owner> {
        let customers = texts(&self.api_keys, "customer_id");
        keys(&self.api_keys)
            .into_iter()
            .zip(customers)
            .zip(intervals(&self.api_keys))
            .map(|(((source, key_ref), customer_id), valid)| Owner { source, key_ref, customer_id, valid })
            .collect()
    }

    /// These tables, with the rows of `today` for customers and plans they do not know, and for keys in the time in which
    /// nobody owned them.
    pub fn completed(&self, today: &Self) -> Result<Self, ArrowError> {
        let customers = known(&self.customers, &["customer_id"]);
        let plans: BTreeSet<String> =
            known(&self.prices, &["plan"]).union(&known(&self.plan_terms, &["plan"])).cloned().collect();
        let added = |table: Table, column: &str, known: &BTreeSet<String>| {
            let (ours, theirs) = (self.of(table), today.of(table));
            let names = texts(theirs, column);
            let is_new: BooleanArray = names.iter().map(|name| Some(!known.contains(name))).collect();
            concat_batches(&table.schema(), [ours, &filter_record_batch(theirs, &is_new)?])
        };
        Ok(Self {
            customers: added(Table::Customers, "customer_id", &customers)?,
            api_keys: unowned(&self.api_keys, &today.api_keys)?,
            prices: added(Table::Prices, "plan", &plans)?,
            price_matches: added(Table::PriceMatches, "plan", &plans)?,
            plan_terms: added(Table::PlanTerms, "plan", &plans)?,
        })
    }
}

/// The owners of then, and those of today for the time in which a key had none.
fn unowned(then: &RecordBatch, today: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut taken: BTreeMap<(String, String), Vec<HalfOpen<Micros>>> = BTreeMap::new();
    for (key, valid) in keys(then).into_iter().zip(intervals(then)) {
        taken.entry(key).or_default().push(valid);
    }
    let (mut rows, mut valid) = (Vec::new(), Vec::new());
    for ((row, key), whole) in (0_u32..).zip(keys(today)).zip(intervals(today)) {
        for free in less(whole, taken.get(&key).map_or(&[][..], Vec::as_slice)) {
            rows.push(row);
            valid.push(free);
        }
    }
    let added = take_record_batch(today, &UInt32Array::from(rows))?;
    let (schema, mut columns) = (added.schema(), added.columns().to_vec());
    let instants = |at: fn(&HalfOpen<Micros>) -> Option<Micros>| -> ArrayRef {
        let values: TimestampMicrosecondArray = valid.iter().map(|valid| at(valid).map(|at| at.0)).collect();
        Arc::new(values.with_timezone("UTC"))
    };
    columns[schema.index_of("valid_from")?] = instants(|valid| Some(valid.from));
    columns[schema.index_of("valid_to")?] = instants(|valid| valid.to);
    let added = RecordBatch::try_new(schema, columns)?;
    concat_batches(&then.schema(), [then, &added])
}

/// What is left of an interval without others, in order.
fn less(whole: HalfOpen<Micros>, others: &[HalfOpen<Micros>]) -> Vec<HalfOpen<Micros>> {
    let mut others: Vec<&HalfOpen<Micros>> = others.iter().filter(|other| other.overlaps(&whole)).collect();
    others.sort_by_key(|other| other.from);
    let mut left = Vec::new();
    let mut from = Some(whole.from);
    for other in others {
        left.extend(from.and_then(|from| HalfOpen::new(from, Some(other.from))));
        from = other.to;
    }
    left.extend(from.and_then(|from| HalfOpen::new(from, whole.to)));
    left
}

fn keys(rows: &RecordBatch) -> Vec<(String, String)> {
    texts(rows, "source").into_iter().zip(texts(rows, "key_ref")).collect()
}

fn known(rows: &RecordBatch, columns: &[&str]) -> BTreeSet<String> {
    columns.iter().flat_map(|column| texts(rows, column)).collect()
}

fn texts(rows: &RecordBatch, column: &str) -> Vec<String> {
    let column = rows.column_by_name(column).and_then(|column| column.as_string_view_opt());
    column.into_iter().flatten().map(|text| text.unwrap_or_default().to_owned()).collect()
}

fn intervals(rows: &RecordBatch) -> Vec<HalfOpen<Micros>> {
    let column = |name: &str| rows.column_by_name(name).and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    let (from, to) = (column("valid_from"), column("valid_to"));
    let at = |column: Option<&TimestampMicrosecondArray>, row: usize| {
        column.filter(|column| column.is_valid(row)).map(|column| Micros(column.value(row)))
    };
    let interval = |row| HalfOpen { from: at(from, row).unwrap_or(Micros(i64::MIN)), to: at(to, row) };
    (0..rows.num_rows()).map(interval).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: i64, to: Option<i64>) -> HalfOpen<Micros> {
        HalfOpen { from: Micros(from), to: to.map(Micros) }
    }

    #[test]
    fn what_was_owned_is_cut_out() {
        assert_eq!(less(span(0, None), &[]), [span(0, None)]);
        assert_eq!(less(span(0, None), &[span(5, Some(9))]), [span(0, Some(5)), span(9, None)]);
        assert_eq!(less(span(0, Some(20)), &[span(15, None), span(-3, Some(4))]), [span(4, Some(15))]);
        assert_eq!(less(span(3, Some(7)), &[span(0, None)]), []);
        assert_eq!(
            less(span(0, Some(10)), &[span(4, Some(6)), span(6, Some(8))]),
            [span(0, Some(4)), span(8, Some(10))]
        );
    }
}
