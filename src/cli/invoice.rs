//! `invoice` and `explain`: a month's invoices on the screen and as files, and what may be done with a month. Figures are computed in
//! `job::invoice`; here they are told.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::base::Nanos;
use crate::billing::export::{self, Export, ExportFile, ExportOptions, Statement, StripeCustomer, StripeCustomers};
use crate::billing::invoice::{Correction, Invoice, InvoiceKind, Line, LineKind};
use crate::billing::{Adjustment, Billing, BillingMonth, ConfigFile, Rates};
use crate::job::derive::Derivation;
use crate::job::invoice::{
    Bill, Books, ChargeRow, CloseOptions, Closed, Comparison, Difference, Explanation, close, closed_month,
    closed_months, compare, draw, explain as explain_line, reprice, since_close, stands_against, store_files,
    usage_rows,
};
use crate::job::{Job, JobError};

use super::args::InvoiceArgs;
use super::grid::{Grid, count};
use super::settings::Settings;
use super::{Outcome, Talk, open, print_json, print_text};

/// Invoices whose lines are shown without being asked for.
const SHOWN: usize = 10;

/// The formats a close stores in the lake; the others are made on demand.
const STORED_AS: &[&str] = &["csv", "html", "json", "pdf"];

/// Previews a month, or does with it what the flags say.
pub(crate) async fn invoice(
    settings: &Settings,
    job: &Job,
    args: &InvoiceArgs,
    json: bool,
    talk: &Talk,
) -> Result<Outcome> {
    let billing = billing(settings)?;
    let derivation = open::derivation(settings, job).await?;
    let books = books(settings, job, billing, &derivation);
    let month = args.month;
    check_adjustments(job, billing).await?;
    for customer in &args.hold {
        if !billing.customers.rows().iter().any(|row| row.customer_id == *customer) {
            bail!("--hold {customer}: there is no such customer");
        }
    }
    if args.diff {
        return diff(job, &books, month, json).await;
    }
    if let Some(file) = &args.rates {
        return what_if(settings, job, &books, month, file, json).await;
    }
    if args.reprice {
        return reprice_month(settings, job, &books, args, json, talk).await;
    }
    if args.close {
        let options = CloseOptions { accept: args.accept.clone(), hold: args.hold.clone() };
        let was_closed = closed_month(&job.lake, month).await?.is_some();
        let closed = close(job, &books, month, &options).await?;
        if was_closed {
            talk.say(format!("{month} was closed at {}; nothing was changed", closed.closing.closed_at));
        }
        let known = export::formats(&export_options(&books)?);
        let stored: Vec<&dyn Export> =
            known.iter().map(AsRef::as_ref).filter(|format| STORED_AS.contains(&format.name())).collect();
        let written = store_files(job, &books, &closed, &stored).await?;
        if written > 0 {
            let folder = closed.folder().path("files");
            talk.say(format!("stored {} files under {folder} of the lake", count(written)));
        }
    }
    let closed = closed_month(&job.lake, month).await?;
    let invoices = match &closed {
        Some(closed) => closed.invoices().await?,
        None => {
            let mut bill = draw(job, &books, month, &args.hold).await?;
            if !args.export.is_empty() {
                bill.add_days(&closed_months(&job.lake).await?).await?;
            }
            tell_against(job, &books, month, talk).await?;
            tell_nothing(&bill, talk);
            bill.invoices
        }
    };
    if !args.export.is_empty() {
        write_files(job, &books, month, closed.as_ref(), invoices.clone(), args, talk).await?;
    }
    let shown: Vec<&Invoice> =
        invoices.iter().filter(|i| args.customer.as_ref().is_none_or(|customer| i.customer_id == *customer)).collect();
    if json {
        print_json(&invoices_json(month, closed.as_ref(), &shown)?)?;
    } else {
        print_text(&invoices_text(month, closed.as_ref(), &shown)?)?;
    }
    Ok(Outcome::Done)
}

pub(super) fn billing(settings: &Settings) -> Result<&Billing> {
    let billing = settings.billing.as_ref().filter(|billing| billing.rates.is_some());
    billing.context("there are no rates, so there is nothing to invoice; name them under [billing]")
}

