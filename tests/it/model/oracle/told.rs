//! The same plans, customers and usage as the files and rows that the product reads.

use std::fmt::Write as _;

use meterlake::base::{Nanos, UtcDay};
use meterlake::model::MeterValue;
use serde_json::{Value, json};

use super::super::meter;
use super::super::priced::Config;
use super::world::{CURRENCY, Model, Plan, Price, Stay, Terms, Used, World};

impl World {
    pub(super) fn config(&self) -> Config {
        let group_by = ["route", "method"];
        Config {
            zone: self.zone.name().to_owned(),
            currency: CURRENCY.to_owned(),
            rates: self.plans.iter().map(Plan::toml).collect(),
            customers: self.customers(|_| true),
            meters: ["calls", "bytes"].map(|name| meter(name, None, MeterValue::Count, &group_by)).into(),
        }
    }

    fn customers(&self, wanted: impl Fn(&Stay) -> bool) -> String {
        let rows = self.stays.iter().filter(|stay| wanted(stay)).map(|stay| {
            let to = stay.to.map(|to| UtcDay(to).to_string()).unwrap_or_default();
            format!("{},{},{},{to}\n", stay.customer, stay.plan, UtcDay(stay.from))
        });
        format!("customer_id,plan,valid_from,valid_to\n{}", rows.collect::<String>())
    }

    /// Rows of `usage_daily`, among them some that nobody is charged for.
    pub(super) fn usage_rows(&self, usage: &[Used]) -> Vec<Value> {
        let row = |(number, used): (usize, &Used)| {
            let price = self.plan_of(&used.customer, used.day).and_then(|plan| plan.price_of(used));
            json!({
                "day": UtcDay(used.day).to_string(), "customer_id": used.customer, "key_ref": format!("k{number}"),
                "source": "origin", "meter": used.meter, "dimensions": used.dimensions(), "quantity": used.quantity,
                "attribution": if price.is_some() { "mapped" } else { "unpriced" }, "events": 1,
            })
        };
        let mut rows: Vec<Value> = usage.iter().enumerate().map(row).collect();
        for (number, attribution) in ["undecided", "conflict", "refused", "before_start"].iter().enumerate() {
            if let Some(mut held) = rows.get(number).cloned() {
                held["attribution"] = json!(attribution);
                held["quantity"] = json!(7);
                rows.push(held);
            }
        }
        // Next month's and last month's usage is none of this one's.
        for (at, day) in [(5, self.days.end), (6, self.days.start - 1)] {
            if let Some(mut other) = rows.get(at).cloned() {
                other["day"] = json!(UtcDay(day).to_string());
                rows.push(other);
            }
        }
        rows
    }

    /// The customer's and the plan's part of the configuration.
    pub(super) fn about(&self, customer: &str, plan: &str) -> String {
        format!("{}{}", self.customers(|stay| stay.customer == customer), self.plan(plan).toml())
    }
}

impl Plan {
    fn toml(&self) -> String {
        let mut text = format!("[[plan]]\nid = \"{}\"\n", self.id);
        if let Some(currency) = self.currency {
            writeln!(text, "currency = \"{currency}\"").unwrap();
        }
        let is_plain = matches!(self.terms.as_slice(), [Terms { from: None, to: None, .. }]);
        for terms in &self.terms {
            if !is_plain {
                text += "[[plan.terms]]\n";
            }
            let (minimum, percent) = (Nanos(terms.minimum), Nanos(terms.ppm * 100_000));
            writeln!(text, "minimum = \"{minimum}\"\ndiscount_percent = \"{percent}\"").unwrap();
            text += &interval(terms.from, terms.to);
        }
        for price in &self.prices {
            text += &price.toml();
        }
        text
    }
}

impl Price {
    fn toml(&self) -> String {
        let mut text = format!("[[plan.price]]\nid = \"{}\"\nmodel = \"{}\"\n", self.id, self.model.name());
        if !self.meter.is_empty() {
            writeln!(text, "meter = \"{}\"", self.meter).unwrap();
        }
        let mut free = 0;
        match &self.model {
            Model::PerUnit { unit_price, free: units } => {
                writeln!(text, "unit_price = \"{}\"", Nanos(*unit_price)).unwrap();
                free = *units;
            }
            Model::Package { size, free: units, unit_price } => {
                writeln!(text, "size = {size}\nunit_price = \"{}\"", Nanos(*unit_price)).unwrap();
                free = *units;
            }
            Model::Flat(amount) => writeln!(text, "amount = \"{}\"", Nanos(*amount)).unwrap(),
            Model::Graduated(tiers) | Model::Volume(tiers) => {
                text += "tiers = [\n";
                for (end, unit_price) in tiers {
                    let end = end.map(|end| format!("up_to = {end}, ")).unwrap_or_default();
                    writeln!(text, "  {{ {end}unit_price = \"{}\" }},", Nanos(*unit_price)).unwrap();
                }
                text += "]\n";
            }
        }
        if free > 0 {
            writeln!(text, "free = {free}").unwrap();
        }
        if !self.wants.is_empty() {
            let wants: Vec<String> =
                self.wants.iter().map(|(column, values)| format!("{column} = {values:?}")).collect();
            writeln!(text, "match = {{ {} }}", wants.join(", ")).unwrap();
        }
        text + &interval(self.from, self.to)
    }
}

fn interval(from: Option<i32>, to: Option<i32>) -> String {
    let line = |name, day: Option<i32>| day.map(|day| format!("{name} = {}\n", UtcDay(day))).unwrap_or_default();
    line("from", from) + &line("to", to)
}
