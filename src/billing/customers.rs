//! `customers.csv`: who the customers are and which plan each is on, by whole billing days. A customer has a row per
//! plan it was on; two rows at once are refused.

use std::collections::BTreeMap;

use crate::base::{HalfOpen, Micros, Problems};

use super::bill::parse_percent;
use super::interval::{Claim, overlaps};
use super::invoice::Party;
use super::sheet::{ConfigFile, Grain, Sheet};
use super::zone::BillingZone;

const OPTIONAL: &[&str] = &["name", "valid_to", "address", "tax_id", "email", "tax_percent"];
/// What stands between the lines of an address.
const ADDRESS_LINES: char = '|';

/// One row: a customer on a plan for an interval.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Customer {
    /// Who.
    pub customer_id: String,
    /// Name for people.
    pub name: Option<String>,
    /// Plan of the rates, where there are any.
    pub plan: Option<String>,
    /// Lines of the address, for invoices.
    pub address: Vec<String>,
    /// Tax or VAT number, for invoices.
    pub tax_id: Option<String>,
    /// Where invoices go.
    pub email: Option<String>,
    /// Tax on what is billed, in parts of a million; none: no tax is printed.
    pub tax_ppm: Option<u32>,
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
        let mut sheet = Sheet::read(file, &["customer_id", "plan", "valid_from"], OPTIONAL);
        let mut rows = sheet.each(|row| {
            Ok(Customer {
                customer_id: row.required("customer_id")?.to_owned(),
                name: row.cell("name").map(str::to_owned),
                plan: row.cell("plan").map(str::to_owned),
                address: row.cell("address").into_iter().flat_map(lines).collect(),
                tax_id: row.cell("tax_id").map(str::to_owned),
                email: row.cell("email").map(str::to_owned),
                tax_ppm: row.cell("tax_percent").map(tax).transpose()?,
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

    /// A customer as printed on what is issued for a time that ends at `end`: its latest row that began before.
    pub fn party(&self, customer_id: &str, end: Micros) -> Party {
        let mut rows = self.rows.iter().filter(|row| row.customer_id == customer_id && row.valid.from < end);
        match rows.next_back() {
            Some(row) => Party {
                name: row.name.clone().unwrap_or_else(|| customer_id.to_owned()),
                address: row.address.clone(),
                tax_id: row.tax_id.clone(),
                email: row.email.clone(),
            },
            None => Party { name: customer_id.to_owned(), ..Party::default() },
        }
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

fn lines(address: &str) -> impl Iterator<Item = String> {
    address.split(ADDRESS_LINES).map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}

fn tax(text: &str) -> Result<u32, String> {
    parse_percent(text)
        .ok_or_else(|| format!("`tax_percent` is not a percentage from 0 to 100 with at most 4 places: `{text}`"))
}
