//! `model` and the keys that belong to it. A key of another model is refused: it would be read as if it mattered.

use crate::base::Nanos;
use crate::base::document::Section;
use crate::base::problem::suggestion;

use super::amount::{monthly, unit_price};
use super::{Model, Package, Tier, tiers};

/// Every model with the keys it has beside `id`, `model`, `from` and `to`.
const MODELS: [(&str, &[&str]); 5] = [
    ("per_unit", &["meter", "match", "unit_price", "free"]),
    ("graduated", &["meter", "match", "tiers"]),
    ("volume", &["meter", "match", "tiers"]),
    ("package", &["meter", "match", "unit_price", "free", "size"]),
    ("flat", &["amount"]),
];
const OWN_KEYS: &[&str] = &["meter", "match", "unit_price", "free", "tiers", "size", "amount"];

impl Model {
    /// Its name in files and tables.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PerUnit(_) => "per_unit",
            Self::Graduated(_) => "graduated",
            Self::Volume(_) => "volume",
            Self::Package(_) => "package",
            Self::Flat(_) => "flat",
        }
    }
}

/// Whether the section says so, be the rest of it right or not.
pub(super) fn is_flat(section: &Section<'_>) -> bool {
    section.get("model").is_some_and(|item| item.as_text() == Some("flat"))
}

pub(super) fn read(section: &Section<'_>) -> Option<Model> {
    let item = section.required("model")?;
    let name = item.text()?;
    let Some((name, own)) = MODELS.iter().find(|(known, _)| *known == name) else {
        item.problem(format!("unknown model `{name}`{}", suggestion(name, MODELS.map(|(known, _)| known))));
        return None;
    };
    for key in OWN_KEYS.iter().filter(|key| !own.contains(key)) {
        if let Some(item) = section.get(key) {
            let why = match *key {
                "meter" | "match" => ": it is charged whether or not there is usage",
                _ => "",
            };
            item.problem(format!("model `{name}` has no `{key}`{why}"));
        }
    }
    match *name {
        "per_unit" => {
            let (price, free) = (section.required("unit_price").and_then(|item| unit_price(&item)), free(section));
            Some(Model::PerUnit(per_unit(price?, free?)))
        }
        "graduated" => section.required("tiers").and_then(|item| tiers::read(&item)).map(Model::Graduated),
        "volume" => section.required("tiers").and_then(|item| tiers::read(&item)).map(Model::Volume),
        "package" => {
            let size = section.required("size").and_then(|item| item.integer(1..=i64::MAX));
            let (price, free) = (section.required("unit_price").and_then(|item| unit_price(&item)), free(section));
            Some(Model::Package(Package { size: size?, free: free?, unit_price: price? }))
        }
        _ => section.required("amount").and_then(|item| monthly(&item)).map(Model::Flat),
    }
}

fn free(section: &Section<'_>) -> Option<i64> {
    section.get("free").map_or(Some(0), |item| item.integer(0..=i64::MAX))
}

fn per_unit(unit_price: Nanos, free: i64) -> Vec<Tier> {
    let open = Tier { from: free, up_to: None, unit_price };
    match free {
        0 => vec![open],
        _ => vec![Tier { from: 0, up_to: Some(free), unit_price: Nanos(0) }, open],
    }
}