pub(super) fn books<'a>(settings: &Settings, job: &Job, billing: &'a Billing, derivation: &'a Derivation) -> Books<'a> {
    Books { derivation, billing, now: job.now, rejects_max_percent: settings.rejects_max_percent }
}

/// An adjustment for a closed month would never be printed.
async fn check_adjustments(job: &Job, billing: &Billing) -> Result<()> {
    for closed in closed_months(&job.lake).await? {
        let month = closed.month();
        let rows: Vec<_> = billing.adjustments.rows().iter().filter(|row| row.month == month).collect();
        if rows.is_empty() {
            continue;
        }
        let printed = closed.pinned().await?.terms.month.adjustments;
        // What was printed is kept without its line in the file.
        let is_new = |row: &&&Adjustment| !printed.contains(&Adjustment { line: 0, ..(**row).clone() });
        if let Some(row) = rows.iter().find(is_new) {
            bail!(
                "{}:{}: {month} is closed, so this adjustment would never be printed; give the month on whose invoice it \
                 shall appear",
                billing.adjustments.file,
                row.line
            );
        }
    }
    Ok(())
}

async fn tell_against(job: &Job, books: &Books<'_>, month: BillingMonth, talk: &Talk) -> Result<()> {
    let against = stands_against(job, books, month).await?;
    if against.is_empty() {
        talk.say(format!("hint: nothing stands against closing; `meterlake invoice {month} --close` issues these"));
    } else {
        let reasons: Vec<String> = against.iter().map(|reason| format!("  - {reason}")).collect();
        talk.say(format!("hint: {month} cannot be closed yet:\n{}", reasons.join("\n")));
    }
    Ok(())
}

fn tell_nothing(bill: &Bill, talk: &Talk) {
    if bill.nothing_to_pay > 0 {
        talk.say(format!("{} customers have nothing to pay and get no invoice", count(bill.nothing_to_pay as u64)));
    }
}

async fn diff(job: &Job, books: &Books<'_>, month: BillingMonth, json: bool) -> Result<Outcome> {
    let Difference { lines, objects } = since_close(job, books, month).await?;
    if json {
        let lines: Vec<Value> = lines
            .iter()
            .flat_map(|(account, lines)| {
                lines.iter().map(move |line| json!({"customer_id": account.customer_id, "currency": account.currency.code, "line": line}))
            })
            .collect();
        let objects: Vec<Value> = objects
            .iter()
            .map(|o| json!({"source": o.source, "object": o.key, "records": o.records, "arrived_at": o.arrived_at}))
            .collect();
        print_json(&json!({"month": month, "lines": lines, "objects": objects}))?;
        return Ok(Outcome::Done);
    }
    let mut text = String::new();
    if lines.is_empty() {
        writeln!(text, "Nothing that {month} was billed for has changed since its close.")?;
    }
    let mut grid = Grid::new(&["customer", "line", ">quantity", ">printed", ">now", ">difference", "currency"]);
    for (account, lines) in &lines {
        let places = account.currency.places;
        for line in lines {
            let now = line.correction.as_ref().map(|correction| correction.exact_now).unwrap_or_default();
            let before = line.correction.as_ref().map(|correction| correction.printed_before).unwrap_or_default();
            grid.row([
                account.customer_id.clone(),
                line.text.clone(),
                line.quantity.map(count).unwrap_or_default(),
                before.text(places),
                now.to_string(),
                line.amount.text(places),
                account.currency.code.clone(),
            ]);
        }
    }
    if !lines.is_empty() {
        write!(text, "Changed since the close of {month}; the next close prints it\n{grid}")?;
    }
    if !objects.is_empty() {
        writeln!(text, "\nObjects with records of {month} that were not there at the close")?;
        let mut grid = Grid::new(&["source", "object", ">records", "arrived"]);
        for object in &objects {
            grid.row([object.source.clone(), object.key.clone(), count(object.records), object.arrived_at.to_string()]);
        }
        write!(text, "{grid}")?;
    }
    print_text(&text)?;
    Ok(Outcome::Done)
}

