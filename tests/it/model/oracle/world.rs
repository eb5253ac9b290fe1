//! Random plans, customers and usage of one month, as data for the oracle and as the files and rows the product reads.

use std::fmt::Write as _;
use std::ops::Range;

use meterlake::base::{Micros, Nanos, UtcDay};
use meterlake::model::MeterValue;
use serde_json::{Value, json};

use super::super::priced::Config;
use super::super::{day, meter};
use super::Dice;

/// Of plans that name none.
pub(super) const CURRENCY: &str = "CHF";
const PLANS: u64 = 50;
const CUSTOMERS: u64 = 200;
const DAY_MICROS: i64 = 86_400_000_000;
const ROUTES: [&str; 3] = ["/v1/\"x\"", "/v2", "/v1/\\"];
const METHODS: [&str; 2] = ["GET", "POST"];

/// A time zone, by rules of its own.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Zone {
    Utc,
    Berlin,
    NewYork,
    Kolkata,
}

pub(super) struct World {
    pub(super) zone: Zone,
    pub(super) month: String,
    /// The days of the month.
    pub(super) days: Range<i32>,
    pub(super) plans: Vec<Plan>,
    pub(super) stays: Vec<Stay>,
    pub(super) usage: Vec<Used>,
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) id: String,
    pub(super) currency: Option<&'static str>,
    /// One after the other; the list may have gaps.
    pub(super) terms: Vec<Terms>,
    /// In order of preference.
    pub(super) prices: Vec<Price>,
}

#[derive(Debug)]
pub(super) struct Terms {
    pub(super) from: Option<i32>,
    pub(super) to: Option<i32>,
    pub(super) minimum: i128,
    /// Millionths off.
    pub(super) ppm: i128,
}

#[derive(Debug)]
pub(super) struct Price {
    pub(super) id: String,
    pub(super) meter: &'static str,
    /// Column and wanted values; all must hold.
    pub(super) wants: Vec<(&'static str, Vec<&'static str>)>,
    pub(super) from: Option<i32>,
    pub(super) to: Option<i32>,
    pub(super) model: Model,
}

/// Prices in nano-units; a tier is its last unit and its price.
#[derive(Debug)]
pub(super) enum Model {
    PerUnit { unit_price: i128, free: i64 },
    Graduated(Vec<(Option<i64>, i128)>),
    Volume(Vec<(Option<i64>, i128)>),
    Package { size: i64, free: i64, unit_price: i128 },
    Flat(i128),
}

/// A customer on a plan.
#[derive(Debug)]
pub(super) struct Stay {
    pub(super) customer: String,
    pub(super) plan: String,
    pub(super) from: i32,
    pub(super) to: Option<i32>,
}

/// Usage of a day through one key; the same dimensions may come again.
#[derive(Clone, Debug)]
pub(super) struct Used {
    pub(super) day: i32,
    pub(super) customer: String,
    pub(super) meter: &'static str,
    pub(super) route: Option<&'static str>,
    pub(super) method: &'static str,
    pub(super) quantity: i64,
}

fn within(day: i32, from: Option<i32>, to: Option<i32>) -> bool {
    from.is_none_or(|from| from <= day) && to.is_none_or(|to| day < to)
}

impl Zone {
    fn name(self) -> &'static str {
        match self {
            Self::Utc => "UTC",
            Self::Berlin => "Europe/Berlin",
            Self::NewYork => "America/New_York",
            Self::Kolkata => "Asia/Kolkata",
        }
    }

    /// The day with the instant of its midnight. Clocks change after midnight, so the day they do begins by the old rule.
    pub(super) fn start_of(self, number: i32) -> (UtcDay, Micros) {
        let sunday = |month: &str, nth: i32| {
            let year = &UtcDay(number).to_string()[..4];
            let first = day(&format!("{year}-{month}-01")).0;
            // Day 0 was a Thursday, so day 3 a Sunday.
            first + (3 - first).rem_euclid(7) + 7 * (nth - 1)
        };
        let last_sunday = |month: &str| if UtcDay(sunday(month, 5)).to_string()[5..7] == *month { 5 } else { 4 };
        // Before 1980 these zones had other rules; day 0 is in winter.
        let is_summer = |from: i32, to: i32| number > 3_652 && number > from && number <= to;
        let minutes = match self {
            Self::Utc => 0,
            Self::Kolkata => 330,
            Self::Berlin => {
                60 + 60 * i64::from(is_summer(sunday("03", last_sunday("03")), sunday("10", last_sunday("10"))))
            }
            Self::NewYork => -300 + 60 * i64::from(is_summer(sunday("03", 2), sunday("11", 1))),
        };
        (UtcDay(number), Micros(i64::from(number) * DAY_MICROS - minutes * 60_000_000))
    }

    /// The start of an interval; one without `from` is since 1970.
    pub(super) fn from(self, day: Option<i32>) -> Micros {
        self.start_of(day.unwrap_or(0)).1
    }
}

