//! Totals: what is published is what the customers and keys used, worked out by hand, and stays so when a publish is repeated, cut
//! off, overtaken or late. The table is in memory; like DynamoDB's index, its listing may show a moment ago.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use meterlake::base::{HalfOpen, Micros, UtcHour};
use meterlake::billing::BillingMonth;
use meterlake::cli::settings::Settings;
use meterlake::job::JobError;
use meterlake::job::derive::{ClosedRules, Derivation};
use meterlake::job::invoice::{Pinned, closed_months};
use meterlake::job::publish::{
    Holder, Hours, Listed, MonthTotals, PublishReport, Put, Stamp, State, Total, TotalName, TotalRules, TotalsError,
    TotalsTable, UsageRow, Wish, publish,
};
use meterlake::model::{CoverageRules, EngineOptions};

use super::lab::{Call, Hit, Key, Lab, at, block_on, lines};
use super::shell::{SECRET, gz};

/// Items by their names, each with the stamp it was written under.
type Items = BTreeMap<TotalName, (Total, Stamp)>;

/// A table of totals in memory.
#[derive(Default)]
struct Memory {
    items: Mutex<Items>,
    /// What a listing shows: the items when something was last noted as published.
    shown: Mutex<Items>,
    /// A listing lags behind.
    lags: bool,
    state: Mutex<Option<State>>,
    puts: AtomicUsize,
    /// The write that fails, counted from 1; 0: none.
    fails_at: AtomicUsize,
}

impl Memory {
    /// Every total by its keys, as text.
    fn contents(&self) -> Vec<String> {
        let items = self.items.lock().unwrap();
        items.values().map(|(total, _)| shown(total)).collect()
    }

    /// Writes since this was asked last.
    fn puts(&self) -> usize {
        self.puts.swap(0, Ordering::SeqCst)
    }

    fn delete(&self, partition: &str) {
        self.items.lock().unwrap().retain(|name, _| name.partition() != partition);
        self.shown.lock().unwrap().retain(|name, _| name.partition() != partition);
    }

    fn complete_until(&self, month: &str) -> String {
        let state = self.state.lock().unwrap();
        state.as_ref().unwrap().months[&month.parse().unwrap()].complete_until.to_string()
    }
}

fn shown(total: &Total) -> String {
    let Total { name, quantity, events, held, held_events, days, customers, .. } = total;
    let days: Vec<String> =
        days.iter().map(|(day, quantity)| format!("{}:{quantity}", &day.to_string()[8..])).collect();
    let customers: Vec<&str> = customers.iter().map(String::as_str).collect();
    format!(
        "{} {} {quantity}/{events} held {held}/{held_events} [{}] {}",
        name.partition(),
        name.sort(),
        days.join(" "),
        customers.join(",")
    )
    .trim_end()
    .to_owned()
}

fn not_newer(there: &Stamp, stamp: &Stamp) -> Result<Put, TotalsError> {
    if there.lake != stamp.lake {
        return Err(TotalsError::OtherLake { theirs: there.lake.clone(), ours: stamp.lake.clone() });
    }
    let is_newer = (there.version, there.as_of) > (stamp.version, stamp.as_of);
    Ok(if is_newer { Put::Newer(there.version) } else { Put::Written })
}

#[async_trait]
impl TotalsTable for Memory {
    async fn state(&self) -> Result<Option<State>, TotalsError> {
        Ok(self.state.lock().unwrap().clone())
    }

    async fn put_state(&self, state: &State) -> Result<Put, TotalsError> {
        let mut there = self.state.lock().unwrap();
        if let Some(there) = &*there
            && let newer @ Put::Newer(_) = not_newer(&there.stamp, &state.stamp)?
        {
            return Ok(newer);
        }
        *there = Some(state.clone());
        self.shown.lock().unwrap().clone_from(&self.items.lock().unwrap());
        self.puts.fetch_add(1, Ordering::SeqCst);
        Ok(Put::Written)
    }

    async fn listed(&self, month: BillingMonth) -> Result<Vec<Listed>, TotalsError> {
        let items = if self.lags { &self.shown } else { &self.items };
        let items = items.lock().unwrap();
        let listed = items.iter().filter(|(name, _)| name.month == month).map(|(name, (total, stamp))| Listed {
            name: name.clone(),
            digest: total.digest().to_string(),
            lake: stamp.lake.clone(),
            quantity: Some(total.quantity),
        });
        Ok(listed.collect())
    }

