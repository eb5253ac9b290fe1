//! What can be typed: commands and flags with their help. What it means is decided in the files of the commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::base::UtcDay;
use crate::billing::BillingMonth;

use super::counts;

/// Turns AWS API logs into an auditable, usage-based bill.
#[derive(Parser, Debug)]
#[command(name = "meterlake", version, propagate_version = true, max_term_width = 110)]
pub(crate) struct Cli {
    /// The configuration: a file, or s3://bucket/key.
    #[arg(
        long,
        short,
        global = true,
        default_value = "meterlake.toml",
        value_name = "FILE",
        env = "METERLAKE_CONFIG",
        hide_env_values = true
    )]
    pub(crate) config: PathBuf,
    /// Print data as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing on stderr but errors.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Build although the lake has been built with a newer configuration than this one.
    #[arg(long, global = true)]
    pub(crate) accept_config: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Say what logs are and which settings read them; needs no configuration.
    Doctor(DoctorArgs),
    /// Write a commented configuration into the current folder.
    Init {
        /// Replace files that are there.
        #[arg(long)]
        force: bool,
    },
    /// Convert what is new, build what is stale, print a summary: the main job.
    Run,
    /// Decode new landing objects into staged files.
    Convert(ConvertArgs),
    /// Convert what a queue of S3 notifications names, and build every so often; any number may run.
    Worker(WorkerArgs),
    /// Bring the tables up to date with what is staged.
    Build,
    /// Hold the hours against how many requests CloudWatch, or a file, counted in them.
    Counts(CountsArgs),
    /// Decode the objects of some days again under the present configuration and replace their events.
    Rebuild(Days),
    /// Withdraw landing objects that should not have been there, and what they caused.
    Retract {
        /// Objects whose key starts with this.
        prefix: String,
        /// Why; kept in the ledger.
        #[arg(long)]
        reason: String,
    },
    /// Run SQL over the tables of the lake.
    Query {
        /// The query; `-` reads it from standard input.
        #[arg(allow_hyphen_values = true)]
        sql: String,
        /// How to print the rows.
        #[arg(long, value_enum, default_value_t = RowFormat::Table)]
        format: RowFormat,
    },
    /// Print the SQL of a table as it is run.
    Sql {
        /// usage_slots, usage_daily, charges_daily or coverage_hourly.
        table: String,
        /// For this day (charges: for its month, up to this day).
        #[arg(long)]
        day: UtcDay,
    },
    /// Preview a month's invoices; with --close, issue them for good.
    Invoice(InvoiceArgs),
    /// How an invoice line came about: days, quantities, tiers, prices, keys, and how to list its events.
    Explain {
        /// NUMBER/LINE of a closed month (2026-10-0001/3), or MONTH/CUSTOMER/LINE of a preview (2026-10/acme/3).
        line: String,
    },
    /// Explain a request: its records, what each meter decided, whose key, what it was charged as.
    Trace {
        /// A request id: any id of a request that an event carries.
        #[arg(allow_hyphen_values = true)]
        request_id: String,
        /// Only look into this UTC day.
        #[arg(long)]
        day: Option<UtcDay>,
    },
    /// What the lake holds: objects, events, gaps, usage, charges, what is held.
    Status,
    /// Publish totals for dashboards and quotas.
    #[command(subcommand)]
    Publish(PublishCommand),
    /// Records that could not be read: counts, samples, and what to do about each reason.
    Rejects(RejectsArgs),
    /// Count again from the landing objects and compare with the tables.
    Verify(OptionalDays),
    /// Delete files that nothing needs any more.
    Vacuum {
        /// Only say what would be deleted.
        #[arg(long)]
        dry_run: bool,
        /// Keep files that were replaced less than this many days ago.
        #[arg(long, default_value_t = super::maintain::KEEP_DAYS)]
        keep_days: u32,
    },
    /// Show the tables to Athena: in a database of the Glue catalogue.
    #[command(subcommand)]
    Glue(GlueCommand),
    /// Help with API keys.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Whether the buckets tell the queue of new objects.
    #[command(subcommand)]
    Notifications(NotificationsCommand),
}

