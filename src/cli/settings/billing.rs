//! `[billing]`: currency, time zone and the files with customers, keys and rates.

use crate::base::document::{Item, Section};
use crate::base::problem::Problems;
use crate::base::time::ParseTimeError;
use crate::billing::invoice::Currency;
use crate::billing::{Billing, BillingDay, BillingFiles, BillingZone, ConfigFile, is_hashed};
use crate::decode::{Identifies, KeySpec};
use crate::model::Meter;

use super::{Around, SourceSettings, invoice};

/// ISO 4217 for "no currency": nothing has a price.
const NO_CURRENCY: &str = "XXX";
/// Keys that API Gateway makes have 40 letters and digits, its key ids 10.
const RAW_KEY_BYTES_MIN: usize = 36;

/// `Some(None)` without such a section; `None` only where a problem was noted, in the file or in `others`.
pub(super) fn read(
    root: &Section<'_>,
    around: &Around<'_>,
    meters: Option<&[Meter]>,
    others: &mut Problems,
) -> Option<Option<Billing>> {
    let Some(item) = root.get("billing") else { return Some(None) };
    let section = item.section(&["currency", "timezone", "start", "customers", "keys", "rates", "adjustments"])?;
    let zone = section.get("timezone").map_or(Some(BillingZone::UTC), |item| zone(&item));
    let start = match section.get("start") {
        Some(item) => day(&item).map(Some),
        None => Some(None),
    };
    let currency = match section.get("currency") {
        Some(item) => currency(&item),
        None if section.get("rates").is_some() => {
            section.problem("`currency` is missing in [billing]: rates need one, such as \"USD\"");
            None
        }
        None => Some(NO_CURRENCY),
    };
    for dependent in ["keys", "rates", "adjustments"] {
        if let (Some(item), None) = (section.get(dependent), section.get("customers")) {
            item.problem(format!("`{dependent}` needs `customers`, the file that says who they are"));
        }
    }
    let file = |key: &str| match section.get(key) {
        Some(item) => config_file(&item, around).map(Some),
        None => Some(None),
    };
    let (customers, keys, rates) = (file("customers"), file("keys"), file("rates"));
    let adjustments = file("adjustments");
    let terms = invoice::read(root);
    // Without the meters every price would seem to name an unknown one.
    let rates_read = rates.is_some() && meters.is_some();
    let files = BillingFiles {
        customers: customers.clone().flatten(),
        keys: keys.clone().flatten(),
        rates: rates.filter(|_| meters.is_some()).flatten(),
        adjustments: adjustments.clone().flatten(),
    };
    let billing =
        Billing::parse(currency.unwrap_or(NO_CURRENCY), zone?, start.flatten(), &files, meters.unwrap_or(&[]));
    match billing {
        Ok(billing) => {
            let files_read = customers.is_some() && keys.is_some() && rates_read && adjustments.is_some();
            let is_whole = files_read && start.is_some() && currency.is_some();
            terms.filter(|_| is_whole).map(|invoice| Some(Billing { invoice, ..billing }))
        }
        Err(problems) => {
            others.extend(problems);
            None
        }
    }
}

/// What is allowed but will hardly be meant.
pub(super) fn hints(billing: &Billing, sources: &[SourceSettings]) -> Vec<String> {
    let keys = billing.keys.rows();
    let mut hints = Vec::new();
    // Only hex digits are somebody's own hash.
    let looks_like_a_key = |id: &str| {
        id.len() >= RAW_KEY_BYTES_MIN
            && id.bytes().all(|b| b.is_ascii_alphanumeric())
            && id.bytes().any(|b| !b.is_ascii_hexdigit())
    };
    for key in keys.iter().filter(|key| key.api_key_id.as_deref().is_some_and(looks_like_a_key)) {
        hints.push(format!(
            "line {} of the keys file: `api_key_id` looks like a key itself; ids are stored as they are, so give its id \
             (10 characters) or its fingerprint",
            key.line
        ));
    }
    for source in sources.iter().map(|source| &source.spec).filter(|spec| spec.identifies == Identifies::Key) {
        let (column, found) = match &source.key {
            KeySpec::None => continue,
            key if is_hashed(key) => ("key_fingerprint", keys.iter().any(|key| key.key_fingerprint.is_some())),
            _ => ("api_key_id", keys.iter().any(|key| key.api_key_id.is_some())),
        };
        if !found && !keys.is_empty() {
            hints.push(format!(
                "no row of the keys file has a `{column}`, which is how source `{}` tells keys: all its usage will be held",
                source.name
            ));
        }
    }
    hints
}

fn zone(item: &Item<'_>) -> Option<BillingZone> {
    BillingZone::named(item.text()?).map_err(|error| item.problem(error.to_string())).ok()
}

fn day(item: &Item<'_>) -> Option<BillingDay> {
    item.moment()?.parse().map_err(|error: ParseTimeError| item.problem(error.to_string())).ok()
}

fn currency<'d>(item: &Item<'d>) -> Option<&'d str> {
    let text = item.text()?;
    if text.len() != 3 || !text.bytes().all(|b| b.is_ascii_uppercase()) {
        item.problem("a currency is the three capital letters of ISO 4217, such as \"USD\"");
        return None;
    }
    if let Err(error) = Currency::of(text) {
        item.problem(error.to_string());
        return None;
    }
    Some(text)
}

fn config_file(item: &Item<'_>, around: &Around<'_>) -> Option<ConfigFile> {
    let (name, bytes) = around.read(item.text()?);
    match bytes {
        Ok(bytes) => Some(ConfigFile { name, bytes }),
        Err(error) => {
            item.problem(format!("cannot read {name}: {error}"));
            None
        }
    }
}
