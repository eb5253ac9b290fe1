//! What a month's invoices would be: the lines of the month itself, and for every closed month what it comes to now less all that was
//! printed for it. Nothing is written.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Digest, Nanos};
use crate::billing::bill::{
    Account, Amounts, ByAccount, Corrects, MonthTerms, Printed, add_printed, difference, month_now, printing_order,
};
use crate::billing::invoice::{Invoice, InvoiceKind, Line, LineKey};
use crate::billing::{BillingDay, BillingMonth};
use crate::lake::{LakeError, LakeTable};
use crate::model::Engine;
use crate::schema::Table;

use super::super::attempts::until_unopposed;
use super::super::derive::{charges_statements, is_stored_whole, put_config};
use super::super::{Job, JobError};
use super::Books;
use super::close::{printed_days, subtract_days};
use super::closing::{Closed, closed_months};
use super::pinned::{Pinned, customers};
use super::sums::{Charges, LineDays, charge_sums, line_days};

/// The invoices of a month as they would be issued now.
#[derive(Debug)]
pub struct Bill {
    /// The month.
    pub month: BillingMonth,
    /// By customer and currency; they have no numbers yet.
    pub invoices: Vec<Invoice>,
    /// Accounts of which every line comes to nothing: no invoice is issued for them.
    pub nothing_to_pay: usize,
    /// What each closed month's charges were read from, where nothing is to be corrected any more.
    pub(super) settled: BTreeMap<BillingMonth, String>,
    /// The closed months with a correction.
    pub(super) corrected: Vec<BillingMonth>,
    pub(super) sources: Vec<MonthCharges>,
    /// The table of charges that all of it is of.
    pub(super) charges: LakeTable,
}

/// Where a month's charges come from, and under which terms they are billed.
#[derive(Debug)]
pub(super) struct MonthCharges {
    pub(super) month: BillingMonth,
    pub(super) charges: Charges,
    pub(super) engine: Engine,
}

/// Draws up the invoices of an open month, without the customers in `held`. All of it is of one state of the charges: where a build
/// changes them meanwhile, it is drawn up again.
pub async fn draw(job: &Job, books: &Books<'_>, month: BillingMonth, held: &[String]) -> Result<Bill, JobError> {
    let mut drawn = None;
    until_unopposed(async || {
        drawn = Some(draw_once(job, books, month, held).await?);
        Ok(())
    })
    .await?;
    drawn.ok_or(JobError::Busy { table: Table::ChargesDaily.name() })
}

async fn draw_once(job: &Job, books: &Books<'_>, month: BillingMonth, held: &[String]) -> Result<Bill, JobError> {
    let closed = closed_months(&job.lake).await?;
    let table = job.lake.table(Table::ChargesDaily).await?;
    let mut lines: BTreeMap<Account, Vec<Line>> = BTreeMap::new();
    let mut bill = Bill {
        month,
        invoices: Vec::new(),
        nothing_to_pay: 0,
        settled: BTreeMap::new(),
        corrected: Vec::new(),
        sources: Vec::new(),
        charges: table.clone(),
    };
    // Read once, and only where something may have to be corrected.
    let mut history: Option<History> = None;
    for earlier in closed.iter().filter(|closed| closed.month() != month) {
        let of = earlier.month();
        let pinned = earlier.pinned().await?;
        let seen = fingerprint(&table, of, &pinned);
        // The latest close that looked at the month says what it looked like then.
        if closed.iter().rev().find_map(|close| close.closing.settled.get(&of)) == Some(&seen) {
            bill.settled.insert(of, seen);
            continue;
        }
        let history = match &mut history {
            Some(history) => history,
            None => history.insert(History::read(&closed).await?),
        };
        let (found, source) = correction(job, books, history, of, &pinned, held).await?;
        if !found.is_empty() {
            bill.corrected.push(of);
        }
        found.into_iter().for_each(|(account, found)| lines.entry(account).or_default().extend(found));
        // Somebody who is left out is not settled: a later close bills them.
        if held.is_empty() {
            bill.settled.insert(of, seen);
        }
        bill.sources.push(source);
    }
    let source = stored(job, books, month).await?;
    for (account, found) in lines_of(&source, books).await? {
        if !held.contains(&account.customer_id) {
            lines.entry(account).or_default().extend(found);
        }
    }
    bill.sources.push(source);
    for (account, lines) in lines {
        match lines.iter().all(|line| line.amount == Nanos(0)) {
            true => bill.nothing_to_pay += 1,
            false => bill.invoices.push(invoice(books, month, account, lines)?),
        }
    }
    // Sessions open the tables one by one. What was noted of the charges must be what was billed.
    match job.lake.table(Table::ChargesDaily).await?.version() == table.version() {
        true => Ok(bill),
        false => Err(LakeError::Conflict { table: Table::ChargesDaily.name() }.into()),
    }
}

