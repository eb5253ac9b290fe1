//! Makes a synthetic lake's inputs: landing objects of both log kinds as Firehose delivers them, with duplicates, late
//! and unreadable records, and the configuration to bill them. The same arguments give the same bytes.
//!
//! `cargo run --release -p meterlake-bench -- OUT --edge 404000 --origin 325000`

mod edge;
mod landing;
mod origin;
mod settings;
mod world;

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::Parser;

use landing::{Kind, Landed};

/// Makes landing objects and a configuration for them.
#[derive(Parser)]
pub(crate) struct Args {
    /// Folder to make; must not exist.
    out: PathBuf,
    /// CloudFront real-time records.
    #[arg(long, default_value_t = 404_000)]
    edge: u64,
    /// API Gateway records, in CloudWatch Logs envelopes.
    #[arg(long, default_value_t = 325_000)]
    origin: u64,
    /// Days over which the records spread evenly.
    #[arg(long, default_value_t = 1)]
    days: u32,
    /// First day, UTC.
    #[arg(long, default_value = "2026-10-05")]
    start: NaiveDate,
    /// Records per landing object.
    #[arg(long, default_value_t = 50_000)]
    object_records: u64,
    /// Customers, each with one key.
    #[arg(long, default_value_t = 2000)]
    customers: u32,
    /// Share of records delivered twice.
    #[arg(long, default_value_t = 0.01)]
    duplicates: f64,
    /// Share of records delivered up to three hours late.
    #[arg(long, default_value_t = 0.005)]
    late: f64,
    /// Share of records cut in half.
    #[arg(long, default_value_t = 0.0005)]
    bad: f64,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> std::io::Result<()> {
    let args = Args::parse();
    std::fs::create_dir(&args.out)?;
    settings::write(&args)?;
    let made = std::thread::scope(|scope| {
        let edge = scope.spawn(|| landing::write::<edge::Edge>(&args, args.edge));
        let origin = scope.spawn(|| landing::write::<origin::Origin>(&args, args.origin));
        [edge, origin].map(|thread| thread.join().expect("a generating thread does not panic"))
    });
    let mut out = std::io::stdout().lock();
    for (name, landed) in [edge::Edge::NAME, origin::Origin::NAME].into_iter().zip(made) {
        let Landed { objects, records, plain_bytes, gzip_bytes } = landed?;
        use std::io::Write as _;
        writeln!(out, "{name}: {objects} objects, {records} records, {plain_bytes} bytes plain, {gzip_bytes} gzip")?;
    }
    Ok(())
}