    async fn put(&self, total: &Total, stamp: &Stamp) -> Result<Put, TotalsError> {
        if self.fails_at.load(Ordering::SeqCst) == self.puts.load(Ordering::SeqCst) + 1 {
            self.fails_at.store(0, Ordering::SeqCst);
            return Err(TotalsError::of("write", "the connection broke"));
        }
        let mut items = self.items.lock().unwrap();
        if let Some((_, there)) = items.get(&total.name)
            && let newer @ Put::Newer(_) = not_newer(there, stamp)?
        {
            return Ok(newer);
        }
        items.insert(total.name.clone(), (total.clone(), stamp.clone()));
        self.puts.fetch_add(1, Ordering::SeqCst);
        Ok(Put::Written)
    }
}

/// When something else happens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Listing,
    Writing,
}

/// The same table, and something that happens before it is first listed or a total is first written.
struct Interrupted<'t, F> {
    table: &'t Memory,
    when: Before,
    first: Mutex<Option<F>>,
}

impl<F: FnOnce()> Interrupted<'_, F> {
    fn interrupt(&self, now: Before) {
        let first = if now == self.when { self.first.lock().unwrap().take() } else { None };
        if let Some(first) = first {
            first();
        }
    }
}

#[async_trait]
impl<F: FnOnce() + Send> TotalsTable for Interrupted<'_, F> {
    async fn state(&self) -> Result<Option<State>, TotalsError> {
        self.table.state().await
    }

    async fn put_state(&self, state: &State) -> Result<Put, TotalsError> {
        self.table.put_state(state).await
    }

    async fn listed(&self, month: BillingMonth) -> Result<Vec<Listed>, TotalsError> {
        let listed = self.table.listed(month).await;
        self.interrupt(Before::Listing);
        listed
    }

    async fn put(&self, total: &Total, stamp: &Stamp) -> Result<Put, TotalsError> {
        self.interrupt(Before::Writing);
        self.table.put(total, stamp).await
    }
}

/// What the lab's tables are derived from, closed months included.
async fn derivation(lab: &Lab) -> (meterlake::job::Job, Derivation) {
    let job = lab.job().await;
    let settings = Settings::load(&lab.beside(&lab.config_name()), &|_| Some(SECRET.to_owned())).unwrap();
    let billing = settings.billing.as_ref();
    let config = match billing {
        Some(billing) => billing.tables(settings.sources.iter().map(|source| &source.spec)).unwrap(),
        None => meterlake::billing::ConfigTables::empty(),
    };
    let mut closed = BTreeMap::new();
    for month in closed_months(&job.lake).await.unwrap() {
        let Pinned { terms, config: then } = month.pinned().await.unwrap();
        let config = then.completed(&config).unwrap();
        let rules = ClosedRules { meters: terms.meters, start: terms.start, has_rates: terms.has_rates, config };
        closed.insert(month.month(), rules);
    }
    let with = Derivation {
        closed,
        meters: settings.meters.clone(),
        zone: settings.zone(),
        start: billing.and_then(|billing| billing.start),
        config,
        has_rates: billing.is_some_and(|billing| billing.rates.is_some()),
        coverage: CoverageRules::default(),
        engine: EngineOptions { memory_bytes_max: 256 << 20, partitions: 2.try_into().unwrap() },
    };
    (job, with)
}

fn tried(lab: &Lab, table: &dyn TotalsTable, wish: &Wish, now: i64) -> Result<PublishReport, JobError> {
    block_on(async {
        let (job, with) = derivation(lab).await;
        publish(&job.lake, &with, table, wish, Micros(now * 1_000)).await
    })
}

fn published(lab: &Lab, table: &Memory) -> PublishReport {
    tried(lab, table, &Wish::default(), at(60, 0, 0)).unwrap()
}

fn names(report: &PublishReport) -> Vec<String> {
    let changes = report.months.iter().flat_map(|month| &month.changes);
    changes.map(|change| format!("{} {}", change.name.partition(), change.name.sort())).collect()
}

