//! Makes landing objects to measure with: `cargo run --release -p meterlake-bench -- OUT --edge 404000 --origin 325000`

use std::io::Write as _;

use clap::Parser as _;
use meterlake_bench::{Args, Landed, generate};

fn main() -> std::io::Result<()> {
    let args = Args::parse();
    let mut out = std::io::stdout().lock();
    for (name, Landed { objects, records, plain_bytes, gzip_bytes }) in generate(&args)? {
        writeln!(out, "{name}: {objects} objects, {records} records, {plain_bytes} bytes plain, {gzip_bytes} gzip")?;
    }
    Ok(())
}