async fn write_files(
    job: &Job,
    books: &Books<'_>,
    month: BillingMonth,
    closed: Option<&Closed>,
    mut invoices: Vec<Invoice>,
    args: &InvoiceArgs,
    talk: &Talk,
) -> Result<()> {
    let known = export::formats(&export_options(books)?);
    let format = |name: &String| known.iter().find(|format| format.name() == name);
    if let Some(unknown) = args.export.iter().find(|name| format(name).is_none()) {
        bail!("--export {unknown}: there is no such format; these are: {}", export::names().join(", "));
    }
    if let Some(closed) = closed {
        closed.add_days(&closed_months(&job.lake).await?, &mut invoices).await?;
    }
    let usage = usage_rows(job, books, month).await?;
    let statement = Statement { month, invoices, usage };
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    for format in args.export.iter().filter_map(format) {
        let files = format.files(&statement)?;
        for file in &files {
            write_file(&args.out, file)?;
        }
        talk.say(format!("wrote {} files as {} to {}", count(files.len() as u64), format.name(), args.out.display()));
    }
    Ok(())
}

/// What formats need to know. Customers at Stripe are told by two columns of the customers file: `x_stripe_id` and `x_stripe_mode`
/// (`metered`, `priced` or `none`).
fn export_options(books: &Books<'_>) -> Result<ExportOptions> {
    let mut modes: BTreeMap<String, StripeCustomer> = BTreeMap::new();
    for row in books.billing.customers.rows() {
        let own = |name: &str| row.extra.iter().find(|(column, _)| column == name).map(|(_, value)| value.as_str());
        let mode = own("x_stripe_mode").filter(|mode| !mode.is_empty());
        let id = own("x_stripe_id").unwrap_or_default().to_owned();
        let customer = match mode {
            None => continue,
            Some("metered") => StripeCustomer::Metered(id),
            Some("priced") => StripeCustomer::Priced(id),
            Some("none") => StripeCustomer::Absent,
            Some(other) => {
                bail!("customer {}: x_stripe_mode is `{other}`, not metered, priced or none", row.customer_id)
            }
        };
        modes.insert(row.customer_id.clone(), customer);
    }
    Ok(ExportOptions { zone: books.derivation.zone, stripe: StripeCustomers::new(modes)?, ..ExportOptions::default() })
}

/// What other rates would make of the month.
async fn what_if(
    settings: &Settings,
    job: &Job,
    books: &Books<'_>,
    month: BillingMonth,
    file: &Path,
    json: bool,
) -> Result<Outcome> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let rates = ConfigFile { name: file.display().to_string(), bytes };
    let rates = Rates::parse(&rates, books.derivation.zone, &settings.meters)?;
    let billing = Billing { rates: Some(rates), ..books.billing.clone() };
    let unknown = billing.customers.rows().iter().find_map(|row| {
        let plan = row.plan.as_ref()?;
        let plans = billing.rates.as_ref()?.plans();
        (!plans.iter().any(|known| known.id == *plan))
            .then(|| format!("customer {} is on plan {plan}", row.customer_id))
    });
    if let Some(unknown) = unknown {
        bail!("{unknown}, which {} does not have", file.display());
    }
    let derivation = open::derivation_of(settings, Some(&billing), job)?;
    let other = Books { derivation: &derivation, billing: &billing, ..*books };
    comparison(compare(job, books, &other, month).await?, "now", "with these rates", json)
}

/// Prices a closed month under today's configuration from now on.
async fn reprice_month(
    settings: &Settings,
    job: &Job,
    books: &Books<'_>,
    args: &InvoiceArgs,
    json: bool,
    talk: &Talk,
) -> Result<Outcome> {
    let (month, reason) = (args.month, args.reason.as_deref().unwrap_or_default());
    if closed_month(&job.lake, month).await?.is_none() {
        return Err(JobError::NotClosed(month).into());
    }
    let today = open::derivation_of(settings, settings.billing.as_ref(), job)?;
    let other = Books { derivation: &today, ..*books };
    let outcome = comparison(compare(job, books, &other, month).await?, "closed", "repriced", json)?;
    reprice(job, books, month, reason).await?;
    talk.say(format!(
        "{month} is priced under today's configuration from now on ({reason}); the next close prints the difference.\n\
         Where keys, customers or meters changed as well, `meterlake build` and then `meterlake invoice {month} --diff` show the whole"
    ));
    Ok(outcome)
}