/// What the next close prints for a closed month, and where its charges come from.
pub(super) async fn correction(
    job: &Job,
    books: &Books<'_>,
    history: &History,
    month: BillingMonth,
    pinned: &Pinned,
    held: &[String],
) -> Result<(BTreeMap<Account, Vec<Line>>, MonthCharges), JobError> {
    let terms = merged_terms(pinned, books.billing.month_terms(month));
    let source = stored(job, books, month).await?;
    let now = month_now(month, charge_sums(&source.engine, &source.charges, month).await?, &terms)?;
    Ok((history.correct(month, &now, &terms, held)?, source))
}

/// The lines of a month as if nothing was printed for it yet, by account. `under_other_rates`: usage that has no price
/// today is priced too.
pub(super) async fn own_lines(
    job: &Job,
    books: &Books<'_>,
    month: BillingMonth,
    under_other_rates: bool,
) -> Result<BTreeMap<Account, Vec<Line>>, JobError> {
    let mut source = stored(job, books, month).await?;
    if under_other_rates {
        source.charges = Charges::Priced(charges_statements(&source.engine, books.derivation, month, true).await?);
    }
    lines_of(&source, books).await
}

async fn lines_of(source: &MonthCharges, books: &Books<'_>) -> Result<BTreeMap<Account, Vec<Line>>, JobError> {
    let month = source.month;
    let terms = books.billing.month_terms(month);
    let now = month_now(month, charge_sums(&source.engine, &source.charges, month).await?, &terms)?;
    let nothing = BTreeMap::new();
    let lines = now.into_iter().map(|(account, now)| {
        let found = difference(&account, month, &now, &nothing, &terms, None)?;
        Ok((account, found))
    });
    lines.collect()
}

impl Bill {
    /// Gives every line its days.
    pub async fn add_days(&mut self, closed: &[Closed]) -> Result<(), JobError> {
        let mut days = LineDays::new();
        for source in &self.sources {
            let mut of_month = line_days(&source.engine, &source.charges, source.month, None).await?;
            let before = printed_days(closed, source.month).await?;
            subtract_days(&mut of_month, before);
            days.append(&mut of_month);
        }
        give_days(&mut self.invoices, days);
        Ok(())
    }
}

/// Gives each line the days that are its own.
pub(super) fn give_days(invoices: &mut [Invoice], mut days: LineDays) {
    for invoice in invoices {
        let account = Account::of(invoice);
        for line in &mut invoice.lines {
            line.days = days.remove(&(account.clone(), line.key.clone())).unwrap_or_default();
        }
    }
}

/// All that was ever printed.
pub(super) struct History {
    printed: BTreeMap<(BillingMonth, Account), BTreeMap<LineKey, Printed>>,
    /// The invoice of each month and account.
    numbers: BTreeMap<(BillingMonth, Account), String>,
}

impl History {
    pub(super) async fn read(closed: &[Closed]) -> Result<Self, JobError> {
        let mut history = Self { printed: BTreeMap::new(), numbers: BTreeMap::new() };
        for close in closed {
            for invoice in close.invoices().await? {
                let account = Account::of(&invoice);
                for line in &invoice.lines {
                    let printed = history.printed.entry((line.key.month, account.clone())).or_default();
                    add_printed(printed, line).ok_or_else(|| invoice.too_large())?;
                    if !line.is_correction() {
                        let number = invoice.number.clone().unwrap_or_default();
                        history.numbers.insert((line.key.month, account.clone()), number);
                    }
                }
            }
        }
        Ok(history)
    }

