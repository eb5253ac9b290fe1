//! `rates.toml`: plans, each a list of prices and the terms that hold for all of them. The first price of a meter that
//! matches an event's dimensions takes its usage; a flat price takes none. Decimals are text and exact. Tiers are
//! `(previous, up_to]`, ascending, the last one open. Refused are a price that could never match, two prices of one id or
//! two terms of a plan at once, and whatever a model does not have.

mod amount;
mod matches;
mod model;
mod terms;
mod tiers;
mod together;

use crate::base::document::{Document, Item, Section};
use crate::base::problem::suggestion;
use crate::base::{HalfOpen, Micros, Nanos, Problems};
use crate::model::Meter;

use super::currency::known_currency;
use super::interval::{Claim, overlaps};
use super::sheet::{ConfigFile, Grain, parse_instant};
use super::zone::{BillingDay, BillingZone};

pub use terms::PlanTerms;

const PLAN_KEYS: &[&str] = &["id", "name", "currency", "minimum", "discount_percent", "terms", "price"];
const PRICE_KEYS: &[&str] =
    &["id", "meter", "model", "unit_price", "free", "tiers", "size", "amount", "match", "from", "to"];
/// Price ids of the rows that terms give.
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
    /// ISO 4217 code of all its prices.
    pub currency: String,
    /// What holds for all its prices, by time.
    pub terms: Vec<PlanTerms>,
    /// Its prices in order of preference.
    pub prices: Vec<Price>,
}

/// A price of one meter, or a flat one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Price {
    /// Its id within the plan; the counter of a month runs per id.
    pub id: String,
    /// The meter whose usage it takes; none: flat.
    pub meter: Option<String>,
    /// How usage becomes an amount.
    pub model: Model,
    /// What it asks of the dimensions; all must hold.
    pub matches: Vec<Match>,
    /// When; whole billing days.
    pub valid: HalfOpen<Micros>,
    /// Where it was written.
    pub line: u32,
}

/// How usage becomes an amount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Model {
    /// Every unit costs the same: one open tier, after one at no price where units are free.
    PerUnit(Vec<Tier>),
    /// A unit costs what the tier says that the month's count has reached.
    Graduated(Vec<Tier>),
    /// Every unit of the month costs what the tier of the month's total says.
    Volume(Vec<Tier>),
    /// Units are sold by the package; one begun is one charged.
    Package(Package),
    /// This much for a whole month, whether or not there is usage.
    Flat(Nanos),
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

/// Units sold together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Package {
    /// Units of a package.
    pub size: i64,
    /// Units that are free each month.
    pub free: i64,
    /// Price of one package.
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
    /// Reads and checks the file; plans that name no currency have this one.
    pub fn parse(file: &ConfigFile, zone: BillingZone, currency: &str, meters: &[Meter]) -> Result<Self, Problems> {
        let Ok(text) = std::str::from_utf8(&file.bytes) else {
            let mut problems = Problems::default();
            problems.add(&file.name, 1, "this file is not UTF-8");
            return Err(problems);
        };
        let document = Document::new(&file.name, text);
        let Some(table) = document.parse() else { return Err(document.into_problems()) };
        let root = document.root(&table, &["plan"]);
        let reader = Reader { zone, currency, meters };
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

struct Reader<'r> {
    zone: BillingZone,
    currency: &'r str,
    meters: &'r [Meter],
}

impl Reader<'_> {
    fn plan(&self, section: &Section<'_>) -> Option<Plan> {
        let id = section.required("id").and_then(|item| item.text());
        let name = match section.get("name") {
            Some(item) => item.text().map(|name| Some(name.to_owned())),
            None => Some(None),
        };
        let currency = section.get("currency").map_or(Some(self.currency), |item| known_currency(&item));
        let terms = self.terms(section);
        let sections = section.sections("price", PRICE_KEYS);
        let prices: Vec<Price> = sections.iter().filter_map(|price| self.price(price)).collect();
        // The order between prices means something only once each of them is right.
        if prices.len() == sections.len() {
            together::check(self.zone, &sections, &prices);
        }
        Some(Plan { id: id?.to_owned(), name: name?, currency: currency?.to_owned(), terms: terms?, prices })
    }

    fn price(&self, section: &Section<'_>) -> Option<Price> {
        let id = section.required("id").and_then(|item| price_id(&item));
        let model = model::read(section);
        // Where the model is no known one it is not known either what the price needs.
        let is_flat = matches!(model, Some(Model::Flat(_))) || model::is_flat(section);
        let meter = match section.get("meter") {
            _ if is_flat => Some(None),
            Some(item) => self.meter(&item).map(Some),
            None => section.required("meter").map(|_| None),
        };
        let matches = match section.get("match") {
            Some(item) if !is_flat => matches::read(&item, meter.flatten()),
            _ => Some(Vec::new()),
        };
        let valid = self.valid(section);
        Some(Price {
            id: id?.to_owned(),
            meter: meter?.map(|meter| meter.name.clone()),
            model: model?,
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

fn price_id<'d>(item: &Item<'d>) -> Option<&'d str> {
    let id = item.text()?;
    if RESERVED.contains(&id) {
        item.problem(format!("price id `{id}` is reserved for what the plan's `{id}` comes to; choose another"));
        return None;
    }
    Some(id)
}
