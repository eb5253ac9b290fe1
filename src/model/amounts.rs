//! Every amount of a priced month computed a second time, in checked whole numbers: products from the row itself; flat
//! amounts, discounts and minimums from the configuration and the rows before them. A row that is missing is found too.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{
    Array, AsArray, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType};

use super::checked::show;
use super::{ModelError, MonthBounds};
use crate::base::{HalfOpen, Micros, Nanos};
use crate::schema::Table;

/// The whole of a discount, in the parts it is given in.
const WHOLE_PPM: i128 = 1_000_000;

/// The configuration a month was priced under.
#[derive(Clone, Debug)]
pub struct PricedUnder {
    /// [`Table::Customers`].
    pub customers: RecordBatch,
    /// [`Table::Prices`].
    pub prices: RecordBatch,
    /// [`Table::PlanTerms`].
    pub plan_terms: RecordBatch,
}

/// Computes every amount of these days' charges again and compares.
pub fn check_amounts(charges: &RecordBatch, month: &MonthBounds, under: &PricedUnder) -> Result<(), ModelError> {
    check_products(charges)?;
    let rows = Charges::of(charges)?;
    let plans = plans(under)?;
    let mut stays = stays(under, month, &plans)?;
    let mut by_stay: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for row in 0..charges.num_rows() {
        by_stay.entry((rows.customer.value(row), rows.plan.value(row))).or_default().push(row);
    }
    let none = PlanTerms::default();
    let names: BTreeSet<_> = by_stay.keys().chain(stays.keys()).copied().collect();
    for name in names {
        let found = by_stay.remove(&name).unwrap_or_default();
        let days = stays.remove(&name).unwrap_or_default();
        let stay = Stay { month, terms: plans.get(name.1).unwrap_or(&none), days };
        let mut usage: BTreeMap<i32, Nanos> = BTreeMap::new();
        let mut given = Rows::new();
        for row in found {
            let amount = Nanos(rows.amount.value(row));
            if rows.kind.value(row) == "usage" {
                let sum = usage.entry(rows.day.value(row)).or_default();
                *sum = sum.checked_add(amount).ok_or_else(|| ModelError::Inexact { row: show(charges, row) })?;
            } else {
                let from = rows.from.is_valid(row).then(|| Micros(rows.from.value(row)));
                let key = (rows.day.value(row), rows.kind.value(row), rows.price.value(row), from);
                if given.insert(key, amount).is_some() {
                    return Err(ModelError::Inexact { row: show(charges, row) });
                }
            }
        }
        let wrong =
            |what: String| ModelError::Inexact { row: format!("{what} of customer {}, plan {}", name.0, name.1) };
        let due = stay.due(&usage).ok_or_else(|| wrong("a sum too large for the table".to_owned()))?;
        let differs = due.iter().find(|(key, amount)| given.get(*key) != Some(*amount));
        let differs = differs.or_else(|| given.iter().find(|(key, _)| !due.contains_key(*key)));
        if let Some((key, _)) = differs {
            let (price, said, meant) = (key.2, given.get(key), due.get(key));
            return Err(wrong(format!("`{price}` of day {} is {said:?} and must be {meant:?}", key.0)));
        }
    }
    Ok(())
}

/// Computes every amount that is a product again and compares.
pub fn check_products(charges: &RecordBatch) -> Result<(), ModelError> {
    let rows = Charges::of(charges)?;
    for row in 0..charges.num_rows() {
        let has_price = rows.unit_price.is_valid(row) && rows.billed.is_valid(row);
        let has_none = rows.unit_price.is_null(row) && rows.billed.is_null(row);
        let known = rows.quantity.is_valid(row) && rows.amount.is_valid(row) && rows.kind.is_valid(row);
        let quantity = rows.quantity.value(row);
        let right = match rows.kind.value(row) {
            "usage" => {
                let exact = Nanos(rows.unit_price.value(row)).checked_mul(rows.billed.value(row));
                let counts = if rows.tier.value(row) == "rerate" { quantity == 0 } else { quantity > 0 };
                has_price && counts && exact == Some(Nanos(rows.amount.value(row)))
            }
            _ => has_none && quantity == 0,
        };
        if !known || !right {
            return Err(ModelError::Inexact { row: show(charges, row) });
        }
    }
    Ok(())
}

