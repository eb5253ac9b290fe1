//! A synthetic lake's inputs: landing objects of both log kinds as Firehose delivers them, with duplicates, late and
//! unreadable records, and the configuration to bill them. The same arguments give the same bytes.

mod edge;
mod landing;
mod origin;
mod settings;
mod world;

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::Parser;

pub use edge::FIELDS as EDGE_FIELDS;
use landing::Kind;
pub use landing::Landed;
pub use origin::FORMAT as ORIGIN_FORMAT;

/// Makes landing objects and a configuration for them.
#[derive(Parser)]
pub struct Args {
    /// Folder to make; must not exist.
    pub out: PathBuf,
    /// CloudFront real-time records.
    #[arg(long, default_value_t = 404_000)]
    pub edge: u64,
    /// API Gateway records, in CloudWatch Logs envelopes.
    #[arg(long, default_value_t = 325_000)]
    pub origin: u64,
    /// Days over which the records spread evenly.
    #[arg(long, default_value_t = 1)]
    days: u32,
    /// First day, UTC.
    #[arg(long, default_value = "2026-10-05")]
    start: NaiveDate,
    /// Records per landing object.
    #[arg(long, default_value_t = 50_000)]
    pub object_records: u64,
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

impl Args {
    /// What the command line means without options.
    pub fn new(out: PathBuf) -> Self {
        Self::parse_from([std::ffi::OsString::from("generate"), out.into_os_string()])
    }
}

/// Makes everything; what was made, per source.
pub fn generate(args: &Args) -> std::io::Result<Vec<(&'static str, Landed)>> {
    std::fs::create_dir(&args.out)?;
    settings::write(args)?;
    let made = std::thread::scope(|scope| {
        let edge = scope.spawn(|| landing::write::<edge::Edge>(args, args.edge));
        let origin = scope.spawn(|| landing::write::<origin::Origin>(args, args.origin));
        [edge, origin].map(|thread| thread.join().expect("a generating thread does not panic"))
    });
    [edge::Edge::NAME, origin::Origin::NAME].into_iter().zip(made).map(|(name, landed)| Ok((name, landed?))).collect()
}
