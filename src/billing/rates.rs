//! `rates.toml`: plans, each a list of prices of meters. The first price of a meter that matches an event's dimensions
//! takes its usage. Decimals are text and exact. Tiers are `(previous, up_to]`, ascending, the last one open. A price
//! that could never match and two prices of one id at once are refused.

use crate::base::document::{Document, Item, Section};
use crate::base::problem::suggestion;
use crate::base::{HalfOpen, Micros, Nanos, Problems};
use crate::model::Meter;

use super::interval::{Claim, overlaps};
use super::invoice::Currency;
use super::sheet::{ConfigFile, Grain, parse_instant};
use super::zone::{BillingDay, BillingZone};

mod models;
mod terms;

pub use models::Model;
use models::Rule;
pub use terms::Terms;

/// The largest unit price a DECIMAL(18,9) holds, in nano-units.
const UNIT_PRICE_MAX: Nanos = Nanos(10_i128.pow(18) - 1);
/// The largest fee or minimum, in nano-units: its shares and sums stay far below what a DECIMAL(38,9) holds.
const AMOUNT_MAX: Nanos = Nanos(10_i128.pow(27) - 1);
const PLAN_KEYS: &[&str] = &["id", "name", "currency", "minimum", "discount_percent", "terms", "price"];
const PRICE_KEYS: &[&str] =
    &["id", "meter", "model", "unit_price", "tiers", "match", "from", "to", "size", "amount", "free"];
/// What the charges of a plan itself are called, beside those of its prices.
const RESERVED: &[&str] = &["discount", "minimum"];

/// The plans of a rates file.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Rates {
    plans: Vec<Plan>,
}

/// What a customer can be on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Its id.
    pub id: String,
    /// Name for people.
    pub name: Option<String>,
    /// ISO 4217 code of its prices; none: the currency of `[billing]`.
    pub currency: Option<String>,
    /// Its minimum and discount, by time; where there are none, neither applies.
    pub terms: Vec<Terms>,
    /// Its prices in order of preference.
    pub prices: Vec<Price>,
}

/// A price of one meter, or a fee for the time on the plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Price {
    /// Its id within the plan; the counter of a month runs per id.
    pub id: String,
    /// The meter whose usage it takes; none: it is flat.
    pub meter: Option<String>,
    /// How usage becomes an amount.
    pub model: Model,
    /// Its tiers in order; the last one is open. A price per unit is one open tier, after one that is free where there is
    /// such; a package price is one that begins where the free units end; a flat one has none.
    pub tiers: Vec<Tier>,
    /// Units of a package.
    pub size: Option<i64>,
    /// Of a flat price: for a whole month.
    pub amount: Option<Nanos>,
    /// What it asks of the dimensions; all must hold.
    pub matches: Vec<Match>,
    /// When; whole billing days.
    pub valid: HalfOpen<Micros>,
    /// Where it was written.
    pub line: u32,
}

/// Units `(from, up_to]` of a month.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tier {
    /// Units before the first of this tier.
    pub from: i64,
    /// The last unit; none: no end.
    pub up_to: Option<i64>,
    /// Price of one unit.
    pub unit_price: Nanos,
}

/// A wish about one dimension.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Match {
    /// A column of the meter's `group_by`.
    pub column: String,
    /// The values it takes, sorted.
    pub values: Vec<String>,
}

impl Rates {
    /// Reads and checks the file.
    pub fn parse(file: &ConfigFile, zone: BillingZone, meters: &[Meter]) -> Result<Self, Problems> {
        let Ok(text) = std::str::from_utf8(&file.bytes) else {
            let mut problems = Problems::default();
            problems.add(&file.name, 1, "this file is not UTF-8");
            return Err(problems);
        };
        let document = Document::new(&file.name, text);
        let Some(table) = document.parse() else { return Err(document.into_problems()) };
        let root = document.root(&table, &["plan"]);
        let reader = Reader { zone, meters };
        let mut plans: Vec<Plan> = Vec::new();
        for section in root.sections("plan", PLAN_KEYS) {
            let Some(plan) = reader.plan(&section) else { continue };
            if plans.iter().any(|other| other.id == plan.id) {
                section.problem(format!("plan `{}` is defined twice", plan.id));
            }
            plans.push(plan);
        }
        drop(table);
        document.into_problems().or(Self { plans })
    }

    /// The plans in the order of the file.
    pub fn plans(&self) -> &[Plan] {
        &self.plans
    }
}

struct Reader<'m> {
    zone: BillingZone,
    meters: &'m [Meter],
}