/// The columns of a conformed `charges_daily`.
struct Charges<'a> {
    day: &'a Date32Array,
    customer: &'a StringViewArray,
    plan: &'a StringViewArray,
    price: &'a StringViewArray,
    tier: &'a StringViewArray,
    kind: &'a StringViewArray,
    from: &'a TimestampMicrosecondArray,
    quantity: &'a Int64Array,
    billed: &'a Int64Array,
    unit_price: &'a Decimal128Array,
    amount: &'a Decimal128Array,
}

impl<'a> Charges<'a> {
    fn of(rows: &'a RecordBatch) -> Result<Self, ModelError> {
        let table = Columns { table: Table::ChargesDaily, rows };
        Ok(Self {
            day: table.get("day", |column| column.as_primitive_opt::<Date32Type>())?,
            customer: table.text("customer_id")?,
            plan: table.text("plan")?,
            price: table.text("price_id")?,
            tier: table.text("tier")?,
            kind: table.text("kind")?,
            from: table.instant("price_from")?,
            quantity: table.integer("quantity")?,
            billed: table.integer("billed")?,
            unit_price: table.decimal("unit_price")?,
            amount: table.decimal("amount")?,
        })
    }
}

/// Rows that are no product: day, kind, price id, start of the interval.
type Rows<'a> = BTreeMap<(i32, &'a str, &'a str, Option<Micros>), Nanos>;

/// What a plan asks for beside the price of usage.
#[derive(Default)]
struct PlanTerms<'a> {
    /// Price id, interval, amount of a whole month.
    flat: Vec<(&'a str, HalfOpen<Micros>, i128)>,
    /// Interval, minimum, parts of a million off.
    terms: Vec<(HalfOpen<Micros>, i128, i128)>,
}

/// A customer's days on a plan.
struct Stay<'a> {
    month: &'a MonthBounds,
    terms: &'a PlanTerms<'a>,
    /// Positions of the days in the month.
    days: Vec<usize>,
}

impl<'a> Stay<'a> {
    /// What must be charged beside this usage; `None` where a sum does not fit.
    fn due(&self, usage: &BTreeMap<i32, Nanos>) -> Option<Rows<'a>> {
        let mut due = Rows::new();
        let (mut total, mut minimum) = (Nanos(0), Nanos(0));
        // The sum so far under each of the terms, and what it gave off.
        let mut sums: BTreeMap<Micros, (Nanos, Nanos)> = BTreeMap::new();
        for &at in &self.days {
            let (day, start) = self.month.days[at];
            let mut charged = usage.get(&day.0).copied().unwrap_or_default();
            for (price, valid, amount) in self.terms.flat.iter().filter(|(_, valid, _)| valid.contains(start)) {
                let share = self.share(at, *amount)?;
                due.insert((day.0, "flat", price, Some(valid.from)), share);
                charged = charged.checked_add(share)?;
            }
            if let Some((valid, least, ppm)) = self.terms.terms.iter().find(|(valid, ..)| valid.contains(start)) {
                minimum = minimum.checked_add(self.share(at, *least)?)?;
                let (sum, off) = sums.entry(valid.from).or_default();
                *sum = sum.checked_add(charged)?;
                let off_before = std::mem::replace(off, part_of(*sum, *ppm)?);
                let discount = off_before.checked_sub(*off)?;
                if discount != Nanos(0) {
                    due.insert((day.0, "discount", "discount", Some(valid.from)), discount);
                }
                charged = charged.checked_add(discount)?;
            }
            total = total.checked_add(charged)?;
        }
        let lacking = minimum.checked_sub(total)?;
        if let (Some(&last), true) = (self.days.last(), lacking > Nanos(0)) {
            due.insert((self.month.days[last].0.0, "minimum", "minimum", None), lacking);
        }
        Some(due)
    }

    /// The share of one day in the amount of a whole month.
    fn share(&self, at: usize, amount: i128) -> Option<Nanos> {
        let (k, n) = (i128::from(MonthBounds::number(self.month.days[at].0)), i128::from(self.month.length()));
        let through = |days: i128| Some(amount.checked_mul(days)?.div_euclid(n));
        through(k)?.checked_sub(through(k - 1)?).map(Nanos)
    }
}

