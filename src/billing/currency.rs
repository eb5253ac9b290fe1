//! Currencies of the configuration: codes of ISO 4217 that can be paid in.

use iso_currency::Currency;

use crate::base::document::Item;

/// The code, if it is one.
pub fn known_currency<'d>(item: &Item<'d>) -> Option<&'d str> {
    let text = item.text()?;
    if text.len() != 3 || !text.bytes().all(|b| b.is_ascii_uppercase()) {
        item.problem("a currency is the three capital letters of ISO 4217, such as \"USD\"");
        return None;
    }
    // Gold, test codes and "no currency" have codes too.
    if !Currency::from_code(text).is_some_and(|currency| currency.exponent().is_some()) {
        item.problem(format!("`{text}` is no currency of ISO 4217 that can be paid in"));
        return None;
    }
    Some(text)
}
