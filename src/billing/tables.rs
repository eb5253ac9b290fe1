//! The configuration as tables, for joins: customers, keys as each source shows them, prices with one row per tier, and
//! the dimension values prices ask for. Equal configurations give equal rows in equal order.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Builder, Int32Builder, Int64Builder, RecordBatch, StringViewBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::error::ArrowError;

use crate::base::{HalfOpen, Micros, Nanos};
use crate::decode::{Identifies, KeySpec, SourceSpec};
use crate::schema::Table;

use super::Billing;
use super::rates::Tier;

/// The configuration tables of a build.
#[derive(Clone, PartialEq, Debug)]
pub struct ConfigTables {
    /// [`Table::Customers`].
    pub customers: RecordBatch,
    /// [`Table::ApiKeys`].
    pub api_keys: RecordBatch,
    /// [`Table::Prices`].
    pub prices: RecordBatch,
    /// [`Table::PriceMatches`].
    pub price_matches: RecordBatch,
    /// [`Table::PlanTerms`].
    pub plan_terms: RecordBatch,
}

impl ConfigTables {
    /// The tables, in a fixed order.
    pub const TABLES: [Table; 5] =
        [Table::Customers, Table::ApiKeys, Table::Prices, Table::PriceMatches, Table::PlanTerms];

    /// Tables without rows: no billing is configured.
    pub fn empty() -> Self {
        let none = |table: Table| RecordBatch::new_empty(table.schema());
        Self {
            customers: none(Table::Customers),
            api_keys: none(Table::ApiKeys),
            prices: none(Table::Prices),
            price_matches: none(Table::PriceMatches),
            plan_terms: none(Table::PlanTerms),
        }
    }

    /// The rows of one of them; [`Table::Customers`] for any table that is not.
    pub fn of(&self, table: Table) -> &RecordBatch {
        match table {
            Table::ApiKeys => &self.api_keys,
            Table::Prices => &self.prices,
            Table::PriceMatches => &self.price_matches,
            Table::PlanTerms => &self.plan_terms,
            _ => &self.customers,
        }
    }

    /// The same, to be replaced.
    pub fn of_mut(&mut self, table: Table) -> &mut RecordBatch {
        match table {
            Table::ApiKeys => &mut self.api_keys,
            Table::Prices => &mut self.prices,
            Table::PriceMatches => &mut self.price_matches,
            Table::PlanTerms => &mut self.plan_terms,
            _ => &mut self.customers,
        }
    }

    pub(super) fn made_of<'s>(
        billing: &Billing,
        sources: impl IntoIterator<Item = &'s SourceSpec>,
    ) -> Result<Self, ArrowError> {
        Ok(Self {
            customers: customers(billing)?,
            api_keys: api_keys(billing, sources)?,
            prices: prices(billing)?,
            price_matches: price_matches(billing)?,
            plan_terms: plan_terms(billing)?,
        })
    }
}

/// How the events of a source carry the key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyForm {
    Nothing,
    Id,
    Fingerprint,
    /// A token that the edge function logs: an id, or the fingerprint it made itself.
    IdOrFingerprint,
    Customer,
}

impl KeyForm {
    fn of(source: &SourceSpec) -> Self {
        match (&source.key, source.identifies) {
            (KeySpec::None, _) => Self::Nothing,
            (_, Identifies::Customer) => Self::Customer,
            (KeySpec::LogData { plain: true, .. }, Identifies::Key) => Self::IdOrFingerprint,
            (key, Identifies::Key) if is_hashed(key) => Self::Fingerprint,
            (_, Identifies::Key) => Self::Id,
        }
    }
}

/// Whether the value is a secret, of which only the keyed hash is stored.
pub fn is_hashed(key: &KeySpec) -> bool {
    match key {
        KeySpec::None => false,
        KeySpec::Header(_) | KeySpec::Query(_) => true,
        KeySpec::LogData { plain, .. } | KeySpec::Path { plain, .. } => !plain,
        KeySpec::Variable(name) => name == "$context.identity.apiKey",
    }
}

