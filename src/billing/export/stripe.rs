//! The `stripe` format: what is to be sent to Stripe, one JSON value a line. A customer has exactly one of three modes, so
//! nothing is billed twice: metered (usage rows go to `stripe_meter_events.jsonl`, Stripe's prices make the amount), priced
//! (printed lines go to `stripe_invoice_items.jsonl`, the amount is ours) or not at Stripe at all. A customer without a mode
//! is an error that lists all such: silently left out would be never billed. A preview is refused, and so is an amount
//! that Stripe cannot hold exactly.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::super::BillingZone;
use super::super::invoice::{Currency, Invoice, Line};
use super::{Export, ExportError, ExportFile, Statement, UsageRow, events, json_lines};
use crate::base::{Digest, Nanos};

/// Usage or lines for Stripe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stripe {
    /// Who the customers are there.
    pub customers: StripeCustomers,
    /// The billing time zone.
    pub zone: BillingZone,
}

/// What Stripe does for a customer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StripeCustomer {
    /// It prices the usage of this customer of theirs.
    Metered(String),
    /// It collects the amounts for this customer of theirs.
    Priced(String),
    /// Nothing: they pay otherwise.
    Absent,
}

/// Customers by their id in the configuration; no two are one customer at Stripe.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct StripeCustomers(BTreeMap<String, StripeCustomer>);

/// A list of customers that would bill one twice.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StripeCustomersError {
    /// One customer has two entries.
    #[error("customer `{0}` is listed twice")]
    Twice(String),
    /// Two customers are one at Stripe.
    #[error("customers `{first}` and `{second}` are both `{stripe_id}` at Stripe")]
    Shared {
        /// A customer.
        first: String,
        /// Another.
        second: String,
        /// Theirs at Stripe.
        stripe_id: String,
    },
}

const FORMAT: &str = "stripe";
/// The longest name of a meter, in characters.
const EVENT_NAME_MAX: usize = 100;
/// Stripe's unit is the whole one. MGA has two places elsewhere.
const WHOLE: &[&str] =
    &["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"];
/// Stripe's unit is a thousandth, and the last digit must be 0.
const THOUSANDTHS: &[&str] = &["BHD", "JOD", "KWD", "OMR", "TND"];
/// No places any more, but Stripe goes on counting hundredths.
const STILL_HUNDREDTHS: &[&str] = &["ISK"];

impl StripeCustomers {
    /// Checks a list of (customer id, what Stripe does for them).
    pub fn new(entries: impl IntoIterator<Item = (String, StripeCustomer)>) -> Result<Self, StripeCustomersError> {
        let mut customers = BTreeMap::new();
        let mut owners = BTreeMap::new();
        for (customer_id, customer) in entries {
            if let StripeCustomer::Metered(stripe_id) | StripeCustomer::Priced(stripe_id) = &customer
                && let Some(first) = owners.insert(stripe_id.clone(), customer_id.clone())
                && first != customer_id
            {
                return Err(StripeCustomersError::Shared { first, second: customer_id, stripe_id: stripe_id.clone() });
            }
            if customers.insert(customer_id.clone(), customer).is_some() {
                return Err(StripeCustomersError::Twice(customer_id));
            }
        }
        Ok(Self(customers))
    }

    fn check(&self, statement: &Statement) -> Result<(), ExportError> {
        let invoiced = statement.invoices.iter().map(|invoice| &invoice.customer_id);
        let seen: BTreeSet<&String> = invoiced.chain(statement.usage.iter().map(|row| &row.customer_id)).collect();
        let unknown: Vec<_> = seen.into_iter().filter(|id| !self.0.contains_key(*id)).cloned().collect();
        if unknown.is_empty() {
            return Ok(());
        }
        Err(ExportError::UnknownCustomers { format: FORMAT, customers: unknown })
    }
}

/// The parameters of one `POST /v1/billing/meter_events`.
#[derive(Serialize)]
struct MeterEvent<'a> {
    event_name: &'a str,
    identifier: String,
    timestamp: i64,
    payload: Payload<'a>,
}

#[derive(Serialize)]
struct Payload<'a> {
    stripe_customer_id: &'a str,
    value: String,
}

/// One `POST /v1/invoiceitems`: a header and the parameters.
#[derive(Serialize)]
struct InvoiceItem<'a> {
    idempotency_key: String,
    params: ItemParams<'a>,
}

#[derive(Serialize)]
struct ItemParams<'a> {
    customer: &'a str,
    amount: i64,
    currency: String,
    description: &'a str,
    discountable: bool,
    period: Period,
    metadata: Metadata<'a>,
}

