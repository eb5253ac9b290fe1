//! What people may run: queries over all tables, nothing that changes anything.

use meterlake::model::ModelError;
use meterlake::schema::Table;
use serde_json::json;

use super::{engine, rows, shown};

#[tokio::test]
async fn a_query_sees_every_table() {
    let engine = engine();
    engine.put(Table::Customers, rows(Table::Customers, &[json!({"customer_id": "acme"})])).unwrap();
    for table in Table::ALL {
        let got = engine
            .query(&format!("SELECT count(*) AS n FROM {}", table.name()))
            .await
            .unwrap()
            .collect()
            .await
            .unwrap();
        assert_eq!(shown(&got[0], &["n"]), [if *table == Table::Customers { "1" } else { "0" }]);
    }
}

#[tokio::test]
async fn statements_that_change_something_are_refused() {
    let engine = engine();
    for sql in [
        "CREATE TABLE t AS SELECT 1",
        "DROP TABLE customers",
        "INSERT INTO customers SELECT * FROM customers",
        "DELETE FROM customers",
        "COPY customers TO '/tmp/meterlake-refused.csv'",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "SET datafusion.execution.batch_size = 1",
    ] {
        let wrong = engine.query(sql).await.unwrap_err();
        assert!(matches!(wrong, ModelError::NotAQuery { .. }), "{sql}: {wrong:?}");
    }
    assert!(!std::path::Path::new("/tmp/meterlake-refused.csv").exists());
    assert!(matches!(engine.query("SELECT 1; SELECT 2").await, Err(ModelError::Query { .. })));
    assert!(matches!(engine.query("SELECT * FROM '/etc/passwd'").await, Err(ModelError::Query { .. })));
}