fn customers(billing: &Billing) -> Result<RecordBatch, ArrowError> {
    let rows = || billing.customers.rows().iter();
    batch(
        Table::Customers,
        vec![
            text(rows().map(|row| Some(&*row.customer_id))),
            text(rows().map(|row| row.name.as_deref())),
            text(rows().map(|row| row.plan.as_deref())),
            from(rows().map(|row| row.valid)),
            to(rows().map(|row| row.valid)),
        ],
    )
}

fn api_keys<'s>(
    billing: &Billing,
    sources: impl IntoIterator<Item = &'s SourceSpec>,
) -> Result<RecordBatch, ArrowError> {
    type Row<'r> = (&'r str, &'r str, &'r str, Option<&'r str>, HalfOpen<Micros>);
    let mut rows: Vec<Row<'_>> = Vec::new();
    for source in sources {
        let form = KeyForm::of(source);
        match form {
            KeyForm::Nothing => {}
            KeyForm::Customer => rows.extend(
                billing.customers.lifetimes().into_iter().map(|(id, valid)| (&*source.name, id, id, None, valid)),
            ),
            KeyForm::Id | KeyForm::Fingerprint | KeyForm::IdOrFingerprint => {
                rows.extend(billing.keys.rows().iter().flat_map(|key| {
                    let id = key.api_key_id.as_deref().filter(|_| form != KeyForm::Fingerprint);
                    let fingerprint = key.key_fingerprint.as_deref().filter(|_| form != KeyForm::Id);
                    let row =
                        |reference| (&*source.name, reference, &*key.customer_id, key.label.as_deref(), key.valid);
                    [id, fingerprint].into_iter().flatten().map(row)
                }));
            }
        }
    }
    // No two rows of one source and reference share an instant, so this order is whole.
    rows.sort_by_key(|(source, reference, .., valid)| (*source, *reference, valid.from));
    batch(
        Table::ApiKeys,
        vec![
            text(rows.iter().map(|row| Some(row.0))),
            text(rows.iter().map(|row| Some(row.1))),
            text(rows.iter().map(|row| Some(row.2))),
            text(rows.iter().map(|row| row.3)),
            from(rows.iter().map(|row| row.4)),
            to(rows.iter().map(|row| row.4)),
        ],
    )
}

fn prices(billing: &Billing) -> Result<RecordBatch, ArrowError> {
    // A flat price has no tiers, and one row all the same.
    const NO_TIER: Tier = Tier { from: 0, up_to: None, unit_price: Nanos(0) };
    let mut rows = Vec::new();
    for plan in billing.plans_by_id() {
        for (price, position) in plan.prices.iter().zip(1_i32..) {
            let tiers = if price.tiers.is_empty() { std::slice::from_ref(&NO_TIER) } else { &price.tiers };
            for (tier, number) in tiers.iter().zip(1_i32..) {
                rows.push((plan, position, price, number, tier));
            }
        }
    }
    let matched = |columns: usize| i32::try_from(columns).map_err(|e| ArrowError::InvalidArgumentError(e.to_string()));
    batch(
        Table::Prices,
        vec![
            text(rows.iter().map(|row| Some(&*row.0.id))),
            text(rows.iter().map(|row| Some(billing.currency_of(row.0)))),
            text(rows.iter().map(|row| Some(&*row.2.id))),
            int(rows.iter().map(|row| row.1)),
            text(rows.iter().map(|row| row.2.meter.as_deref())),
            text(rows.iter().map(|row| Some(row.2.model.name()))),
            int(rows.iter().map(|row| matched(row.2.matches.len())).collect::<Result<Vec<_>, _>>()?),
            from(rows.iter().map(|row| row.2.valid)),
            to(rows.iter().map(|row| row.2.valid)),
            int(rows.iter().map(|row| row.3)),
            bigint(rows.iter().map(|row| Some(row.4.from))),
            bigint(rows.iter().map(|row| row.4.up_to)),
            amounts(rows.iter().map(|row| (!row.2.tiers.is_empty()).then_some(row.4.unit_price)), 18)?,
            bigint(rows.iter().map(|row| row.2.size)),
            amounts(rows.iter().map(|row| row.2.amount), 38)?,
        ],
    )
}

