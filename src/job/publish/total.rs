//! Totals of a month: what a customer or a key used of a meter, in all and by day. Rows of `usage_daily` go in, one at a
//! time and in any order; out come totals under the names they are published by. Usage that is held is kept apart from usage
//! that counts. Keys that somebody made up are left out: where customers are configured only keys with an owner have totals.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::base::{Digest, Micros};
use crate::billing::{BillingDay, BillingMonth};

/// What the digest of a total stands for; another number makes every total a changed one.
pub(super) const FORMAT: &str = "total 1";
/// Longest partition key of a published total, bytes: DynamoDB takes 2048.
const PARTITION_BYTES_MAX: usize = 2_048;
/// Stands in `usage_daily` for the keys past the most used ones that nobody owns.
const OTHER_KEYS: &str = "other";

/// Whose usage a total is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Holder {
    /// A customer, with all its keys.
    Customer(String),
    /// A key, by its reference.
    Key(String),
}

/// What a total is of, which is also where it is found.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TotalName {
    /// Whose usage.
    pub holder: Holder,
    /// The billing month.
    pub month: BillingMonth,
    /// The meter.
    pub meter: String,
}

/// The usage of one holder, month and meter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Total {
    /// What it is of.
    pub name: TotalName,
    /// Usage that counts.
    pub quantity: i128,
    /// Events behind it.
    pub events: i128,
    /// Usage that is held.
    pub held: i128,
    /// Events that are held.
    pub held_events: i128,
    /// The usage that counts, by billing day; days without any are left out.
    pub days: BTreeMap<BillingDay, i128>,
    /// Of a key: who owned it when it was used.
    pub customers: BTreeSet<String>,
    /// The hours of the month before this hold all that was delivered.
    pub complete_until: Micros,
    /// The month is not closed.
    pub provisional: bool,
}

/// A row of `usage_daily`, summed over sources and dimensions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsageRow {
    /// The billing day.
    pub day: BillingDay,
    /// Who is charged for it.
    pub customer_id: Option<String>,
    /// The key.
    pub key_ref: Option<String>,
    /// The meter.
    pub meter: String,
    /// What became of it.
    pub attribution: String,
    /// What the meter counts.
    pub quantity: i128,
    /// Events behind it.
    pub events: i128,
}

/// How rows of a month become totals.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TotalRules {
    /// The month.
    pub month: BillingMonth,
    /// There are customers, so usage of a key without an owner is held.
    pub has_customers: bool,
    /// Meters of distinct values and maxima: a key has no quantity of these.
    pub of_customer: BTreeSet<String>,
    /// Up to when the hours are complete, by meter.
    pub complete_until: BTreeMap<String, Micros>,
    /// The same where nothing is known of the meter.
    pub complete_until_else: Micros,
    /// The month is not closed.
    pub provisional: bool,
}

/// The totals of a month while they are added up.
#[derive(Debug)]
pub struct MonthTotals {
    rules: TotalRules,
    totals: BTreeMap<TotalName, Total>,
}

impl TotalName {
    /// The partition key: `customer#ID` or `key#REF`.
    pub fn partition(&self) -> String {
        self.holder.to_string()
    }

    /// The sort key: `YYYY-MM#meter`.
    pub fn sort(&self) -> String {
        format!("{}#{}", self.month, self.meter)
    }

    /// The name with these keys; none: they are not a total's.
    pub fn of_keys(partition: &str, sort: &str) -> Option<Self> {
        let holder = match partition.split_once('#')? {
            ("customer", id) => Holder::Customer(id.to_owned()),
            ("key", key_ref) => Holder::Key(key_ref.to_owned()),
            _ => return None,
        };
        let (month, meter) = sort.split_once('#')?;
        Some(Self { holder, month: month.parse().ok()?, meter: meter.to_owned() })
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Customer(id) => write!(f, "customer#{id}"),
            Self::Key(key_ref) => write!(f, "key#{key_ref}"),
        }
    }
}

impl Total {
    /// The digest of everything that makes a total another one. Not among it: up to when it is complete, which moves with
    /// every hour.
    pub fn digest(&self) -> Digest {
        let numbers = [self.quantity, self.events, self.held, self.held_events].map(|number| number.to_string());
        let days = self.days.iter().map(|(day, quantity)| format!("{day} {quantity}"));
        let customers = self.customers.iter().map(|customer| format!("of {customer}"));
        let parts: Vec<String> =
            numbers.into_iter().chain([self.provisional.to_string()]).chain(days).chain(customers).collect();
        Digest::of([FORMAT].into_iter().chain(parts.iter().map(String::as_str)))
    }
}

impl TotalRules {
    /// A total without usage: also what is published where usage is gone.
    pub fn empty(&self, name: TotalName) -> Total {
        Total {
            complete_until: *self.complete_until.get(&name.meter).unwrap_or(&self.complete_until_else),
            name,
            quantity: 0,
            events: 0,
            held: 0,
            held_events: 0,
            days: BTreeMap::new(),
            customers: BTreeSet::new(),
            provisional: self.provisional,
        }
    }

    /// Whether usage of this attribution counts; else it is held.
    fn counts(&self, attribution: &str) -> bool {
        attribution == "mapped" || (attribution == "unmapped" && !self.has_customers)
    }
}

impl MonthTotals {
    /// No usage yet.
    pub fn new(rules: TotalRules) -> Self {
        Self { rules, totals: BTreeMap::new() }
    }

    /// Adds a row to the totals of its customer and of its key.
    pub fn add(&mut self, row: &UsageRow) {
        if let Some(customer) = &row.customer_id {
            self.add_to(Holder::Customer(customer.clone()), row);
        }
        let is_one_key = |key: &&String| row.customer_id.is_some() || *key != OTHER_KEYS;
        if let Some(key) = row.key_ref.as_ref().filter(is_one_key)
            && !self.rules.of_customer.contains(&row.meter)
        {
            self.add_to(Holder::Key(key.clone()), row);
        }
    }

    fn add_to(&mut self, holder: Holder, row: &UsageRow) {
        let name = TotalName { holder, month: self.rules.month, meter: row.meter.clone() };
        let rules = &self.rules;
        let total = self.totals.entry(name).or_insert_with_key(|name| rules.empty(name.clone()));
        // Sums of 64-bit numbers: no table has rows enough to leave 128 bits.
        if rules.counts(&row.attribution) {
            total.quantity += row.quantity;
            total.events += row.events;
            if row.quantity != 0 {
                *total.days.entry(row.day).or_default() += row.quantity;
            }
        } else {
            total.held += row.quantity;
            total.held_events += row.events;
        }
        if let (Holder::Key(_), Some(customer)) = (&total.name.holder, &row.customer_id) {
            total.customers.insert(customer.clone());
        }
    }

    /// The totals, and how many are left out because their names are longer than a key of the table may be.
    pub fn finish(self) -> (BTreeMap<TotalName, Total>, usize) {
        let has_customers = self.rules.has_customers;
        let is_owned = |total: &Total| {
            matches!(total.name.holder, Holder::Customer(_)) || !has_customers || !total.customers.is_empty()
        };
        let mut totals = self.totals;
        totals.retain(|_, total| is_owned(total));
        let all = totals.len();
        totals.retain(|name, _| name.partition().len() <= PARTITION_BYTES_MAX);
        let left_out = all - totals.len();
        (totals, left_out)
    }
}