fn calls(start: i64, key: Key, n: i64) -> Vec<u8> {
    lines(&(0..n).map(|n| Call::new(start + n * 1_000, key).line()).collect::<Vec<_>>())
}

fn hits(start: i64, key: Key, n: i64) -> Vec<u8> {
    gz(&lines(&(0..n).map(|n| Hit::new(start + n * 1_000, key).line()).collect::<Vec<_>>()))
}

/// 5 October: acme calls 5 times, beta once, a key that nobody owns 4 times. 6 October: acme 3 times. Downloads of 1 000 bytes
/// each on 5 October: beta 2.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.origin("2026/10/05/a", calls(at(0, 9, 0), Key::Acme, 5));
    lab.origin("2026/10/05/b", calls(at(0, 9, 100), Key::Beta, 1));
    lab.origin("2026/10/05/c", calls(at(0, 9, 200), Key::Nobody, 4));
    lab.origin("2026/10/06/a", calls(at(1, 14, 0), Key::Acme, 3));
    lab.edge("2026/10/05/a.gz", hits(at(0, 10, 0), Key::Beta, 2));
    lab.run();
    lab
}

/// acme's calls: 5 + 3 = 8. beta's bytes: 2 × 1 000. The key that nobody owns has no total.
fn by_hand() -> Vec<String> {
    let print = Key::Beta.fingerprint();
    vec![
        "customer#acme 2026-10#calls 8/8 held 0/0 [05:5 06:3]".to_owned(),
        "customer#beta 2026-10#calls 1/1 held 0/0 [05:1]".to_owned(),
        "customer#beta 2026-10#egress 2000/2 held 0/0 [05:2000]".to_owned(),
        "key#acmeid0001 2026-10#calls 8/8 held 0/0 [05:5 06:3] acme".to_owned(),
        "key#betaid0002 2026-10#calls 1/1 held 0/0 [05:1] beta".to_owned(),
        format!("key#{print} 2026-10#egress 2000/2 held 0/0 [05:2000] beta"),
    ]
    .into_iter()
    .collect::<BTreeSet<_>>()
    .into_iter()
    .collect()
}

fn sorted(mut contents: Vec<String>) -> Vec<String> {
    contents.sort();
    contents
}

// Seen to fail: when keys without an owner were kept.
#[test]
fn totals_are_those_worked_out_by_hand_and_a_second_publish_writes_nothing() {
    let (lab, table) = (lab(), Memory::default());
    let first = published(&lab, &table);
    assert_eq!(sorted(table.contents()), by_hand());
    assert_eq!((first.changes(), first.state_written, table.puts()), (6, true, 6 + 2));
    let (total, stamp) = table.items.lock().unwrap().values().next().cloned().unwrap();
    assert!(total.provisional, "October is not closed");
    assert_eq!(stamp.as_of.to_string(), "2026-12-04T00:00:00Z");
    // The hour with the newest record of each source may still be coming; October is complete up to the earlier of the two.
    assert_eq!(total.complete_until.to_string(), "2026-10-06T14:00:00Z");
    assert_eq!(table.complete_until("2026-10"), "2026-10-05T10:00:00Z");

    let again = published(&lab, &table);
    assert_eq!((again.changes(), again.months[0].unchanged, again.state_written, table.puts()), (0, None, false, 0));
    lab.run();
    assert_eq!((published(&lab, &table).changes(), table.puts()), (0, 0));
    let compared = tried(&lab, &table, &Wish { all: true, ..Wish::default() }, at(61, 0, 0)).unwrap();
    assert_eq!((compared.changes(), compared.months[0].unchanged, table.puts()), (0, Some(6), 0));
}