/// The middles of the first and the last day, in seconds since 1970: Stripe prints the days they lie in.
#[derive(Serialize)]
struct Period {
    start: i64,
    end: i64,
}

#[derive(Serialize)]
struct Metadata<'a> {
    invoice: &'a str,
    line: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    corrects: Option<&'a str>,
}

impl Export for Stripe {
    fn name(&self) -> &'static str {
        FORMAT
    }

    fn files(&self, statement: &Statement) -> Result<Vec<ExportFile>, ExportError> {
        events::only_closed(FORMAT, statement)?;
        self.customers.check(statement)?;
        let mut meter_events = Vec::new();
        for row in &statement.usage {
            if let Some(StripeCustomer::Metered(id)) = self.customers.0.get(&row.customer_id) {
                meter_events.push(self.meter_event(id, row)?);
            }
        }
        let mut items = Vec::new();
        for invoice in &statement.invoices {
            if let Some(StripeCustomer::Priced(id)) = self.customers.0.get(&invoice.customer_id) {
                for line in &invoice.lines {
                    items.push(self.invoice_item(id, invoice, line)?);
                }
            }
        }
        Ok(vec![
            json_lines(FORMAT, "stripe_invoice_items.jsonl", &items)?,
            json_lines(FORMAT, "stripe_meter_events.jsonl", &meter_events)?,
        ])
    }
}

impl Stripe {
    fn meter_event<'a>(&self, stripe_id: &'a str, row: &'a UsageRow) -> Result<MeterEvent<'a>, ExportError> {
        if row.meter.chars().count() > EVENT_NAME_MAX {
            let problem = format!("meter `{}` has a name of more than {EVENT_NAME_MAX} characters", row.meter);
            return Err(ExportError::Failed { format: FORMAT, problem });
        }
        Ok(MeterEvent {
            event_name: &row.meter,
            identifier: events::id(row),
            timestamp: events::middle_s(self.zone, row.day),
            payload: Payload { stripe_customer_id: stripe_id, value: row.quantity.to_string() },
        })
    }

    fn invoice_item<'a>(
        &self,
        stripe_id: &'a str,
        invoice: &'a Invoice,
        line: &'a Line,
    ) -> Result<InvoiceItem<'a>, ExportError> {
        let number = invoice.number.as_deref().unwrap_or_default();
        let amount = minor_units(&invoice.currency, line.amount).map_err(|problem| ExportError::Unfit {
            format: FORMAT,
            invoice: number.to_owned(),
            problem: format!("line {}: {problem}", line.line),
        })?;
        let (first, last) = (line.key.month.first_day(), line.key.month.last_day());
        let line_number = line.line.to_string();
        Ok(InvoiceItem {
            idempotency_key: Digest::of([stripe_id, number, &line_number]).to_string(),
            params: ItemParams {
                customer: stripe_id,
                amount,
                currency: invoice.currency.code.to_lowercase(),
                description: &line.text,
                // The discount is a line of its own.
                discountable: false,
                period: Period { start: events::middle_s(self.zone, first), end: events::middle_s(self.zone, last) },
                metadata: Metadata {
                    invoice: number,
                    line: line_number,
                    kind: line.key.kind.name(),
                    corrects: line.correction.as_ref().and_then(|correction| correction.invoice.as_deref()),
                },
            },
        })
    }
}

