//! Tables by SQL: the files of `sql/` with their parameters filled in, meters checked, run by DataFusion over the
//! lake's tables. In go the lake and rows of configuration; out come batches in the shape of `schema`, checked to be
//! exact. Nothing here writes to the lake or decides what is stale; `job` does. DataFusion is known here and nowhere else.

mod amounts;
mod checked;
mod coverage;
mod engine;
mod error;
mod meter;
mod params;
mod rule;
mod sql;
mod statements;
mod trace;

pub use amounts::{PricedUnder, check_amounts, check_products};
pub use checked::conform;
pub use coverage::{CoverageRules, SHORTFALL_MAX_PER_MILLE, coverage_sql};
pub use engine::{Engine, EngineOptions, QueryResult};
pub use error::ModelError;
pub use meter::{Meter, MeterError, MeterPart, MeterProblem, MeterValue};
pub(crate) use params::text as text_literal;
pub use sql::{SqlHeader, header, sql_text};
pub use statements::{
    CustomerSet, Cut, MonthBounds, Pricing, UsageDay, charges_sql, charges_sql_of, slot_of, slots_sql, usage_sql,
};
pub use trace::{EventName, UsageOf, find_sql, id_columns};