// Seen to fail: with a digest that has `complete_until` in it, since then every hour makes every total a changed one.
#[test]
fn only_what_changed_is_written() {
    let (lab, table) = (lab(), Memory::default());
    published(&lab, &table);
    table.puts();
    // Late: one call of acme on 5 October, and one of 2 November.
    lab.origin("2026/11/02/late", [calls(at(0, 9, 500), Key::Acme, 1), calls(at(28, 1, 0), Key::Acme, 1)].concat());
    lab.run();
    let report = published(&lab, &table);
    assert_eq!(
        names(&report),
        [
            "customer#acme 2026-10#calls",
            "key#acmeid0001 2026-10#calls",
            "customer#acme 2026-11#calls",
            "key#acmeid0001 2026-11#calls"
        ]
    );
    // For each of the two months it is noted that it is being written; then that all is.
    assert_eq!(table.puts(), 4 + 2 + 1);
    assert_eq!(table.contents()[0], "customer#acme 2026-10#calls 9/9 held 0/0 [05:6 06:3]");
    // The origin is past October, the edge is not: its calls are complete, its bytes are not.
    let items = table.items.lock().unwrap();
    let until = |partition: &str, sort: &str| {
        let found = items.iter().find(|(name, _)| name.partition() == partition && name.sort() == sort);
        found.unwrap().1.0.complete_until.to_string()
    };
    assert_eq!(until("customer#acme", "2026-10#calls"), "2026-11-01T00:00:00Z");
    assert_eq!(until("customer#acme", "2026-11#calls"), "2026-11-02T01:00:00Z");
}

#[test]
fn a_month_can_be_published_alone() {
    let (lab, table) = (lab(), Memory::default());
    lab.origin("2026/11/02/a", calls(at(28, 1, 0), Key::Acme, 2));
    lab.run();
    let november = Wish { months: vec!["2026-11".parse().unwrap()], ..Wish::default() };
    for (wish, total) in
        [(&november, "2026-11#calls 2/2 held 0/0 [02:2]"), (&Wish::default(), "2026-10#calls 8/8 held 0/0 [05:5 06:3]")]
    {
        tried(&lab, &table, wish, at(60, 0, 0)).unwrap();
        assert_eq!(table.contents()[0], format!("customer#acme {total}"));
    }
    assert_eq!(table.contents().len(), 6 + 2);
    // What the first one noted of November stood: it was not written again.
    assert_eq!((published(&lab, &table).changes(), table.puts()), (0, (2 + 2) + (6 + 2)));
    // A month without usage has nothing to publish.
    let none = Wish { months: vec!["2025-01".parse().unwrap()], ..Wish::default() };
    assert_eq!(tried(&lab, &table, &none, at(60, 0, 0)).unwrap().changes(), 0);
}

// Seen to fail: when what is listed and not wanted is passed over.
#[test]
fn usage_that_is_gone_becomes_a_total_of_nothing() {
    let (lab, table) = (lab(), Memory::default());
    published(&lab, &table);
    let ran = lab.meterlake(&["retract", "2026/10/05/a.gz", "--reason", "not ours"]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    table.puts();
    let report = published(&lab, &table);
    let print = Key::Beta.fingerprint();
    assert_eq!(names(&report), ["customer#beta 2026-10#egress".to_owned(), format!("key#{print} 2026-10#egress")]);
    assert!(table.contents().contains(&"customer#beta 2026-10#egress 0/0 held 0/0 []".to_owned()));
    assert_eq!(published(&lab, &table).changes(), 0);
}

// Seen to fail: with `--all` that only looks at what the last publish noted.
#[test]
fn a_deleted_item_comes_back_when_everything_is_compared() {
    let (lab, table) = (lab(), Memory::default());
    published(&lab, &table);
    table.puts();
    table.delete("customer#acme");
    assert_eq!(published(&lab, &table).changes(), 0, "nothing it is made from has changed");
    let all = Wish { all: true, ..Wish::default() };
    let shown = tried(&lab, &table, &Wish { dry_run: true, ..all.clone() }, at(60, 0, 0)).unwrap();
    assert_eq!((names(&shown), table.puts()), (vec!["customer#acme 2026-10#calls".to_owned()], 0));
    let report = tried(&lab, &table, &all, at(60, 0, 0)).unwrap();
    assert_eq!((names(&report), table.puts()), (vec!["customer#acme 2026-10#calls".to_owned()], 1 + 2));
    assert_eq!(sorted(table.contents()), by_hand());
    // Of a table that was emptied everything comes back by itself.
    let emptied = Memory::default();
    published(&lab, &emptied);
    assert_eq!(sorted(emptied.contents()), by_hand());
}

// Seen to fail: without the note that a month is being written.
#[test]
fn a_publish_that_is_cut_off_is_completed_by_the_next() {
    let lab = lab();
    // The first write notes that the month is being written.
    for n in 2..=7 {
        let table = Memory { fails_at: AtomicUsize::new(n), ..Memory::default() };
        let error = tried(&lab, &table, &Wish::default(), at(60, 0, 0)).unwrap_err();
        assert!(matches!(error, JobError::Totals(TotalsError::Table { .. })), "{error}");
        let noted = table.state.lock().unwrap().clone().unwrap();
        assert!(
            noted.months.values().all(|month| month.inputs.is_empty()),
            "nothing is noted as published before it is"
        );
        published(&lab, &table);
        assert_eq!(sorted(table.contents()), by_hand(), "cut off at write {n}");
    }
}

/// A publisher has read the lake; before it writes, the lake changes and somebody else publishes that. Then the first goes on.
fn overtaken(table: &Memory, lab: &Lab, when: Before, change: impl FnOnce() + Send) -> PublishReport {
    let table = Interrupted { table, when, first: Mutex::new(Some(change)) };
    let report = tried(lab, &table, &Wish::default(), at(60, 0, 0)).unwrap();
    assert!(table.first.lock().unwrap().is_none());
    report
}

/// Runs the binary and publishes on another thread: a runtime is at work on this one.
fn meanwhile(work: impl FnOnce() + Send) {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap());
}