    /// What each account's lines of a closed month lack.
    fn correct(
        &self,
        month: BillingMonth,
        now: &ByAccount<Amounts>,
        terms: &MonthTerms,
        held: &[String],
    ) -> Result<BTreeMap<Account, Vec<Line>>, JobError> {
        let printed_for = self.printed.keys().filter(|(of, _)| *of == month).map(|(_, account)| account);
        let accounts: BTreeSet<&Account> = now.keys().chain(printed_for).collect();
        let (no_amounts, no_lines) = (BTreeMap::new(), BTreeMap::new());
        let mut found = BTreeMap::new();
        for account in accounts.into_iter().filter(|account| !held.contains(&account.customer_id)) {
            let of = (month, account.clone());
            let corrects = Corrects { invoice: self.numbers.get(&of).cloned() };
            let printed = self.printed.get(&of).unwrap_or(&no_lines);
            let now = now.get(account).unwrap_or(&no_amounts);
            let lines = difference(account, month, now, printed, terms, Some(&corrects))?;
            if !lines.is_empty() {
                found.insert(account.clone(), lines);
            }
        }
        Ok(found)
    }
}

/// The charges of a month: as stored where the table has the whole month, else priced to its last day, a closed one under what it was
/// closed under.
pub(super) async fn stored(job: &Job, books: &Books<'_>, month: BillingMonth) -> Result<MonthCharges, JobError> {
    if job.lake.existing_table(Table::ChargesDaily).await?.is_some_and(|table| table.is_older()) {
        return Err(JobError::Older { table: Table::ChargesDaily.name() });
    }
    let engine = Engine::open(&job.lake, books.derivation.engine).await?;
    put_config(&engine, books.derivation.config_of(month))?;
    let charges = match is_stored_whole(&job.lake, month).await? {
        true => Charges::Stored,
        false => Charges::Priced(charges_statements(&engine, books.derivation, month, false).await?),
    };
    Ok(MonthCharges { month, charges, engine })
}

/// What a closed month's charges came from: the files of its days, and its terms.
pub(super) fn fingerprint(table: &LakeTable, month: BillingMonth, pinned: &Pinned) -> String {
    let mut parts: Vec<String> = table
        .files()
        .into_iter()
        .filter(|file| file.day.is_some_and(|day| BillingDay(day.0).month() == month))
        .map(|file| format!("{} {}", file.slot, file.digest))
        .collect();
    parts.sort_unstable();
    parts.push(format!("{:?}", pinned.terms.month));
    Digest::of(parts.iter().map(String::as_str)).to_string()
}

/// A closed month's terms; customers it did not know yet are taxed as they are now.
fn merged_terms(pinned: &Pinned, today: MonthTerms) -> MonthTerms {
    let mut terms = pinned.terms.month.clone();
    let known = customers(&pinned.config);
    terms.tax_ppm.extend(today.tax_ppm.into_iter().filter(|(customer, _)| !known.contains(customer)));
    terms
}

fn invoice(
    books: &Books<'_>,
    month: BillingMonth,
    account: Account,
    mut lines: Vec<Line>,
) -> Result<Invoice, JobError> {
    lines.sort_by(|a, b| printing_order(&a.key).cmp(&printing_order(&b.key)));
    // This month's lines first, then what corrects earlier ones; tax last.
    lines.sort_by_key(|line| (line.key.tax_ppm.is_some(), line.is_correction()));
    for (line, number) in lines.iter_mut().zip(1..) {
        line.line = number;
    }
    let Books { billing, derivation, .. } = books;
    let end = derivation.zone.start(month.next().first_day());
    let terms = &billing.invoice;
    let mut invoice = Invoice {
        number: None,
        kind: InvoiceKind::Invoice,
        month,
        issued_on: None,
        due_on: None,
        seller: terms.seller.clone(),
        customer: billing.customers.party(&account.customer_id, end),
        customer_id: account.customer_id,
        currency: account.currency,
        rounding: terms.rounding,
        zone: derivation.zone.name().to_owned(),
        terms: terms.text.clone(),
        lines,
    };
    if invoice.total()? < Nanos(0) {
        invoice.kind = InvoiceKind::CreditNote;
    }
    Ok(invoice)
}
