//! Who pays what: billing days in the billing time zone, customers and their plans, keys and their owners, rates. Each
//! file is read and checked whole; what is wrong is told with file and line. Out come tables for SQL ([`ConfigTables`]).

pub mod adjustments;
pub mod bill;
mod customers;
pub mod export;
mod history;
mod interval;
pub mod invoice;
mod keys;
mod keys_import;
mod rates;
mod sheet;
mod tables;
pub mod terms;
mod zone;

use arrow::error::ArrowError;

use crate::base::Problems;
use crate::base::problem::suggestion;
use crate::decode::SourceSpec;
use crate::model::Meter;

pub use adjustments::{Adjustment, Adjustments};
pub use customers::{Customer, Customers};
pub use history::Owner;
pub use keys::{Key, Keys};
pub use keys_import::{KeysImport, OfferedKey, Verdict};
pub use rates::{Match, Model, Plan, Price, Rates, Terms, Tier};
pub use sheet::ConfigFile;
pub(crate) use sheet::Sheet;
pub use tables::{ConfigTables, fragment, is_hashed};
pub use terms::{InvoiceTerms, NumberFormat};
pub use zone::{BillingDay, BillingMonth, BillingZone, ParseMonthError, ZoneError};

/// Everything configured about billing, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Billing {
    /// ISO 4217 code of all amounts.
    pub currency: String,
    /// Where a billing day begins.
    pub zone: BillingZone,
    /// Usage of earlier days is shown, never charged or held.
    pub start: Option<BillingDay>,
    /// Who the customers are.
    pub customers: Customers,
    /// Whose each key is.
    pub keys: Keys,
    /// What usage costs; none: there are no charges.
    pub rates: Option<Rates>,
    /// Credits and refunds that somebody approved.
    pub adjustments: Adjustments,
    /// How invoices are made out.
    pub invoice: InvoiceTerms,
}

/// The files that `[billing]` names, as read.
#[derive(Clone, Default, Debug)]
pub struct BillingFiles {
    /// `customers`.
    pub customers: Option<ConfigFile>,
    /// `keys`.
    pub keys: Option<ConfigFile>,
    /// `rates`.
    pub rates: Option<ConfigFile>,
    /// `adjustments`.
    pub adjustments: Option<ConfigFile>,
}

impl Billing {
    /// Reads and checks the files, each alone and then against one another. All problems of all files come together.
    pub fn parse(
        currency: &str,
        zone: BillingZone,
        start: Option<BillingDay>,
        files: &BillingFiles,
        meters: &[Meter],
    ) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let customers = note(files.customers.as_ref().map(|file| Customers::parse(file, zone)), &mut problems);
        let keys = note(files.keys.as_ref().map(|file| Keys::parse(file, zone)), &mut problems);
        let rates = note(files.rates.as_ref().map(|file| Rates::parse(file, zone, meters)), &mut problems);
        let adjustments = note(files.adjustments.as_ref().map(Adjustments::parse), &mut problems);
        if let (Some(file), Some(adjustments), Some(customers)) = (&files.adjustments, &adjustments, &customers) {
            check_adjusted(file, adjustments, customers, &mut problems);
        }
        if let (Some(file), Some(customers), Some(rates)) = (&files.customers, &customers, &rates) {
            check_plans(file, customers, rates, &mut problems);
        }
        if let (Some(file), Some(keys), Some(customers)) = (&files.keys, &keys, &customers) {
            check_owners(file, keys, customers, &mut problems);
        }
        problems.or(Self {
            currency: currency.to_owned(),
            zone,
            start,
            customers: customers.unwrap_or_default(),
            keys: keys.unwrap_or_default(),
            rates,
            adjustments: adjustments.unwrap_or_default(),
            invoice: InvoiceTerms::default(),
        })
    }

    /// What a month is billed under.
    pub fn month_terms(&self, month: BillingMonth) -> bill::MonthTerms {
        let last = self.zone.bounds(month.last_day());
        let taxed = self.customers.rows().iter().filter(|row| row.valid.from < last.to.unwrap_or(last.from));
        // Rows are in order of time, so the latest that began by then counts.
        let tax_ppm: std::collections::BTreeMap<String, Option<u32>> =
            taxed.map(|row| (row.customer_id.clone(), row.tax_ppm)).collect();
        let adjustments = self.adjustments.rows().iter().filter(|row| row.month == month);
        bill::MonthTerms {
            rounding: self.invoice.rounding,
            tax_ppm: tax_ppm.into_iter().filter_map(|(customer, ppm)| Some((customer, ppm?))).collect(),
            adjustments: adjustments.cloned().collect(),
            currency: self.currency.clone(),
        }
    }

    /// The configuration as tables; keys are given per source, in the form its events carry them.
    pub fn tables<'s>(&self, sources: impl IntoIterator<Item = &'s SourceSpec>) -> Result<ConfigTables, ArrowError> {
        ConfigTables::made_of(self, sources)
    }

    /// What the prices of a plan are in.
    pub fn currency_of<'p>(&'p self, plan: &'p Plan) -> &'p str {
        plan.currency.as_deref().unwrap_or(&self.currency)
    }

    /// The plans by id.
    fn plans_by_id(&self) -> Vec<&Plan> {
        let mut plans: Vec<&Plan> = self.rates.iter().flat_map(|rates| rates.plans()).collect();
        plans.sort_by(|a, b| a.id.cmp(&b.id));
        plans
    }
}

fn note<T>(parsed: Option<Result<T, Problems>>, problems: &mut Problems) -> Option<T> {
    match parsed? {
        Ok(value) => Some(value),
        Err(found) => {
            problems.extend(found);
            None
        }
    }
}

fn check_plans(file: &ConfigFile, customers: &Customers, rates: &Rates, problems: &mut Problems) {
    for row in customers.rows() {
        let message = match &row.plan {
            Some(plan) if rates.plans().iter().any(|known| known.id == *plan) => continue,
            Some(plan) => {
                let near = suggestion(plan, rates.plans().iter().map(|known| &*known.id));
                format!("unknown plan `{plan}` of customer `{}`{near}", row.customer_id)
            }
            None => format!("customer `{}` has no plan, so its usage would have no price", row.customer_id),
        };
        problems.add(&file.name, row.line, message);
    }
}

fn check_adjusted(file: &ConfigFile, adjustments: &Adjustments, customers: &Customers, problems: &mut Problems) {
    let known: std::collections::BTreeSet<&str> = customers.rows().iter().map(|row| &*row.customer_id).collect();
    for row in adjustments.rows() {
        if !known.contains(&*row.customer_id) {
            let near = suggestion(&row.customer_id, known.iter().copied());
            problems.add(&file.name, row.line, format!("unknown customer `{}`{near}", row.customer_id));
        }
        if let Some(Err(error)) = row.currency.as_deref().map(invoice::Currency::of) {
            problems.add(&file.name, row.line, error.to_string());
        }
    }
}

fn check_owners(file: &ConfigFile, keys: &Keys, customers: &Customers, problems: &mut Problems) {
    let known: std::collections::BTreeSet<&str> = customers.rows().iter().map(|row| &*row.customer_id).collect();
    for row in keys.rows().iter().filter(|row| !known.contains(&*row.customer_id)) {
        let near = suggestion(&row.customer_id, known.iter().copied());
        problems.add(&file.name, row.line, format!("unknown customer `{}`{near}", row.customer_id));
    }
}
