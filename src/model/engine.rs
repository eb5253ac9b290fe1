//! A DataFusion session over tables of the lake and tables in memory. Every table of `schema` has a name in it: those the
//! lake does not have yet are empty. Queries of people are read-only; memory is bounded, and what does not fit is spilled.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::util::display::array_value_to_string;
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use datafusion::execution::memory_pool::{GreedyMemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionStateBuilder};
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext, lit};
use futures::TryStreamExt;
use futures::future::try_join_all;

use super::{
    CustomerSet, ModelError, MonthBounds, PricedUnder, Pricing, charges_sql_of, check_amounts, check_products, conform,
};
use crate::lake::{Lake, LakeTable};
use crate::schema::Table;

/// Held back by every sort for merging what it spilled.
const SORT_RESERVATION_BYTES: usize = 1 << 20;

/// Rows of usage priced at once: their windows and joins take about a third of the memory a session has by default.
const SHARE_ROWS: u64 = 200_000;

/// What a session may use.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// Bytes that sorts, joins and aggregates may hold before they spill.
    pub memory_bytes_max: usize,
    /// Work done at once.
    pub partitions: NonZeroUsize,
}

/// The rows of a query, batch by batch.
pub struct QueryResult {
    stream: SendableRecordBatchStream,
}

/// A session over the lake's tables.
#[derive(Clone)]
pub struct Engine {
    session: SessionContext,
}