/// The amount in Stripe's smallest unit of the currency.
fn minor_units(currency: &Currency, amount: Nanos) -> Result<i64, String> {
    let code = currency.code.as_str();
    // (Stripe's places, the fewest of its units that an amount is a multiple of)
    let (places, step) = match code {
        // Stripe's list has it among the whole ones and its notes among those still counted in hundredths.
        "UGX" => return Err("it is not certain whether Stripe counts UGX in whole shillings".to_owned()),
        code if WHOLE.contains(&code) => (0, 1),
        code if THOUSANDTHS.contains(&code) => (3, 10),
        code if STILL_HUNDREDTHS.contains(&code) => (2, 100),
        _ if currency.places == 2 => (2, 1),
        _ => return Err(format!("Stripe's smallest unit of {code} is not known")),
    };
    let unit = 10_i128.pow(9 - places);
    if amount.0 % (unit * step) != 0 {
        let printed = amount.text(currency.places);
        return Err(format!("Stripe takes {code} in steps of {}, not {printed}", Nanos(unit * step)));
    }
    i64::try_from(amount.0 / unit).map_err(|_| format!("{amount} {code} is more than Stripe takes"))
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn stripe(gulf: StripeCustomer) -> Stripe {
        let customers = [
            ("acme".to_owned(), StripeCustomer::Priced("cus_acme".to_owned())),
            ("gulf".to_owned(), gulf),
            ("tokyo".to_owned(), StripeCustomer::Priced("cus_tokyo".to_owned())),
        ];
        let customers = StripeCustomers::new(customers).unwrap();
        Stripe { customers, zone: BillingZone::named("Europe/Berlin").unwrap() }
    }

    fn written(stripe: &Stripe, statement: &Statement) -> Result<[String; 2], ExportError> {
        let files = stripe.files(statement)?;
        Ok([0, 1].map(|file: usize| String::from_utf8(files[file].bytes.clone()).unwrap()))
    }

    #[test]
    fn looks_like_this() {
        let [items, meter_events] =
            written(&stripe(StripeCustomer::Metered("cus_gulf".to_owned())), &sample::statement()).unwrap();
        insta::assert_snapshot!(format!("{items}---\n{meter_events}"));
    }

    #[test]
    fn a_customer_is_in_one_file_or_none() {
        for (gulf, in_items, in_events) in
            [(StripeCustomer::Metered("cus_gulf".to_owned()), false, true), (StripeCustomer::Absent, false, false)]
        {
            let [items, meter_events] = written(&stripe(gulf), &sample::statement()).unwrap();
            assert_eq!((items.contains("cus_gulf"), meter_events.contains("cus_gulf")), (in_items, in_events));
            assert!(items.contains("cus_acme") && !meter_events.contains("cus_acme"));
        }
    }

    #[test]
    fn customers_without_a_mode_are_all_listed() {
        let nobody = Stripe { customers: StripeCustomers::default(), zone: BillingZone::UTC };
        let error = nobody.files(&sample::statement()).unwrap_err();
        assert_eq!(error.to_string(), "stripe does not know the customers acme, gulf, tokyo");
    }

    #[test]
    fn refuses_lists_that_bill_twice() {
        let metered = |id: &str| StripeCustomer::Metered(id.to_owned());
        let twice = [("a".to_owned(), metered("cus_1")), ("a".to_owned(), StripeCustomer::Absent)];
        assert_eq!(StripeCustomers::new(twice), Err(StripeCustomersError::Twice("a".to_owned())));
        let shared = [("a".to_owned(), metered("cus_1")), ("b".to_owned(), StripeCustomer::Priced("cus_1".to_owned()))];
        assert!(matches!(StripeCustomers::new(shared), Err(StripeCustomersError::Shared { .. })));
    }

    #[test]
    fn refuses_a_preview() {
        assert!(stripe(StripeCustomer::Absent).files(&sample::preview()).is_err());
    }

    #[test]
    fn amounts_are_in_the_smallest_unit_that_stripe_knows() {
        for (code, places, amount, wanted) in [
            ("EUR", 2, "16.05", Ok(1_605)),
            ("EUR", 2, "-8.13", Ok(-813)),
            ("JPY", 0, "3795", Ok(3_795)),
            // Two places in ISO 4217, none at Stripe.
            ("MGA", 2, "1200", Ok(1_200)),
            ("MGA", 2, "1200.20", Err("steps of 1.00")),
            // No places in ISO 4217, two at Stripe.
            ("ISK", 0, "5", Ok(500)),
            ("KWD", 3, "5.120", Ok(5_120)),
            ("KWD", 3, "5.124", Err("steps of 0.01")),
            ("UGX", 0, "5", Err("not certain")),
            ("IQD", 3, "5", Err("not known")),
            ("EUR", 2, "99999999999999999999", Err("more than Stripe takes")),
        ] {
            let currency = Currency { code: code.to_owned(), places };
            match (minor_units(&currency, amount.parse().unwrap()), wanted) {
                (Ok(got), Ok(wanted)) => assert_eq!(got, wanted, "{code} {amount}"),
                (Err(got), Err(wanted)) => assert!(got.contains(wanted), "{got}"),
                (got, wanted) => panic!("{code} {amount}: {got:?}, not {wanted:?}"),
            }
        }
        // A credit note of KWD 12.412 has a line of 0.088.
        let error = stripe(StripeCustomer::Priced("cus_gulf".to_owned())).files(&sample::statement()).unwrap_err();
        assert!(error.to_string().contains("2026-0014") && error.to_string().contains("line 1"), "{error}");
    }
}