/// Commands on what buckets tell.
#[derive(Subcommand, Debug)]
pub(crate) enum NotificationsCommand {
    /// Say for each source whether its bucket tells the queue, and keeps versions.
    Check {
        /// URL or ARN of the queue.
        #[arg(long, env = "METERLAKE_QUEUE", value_name = "QUEUE")]
        queue: String,
    },
    /// Add the rules that are missing; those that are there are kept.
    Set {
        /// URL or ARN of the queue.
        #[arg(long, env = "METERLAKE_QUEUE", value_name = "QUEUE")]
        queue: String,
        /// Only say what would be added.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Commands on API keys.
#[derive(Subcommand, Debug)]
pub(crate) enum KeysCommand {
    /// Print the fingerprint of each key read from standard input, one a line, for the keys file.
    Fingerprint,
    /// Add the keys of API Gateway to the keys file: id, name and fingerprint, never the value.
    Import(ImportArgs),
}

/// Where totals are published.
#[derive(Subcommand, Debug)]
pub(crate) enum PublishCommand {
    /// Month-to-date usage per customer and key, in the DynamoDB table of the configuration; only what changed is written.
    Dynamodb(PublishArgs),
}

/// What is published.
#[derive(Args, Debug)]
pub(crate) struct PublishArgs {
    /// Only this billing month. Can be given more than once.
    #[arg(long, value_name = "MONTH")]
    pub(crate) month: Vec<BillingMonth>,
    /// Compare every total, also where nothing it is made from has changed: brings back items that were deleted.
    #[arg(long)]
    pub(crate) all: bool,
    /// Only say what would be written.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Which keys are imported.
#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    /// The tag of an API key that holds its customer's id; keys without it are listed, not added.
    #[arg(long, value_name = "TAG", default_value = "customer_id")]
    pub(crate) customer_tag: String,
    /// Only say what would be added.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Commands on the Glue catalogue.
#[derive(Subcommand, Debug)]
pub(crate) enum GlueCommand {
    /// Print the statements that declare the tables in Athena; with --json the definitions, columns and comments included.
    Ddl {
        /// Only this table.
        table: Option<String>,
    },
    /// Print what is to be done so that the catalogue has the lake's tables, and do it; tables of others are never touched.
    Sync {
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
}

/// What is looked at.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// Files, folders, s3://bucket/key or s3://bucket/prefix.
    #[arg(value_name = "SAMPLE", required = true)]
    pub(crate) samples: Vec<String>,
    /// Look at so many objects of a folder or prefix, evenly chosen.
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) objects: u32,
    /// Look at so many MiB of each object, as stored.
    #[arg(long, value_name = "MIB", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) mib: u32,
}

/// Which landing objects are decoded.
#[derive(Args, Debug)]
pub(crate) struct ConvertArgs {
    /// Only objects whose key starts with this.
    #[arg(value_name = "PREFIX")]
    pub(crate) prefixes: Vec<String>,
    /// Only objects that arrived on this UTC day or later.
    #[arg(long)]
    pub(crate) from: Option<UtcDay>,
    /// Only objects that arrived before this UTC day.
    #[arg(long)]
    pub(crate) to: Option<UtcDay>,
    /// Only say how many objects and bytes there are to decode.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Decode objects again that have rejects, after the configuration was corrected; those that give the same rejects stay
    /// as they are.
    #[arg(long)]
    pub(crate) rejects: bool,
    /// Only objects with rejects for this reason. Can be given more than once.
    #[arg(long, requires = "rejects")]
    pub(crate) reason: Vec<String>,
    /// Only objects with rejects of this source. Can be given more than once.
    #[arg(long, requires = "rejects")]
    pub(crate) source: Vec<String>,
}

/// Which rejects are shown.
#[derive(Args, Debug)]
pub(crate) struct RejectsArgs {
    /// How many to show one by one of each source and reason.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) samples: usize,
    /// Only those for this reason. Can be given more than once.
    #[arg(long)]
    pub(crate) reason: Vec<String>,
    /// Only those of this source. Can be given more than once.
    #[arg(long)]
    pub(crate) source: Vec<String>,
    /// Only those of the object with this key. Can be given more than once.
    #[arg(long, value_name = "KEY")]
    pub(crate) object: Vec<String>,
    /// Only those of objects whose key starts with this. Can be given more than once.
    #[arg(long)]
    pub(crate) prefix: Vec<String>,
    /// Only those of objects that arrived on this UTC day or later.
    #[arg(long)]
    pub(crate) from: Option<UtcDay>,
    /// Only those of objects that arrived before this UTC day.
    #[arg(long)]
    pub(crate) to: Option<UtcDay>,
}

/// Where the counts come from.
#[derive(Args, Debug)]
pub(crate) struct CountsArgs {
    /// Read them from a CSV file (source,hour,requests) instead of asking CloudWatch; whole days of a source are replaced.
    #[arg(long, value_name = "FILE", conflicts_with = "days")]
    pub(crate) file: Option<PathBuf>,
    /// How many UTC days to ask CloudWatch for, today included.
    #[arg(long, default_value_t = counts::DAYS, value_parser = clap::value_parser!(u16).range(1..=455))]
    pub(crate) days: u16,
}

/// How a queue is worked off.
#[derive(Args, Debug)]
pub(crate) struct WorkerArgs {
    /// URL of the queue that the bucket notifies.
    #[arg(long, env = "METERLAKE_QUEUE", value_name = "URL")]
    pub(crate) queue: String,
    /// Minutes between builds.
    #[arg(long, value_name = "MINUTES", default_value_t = 15)]
    pub(crate) build_every: u64,
    /// End when the queue is empty.
    #[arg(long)]
    pub(crate) until_empty: bool,
    /// What it says and measures, for people or for a log.
    #[arg(long, value_enum, env = "METERLAKE_LOG", value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub(crate) log: LogFormat,
}

/// How a worker talks.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LogFormat {
    /// Lines for people on stderr.
    Text,
    /// Lines of JSON on stderr, and metrics in CloudWatch's embedded format on stdout.
    Json,
}

/// What shall be done with a month.
#[derive(Args, Debug)]
pub(crate) struct InvoiceArgs {
    /// The billing month, such as 2026-10.
    pub(crate) month: BillingMonth,
    /// Issue the invoices: they get numbers and never change again.
    #[arg(long, conflicts_with_all = ["diff", "reprice", "rates"])]
    pub(crate) close: bool,
    /// Close although something stands against it; the reason is kept with the close.
    #[arg(long, value_name = "REASON", requires = "close")]
    pub(crate) accept: Option<String>,
    /// Leave a customer out; the next close bills them. Can be given more than once.
    #[arg(long, value_name = "CUSTOMER")]
    pub(crate) hold: Vec<String>,
    /// Show the lines of this customer only.
    #[arg(long, value_name = "CUSTOMER")]
    pub(crate) customer: Option<String>,
    /// What has changed since the month was closed, and which objects brought it.
    #[arg(long, conflicts_with_all = ["reprice", "rates"])]
    pub(crate) diff: bool,
    /// Price a closed month under today's configuration from now on; prints the difference per customer first.
    #[arg(long, requires = "reason", conflicts_with = "rates")]
    pub(crate) reprice: bool,
    /// Why the month is priced otherwise; kept with it.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Price the same usage by these rates and print the difference per customer; nothing is stored.
    #[arg(long, value_name = "FILE")]
    pub(crate) rates: Option<PathBuf>,
    /// Write files in this format: csv, json, html, pdf, focus, stripe or cloudevents. Can be given more than once.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) export: Vec<String>,
    /// Where the files go.
    #[arg(long, value_name = "FOLDER", default_value = "invoices", requires = "export")]
    pub(crate) out: PathBuf,
}

/// An interval of UTC days.
#[derive(Args, Debug)]
pub(crate) struct Days {
    /// First UTC day.
    #[arg(long)]
    pub(crate) from: UtcDay,
    /// First UTC day after.
    #[arg(long)]
    pub(crate) to: UtcDay,
}

/// An interval of UTC days, open where not given.
#[derive(Args, Debug)]
pub(crate) struct OptionalDays {
    /// First UTC day.
    #[arg(long)]
    pub(crate) from: Option<UtcDay>,
    /// First UTC day after.
    #[arg(long)]
    pub(crate) to: Option<UtcDay>,
}

/// How rows are printed.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RowFormat {
    /// Aligned columns, for people.
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// One JSON array.
    Json,
    /// One JSON object a line.
    Ndjson,
}