fn plan_terms(billing: &Billing) -> Result<RecordBatch, ArrowError> {
    let mut rows = Vec::new();
    for plan in billing.plans_by_id() {
        rows.extend(plan.terms.iter().map(|terms| (plan, terms)));
    }
    batch(
        Table::PlanTerms,
        vec![
            text(rows.iter().map(|(plan, _)| Some(&*plan.id))),
            text(rows.iter().map(|(plan, _)| Some(billing.currency_of(plan)))),
            from(rows.iter().map(|(_, terms)| terms.valid)),
            to(rows.iter().map(|(_, terms)| terms.valid)),
            amounts(rows.iter().map(|(_, terms)| Some(terms.minimum)), 38)?,
            bigint(rows.iter().map(|(_, terms)| Some(i64::from(terms.discount_ppm)))),
        ],
    )
}

fn price_matches(billing: &Billing) -> Result<RecordBatch, ArrowError> {
    let mut rows = Vec::new();
    for plan in billing.plans_by_id() {
        for price in &plan.prices {
            for wish in &price.matches {
                rows.extend(
                    wish.values.iter().map(|value| {
                        (&*plan.id, &*price.id, price.valid, &*wish.column, fragment(&wish.column, value))
                    }),
                );
            }
        }
    }
    rows.sort_by(|a, b| (a.0, a.1, a.2.from, a.3, &a.4).cmp(&(b.0, b.1, b.2.from, b.3, &b.4)));
    batch(
        Table::PriceMatches,
        vec![
            text(rows.iter().map(|row| Some(row.0))),
            text(rows.iter().map(|row| Some(row.1))),
            from(rows.iter().map(|row| row.2)),
            text(rows.iter().map(|row| Some(row.3))),
            text(rows.iter().map(|row| Some(&*row.4))),
        ],
    )
}

/// `"column":"value"` as it stands in a `dimensions` text.
pub fn fragment(column: &str, value: &str) -> String {
    format!("\"{column}\":\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

fn batch(table: Table, columns: Vec<ArrayRef>) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new(table.schema(), columns)
}

fn text<'v>(values: impl Iterator<Item = Option<&'v str>>) -> ArrayRef {
    let mut builder = StringViewBuilder::new();
    values.for_each(|value| builder.append_option(value));
    Arc::new(builder.finish())
}

fn int(values: impl IntoIterator<Item = i32>) -> ArrayRef {
    let mut builder = Int32Builder::new();
    values.into_iter().for_each(|value| builder.append_value(value));
    Arc::new(builder.finish())
}

fn bigint(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    let mut builder = Int64Builder::new();
    values.for_each(|value| builder.append_option(value));
    Arc::new(builder.finish())
}

/// Nano-units as a decimal with nine places.
fn amounts(values: impl Iterator<Item = Option<Nanos>>, precision: u8) -> Result<ArrayRef, ArrowError> {
    let mut builder = Decimal128Builder::new().with_precision_and_scale(precision, 9)?;
    values.for_each(|value| builder.append_option(value.map(|amount| amount.0)));
    Ok(Arc::new(builder.finish()))
}

fn from(ranges: impl Iterator<Item = HalfOpen<Micros>>) -> ArrayRef {
    timestamps(ranges.map(|range| Some(range.from)))
}

fn to(ranges: impl Iterator<Item = HalfOpen<Micros>>) -> ArrayRef {
    timestamps(ranges.map(|range| range.to))
}

fn timestamps(values: impl Iterator<Item = Option<Micros>>) -> ArrayRef {
    let mut builder = TimestampMicrosecondBuilder::new().with_timezone("UTC");
    values.for_each(|value| builder.append_option(value.map(|at| at.0)));
    Arc::new(builder.finish())
}
