//! Closing a month: its invoices get their numbers, the evidence is written, and one document that only the first can create makes them
//! final. Whatever comes after that (the tables `invoices` and `invoice_lines`) is made from that document, by whoever finds it missing.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;

use crate::base::time::DAY_MICROS;
use crate::base::{Micros, Nanos, UtcDay};
use crate::billing::BillingMonth;
use crate::billing::export::{Export, Statement};
use crate::billing::invoice::{Invoice, LineDay};
use crate::model::{Engine, EngineOptions, conform, text_literal};
use crate::schema::Table;

use super::super::{Job, JobError};
use super::Books;
use super::amend::usage_rows;
use super::bill::{Bill, MonthCharges, draw, fingerprint};
use super::check::stands_against;
use super::closing::{
    Accepted, Closed, Closing, INVOICES, OBJECTS, charges_of, closed_month, closed_months, to_json, write_evidence,
};
use super::pinned::{Pinned, PinnedTerms, fault, from_parquet, properties};
use super::sums::{Charges, LineDays, line_days};
use super::tables::write_tables;

/// Folder of a closed month's files.
const FILES: &str = "files";
/// What says that all of them are there.
const STORED: &str = "_stored";
/// The newest form of `closed.json`.
const FORMAT: u32 = 1;

/// What a close is told.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct CloseOptions {
    /// Close although something stands against it, for this reason.
    pub accept: Option<String>,
    /// Customers to leave out.
    pub hold: Vec<String>,
}

/// Closes a month. A month that is closed already is left as it is; what is missing after its close is made up for.
pub async fn close(
    job: &Job,
    books: &Books<'_>,
    month: BillingMonth,
    options: &CloseOptions,
) -> Result<Closed, JobError> {
    if let Some(closed) = closed_month(&job.lake, month).await? {
        finish(job, &closed).await?;
        return Ok(closed);
    }
    let against = stands_against(job, books, month).await?;
    let accepted = match (&options.accept, against.is_empty()) {
        (_, true) => None,
        (None, false) => return Err(JobError::NotReady { month, reasons: against }),
        (Some(reason), false) => Some(Accepted { reason: reason.clone(), against }),
    };
    let mut table_versions = BTreeMap::new();
    for table in Table::ALL {
        if let Some(at) = job.lake.existing_table(*table).await? {
            table_versions.insert(table.name().to_owned(), at.version());
        }
    }
    let mut bill = draw(job, books, month, &options.hold).await?;
    number(&mut bill, books)?;
    let pinned = pin(books, month);
    let mut documents = pinned.documents()?;
    documents.insert(INVOICES.to_owned(), lines_of(&bill.invoices)?);
    for source in &bill.sources {
        if source.month == month || bill.corrected.contains(&source.month) {
            documents.insert(charges_of(source.month), charges(source, &options.hold).await?);
        }
    }
    if let Some(source) = bill.sources.last() {
        documents.insert(OBJECTS.to_owned(), objects(&source.engine, books, month).await?);
    }
    let mut totals: BTreeMap<String, Nanos> = BTreeMap::new();
    for invoice in &bill.invoices {
        let total = totals.entry(invoice.currency.code.clone()).or_default();
        *total = total.checked_add(invoice.total()?).ok_or_else(|| invoice.too_large())?;
    }
    let mut settled = bill.settled.clone();
    if options.hold.is_empty() {
        settled.insert(month, fingerprint(&bill.charges, month, &pinned));
    }
    let folder = job.lake.month_folder(&month.to_string());
    let (evidence, documents) = write_evidence(&folder, documents).await?;
    let closing = Closing {
        format: FORMAT,
        month,
        closed_at: books.now,
        invoices: bill.invoices.len() as u64,
        totals,
        accepted,
        held_customers: options.hold.clone(),
        table_versions,
        evidence,
        documents,
        settled,
    };
    // Whoever else closed it meanwhile was first, and that stands.
    folder.close(to_json("closed.json", &closing)?).await?;
    let closed = closed_month(&job.lake, month).await?.ok_or(JobError::NotClosed(month))?;
    finish(job, &closed).await?;
    Ok(closed)
}

/// Makes what follows from a close: safe to do again.
pub async fn finish(job: &Job, closed: &Closed) -> Result<(), JobError> {
    write_tables(&job.lake, closed.month(), &closed.invoices().await?).await
}

/// Stores a closed month's invoices as files, once: what is there stays as it is.
pub async fn store_files(
    job: &Job,
    books: &Books<'_>,
    closed: &Closed,
    formats: &[&dyn Export],
) -> Result<u64, JobError> {
    let stored = closed.folder().list(FILES).await?;
    if formats.is_empty() || stored.iter().any(|name| name == STORED) {
        return Ok(0);
    }
    let mut invoices = closed.invoices().await?;
    closed.add_days(&closed_months(&job.lake).await?, &mut invoices).await?;
    let usage = usage_rows(job, books, closed.month()).await?;
    let statement = Statement { month: closed.month(), invoices, usage };
    let mut written = 0;
    for format in formats {
        for file in format.files(&statement)? {
            written += u64::from(closed.folder().create(&format!("{FILES}/{}", file.name), file.bytes).await?);
        }
    }
    // Written last: without it some file may be missing.
    closed.folder().create(&format!("{FILES}/{STORED}"), Vec::new()).await?;
    Ok(written)
}