fn comparison(found: Vec<Comparison>, was: &str, would_be: &str, json: bool) -> Result<Outcome> {
    let difference = |c: &Comparison| {
        c.then
            .checked_sub(c.now)
            .with_context(|| format!("the difference of {} is out of range", c.account.customer_id))
    };
    if json {
        let mut all = Vec::new();
        for c in &found {
            let (places, account) = (c.account.currency.places, &c.account);
            all.push(json!({
                "customer_id": account.customer_id, "currency": account.currency.code, "now": c.now.text(places),
                "then": c.then.text(places), "difference": difference(c)?.text(places),
            }));
        }
        print_json(&Value::Array(all))?;
        return Ok(Outcome::Done);
    }
    let headings =
        ["customer".to_owned(), format!(">{was}"), format!(">{would_be}"), ">difference".into(), "currency".into()];
    let mut grid = Grid::new(&headings);
    for c in &found {
        let (places, account) = (c.account.currency.places, &c.account);
        grid.row([
            account.customer_id.clone(),
            c.now.text(places),
            c.then.text(places),
            difference(c)?.text(places),
            account.currency.code.clone(),
        ]);
    }
    print_text(&grid.to_string())?;
    Ok(Outcome::Done)
}

/// How a line came about.
pub(crate) async fn explain(settings: &Settings, job: &Job, name: &str, json: bool) -> Result<Outcome> {
    let derivation = open::derivation(settings, job).await?;
    let books = books(settings, job, billing(settings)?, &derivation);
    let Explanation { invoice, line, charges, printed, keys, events } = explain_line(job, &books, name).await?;
    if json {
        print_json(&json!({
            "invoice": invoice.number, "customer_id": invoice.customer_id, "currency": invoice.currency.code, "line": line,
            "charges": charges, "printed_before": printed, "keys": keys, "events_sql": events,
        }))?;
        return Ok(Outcome::Done);
    }
    let places = invoice.currency.places;
    let mut text = format!("{}, line {}: {}\n", heading(&invoice), line.line, line.text);
    writeln!(text, "exact {}, printed {} {}", line.exact, line.amount.text(places), invoice.currency.code)?;
    if let Some(Correction { invoice: number, exact_now, printed_before }) = &line.correction {
        let of = number.as_deref().unwrap_or("no invoice");
        writeln!(
            text,
            "corrects {of}: {} comes to {exact_now} now, {} was printed so far",
            line.key.month,
            printed_before.text(places)
        )?;
    }
    match line.key.kind {
        LineKind::Tax => writeln!(text, "tax on what is printed for {} on this and earlier invoices", line.key.month)?,
        LineKind::Adjustment => writeln!(text, "an adjustment from the adjustments file, not from usage")?,
        _ => {}
    }
    for (title, rows) in [("Charges", &charges), ("Charges as they were printed before", &printed)] {
        if rows.is_empty() {
            continue;
        }
        writeln!(text, "\n{title}")?;
        write!(text, "{}", charges_grid(rows))?;
    }
    if !keys.is_empty() {
        writeln!(text, "\nKeys")?;
        let mut grid = Grid::new(&["source", "key", "label", ">quantity", ">events"]);
        for key in &keys {
            let text = |value: &Option<String>| value.clone().unwrap_or_default();
            grid.row([text(&key.source), text(&key.key_ref), text(&key.label), count(key.quantity), count(key.events)]);
        }
        write!(text, "{grid}")?;
    }
    if let Some(sql) = events {
        writeln!(text, "\nEvents: meterlake query \"...\" with\n{sql}")?;
    }
    print_text(&text)?;
    Ok(Outcome::Done)
}

fn charges_grid(rows: &[ChargeRow]) -> Grid {
    let mut grid =
        Grid::new(&["day", "dimensions", "tier", ">counter", ">quantity", ">billed", ">unit price", ">amount"]);
    for row in rows {
        grid.row([
            row.day.to_string(),
            row.dimensions.clone(),
            row.tier.clone(),
            count(row.month_to_date_before),
            count(row.quantity),
            row.billed.map(count).unwrap_or_default(),
            row.unit_price.as_ref().map(Nanos::to_string).unwrap_or_default(),
            row.amount.to_string(),
        ]);
    }
    grid
}

