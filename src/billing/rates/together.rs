//! What a plan's prices mean beside each other: one id at a time, of one meter, and none that another one hides.

use crate::base::document::Section;

use super::{BillingZone, Claim, Price, overlaps};

pub(super) fn check(zone: BillingZone, sections: &[Section<'_>], prices: &[Price]) {
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
                "price `{}` is {} on line {}; one id counts one meter, so choose another",
                price.id,
                other.meter.as_ref().map_or("flat".to_owned(), |meter| format!("for meter `{meter}`")),
                other.line
            ));
        }
        // A flat price takes no usage from another.
        let Some(meter) = &price.meter else { continue };
        let hides = |other: &&Price| {
            other.meter == price.meter
                && other.id != price.id
                && other.matches.is_empty()
                && other.valid.overlaps(&price.valid)
        };
        if let Some(other) = before.iter().find(hides) {
            let advice = if price.matches.is_empty() { "end one of them with `to`" } else { "put this one before it" };
            sections[at].problem(format!(
                "price `{}` can never match while price `{}` (line {}) before it takes all of `{}`; {advice}",
                price.id, other.id, other.line, meter
            ));
        }
    }
}