impl Engine {
    /// A session in which every table is empty.
    pub fn new(options: EngineOptions) -> Result<Self, ModelError> {
        let config = SessionConfig::new()
            .with_target_partitions(options.partitions.get())
            .with_information_schema(true)
            // The literals carry their zone; a statement's own now() and casts mean UTC everywhere.
            .set_str("datafusion.execution.time_zone", "+00:00")
            // Each sort holds so much back for merging what it spilled, whether it spills or not: at the default of 10 MiB
            // the dozen sorts of two statements would leave nothing of the pool for those that cannot spill.
            .set_usize("datafusion.execution.sort_spill_reservation_bytes", SORT_RESERVATION_BYTES)
            // Columns of a UNION keep the comments of one side in one plan and of none in the other, which this check takes
            // for another schema. What a statement gives is brought into the table's shape and checked anyway.
            .set_bool("datafusion.execution.skip_physical_aggregate_schema_check", true)
            // A wrong guess about skew costs little here, a statement that plans itself anew for each day costs more.
            .set_bool("datafusion.execution.collect_statistics", false);
        // First come, first served. A fair pool divides by the number of operators that might spill, well over a hundred
        // in two of our statements, and then an aggregate that needs two MiB fails with all of the pool free.
        let pool = TrackConsumersPool::new(
            GreedyMemoryPool::new(options.memory_bytes_max),
            NonZeroUsize::MIN.saturating_add(2),
        );
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .build_arc()
            .map_err(|source| ModelError::Open { table: "*".to_owned(), source })?;
        let state =
            SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).with_default_features().build();
        let engine = Self { session: SessionContext::new_with_state(state) };
        for table in Table::ALL {
            engine.put(*table, Vec::new())?;
        }
        Ok(engine)
    }

    /// Gives a table these rows instead of what it had; they have the table's whole schema.
    pub fn put(&self, table: Table, batches: Vec<RecordBatch>) -> Result<(), ModelError> {
        let open = |source| ModelError::Open { table: table.name().to_owned(), source };
        let rows = MemTable::try_new(table.schema(), vec![batches]).map_err(open)?;
        self.provide(table, Arc::new(rows))
    }

    /// A session over all tables the lake has, each as it is now.
    pub async fn open(lake: &Lake, options: EngineOptions) -> Result<Self, ModelError> {
        let engine = Self::new(options)?;
        let tables = Table::ALL.iter().map(|table| lake.existing_table(*table));
        for table in try_join_all(tables).await?.into_iter().flatten() {
            engine.see(&table).await?;
        }
        Ok(engine)
    }

    /// Gives a table what the lake's had at this version instead of what it had; columns that it lacks are NULL.
    pub async fn see(&self, table: &LakeTable) -> Result<(), ModelError> {
        let open = |source| ModelError::Open { table: table.table().name().to_owned(), source };
        let delta = table.delta().await?;
        delta.update_datafusion_session(&self.session.state()).map_err(|e| open(e.into()))?;
        let provider: Arc<dyn TableProvider> = Arc::new(delta.table_provider().build().await.map_err(open)?);
        let lacking = table.lacking();
        if lacking.is_empty() {
            return self.provide(table.table(), provider);
        }
        let mut rows = self.session.read_table(provider).map_err(open)?;
        for column in lacking {
            let null = ScalarValue::try_new_null(&column.kind.arrow()).map_err(open)?;
            rows = rows.with_column(column.name, lit(null)).map_err(open)?;
        }
        self.provide(table.table(), rows.into_view())
    }

    fn provide(&self, table: Table, provider: Arc<dyn TableProvider>) -> Result<(), ModelError> {
        let open = |source| ModelError::Open { table: table.name().to_owned(), source };
        self.session.deregister_table(table.name()).map_err(open)?;
        self.session.register_table(table.name(), provider).map_err(open)?;
        Ok(())
    }

    /// Runs what a person typed: one query, nothing that changes anything.
    pub async fn query(&self, sql: &str) -> Result<QueryResult, ModelError> {
        let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let query = |source| ModelError::Query { source };
        // Planned and verified before it is run: a session executes statements that change something at once.
        let plan = self.session.state().create_logical_plan(sql).await.map_err(query)?;
        options.verify_plan(&plan).map_err(|source| ModelError::NotAQuery { source })?;
        let frame = self.session.execute_logical_plan(plan).await.map_err(query)?;
        Ok(QueryResult { stream: frame.execute_stream().await.map_err(query)? })
    }

    /// Runs one of our own statements: the rows of that part of the table, in its schema, checked.
    pub async fn make(&self, table: Table, part: &str, sql: &str) -> Result<RecordBatch, ModelError> {
        let failed = |source| ModelError::Make { table: table.name(), part: part.to_owned(), source };
        let frame = self.session.sql(sql).await.map_err(failed)?;
        let rows = conform(table, &frame.collect().await.map_err(failed)?)?;
        if table == Table::ChargesDaily {
            check_products(&rows)?;
        }
        Ok(rows)
    }

    /// The customers with usage in a month or a plan, cut into ranges that can be priced in the memory of a session.
    pub async fn shares(&self, month: &MonthBounds) -> Result<Vec<CustomerSet>, ModelError> {
        Ok(CustomerSet::ranges(self.rows_of_customers(month).await?, SHARE_ROWS))
    }

    /// The same of these customers alone.
    pub async fn shares_of(
        &self,
        customers: &BTreeSet<String>,
        month: &MonthBounds,
    ) -> Result<Vec<CustomerSet>, ModelError> {
        let counted = self.rows_of_customers(month).await?;
        Ok(CustomerSet::lists(counted.into_iter().filter(|(id, _)| customers.contains(id)), SHARE_ROWS))
    }

    /// About how many rows each customer with usage in a month or a plan has, in their order.
    async fn rows_of_customers(&self, month: &MonthBounds) -> Result<Vec<(String, u64)>, ModelError> {
        let (Some((first, _)), Some((last, _))) = (month.days.first(), month.days.last()) else {
            return Ok(Vec::new());
        };
        let sql = format!(
            "SELECT customer_id, CAST(sum(rows) AS BIGINT) AS rows FROM ( \
             SELECT customer_id, count(*) AS rows FROM usage_daily \
             WHERE customer_id IS NOT NULL AND day >= DATE '{first}' AND day <= DATE '{last}' GROUP BY customer_id \
             UNION ALL SELECT customer_id, {} * count(*) AS rows FROM customers GROUP BY customer_id \
             ) AS counted GROUP BY customer_id ORDER BY customer_id",
            month.days.len()
        );
        let mut counted = Vec::new();
        for batch in self.query(&sql).await?.collect().await? {
            let customers = batch.column(0);
            let rows = batch.column(1).as_primitive::<Int64Type>();
            for row in 0..batch.num_rows() {
                let customer =
                    array_value_to_string(customers, row).map_err(|e| ModelError::Query { source: e.into() })?;
                counted.push((customer, rows.value(row).unsigned_abs()));
            }
        }
        Ok(counted)
    }

    /// Prices some days of a month for some customers under the session's configuration, every amount checked.
    pub async fn charges(
        &self,
        part: &str,
        month: &MonthBounds,
        customers: &CustomerSet,
    ) -> Result<RecordBatch, ModelError> {
        let these = customers.condition().map_or_else(String::new, |these| format!(" WHERE {these}"));
        let under = PricedUnder {
            customers: self.all(Table::Customers, &these).await?,
            prices: self.all(Table::Prices, "").await?,
            plan_terms: self.all(Table::PlanTerms, "").await?,
        };
        let without_plan_terms = under.plan_terms.num_rows() == 0;
        let pricing = Pricing { customers: customers.clone(), without_plan_terms, unpriced_too: false };
        let rows = self.make(Table::ChargesDaily, part, &charges_sql_of(month, &pricing)).await?;
        check_amounts(&rows, month, &under)?;
        Ok(rows)
    }

    async fn all(&self, table: Table, condition: &str) -> Result<RecordBatch, ModelError> {
        let rows = self.query(&format!("SELECT * FROM {}{condition}", table.name())).await?.collect().await?;
        conform(table, &rows)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("session", &self.session.session_id()).finish()
    }
}

impl QueryResult {
    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        self.stream.schema()
    }

    /// The next rows, or none after the last.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, ModelError> {
        self.stream.try_next().await.map_err(|source| ModelError::Query { source })
    }

    /// All rows that are left.
    pub async fn collect(self) -> Result<Vec<RecordBatch>, ModelError> {
        self.stream.try_collect().await.map_err(|source| ModelError::Query { source })
    }
}

impl fmt::Debug for QueryResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryResult").field("schema", &self.stream.schema()).finish()
    }
}