fn write_file(folder: &Path, file: &ExportFile) -> Result<()> {
    let path = folder.join(&file.name);
    std::fs::write(&path, &file.bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn invoices_json(month: BillingMonth, closed: Option<&Closed>, invoices: &[&Invoice]) -> Result<Value> {
    let mut all = Vec::new();
    for invoice in invoices {
        let places = invoice.currency.places;
        let mut value = serde_json::to_value(invoice)?;
        if let Some(map) = value.as_object_mut() {
            for (name, sum) in [("subtotal", invoice.subtotal()?), ("tax", invoice.tax()?), ("total", invoice.total()?)]
            {
                map.insert(name.to_owned(), json!(sum.text(places)));
            }
        }
        all.push(value);
    }
    Ok(json!({"month": month, "closed": closed.map(|closed| &closed.closing), "invoices": all}))
}

fn invoices_text(month: BillingMonth, closed: Option<&Closed>, invoices: &[&Invoice]) -> Result<String> {
    let mut text = match closed {
        Some(closed) => format!("Invoices of {month}, closed at {}\n", closed.closing.closed_at),
        None => format!("Invoices of {month}: a preview, nothing is issued\n"),
    };
    if let Some(accepted) = closed.and_then(|closed| closed.closing.accepted.as_ref()) {
        writeln!(text, "closed although: {} (accepted: {})", accepted.against.join("; "), accepted.reason)?;
    }
    let mut grid = Grid::new(&["invoice", "customer", ">lines", ">subtotal", ">tax", ">total", "currency"]);
    for invoice in invoices {
        let places = invoice.currency.places;
        grid.row([
            heading(invoice),
            invoice.customer_id.clone(),
            count(invoice.lines.len() as u64),
            invoice.subtotal()?.text(places),
            invoice.tax()?.text(places),
            invoice.total()?.text(places),
            invoice.currency.code.clone(),
        ]);
    }
    write!(text, "{grid}")?;
    if invoices.len() > SHOWN {
        writeln!(text, "\n--customer CUSTOMER shows the lines of one.")?;
        return Ok(text);
    }
    for invoice in invoices {
        let name = &invoice.customer.name;
        let customer = &invoice.customer_id;
        let who = if name == customer { customer.clone() } else { format!("{name} ({customer})") };
        writeln!(text, "\n{}, {who}", heading(invoice))?;
        let mut grid = Grid::new(&[">line", "what", ">quantity", ">unit price", ">exact", ">amount"]);
        for line in &invoice.lines {
            grid.row(cells(line, invoice.currency.places));
        }
        let total = invoice.total()?.text(invoice.currency.places);
        let empty = String::new;
        grid.row([empty(), format!("total {}", invoice.currency.code), empty(), empty(), empty(), total]);
        write!(text, "{grid}")?;
    }
    Ok(text)
}

fn heading(invoice: &Invoice) -> String {
    match (&invoice.number, invoice.kind) {
        (Some(number), InvoiceKind::Invoice) => number.clone(),
        (Some(number), InvoiceKind::CreditNote) => format!("{number} (credit note)"),
        (None, InvoiceKind::Invoice) => "preview".to_owned(),
        (None, InvoiceKind::CreditNote) => "preview (credit note)".to_owned(),
    }
}

fn cells(line: &Line, places: u32) -> [String; 6] {
    let corrects = match &line.correction {
        Some(correction) => match &correction.invoice {
            Some(number) => format!("{}, corrects {number}: ", line.key.month),
            None => format!("{}: ", line.key.month),
        },
        None => String::new(),
    };
    [
        line.line.to_string(),
        format!("{corrects}{}", line.text),
        line.quantity.map(count).unwrap_or_default(),
        line.unit_price.as_ref().map(Nanos::to_string).unwrap_or_default(),
        line.exact.to_string(),
        line.amount.text(places),
    ]
}