// Seen to fail: with a publisher that ends where it is refused.
#[test]
fn an_older_publisher_does_not_overwrite_newer_totals() {
    let (lab, table) = (lab(), Memory::default());
    lab.origin("2026/10/06/more", calls(at(1, 15, 0), Key::Acme, 1));
    let report = overtaken(&table, &lab, Before::Writing, || {
        meanwhile(|| {
            lab.run();
            published(&lab, &table);
        });
    });
    // What the first had counted was 8; 9 stands, and the first one ended with the newest.
    assert_eq!(table.contents()[0], "customer#acme 2026-10#calls 9/9 held 0/0 [05:5 06:4]");
    assert_eq!(report.changes(), 0, "it began anew and found nothing left to do");
}

// The other publisher has nothing to write for acme, because its total is again what it was before: so the older one's write is
// taken. It must take it back itself, though a listing shows neither of its writes yet.
// Seen to fail: without the memory of what was written; without looking at the lake once more at the end.
#[test]
fn an_older_publisher_takes_back_what_it_wrote_where_the_newer_had_nothing_to_write() {
    for when in [Before::Writing, Before::Listing] {
        let (lab, table) = (lab(), Memory { lags: true, ..Memory::default() });
        published(&lab, &table);
        lab.origin("2026/10/06/more", calls(at(1, 15, 0), Key::Acme, 1));
        lab.run();
        overtaken(&table, &lab, when, || {
            meanwhile(|| {
                assert_eq!(lab.meterlake(&["retract", "2026/10/06/more", "--reason", "test"]).code, 0);
                published(&lab, &table);
            });
        });
        assert_eq!(sorted(table.contents()), by_hand());
    }
}

// Seen to fail: without the note that a month is being written.
#[test]
fn a_publish_that_is_cut_off_leaves_nothing_behind_when_its_usage_is_gone_again() {
    let (lab, table) = (lab(), Memory::default());
    published(&lab, &table);
    table.puts();
    lab.origin("2026/10/06/more", calls(at(1, 15, 0), Key::Acme, 1));
    lab.run();
    // A note, a total, and the second total fails.
    table.fails_at.store(3, Ordering::SeqCst);
    tried(&lab, &table, &Wish::default(), at(60, 0, 0)).unwrap_err();
    assert_ne!(sorted(table.contents()), by_hand());
    assert_eq!(lab.meterlake(&["retract", "2026/10/06/more", "--reason", "test"]).code, 0);
    published(&lab, &table);
    assert_eq!(sorted(table.contents()), by_hand());
}

#[test]
fn a_table_of_another_lake_is_refused() {
    let (lab, table) = (lab(), Memory::default());
    published(&lab, &table);
    let twin = lab.twin("twin");
    twin.run();
    table.puts();
    let refused = tried(&twin, &table, &Wish::default(), at(60, 0, 0)).unwrap_err();
    assert!(refused.to_string().contains("totals of another lake"), "{refused}");
    // Also where what was noted is lost, and when nothing is written.
    *table.state.lock().unwrap() = None;
    let wish = Wish { dry_run: true, ..Wish::default() };
    let refused = tried(&twin, &table, &wish, at(60, 0, 0)).unwrap_err();
    assert!(refused.to_string().contains("totals of another lake"), "{refused}");
    assert_eq!(table.puts(), 0);
}