/// `ppm` parts of a million of a sum, rounded down; no step is larger than the sum.
fn part_of(sum: Nanos, ppm: i128) -> Option<Nanos> {
    let (wholes, rest) = (sum.0.div_euclid(WHOLE_PPM), sum.0.rem_euclid(WHOLE_PPM));
    wholes.checked_mul(ppm)?.checked_add(rest * ppm / WHOLE_PPM).map(Nanos)
}

fn plans(under: &PricedUnder) -> Result<BTreeMap<&str, PlanTerms<'_>>, ModelError> {
    let mut plans: BTreeMap<&str, PlanTerms<'_>> = BTreeMap::new();
    let table = Columns { table: Table::Prices, rows: &under.prices };
    let (plan, price, model) = (table.text("plan")?, table.text("price_id")?, table.text("model")?);
    let (valid, amount) = (table.valid()?, table.decimal("flat_amount")?);
    for row in (0..under.prices.num_rows()).filter(|row| model.value(*row) == "flat") {
        plans.entry(plan.value(row)).or_default().flat.push((price.value(row), valid(row), amount.value(row)));
    }
    let table = Columns { table: Table::PlanTerms, rows: &under.plan_terms };
    let (plan, valid) = (table.text("plan")?, table.valid()?);
    let (minimum, ppm) = (table.decimal("minimum")?, table.integer("discount_ppm")?);
    for row in 0..under.plan_terms.num_rows() {
        let least = if minimum.is_valid(row) { minimum.value(row) } else { 0 };
        let off = if ppm.is_valid(row) { i128::from(ppm.value(row)) } else { 0 };
        if least != 0 || off != 0 {
            plans.entry(plan.value(row)).or_default().terms.push((valid(row), least, off));
        }
    }
    Ok(plans)
}

/// The days of each customer on each plan that asks for more than the price of usage.
fn stays<'a>(
    under: &'a PricedUnder,
    month: &MonthBounds,
    plans: &BTreeMap<&str, PlanTerms<'_>>,
) -> Result<BTreeMap<(&'a str, &'a str), Vec<usize>>, ModelError> {
    let mut stays: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    let table = Columns { table: Table::Customers, rows: &under.customers };
    let (customer, plan, valid) = (table.text("customer_id")?, table.text("plan")?, table.valid()?);
    for row in (0..under.customers.num_rows()).filter(|row| plan.is_valid(*row)) {
        if plans.contains_key(plan.value(row)) {
            let days = month.days.iter().enumerate().filter(|(_, (_, start))| valid(row).contains(*start));
            let name = (customer.value(row), plan.value(row));
            stays.entry(name).or_default().extend(days.map(|(at, _)| at));
        }
    }
    stays.values_mut().for_each(|days| days.sort_unstable());
    Ok(stays)
}

/// The columns of a table by name and type.
struct Columns<'a> {
    table: Table,
    rows: &'a RecordBatch,
}

impl<'a> Columns<'a> {
    fn get<C>(&self, name: &str, read: impl Fn(&'a dyn Array) -> Option<&'a C>) -> Result<&'a C, ModelError> {
        let column = self.rows.column_by_name(name).and_then(|column| read(column.as_ref()));
        column.ok_or_else(|| ModelError::Shape { table: self.table.name(), column: name.to_owned() })
    }

    fn text(&self, name: &str) -> Result<&'a StringViewArray, ModelError> {
        self.get(name, |column| column.as_string_view_opt())
    }

    fn integer(&self, name: &str) -> Result<&'a Int64Array, ModelError> {
        self.get(name, |column| column.as_primitive_opt::<Int64Type>())
    }

    fn decimal(&self, name: &str) -> Result<&'a Decimal128Array, ModelError> {
        self.get(name, |column| column.as_primitive_opt::<Decimal128Type>())
    }

    fn instant(&self, name: &str) -> Result<&'a TimestampMicrosecondArray, ModelError> {
        self.get(name, |column| column.as_primitive_opt::<TimestampMicrosecondType>())
    }

    /// The interval of a row.
    fn valid(&self) -> Result<impl Fn(usize) -> HalfOpen<Micros> + use<'a>, ModelError> {
        let (from, to) = (self.instant("valid_from")?, self.instant("valid_to")?);
        Ok(move |row| HalfOpen { from: Micros(from.value(row)), to: to.is_valid(row).then(|| Micros(to.value(row))) })
    }
}