impl Stay {
    pub(super) fn covers(&self, day: i32) -> bool {
        within(day, Some(self.from), self.to)
    }
}

impl Terms {
    pub(super) fn in_force(&self, day: i32) -> bool {
        within(day, self.from, self.to)
    }
}

impl Price {
    pub(super) fn in_force(&self, day: i32) -> bool {
        within(day, self.from, self.to)
    }

    pub(super) fn takes(&self, used: &Used) -> bool {
        self.meter == used.meter
            && self.wants.iter().all(|(column, values)| match *column {
                "route" => used.route.is_some_and(|route| values.contains(&route)),
                _ => values.contains(&used.method),
            })
    }
}

impl Model {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::PerUnit { .. } => "per_unit",
            Self::Graduated(_) => "graduated",
            Self::Volume(_) => "volume",
            Self::Package { .. } => "package",
            Self::Flat(_) => "flat",
        }
    }
}

impl Used {
    pub(super) fn dimensions(&self) -> String {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let route = self.route.map_or("null".to_owned(), |route| format!("\"{}\"", escaped(route)));
        format!("{{\"route\":{route},\"method\":\"{}\"}}", escaped(self.method))
    }
}

// How it is made up.

impl World {
    pub(super) fn random(seed: u64, zone: Zone, month: &str) -> Self {
        let mut dice = Dice(seed);
        let first = day(&format!("{month}-01")).0;
        let last = (28..=31).rev().find(|n| UtcDay(first + n - 1).to_string().starts_with(month)).unwrap();
        let mut world = Self {
            zone,
            month: month.to_owned(),
            days: first..first + last,
            plans: Vec::new(),
            stays: Vec::new(),
            usage: Vec::new(),
        };
        for number in 0..PLANS {
            let plan = world.random_plan(&mut dice, format!("p{number:02}"));
            world.plans.push(plan);
        }
        for number in 0..CUSTOMERS {
            world.random_customer(&mut dice, &format!("c{number:03}"));
        }
        world
    }

    fn random_plan(&self, dice: &mut Dice, id: String) -> Plan {
        // Amounts from a nano-unit to what the columns hold, so that floors and carries both happen.
        let scale = [10, 1_000_000, 1_000_000_000, 20_000_000_000, 1_000_000_000_000_000_000][dice.below(5) as usize];
        let mut prices = Vec::new();
        for meter in ["calls", "bytes"] {
            for _ in 0..dice.below(3) {
                let wants = match dice.below(4) {
                    0 => vec![("route", vec![dice.pick(&ROUTES)])],
                    1 => vec![("method", vec!["GET"]), ("route", vec![ROUTES[0], ROUTES[2]])],
                    2 => vec![("method", vec!["POST"])],
                    _ => vec![("route", vec![ROUTES[1], ROUTES[2]])],
                };
                let id = random_id(dice, prices.len());
                for (from, to) in self.random_spans(dice) {
                    let model = random_model(dice, meter, scale);
                    prices.push(Price { id: id.clone(), meter, wants: wants.clone(), from, to, model });
                }
            }
            if !dice.one_in(5) {
                let (mut id, is_one) = (random_id(dice, prices.len()), dice.one_in(2));
                for (from, to) in self.random_spans(dice) {
                    prices.push(Price {
                        id: id.clone(),
                        meter,
                        wants: vec![],
                        from,
                        to,
                        model: random_model(dice, meter, scale),
                    });
                    if !is_one {
                        id = random_id(dice, prices.len());
                    }
                }
            }
        }
        for _ in 0..dice.below(3) {
            let id = random_id(dice, prices.len());
            for (from, to) in self.random_spans(dice) {
                let model = Model::Flat(random_amount(dice, scale));
                prices.push(Price { id: id.clone(), meter: "", wants: vec![], from, to, model });
            }
        }
        let mut terms = Vec::new();
        if !dice.one_in(4) {
            for (from, to) in self.random_spans(dice) {
                let ppm = match dice.below(6) {
                    0 | 1 => 0,
                    2 => dice.pick(&[1, 333_333, 999_999, 1_000_000]),
                    _ => i128::from(dice.below(1_000_001)),
                };
                let minimum = match dice.below(3) {
                    0 => 0,
                    1 => random_amount(dice, scale),
                    _ => random_amount(dice, scale) * 20,
                };
                terms.push(Terms { from, to, minimum, ppm });
            }
        }
        Plan { id, currency: dice.pick(&[None, Some("EUR"), Some("JPY"), Some("KWD")]), terms, prices }
    }