/// Numbers, dates and kinds: invoices by customer and currency, as they are.
fn number(bill: &mut Bill, books: &Books<'_>) -> Result<(), JobError> {
    let terms = &books.billing.invoice;
    let issued = UtcDay(books.derivation.zone.day_of(books.now).0);
    for (invoice, n) in bill.invoices.iter_mut().zip(1..) {
        invoice.number = Some(terms.numbers.number(bill.month, n));
        invoice.issued_on = Some(issued);
        invoice.due_on = terms.due_days.map(|days| Micros(issued.start().0 + i64::from(days) * DAY_MICROS).day());
    }
    Ok(())
}

/// What the month is closed under: everything as it is today.
pub(super) fn pin(books: &Books<'_>, month: BillingMonth) -> Pinned {
    let derivation = books.derivation;
    Pinned {
        terms: PinnedTerms {
            zone: derivation.zone.name().to_owned(),
            start: derivation.start,
            has_rates: derivation.has_rates,
            meters: derivation.meters.clone(),
            month: books.billing.month_terms(month),
        },
        config: derivation.config.clone(),
    }
}

fn lines_of(invoices: &[Invoice]) -> Result<Vec<u8>, JobError> {
    let mut text = Vec::new();
    for invoice in invoices {
        serde_json::to_writer(&mut text, invoice).map_err(|error| fault(INVOICES, &error))?;
        text.push(b'\n');
    }
    Ok(text)
}

/// The charge rows that were billed, as a file; rows of customers that were left out are not in it.
async fn charges(source: &MonthCharges, held: &[String]) -> Result<Vec<u8>, JobError> {
    let (from, last) = (source.month.first_day(), source.month.last_day());
    let held = not_of(held);
    let select = |relation: &String| {
        format!(
            "SELECT * FROM {relation} WHERE day >= DATE '{from}' AND day <= DATE '{last}'{held} \
             ORDER BY day, customer_id, plan, price_id, price_from, dimensions, month_to_date_before, tier"
        )
    };
    let each: Vec<String> = source.charges.relations().iter().map(select).collect();
    file_of(&source.engine, Table::ChargesDaily, &each).await
}

/// The objects that gave records to the month's hours, as a file.
async fn objects(engine: &Engine, books: &Books<'_>, month: BillingMonth) -> Result<Vec<u8>, JobError> {
    let bounds = books.derivation.zone.month_bounds(month);
    let sql = format!(
        "SELECT * FROM object_hours WHERE hour_start >= TIMESTAMP '{}' AND hour_start < TIMESTAMP '{}' \
         ORDER BY hour_start, source, source_object, object_id",
        bounds.from.hour().start(),
        bounds.to.unwrap_or(bounds.from)
    );
    file_of(engine, Table::ObjectHours, &[sql]).await
}

/// Rows of a table, query after query, written batch by batch.
async fn file_of(engine: &Engine, table: Table, queries: &[String]) -> Result<Vec<u8>, JobError> {
    let failed = |error: ParquetError| fault(table.name(), &error);
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, table.schema(), Some(properties()?)).map_err(failed)?;
    for sql in queries {
        let mut rows = engine.query(sql).await?;
        while let Some(batch) = rows.next().await? {
            writer.write(&conform(table, &[batch])?).map_err(failed)?;
        }
    }
    writer.close().map_err(failed)?;
    Ok(bytes)
}

fn not_of(held: &[String]) -> String {
    let quoted: Vec<String> = held.iter().map(|customer| text_literal(customer)).collect();
    if quoted.is_empty() { String::new() } else { format!(" AND customer_id NOT IN ({})", quoted.join(", ")) }
}

/// The days of a month's lines as they were last printed.
pub(super) async fn printed_days(closed: &[Closed], month: BillingMonth) -> Result<LineDays, JobError> {
    let name = charges_of(month);
    let Some(last) = closed.iter().rev().find(|close| close.has(&name)) else { return Ok(LineDays::new()) };
    let rows = from_parquet(Table::ChargesDaily, last.document(&name).await?)?;
    let engine = evidence_engine(rows)?;
    line_days(&engine, &Charges::Stored, month, None).await
}

/// A session that sees only these charges.
pub(super) fn evidence_engine(charges: RecordBatch) -> Result<Engine, JobError> {
    let partitions = std::num::NonZeroUsize::MIN;
    let engine = Engine::new(EngineOptions { memory_bytes_max: 256 << 20, partitions })?;
    engine.put(Table::ChargesDaily, vec![charges])?;
    Ok(engine)
}

/// Leaves of each line's days what is new since they were printed.
pub(super) fn subtract_days(now: &mut LineDays, before: LineDays) {
    for (line, days) in before {
        let left = now.entry(line).or_default();
        for day in days {
            match left.iter_mut().find(|found| found.day == day.day) {
                Some(found) => {
                    found.quantity -= day.quantity;
                    found.exact = Nanos(found.exact.0 - day.exact.0);
                }
                None => left.push(LineDay { quantity: -day.quantity, exact: Nanos(-day.exact.0), ..day }),
            }
        }
        left.retain(|day| day.quantity != 0 || day.exact != Nanos(0));
        left.sort_by_key(|day| day.day);
    }
}