#[test]
fn a_lake_that_is_not_up_to_date_is_not_published() {
    let (lab, table) = (lab(), Memory::default());
    lab.own(&[("acme", Key::Acme), ("beta", Key::Beta), ("beta", Key::Nobody)]);
    let stale = tried(&lab, &table, &Wish::default(), at(60, 0, 0)).unwrap_err();
    assert!(matches!(stale, JobError::Stale { .. }), "{stale}");
    lab.run();
    published(&lab, &table);
    // 1 + the 4 that nobody owned.
    assert!(table.contents().contains(&"customer#beta 2026-10#calls 5/5 held 0/0 [05:5]".to_owned()));
    // What is converted and not built is missing from its hour on.
    lab.origin("2026/10/05/late", calls(at(0, 7, 0), Key::Acme, 1));
    assert!(lab.meterlake(&["convert"]).code < 2);
    published(&lab, &table);
    assert_eq!(table.complete_until("2026-10"), "2026-10-05T07:00:00Z");
}

// Seen to fail: with a digest without `provisional`.
#[test]
fn a_close_makes_totals_final_once() {
    let (lab, table) = (lab(), Memory::default());
    published(&lab, &table);
    table.puts();
    let closed = lab.meterlake(&["invoice", "2026-10", "--close", "--accept", "test"]);
    assert!(closed.code < 2, "{}", closed.all());
    lab.run();
    assert_eq!(published(&lab, &table).changes(), 6);
    assert!(table.items.lock().unwrap().values().all(|(total, _)| !total.provisional));
    assert_eq!(table.puts(), 6 + 2);
    assert_eq!((published(&lab, &table).changes(), table.puts()), (0, 0));
}

fn rules(has_customers: bool) -> TotalRules {
    TotalRules {
        month: "2026-10".parse().unwrap(),
        has_customers,
        of_customer: BTreeSet::from(["users".to_owned()]),
        complete_until: BTreeMap::new(),
        complete_until_else: Micros(0),
        provisional: true,
    }
}

fn totals(has_customers: bool, rows: &[(&str, &str, &str, &str, i128, i128)]) -> (Vec<String>, usize) {
    let mut totals = MonthTotals::new(rules(has_customers));
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    for (customer, key, meter, attribution, quantity, events) in rows {
        totals.add(&UsageRow {
            day: "2026-10-07".parse().unwrap(),
            customer_id: text(customer),
            key_ref: text(key),
            meter: (*meter).to_owned(),
            attribution: (*attribution).to_owned(),
            quantity: *quantity,
            events: *events,
        });
    }
    let (totals, left_out) = totals.finish();
    (totals.values().map(shown).collect(), left_out)
}

#[test]
fn what_is_held_is_kept_apart() {
    let rows = [
        ("acme", "k1", "calls", "mapped", 10, 10),
        ("acme", "k1", "calls", "unpriced", 4, 4),
        // After its end the key is nobody's; a conflict and an undecided call have no customer either.
        ("", "k1", "calls", "unmapped", 2, 2),
        ("", "k1", "calls", "undecided", 0, 1),
        ("", "k2", "calls", "unmapped", 7, 7),
        ("", "other", "calls", "unmapped", 900, 900),
        ("", "", "calls", "truncated", 1, 1),
    ];
    let expected =
        ["customer#acme 2026-10#calls 10/10 held 4/4 [07:10]", "key#k1 2026-10#calls 10/10 held 6/7 [07:10] acme"];
    assert_eq!(totals(true, &rows).0, expected);
    // Without customers a key is simply a key; `other` is none.
    let rows = [("", "k2", "calls", "unmapped", 7, 7), ("", "other", "calls", "unmapped", 900, 900)];
    assert_eq!(totals(false, &rows).0, ["key#k2 2026-10#calls 7/7 held 0/0 [07:7]"]);
}

