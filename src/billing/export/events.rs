//! What the formats that hand usage on as events share: when a day's usage is said to have happened, under which id, and
//! that only a closed month is handed on. A receiver drops an id it has seen, so usage that still grows would stay at what
//! was sent first.

use super::super::{BillingDay, BillingZone};
use super::{ExportError, Statement, UsageRow};
use crate::base::{Digest, Micros};

const SECOND_MICROS: i64 = 1_000_000;

/// The middle of the billing day, in seconds since 1970. Its first instant would lie in the day before, and the first
/// day's in the month before, for a receiver that counts in UTC.
pub(super) fn middle_s(zone: BillingZone, day: BillingDay) -> i64 {
    let (from, to) = (zone.start(day), zone.start(day.next()));
    (from.0 + (to.0 - from.0) / 2) / SECOND_MICROS
}

/// The same as an instant.
pub(super) fn middle(zone: BillingZone, day: BillingDay) -> Micros {
    Micros(middle_s(zone, day) * SECOND_MICROS)
}

/// An id of the row that is the same whenever it is exported.
pub(super) fn id(row: &UsageRow) -> String {
    Digest::of([row.day.to_string().as_str(), &row.customer_id, &row.meter, &row.dimensions]).to_string()
}

/// Refuses a month that is not closed.
pub(super) fn only_closed(format: &'static str, statement: &Statement) -> Result<(), ExportError> {
    match statement.invoices.iter().find(|invoice| invoice.number.is_none()) {
        None => Ok(()),
        Some(open) => Err(ExportError::Unfit {
            format,
            invoice: open.customer_id.clone(),
            problem: format!(
                "{} is not closed, and what is sent twice with other figures is counted wrong",
                open.month
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_day_of_any_length_has_a_middle_in_it() {
        let berlin = BillingZone::named("Europe/Berlin").unwrap();
        // 1 October begins at 22:00 UTC of 30 September; 25 October has 25 hours from 22:00 UTC of the 24th.
        for (day, wanted) in [("2026-10-01", "2026-10-01T10:00:00Z"), ("2026-10-25", "2026-10-25T10:30:00Z")] {
            assert_eq!(middle(berlin, day.parse().unwrap()).to_string(), wanted);
        }
    }

    #[test]
    fn ids_tell_rows_apart() {
        let rows = sample::statement().usage;
        let ids: std::collections::BTreeSet<_> = rows.iter().map(id).collect();
        assert_eq!(ids.len(), rows.len());
        let mut grown = rows[0].clone();
        grown.quantity += 1;
        assert_eq!(id(&grown), id(&rows[0]), "the id says what a row is about, not how much");
    }

    #[test]
    fn only_a_closed_month_is_handed_on() {
        assert!(only_closed("x", &sample::statement()).is_ok());
        assert!(only_closed("x", &sample::preview()).unwrap_err().to_string().contains("2026-10 is not closed"));
    }
}