impl Reader<'_> {
    fn plan(&self, section: &Section<'_>) -> Option<Plan> {
        let id = section.required("id").and_then(|item| item.text());
        let text = |key: &str| match section.get(key) {
            Some(item) => item.text().map(|text| Some(text.to_owned())),
            None => Some(None),
        };
        let name = text("name");
        let currency = text("currency");
        if let (Some(Some(code)), Some(item)) = (&currency, section.get("currency"))
            && let Err(error) = Currency::of(code)
        {
            item.problem(error.to_string());
        }
        let terms = terms::read(section, |section| self.valid(section));
        let sections = section.sections("price", PRICE_KEYS);
        let prices: Vec<Price> = sections.iter().filter_map(|price| self.price(price)).collect();
        // The order between prices means something only once each of them is right.
        if prices.len() == sections.len() {
            check_together(self.zone, &sections, &prices);
        }
        Some(Plan { id: id?.to_owned(), name: name?, currency: currency?, terms: terms?, prices })
    }

    fn price(&self, section: &Section<'_>) -> Option<Price> {
        let id = section.required("id").and_then(|item| {
            let id = item.text()?;
            if RESERVED.contains(&id) {
                item.problem(format!("`{id}` is what a plan's own {id} is called; choose another id"));
                return None;
            }
            Some(id)
        });
        let rule = models::read(section);
        // Said, be the rest of it right or not: a flat price never lacks a meter.
        let is_flat = section.get("model").is_some_and(|item| item.as_text() == Some(Model::Flat.name()));
        let meter = match section.get("meter") {
            Some(_) if is_flat => Some(None),
            Some(item) => self.meter(&item).map(Some),
            None if is_flat => Some(None),
            None => section.required("meter").map(|_| None),
        };
        let matches = match section.get("match") {
            Some(item) if !is_flat => matches(&item, meter.flatten()),
            _ => Some(Vec::new()),
        };
        let valid = self.valid(section);
        let Rule { model, tiers, size, amount } = rule?;
        Some(Price {
            id: id?.to_owned(),
            meter: meter?.map(|meter| meter.name.clone()),
            model,
            tiers,
            size,
            amount,
            matches: matches?,
            valid: valid?,
            line: section.line(),
        })
    }

    fn meter(&self, item: &Item<'_>) -> Option<&Meter> {
        let name = item.text()?;
        let meter = self.meters.iter().find(|meter| meter.name == name);
        if meter.is_none() {
            item.problem(format!("unknown meter `{name}`{}", suggestion(name, self.meters.iter().map(|m| &*m.name))));
        }
        meter
    }

    /// Absent `from`: since 1970, before any log.
    fn valid(&self, section: &Section<'_>) -> Option<HalfOpen<Micros>> {
        let instant = |item: Item<'_>| {
            let text = item.moment()?;
            parse_instant(self.zone, Grain::Day, &text).map_err(|message| item.problem(message)).ok()
        };
        let from = section.get("from").map_or(Some(self.zone.start(BillingDay(0))), instant);
        let to = match section.get("to") {
            Some(item) => instant(item).map(Some),
            None => Some(None),
        };
        let (from, to) = (from?, to?);
        let valid = HalfOpen::new(from, to);
        if valid.is_none() {
            section.problem("`to` must be later than `from`");
        }
        valid
    }
}

fn matches(item: &Item<'_>, meter: Option<&Meter>) -> Option<Vec<Match>> {
    let mut matches = Vec::new();
    let mut right = true;
    for (column, values) in item.any_section()?.entries() {
        if let Some(meter) = meter.filter(|meter| !meter.group_by.iter().any(|name| name == column)) {
            let near = suggestion(column, meter.group_by.iter().map(String::as_str));
            values.problem(format!("`{column}` is not in `group_by` of meter `{}`{near}", meter.name));
            right = false;
        }
        let members = values.one_or_more();
        let mut wanted: Vec<String> = members.iter().filter_map(Item::plain).collect();
        right &= wanted.len() == members.len();
        if members.is_empty() {
            values.problem(format!("`{column}` lists no values, so this price could never match"));
            right = false;
        }
        if wanted.iter().any(|value| value.chars().any(char::is_control)) {
            values.problem("no dimension ever holds a control character; the tables have it as %XX");
            right = false;
        }
        wanted.sort_unstable();
        wanted.dedup();
        matches.push(Match { column: column.to_owned(), values: wanted });
    }
    right.then_some(matches)
}

fn check_together(zone: BillingZone, sections: &[Section<'_>], prices: &[Price]) {
    let claims = prices.iter().zip(0..).map(|(price, at)| (&price.id, Claim { valid: price.valid, line: at }));
    for overlap in overlaps(claims) {
        let first = &prices[overlap.first.line as usize];
        sections[overlap.second.line as usize].problem(format!(
            "price `{}` is defined twice at once: line {} already covers {}; end it with `to`",
            first.id,
            first.line,
            zone.show(first.valid)
        ));
    }
    for (at, price) in prices.iter().enumerate() {
        let before = &prices[..at];
        if let Some(other) = before.iter().find(|other| other.id == price.id && other.meter != price.meter) {
            sections[at].problem(format!(
                "price `{}` is for {} on line {}; one id counts one meter, so choose another",
                price.id,
                counted(other),
                other.line
            ));
        }
        let hides = |other: &&Price| {
            price.meter.is_some()
                && other.meter == price.meter
                && other.id != price.id
                && other.matches.is_empty()
                && other.valid.overlaps(&price.valid)
        };
        if let Some(other) = before.iter().find(hides) {
            let advice = if price.matches.is_empty() { "end one of them with `to`" } else { "put this one before it" };
            sections[at].problem(format!(
                "price `{}` can never match while price `{}` (line {}) before it takes all of {}; {advice}",
                price.id,
                other.id,
                other.line,
                counted(price)
            ));
        }
    }
}

fn counted(price: &Price) -> String {
    price.meter.as_ref().map_or_else(|| "no meter".to_owned(), |meter| format!("meter `{meter}`"))
}

/// A unit price: text that is an exact decimal of at least 0.
fn unit_price(item: &Item<'_>) -> Option<Nanos> {
    decimal(item, UNIT_PRICE_MAX, "a unit price")
}

/// A fee or minimum for a month, in the same form.
fn amount(item: &Item<'_>) -> Option<Nanos> {
    decimal(item, AMOUNT_MAX, "a fee or minimum")
}

fn decimal(item: &Item<'_>, max: Nanos, what: &str) -> Option<Nanos> {
    let Some(text) = item.as_text() else {
        item.wrong_type("a decimal in quotes such as \"0.0004\", which is exact");
        return None;
    };
    match text.parse::<Nanos>() {
        Ok(value) if value < Nanos(0) => item.problem(format!("`{text}` is negative")),
        Ok(value) if value > max => item.problem(format!("this is more than the {max} {what} can be")),
        Ok(value) => return Some(value),
        Err(error) => item.problem(error.to_string()),
    }
    None
}
