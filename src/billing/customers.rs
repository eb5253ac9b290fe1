//! `customers.csv`: who the customers are and which plan each is on, by whole billing days. A customer has a row per
//! plan it was on; two rows at once are refused.

use std::collections::BTreeMap;

use crate::base::{HalfOpen, Micros, Problems};

use super::interval::{Claim, overlaps};
use super::sheet::{ConfigFile, Grain, Sheet};
use super::zone::BillingZone;

/// One row: a customer on a plan for an interval.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Customer {
    /// Who.
    pub customer_id: String,
    /// Name for people.
    pub name: Option<String>,
    /// Plan of the rates, where there are any.
    pub plan: Option<String>,
    /// When; whole billing days.
    pub valid: HalfOpen<Micros>,
    /// Columns of the user's own, `x_…`.
    pub extra: Vec<(String, String)>,
    /// Where it was written.
    pub line: u32,
}

/// The customers, by id and time.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Customers {
    rows: Vec<Customer>,
}

impl Customers {
    /// Reads and checks the file.
    pub fn parse(file: &ConfigFile, zone: BillingZone) -> Result<Self, Problems> {
        let mut sheet = Sheet::read(file, &["customer_id", "plan", "valid_from"], &["name", "valid_to"]);
        let mut rows = sheet.each(|row| {
            Ok(Customer {
                customer_id: row.required("customer_id")?.to_owned(),
                name: row.cell("name").map(str::to_owned),
                plan: row.cell("plan").map(str::to_owned),
                valid: row.valid(zone, Grain::Day)?,
                extra: row.extra(),
                line: row.line,
            })
        });
        let claims = rows.iter().map(|row| (&row.customer_id, Claim { valid: row.valid, line: row.line }));
        for overlap in overlaps(claims) {
            let (id, first) = (overlap.key, overlap.first);
            sheet.problem(
                overlap.second.line,
                format!(
                    "customer `{id}` is on two plans at once: line {} already covers {}; end it with `valid_to`",
                    first.line,
                    zone.show(first.valid)
                ),
            );
        }
        rows.sort_by(|a, b| (&a.customer_id, a.valid.from).cmp(&(&b.customer_id, b.valid.from)));
        sheet.problems.or(Self { rows })
    }

    /// Every row, by customer and time.
    pub fn rows(&self) -> &[Customer] {
        &self.rows
    }

    /// When each customer was one: its rows, joined where they touch.
    pub fn lifetimes(&self) -> Vec<(&str, HalfOpen<Micros>)> {
        let mut spans: BTreeMap<&str, Vec<HalfOpen<Micros>>> = BTreeMap::new();
        for row in &self.rows {
            let spans = spans.entry(&row.customer_id).or_default();
            match spans.last_mut() {
                Some(last) if last.to == Some(row.valid.from) => last.to = row.valid.to,
                _ => spans.push(row.valid),
            }
        }
        spans.into_iter().flat_map(|(id, spans)| spans.into_iter().map(move |span| (id, span))).collect()
    }
}
