//! Records to landing objects: in the order of arrival, some late, some twice, some cut, so many to an object.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write as _};

use chrono::DateTime;
use fastrand::Rng;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::Args;

/// How late a late record may be.
const LATE_MS_MAX: i64 = 3 * 3_600_000;

/// A kind of log.
pub(crate) trait Kind {
    const NAME: &str;
    const FOLDER: &str;

    /// One record of a request that ended at that time.
    fn record(rng: &mut Rng, customers: u64, at_ms: i64) -> String;
    /// Writes the records of one object.
    fn put(records: &[String], out: &mut Writer, rng: &mut Rng) -> io::Result<()>;
}

/// What was made.
pub struct Landed {
    pub objects: u64,
    pub records: u64,
    pub plain_bytes: u64,
    pub gzip_bytes: u64,
}

/// A landing object being made: gzip members one after another.
pub(crate) struct Writer {
    gzip: Vec<u8>,
    member: GzEncoder<Vec<u8>>,
    plain_bytes: u64,
}

impl Writer {
    fn new() -> Self {
        Self { gzip: Vec::new(), member: Self::begin(), plain_bytes: 0 }
    }

    fn begin() -> GzEncoder<Vec<u8>> {
        GzEncoder::new(Vec::new(), Compression::default())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.plain_bytes += bytes.len() as u64;
        self.member.write_all(bytes)
    }

    /// Ends the gzip member; what is written next begins another.
    pub(crate) fn end_member(&mut self) -> io::Result<()> {
        let member = std::mem::replace(&mut self.member, Self::begin());
        self.gzip.append(&mut member.finish()?);
        Ok(())
    }
}

/// Writes all objects of one kind.
pub(crate) fn write<K: Kind>(args: &Args, requests: u64) -> io::Result<Landed> {
    let mut rng = Rng::with_seed(args.seed ^ K::NAME.len() as u64);
    let start_ms = args.start.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis();
    let span_ms = i64::from(args.days) * 86_400_000;
    let mut landed = Landed { objects: 0, records: 0, plain_bytes: 0, gzip_bytes: 0 };
    // Records by the time they arrive; the number keeps equal times in order.
    let mut under_way: BinaryHeap<Reverse<(i64, u64, String)>> = BinaryHeap::new();
    let mut object: Vec<String> = Vec::new();
    for number in 0..requests {
        let at_ms = start_ms + (i128::from(span_ms) * i128::from(number) / i128::from(requests)) as i64;
        while under_way.peek().is_some_and(|Reverse((arrives, ..))| *arrives <= at_ms) {
            object.extend(under_way.pop().map(|Reverse((.., record))| record));
        }
        let mut record = K::record(&mut rng, u64::from(args.customers), at_ms);
        if rng.f64() < args.duplicates {
            under_way.push(Reverse((at_ms + rng.i64(1..LATE_MS_MAX / 60), number, record.clone())));
        } else if rng.f64() < args.late {
            under_way.push(Reverse((at_ms + rng.i64(1..LATE_MS_MAX), number, record)));
            continue;
        } else if rng.f64() < args.bad {
            record.truncate(record.len() / 2);
        }
        object.push(record);
        if object.len() as u64 >= args.object_records {
            put::<K>(args, &mut object, at_ms, &mut rng, &mut landed)?;
        }
    }
    while let Some(Reverse((.., record))) = under_way.pop() {
        object.push(record);
    }
    if !object.is_empty() {
        put::<K>(args, &mut object, start_ms + span_ms, &mut rng, &mut landed)?;
    }
    Ok(landed)
}

fn put<K: Kind>(
    args: &Args,
    records: &mut Vec<String>,
    arrived_ms: i64,
    rng: &mut Rng,
    landed: &mut Landed,
) -> io::Result<()> {
    let arrived = DateTime::from_timestamp_millis(arrived_ms).expect("a time of the generator's own");
    let folder = args.out.join(K::FOLDER).join(arrived.format("%Y/%m/%d/%H").to_string());
    std::fs::create_dir_all(&folder)?;
    let name = format!("{}-1-{}-{:06}.gz", K::NAME, arrived.format("%Y-%m-%d-%H-%M-%S"), landed.objects);
    let mut out = Writer::new();
    K::put(records, &mut out, rng)?;
    std::fs::write(folder.join(name), &out.gzip)?;
    landed.objects += 1;
    landed.records += records.len() as u64;
    landed.plain_bytes += out.plain_bytes;
    landed.gzip_bytes += out.gzip.len() as u64;
    records.clear();
    Ok(())
}
