//! Decimals of a rates file: text that is exact, at least 0 and no more than its column and the sums made with it hold.

use crate::base::Nanos;
use crate::base::document::Item;

/// The largest unit price a DECIMAL(18,9) holds.
const UNIT_PRICE_MAX: Nanos = Nanos(10_i128.pow(18) - 1);
/// What a whole month may cost flat or at least: times 31 days and a billion it is far from the end of 38 digits.
const MONTHLY_MAX: Nanos = Nanos(10_i128.pow(24) - 1);

pub(super) fn unit_price(item: &Item<'_>) -> Option<Nanos> {
    let price = decimal(item)?;
    if price > UNIT_PRICE_MAX {
        item.problem("this is more than the 999999999.999999999 a unit price can be");
        return None;
    }
    Some(price)
}

/// An amount for a whole month.
pub(super) fn monthly(item: &Item<'_>) -> Option<Nanos> {
    let amount = decimal(item)?;
    if amount > MONTHLY_MAX {
        item.problem("this is more than the 999999999999999.999999999 a month can be set to");
        return None;
    }
    Some(amount)
}

/// Text that is an exact decimal of at least 0.
fn decimal(item: &Item<'_>) -> Option<Nanos> {
    let Some(text) = item.as_text() else {
        item.wrong_type("a decimal in quotes such as \"0.0004\", which is exact");
        return None;
    };
    match text.parse::<Nanos>() {
        Ok(value) if value < Nanos(0) => item.problem(format!("`{text}` is negative")),
        Ok(value) => return Some(value),
        Err(error) => item.problem(error.to_string()),
    }
    None
}
