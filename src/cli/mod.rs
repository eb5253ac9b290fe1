//! How people start meterlake: arguments, settings, progress, output and exit codes, one file per command. The only place
//! that reads the clock, the environment and configuration files, and the only one that prints: data on stdout, talk on
//! stderr. Exit codes: 0 done; 1 done, but something needs a look; 2 could not run.

mod arenas;
mod args;
mod bar;
mod counts;
mod doctor;
mod glue;
mod grid;
mod hints;
pub mod init;
mod invoice;
mod keys;
mod lambda;
mod maintain;
mod metrics;
mod notifications;
mod open;
mod publish;
mod query;
mod refusals;
mod reject_hints;
mod rejects;
mod report;
mod rewrite;
mod rows;
mod run;
pub mod settings;
mod summary;
mod talk;
mod trace;
mod watch;
mod worker;
mod world;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use serde_json::Value;

use args::{Cli, Command, GlueCommand, LogFormat, RowFormat};
use talk::Talk;
use world::World;

/// What a command that could be run says of what it found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    /// Nothing to see to.
    Done,
    /// Done, but something needs a look.
    NeedsLook,
    /// What was given is nothing to work on.
    Unusable,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    // Lambda starts the process without arguments.
    let cli = if lambda::is_here() { None } else { Some(Cli::parse()) };
    arenas::limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let done = async {
        match cli {
            Some(cli) => dispatch(cli).await,
            None => lambda::answer_events(Talk::to_log()).await.map(|()| Outcome::Done),
        }
    };
    match runtime.block_on(done) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::NeedsLook) => ExitCode::from(1),
        Ok(Outcome::Unusable) => ExitCode::from(2),
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    // Whoever closed the pipe has seen enough.
    let broken_pipe = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    };
    if error.chain().any(broken_pipe) {
        return ExitCode::SUCCESS;
    }
    let _ = write!(std::io::stderr(), "{}", report::render(error));
    ExitCode::from(2)
}

async fn dispatch(cli: Cli) -> Result<Outcome> {
    let talk = match &cli.command {
        Command::Worker(args) if args.log == LogFormat::Json => Talk::to_log(),
        _ => Talk::to_person(cli.quiet),
    };
    if let Command::Init { force } = cli.command {
        return maintain::init(&cli.config, force, &talk);
    }
    let world = World::default();
    if let Command::Doctor(args) = &cli.command {
        return doctor::doctor(&cli.config, args, cli.json, &world, &talk).await;
    }
    let settings = open::settings(&cli.config, &world)?;
    for warning in &settings.warnings {
        talk.warn(format!("warning: {warning}"));
    }
    match cli.command {
        Command::Init { .. } | Command::Doctor(_) => Ok(Outcome::Done),
        Command::Run => {
            let job = open::job(&settings, cli.accept_config, &world, &talk).await?;
            run::run(&settings, &job, &world, cli.json, &talk).await
        }
        Command::Convert(args) if args.rejects => {
            let job = open::job(&settings, cli.accept_config, &world, &talk).await?;
            rejects::replay(&settings, &job, &args, cli.json, &talk).await
        }
        Command::Convert(args) => {
            let job = open::job(&settings, cli.accept_config, &world, &talk).await?;
            run::convert(&settings, &job, &args, cli.json, &talk).await
        }
        Command::Worker(args) => worker::worker(&cli.config, &args, &world, &talk).await,
        Command::Build => {
            let job = open::job(&settings, cli.accept_config, &world, &talk).await?;
            run::build(&settings, &job, &world, cli.json, &talk).await
        }
        Command::Counts(args) => {
            let job = open::job(&settings, cli.accept_config, &world, &talk).await?;
            counts::counts(&settings, &job, &args, &world, cli.json, &talk).await
        }
        Command::Rebuild(days) => {
            let job = open::job(&settings, cli.accept_config, &world, &talk).await?;
            maintain::rebuild(&settings, &job, days.from, days.to, cli.json, &talk).await
        }
        Command::Retract { prefix, reason } => {
            let job = open::job(&settings, cli.accept_config, &world, &talk).await?;
            maintain::retract(&settings, &job, &prefix, &reason, cli.json, &talk).await
        }
        Command::Query { sql, format } => {
            let format = if cli.json { RowFormat::Json } else { format };
            let job = open::existing(&settings, &world).await?;
            query::query(&open::engine(&job).await?, &sql, format).await
        }
        Command::Sql { table, day } => {
            query::sql(&settings, &open::existing(&settings, &world).await?, &table, day).await
        }
        Command::Invoice(args) => {
            let job = open::existing(&settings, &world).await?;
            invoice::invoice(&settings, &job, &args, cli.json, &talk).await
        }
        Command::Explain { line } => {
            invoice::explain(&settings, &open::existing(&settings, &world).await?, &line, cli.json).await
        }
        Command::Trace { request_id, day } => {
            let job = open::existing(&settings, &world).await?;
            trace::trace(&settings, &job, &request_id, day, cli.json, &talk).await
        }
        Command::Status => run::status(&settings, &open::existing(&settings, &world).await?, cli.json, &talk).await,
        Command::Publish(args::PublishCommand::Dynamodb(args)) => {
            let job = open::existing(&settings, &world).await?;
            publish::dynamodb(&settings, &job, &args, &world, cli.json, &talk).await
        }
        Command::Rejects(args) => {
            let job = open::existing(&settings, &world).await?;
            rejects::rejects(&open::engine(&job).await?, &args, cli.json, &talk).await
        }
        Command::Verify(days) => {
            let job = open::existing(&settings, &world).await?;
            maintain::verify(&job, days.from, days.to, cli.json, &talk).await
        }
        Command::Vacuum { dry_run, keep_days } => {
            let job = open::existing(&settings, &world).await?;
            maintain::vacuum(&settings, &job, keep_days, dry_run, cli.json, &talk).await
        }
        Command::Glue(GlueCommand::Ddl { table }) => glue::ddl(&settings, table.as_deref(), cli.json),
        Command::Glue(GlueCommand::Sync { dry_run }) => {
            let job = open::existing(&settings, &world).await?;
            glue::sync(&settings, &job, dry_run, &world, cli.json, &talk).await
        }
        Command::Keys(args::KeysCommand::Fingerprint) => keys::fingerprint(&settings),
        Command::Keys(args::KeysCommand::Import(args)) => keys::import(&settings, &args, &world, cli.json, &talk).await,
        Command::Notifications(command) => {
            notifications::notifications(&settings, &command, &world, cli.json, &talk).await
        }
    }
}

/// Prints a value as indented JSON on stdout.
fn print_json(value: &Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    Ok(writeln!(out)?)
}

/// Prints text on stdout.
fn print_text(text: &str) -> Result<()> {
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}