#[test]
fn a_key_has_no_part_in_what_belongs_to_its_customer_as_a_whole() {
    // Three users by two keys of one customer, as `usage_daily` has them: events with the keys, the quantity without.
    let rows = [
        ("acme", "k1", "users", "mapped", 0, 5),
        ("acme", "k2", "users", "mapped", 0, 4),
        ("acme", "", "users", "mapped", 3, 0),
    ];
    assert_eq!(totals(true, &rows).0, ["customer#acme 2026-10#users 3/9 held 0/0 [07:3]"]);
}

#[test]
fn a_name_too_long_for_a_key_is_left_out_and_counted() {
    let (fits, long) = ("k".repeat(2_048 - "key#".len()), "k".repeat(2_049 - "key#".len()));
    let (shown, left_out) =
        totals(false, &[("", &fits, "calls", "unmapped", 1, 1), ("", &long, "calls", "unmapped", 1, 1)]);
    assert_eq!((shown.len(), left_out), (1, 1));
}

#[test]
fn names_are_read_back_from_their_keys() {
    for holder in [Holder::Customer("a#b c".into()), Holder::Key("0011".into())] {
        let name = TotalName { holder, month: "2026-10".parse().unwrap(), meter: "api_calls".into() };
        assert_eq!(TotalName::of_keys(&name.partition(), &name.sort()), Some(name));
    }
    for (partition, sort) in [("lake", "lake"), ("customer#a", "2026-10"), ("limit#a", "2026-10#m"), ("key#a", "now#m")]
    {
        assert_eq!(TotalName::of_keys(partition, sort), None, "{partition} {sort}");
    }
}

// Seen to fail: with the end of the newest hour in place of its start.
#[test]
fn hours_are_complete_up_to_the_newest_one_or_the_first_hole() {
    let hour = |text: &str| text.parse::<UtcHour>().unwrap();
    let at = |text: &str| text.parse::<Micros>().unwrap();
    let october = HalfOpen { from: at("2026-10-01"), to: Some(at("2026-11-01")) };
    let mut hours = Hours::default();
    hours.has_records("origin", hour("2026-10-20T09"));
    hours.has_records("origin", hour("2026-10-20T11"));
    hours.has_records("edge", hour("2026-11-03T00"));
    let until = |hours: &Hours, sources: &[&str], now: &str| {
        hours.complete_until(sources.iter().copied(), october, at(now)).to_string()
    };
    let later = "2026-12-01";
    assert_eq!(until(&hours, &["origin"], later), "2026-10-20T11:00:00Z");
    assert_eq!(until(&hours, &["edge"], later), "2026-11-01T00:00:00Z");
    assert_eq!(until(&hours, &["edge", "origin"], later), "2026-10-20T11:00:00Z");
    // Nothing ever came from it, so nothing is known to be missing.
    assert_eq!(until(&hours, &["edge", "new"], later), "2026-11-01T00:00:00Z");
    // A record from the future does not complete the present.
    assert_eq!(until(&hours, &["edge"], "2026-10-21T00:30:00Z"), "2026-10-21T00:30:00Z");
    hours.is_missing("edge", hour("2026-09-30T23"));
    assert_eq!(until(&hours, &["edge"], later), "2026-11-01T00:00:00Z");
    hours.is_missing("edge", hour("2026-10-07T05"));
    hours.is_missing("edge", hour("2026-10-09T05"));
    assert_eq!(until(&hours, &["edge"], later), "2026-10-07T05:00:00Z");
    // Of a source whose newest record is from before, no hour of the month is complete.
    let mut hours = Hours::default();
    hours.has_records("origin", hour("2026-09-20T09"));
    assert_eq!(until(&hours, &["origin"], later), "2026-10-01T00:00:00Z");
}

#[test]
fn without_a_table_the_command_says_what_to_set() {
    let lab = lab();
    let ran = lab.meterlake(&["publish", "dynamodb"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("no table is configured: set dynamodb_table under [aws] in lake.toml"), "{}", ran.err);
    lab.configure("[billing]", "[aws]\ndynamodb_table = \"a table\"\n[billing]");
    let ran = lab.meterlake(&["publish", "dynamodb"]);
    assert!(ran.err.contains("`dynamodb_table` is the name or the ARN of a table"), "{}", ran.err);
}