    /// Disjoint intervals in order.
    fn random_spans(&self, dice: &mut Dice) -> Vec<(Option<i32>, Option<i32>)> {
        let mut some = || self.days.start + 1 + dice.below((self.days.end - self.days.start - 1) as u64) as i32;
        let (a, b) = (some(), some());
        let (a, b) = (Some(a.min(b)), Some(a.max(b) + i32::from(a == b)));
        match dice.below(8) {
            0..3 => vec![(None, None)],
            3 => vec![(None, a), (a, None)],
            4 => vec![(None, a)],
            5 => vec![(None, a), (a, b), (b, None)],
            6 => vec![(None, a), (b, None)],
            _ => vec![(Some(self.days.start), Some(self.days.end))],
        }
    }

    fn random_customer(&mut self, dice: &mut Dice, customer: &str) {
        let (start, length) = (self.days.start, (self.days.end - self.days.start) as u64);
        let mut cuts: Vec<i32> = (0..dice.below(4)).map(|_| start + dice.below(length + 1) as i32).collect();
        cuts.push(start - 40);
        cuts.sort_unstable();
        cuts.dedup();
        // Few plans of one customer, so that it comes back to one.
        let plans = [0; 2].map(|_| format!("p{:02}", dice.below(PLANS)));
        for (at, from) in cuts.iter().enumerate() {
            if at > 0 && dice.one_in(5) {
                continue;
            }
            let to = cuts.get(at + 1).copied();
            self.stays.push(Stay { customer: customer.to_owned(), plan: dice.pick(&plans), from: *from, to });
        }
        for _ in 0..dice.below(24) {
            let meter = dice.pick(&["calls", "bytes"]);
            let quantity = match dice.below(8) {
                0 => 0,
                1..5 => 5 * dice.below(5) as i64,
                _ => 1 + dice.below(30) as i64,
            };
            self.usage.push(Used {
                // Many on one day, so that rows of a day follow one another.
                day: start + (dice.below(length) as i32 & if dice.one_in(2) { -1 } else { !7 }),
                customer: customer.to_owned(),
                meter,
                route: dice.pick(&[Some(ROUTES[0]), Some(ROUTES[1]), Some(ROUTES[2]), None]),
                method: dice.pick(&METHODS),
                quantity: quantity * unit(meter) + if meter == "bytes" { dice.below(3) as i64 } else { 0 },
            });
        }
    }
}

/// What tiers and quantities of a meter are multiples of.
fn unit(meter: &str) -> i64 {
    if meter == "bytes" { 1_000_000_000 } else { 1 }
}

/// The order of ids is not the order of preference.
fn random_id(dice: &mut Dice, number: usize) -> String {
    format!("{}{number}", (b'a' + dice.below(26) as u8) as char)
}

fn random_amount(dice: &mut Dice, scale: u64) -> i128 {
    i128::from(match dice.below(5) {
        0 => dice.pick(&[0, 1, 30, 31]),
        1 => scale - 1,
        _ => dice.below(scale),
    })
}

fn random_model(dice: &mut Dice, meter: &str, scale: u64) -> Model {
    let mut free = |dice: &mut Dice| if dice.one_in(2) { 0 } else { (1 + dice.below(8) as i64) * 5 * unit(meter) };
    match dice.below(4) {
        0 => Model::PerUnit { unit_price: random_amount(dice, scale), free: free(dice) },
        1 => Model::Package {
            size: (1 + dice.below(12) as i64) * unit(meter),
            free: free(dice),
            unit_price: random_amount(dice, scale),
        },
        model => {
            let (mut tiers, mut end) = (Vec::new(), 0);
            for _ in 0..dice.below(4) {
                end += (1 + dice.below(8) as i64) * 5 * unit(meter);
                tiers.push((Some(end), random_amount(dice, scale)));
            }
            tiers.push((None, random_amount(dice, scale)));
            if model == 2 { Model::Graduated(tiers) } else { Model::Volume(tiers) }
        }
    }
}

// How the product is told.

impl World {
    pub(super) fn plan(&self, id: &str) -> &Plan {
        self.plans.iter().find(|plan| plan.id == id).unwrap()
    }

    pub(super) fn plan_of(&self, customer: &str, day: i32) -> Option<&Plan> {
        let stay = self.stays.iter().find(|stay| stay.customer == customer && stay.covers(day))?;
        Some(self.plan(&stay.plan))
    }

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
