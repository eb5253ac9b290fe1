//! `query` and `sql`: any read-only SQL over the lake's tables, and the text of a derived table as it is run.

use std::io::{self, Write};

use anyhow::{Context, Result, bail};

use crate::base::UtcDay;
use crate::job::Job;
use crate::job::derive::statement;
use crate::model::Engine;
use crate::schema::Table;

use super::args::RowFormat;
use super::rows::RowWriter;
use super::settings::Settings;
use super::{Outcome, open};

/// Runs the query and writes its rows to stdout as they come.
pub(crate) async fn query(engine: &Engine, sql: &str, format: RowFormat) -> Result<Outcome> {
    let sql = if sql == "-" {
        io::read_to_string(io::stdin()).context("cannot read the query from standard input")?
    } else {
        sql.to_owned()
    };
    let mut rows = engine.query(&sql).await?;
    let mut writer = RowWriter::new(io::stdout().lock(), format, &rows.schema())?;
    while let Some(batch) = rows.next().await? {
        writer.write(&batch)?;
    }
    writer.finish()?;
    io::stdout().flush()?;
    Ok(Outcome::Done)
}

/// Prints the SQL of a derived table as it is run.
pub(crate) async fn sql(settings: &Settings, job: &Job, name: &str, day: UtcDay) -> Result<Outcome> {
    let with = open::derivation(settings, job).await?;
    let table = Table::by_name(name);
    let text = match table {
        Some(table) => statement(&job.lake, &with, table, day).await?,
        None => None,
    };
    let Some(text) = text else {
        bail!("`{name}` is not made by SQL; these are: usage_slots, usage_daily, charges_daily, coverage_hourly");
    };
    writeln!(io::stdout(), "{}", text.trim_end())?;
    Ok(Outcome::Done)
}
