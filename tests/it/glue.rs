//! The Glue catalogue: what the tables look like there, what is done to a database that differs, and what is never done to tables
//! of others. The catalogue here is in memory; `tests/aws/glue.py` runs the binary against a stand-in that speaks Glue's protocol.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use async_trait::async_trait;
use insta::assert_snapshot;
use meterlake::glue::{FoundTable, Glue, GlueColumn, GlueError, GlueTable, MARK, Plan, Step, Target, Why};
use meterlake::job::JobError;
use meterlake::job::glue::{apply, look};
use meterlake::schema::Table;

use super::lab::{Call, Key, Lab, at, block_on, lines};
use super::shell::{Shell, edge_config};

const LAKE: &str = "s3://LAKE";

fn target() -> Target {
    Target::new("meterlake", LAKE).unwrap()
}

fn wanted() -> Vec<GlueTable> {
    Table::ALL.iter().map(|table| target().table(*table)).collect()
}

/// The tables as a catalogue holds them after they were made.
fn found() -> Vec<FoundTable> {
    wanted().into_iter().map(|table| FoundTable { table, version: Some("0".into()) }).collect()
}

fn named<'t>(found: &'t mut [FoundTable], name: &str) -> &'t mut GlueTable {
    &mut found.iter_mut().find(|found| found.table.name == name).unwrap().table
}

fn column(name: &str, kind: &str) -> GlueColumn {
    GlueColumn { name: name.into(), kind: kind.into(), comment: String::new() }
}

/// One line for each thing that a plan does or leaves.
fn told(plan: &Plan) -> String {
    let mut text = format!("database: {}, right: {}\n", plan.creates_database, plan.right);
    for step in &plan.steps {
        let _ = match step {
            Step::Create(table) => writeln!(text, "create {}", table.name),
            Step::Update { table, version, changes } => {
                let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
                writeln!(text, "update {} at {}: {}", table.name, version.as_deref().unwrap_or("-"), changes.join("; "))
            }
        };
    }
    for left in &plan.left {
        let _ = writeln!(text, "leave {}: {}", left.table, left.why);
    }
    text
}

// What the tables look like --------------------------------------------------------------------------------------------

/// The files under `glue/`: name and content.
fn generated() -> BTreeMap<PathBuf, String> {
    let target = target();
    let json = |value: serde_json::Value| serde_json::to_string_pretty(&value).unwrap() + "\n";
    let mut files = BTreeMap::from([
        ("database.sql".into(), target.database_ddl()),
        ("database.json".into(), json(target.database_input())),
    ]);
    for table in Table::ALL {
        files.insert(format!("{}.sql", table.name()).into(), target.table_ddl(*table));
        let definition = serde_json::to_value(target.table(*table)).unwrap();
        files.insert(format!("{}.json", table.name()).into(), json(definition));
    }
    files
}

/// Fails where a column, a comment or a type changes and the files do not.
#[test]
fn the_files_under_glue_are_those_of_the_schema() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("glue");
    let mut there = BTreeMap::new();
    for entry in fs::read_dir(&folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension != "md") {
            there.insert(PathBuf::from(path.file_name().unwrap()), fs::read_to_string(&path).unwrap());
        }
    }
    if there != generated() {
        let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join("glue");
        let _ = fs::remove_dir_all(&made);
        fs::create_dir_all(&made).unwrap();
        generated().iter().for_each(|(name, content)| fs::write(made.join(name), content).unwrap());
        let (made, folder) = (made.display(), folder.display());
        panic!("glue/ is out of date: rm -f {folder}/*.sql {folder}/*.json && cp {made}/* {folder}/");
    }
}

#[test]
fn a_table_is_declared_as_athena_reads_it() {
    assert_snapshot!(target().database_ddl() + "\n" + &target().table_ddl(Table::UsageDaily), @"
    CREATE DATABASE IF NOT EXISTS meterlake
    COMMENT 'Usage, charges and the log records behind them.';

    CREATE EXTERNAL TABLE meterlake.usage_daily
    LOCATION 's3://LAKE/tables/usage_daily/'
    TBLPROPERTIES ('table_type' = 'DELTA');
    ");
    let mut table = target().table(Table::Invoices);
    table.storage.columns.truncate(1);
    assert_snapshot!(serde_json::to_string_pretty(&table).unwrap(), @r#"
    {
      "Name": "invoices",
      "Description": "Invoices of closed months. One row per invoice; rows never change.",
      "TableType": "EXTERNAL_TABLE",
      "Parameters": {
        "EXTERNAL": "TRUE",
        "meterlake.lake": "s3://LAKE",
        "spark.sql.sources.provider": "delta",
        "table_type": "DELTA"
      },
      "PartitionKeys": [
        {
          "Name": "day",
          "Type": "date",
          "Comment": "first day of the billing month"
        }
      ],
      "StorageDescriptor": {
        "Columns": [
          {
            "Name": "number",
            "Type": "string",
            "Comment": "number of the invoice"
          }
        ],
        "Location": "s3://LAKE/tables/invoices/",
        "InputFormat": "org.apache.hadoop.mapred.SequenceFileInputFormat",
        "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveSequenceFileOutputFormat",
        "SerdeInfo": {
          "SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
          "Parameters": {
            "path": "s3://LAKE/tables/invoices/",
            "serialization.format": "1"
          }
        }
      }
    }
    "#);
}

#[test]
fn only_partitioned_tables_have_partition_columns() {
    for table in Table::ALL {
        let glue = target().table(*table);
        let keys: Vec<_> = glue.partition_keys.iter().map(|column| (&*column.name, &*column.kind)).collect();
        assert_eq!(keys, if table.is_partitioned() { vec![("day", "date")] } else { vec![] }, "{}", table.name());
        assert!(glue.storage.columns.iter().all(|column| !table.is_partitioned() || column.name != "day"));
        assert_eq!(keys.len() + glue.storage.columns.len(), table.columns().len());
    }
}

// What is to be done ---------------------------------------------------------------------------------------------------

#[test]
fn without_a_database_everything_is_made() {
    let plan = Plan::new(LAKE, &wanted(), None);
    assert!(plan.creates_database && !plan.is_empty());
    assert_eq!(plan.steps, wanted().into_iter().map(Step::Create).collect::<Vec<_>>());
}

#[test]
fn what_is_as_it_should_be_is_not_touched() {
    let plan = Plan::new(LAKE, &wanted(), Some(&found()));
    assert!(plan.is_empty() && plan.left.is_empty());
    assert_eq!(plan.right, Table::ALL.len());
}

#[test]
fn tables_of_other_names_are_no_business_of_ours() {
    let mut tables = found();
    let mut other = tables[0].clone();
    other.table.name = "clicks".into();
    other.table.parameters.remove(MARK);
    let mut of_another_lake = other.clone();
    of_another_lake.table.name = "usage_monthly".into();
    of_another_lake.table.parameters.insert(MARK.into(), "s3://OTHER".into());
    tables.extend([other, of_another_lake]);
    let plan = Plan::new(LAKE, &wanted(), Some(&tables));
    assert!(plan.is_empty() && plan.left.is_empty(), "{}", told(&plan));
}

/// Fails where the mark is not asked for before the differences are.
#[test]
fn a_table_of_somebody_else_under_our_name_is_left_alone() {
    let mut tables = found();
    let foreign = named(&mut tables, "prices");
    foreign.parameters.remove(MARK);
    foreign.storage.columns = vec![column("sku", "string")];
    named(&mut tables, "customers").parameters.insert(MARK.into(), "s3://OTHER".into());
    assert_snapshot!(told(&Plan::new(LAKE, &wanted(), Some(&tables))), @"
    database: false, right: 16
    leave customers: shows the lake s3://OTHER
    leave prices: not made by meterlake
    ");
}

#[test]
fn a_table_of_ours_that_no_version_has_any_more_is_only_told() {
    let mut tables = found();
    let mut gone = tables[0].clone();
    gone.table.name = "usage_hourly".into();
    tables.push(gone);
    let plan = Plan::new(LAKE, &wanted(), Some(&tables));
    assert!(plan.is_empty());
    assert_snapshot!(told(&plan), @"
    database: false, right: 18
    leave usage_hourly: the lake has no such table any more
    ");
}

#[test]
fn a_table_that_differs_is_changed_and_the_plan_says_how() {
    let mut tables = found();
    let charges = named(&mut tables, "charges_daily");
    charges.storage.columns.retain(|column| column.name != "billed");
    charges.storage.columns.push(column("bonus", "double"));
    charges.storage.columns.iter_mut().find(|column| column.name == "amount").unwrap().kind = "decimal(18,9)".into();
    named(&mut tables, "customers").description = "ours".into();
    named(&mut tables, "api_keys").storage.columns.swap(0, 1);
    let moved = named(&mut tables, "rejects");
    moved.storage.location = "s3://LAKE/old/rejects/".into();
    moved.storage.serde.parameters.insert("path".into(), "s3://LAKE/old/rejects/".into());
    named(&mut tables, "objects").storage.columns[2].comment = "mine".into();
    named(&mut tables, "built").storage.columns.iter_mut().for_each(|column| column.comment.clear());
    let kept = named(&mut tables, "invoices");
    kept.parameters.insert("table_type".into(), "ICEBERG".into());
    kept.parameters.insert("lf.team".into(), "finance".into());
    let unpartitioned = named(&mut tables, "usage_daily");
    let day = unpartitioned.partition_keys.remove(0);
    unpartitioned.storage.columns.insert(0, day);
    let plan = Plan::new(LAKE, &wanted(), Some(&tables));
    assert_snapshot!(told(&plan), @"
    database: false, right: 10
    update rejects at 0: location: s3://LAKE/old/rejects/ is now s3://LAKE/tables/rejects/; storage format
    update objects at 0: comment of source_object
    update usage_daily at 0: order of the columns
    update charges_daily at 0: amount: decimal(18,9) is now decimal(38,9); + billed bigint; - bonus
    update customers at 0: description
    update api_keys at 0: order of the columns
    update invoices at 0: parameter table_type
    update built at 0: comments of 5 columns
    ");
    // What others wrote beside ours stays; the rest is as it should be, so that a second plan is empty.
    let invoices = plan.steps.iter().find(|step| step.table().name == "invoices").unwrap().table();
    assert_eq!(invoices.parameters["lf.team"], "finance");
    for step in &plan.steps {
        *named(&mut tables, &step.table().name) = step.table().clone();
    }
    assert!(Plan::new(LAKE, &wanted(), Some(&tables)).is_empty());
}

// Doing it -------------------------------------------------------------------------------------------------------------

/// Tables with their versions.
type Tables = BTreeMap<String, (GlueTable, u32)>;
/// What somebody else does.
type Disturbance = Box<dyn Fn(&mut Tables) + Send>;

/// A catalogue in memory that counts changes, and lets somebody else do something just before one.
#[derive(Default)]
struct Memory {
    database: Mutex<bool>,
    tables: Mutex<Tables>,
    changes: Mutex<u32>,
    before: Mutex<Vec<Disturbance>>,
}

impl Memory {
    fn disturb(&self, by: impl Fn(&mut Tables) + Send + 'static) {
        self.before.lock().unwrap().push(Box::new(by));
    }

    fn changes(&self) -> u32 {
        *self.changes.lock().unwrap()
    }

    fn change(&self, table: &GlueTable, is_current: impl Fn(Option<u32>) -> bool) -> Result<(), GlueError> {
        let mut tables = self.tables.lock().unwrap();
        if let Some(disturbance) = self.before.lock().unwrap().pop() {
            disturbance(&mut tables);
        }
        let version = tables.get(&table.name).map(|(_, version)| *version);
        if !is_current(version) {
            return Err(GlueError::Changed { table: table.name.clone() });
        }
        tables.insert(table.name.clone(), (table.clone(), version.map_or(0, |version| version + 1)));
        *self.changes.lock().unwrap() += 1;
        Ok(())
    }
}

fn as_found((table, version): &(GlueTable, u32)) -> FoundTable {
    FoundTable { table: table.clone(), version: Some(version.to_string()) }
}

#[async_trait]
impl Glue for Memory {
    async fn has_database(&self) -> Result<bool, GlueError> {
        Ok(*self.database.lock().unwrap())
    }

    async fn create_database(&self, description: &str) -> Result<(), GlueError> {
        assert!(!description.is_empty());
        *self.database.lock().unwrap() = true;
        Ok(())
    }

    async fn tables(&self) -> Result<Vec<FoundTable>, GlueError> {
        Ok(self.tables.lock().unwrap().values().map(as_found).collect())
    }

    async fn table(&self, name: &str) -> Result<Option<FoundTable>, GlueError> {
        Ok(self.tables.lock().unwrap().get(name).map(as_found))
    }

    async fn create(&self, table: &GlueTable) -> Result<(), GlueError> {
        assert!(*self.database.lock().unwrap(), "no database");
        self.change(table, |there| there.is_none())
    }

    async fn update(&self, table: &GlueTable, version: Option<&str>) -> Result<(), GlueError> {
        let version: Option<u32> = version.map(|version| version.parse().unwrap());
        assert!(version.is_some(), "an update names the version it is for");
        self.change(table, |there| there == version)
    }
}

/// A lake with usage and no edge logs.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.origin("a", lines(&[Call::new(at(0, 9, 0), Key::Acme).line()]));
    lab.run();
    lab
}

async fn synced(lab: &Lab, glue: &Memory, target: &Target) -> (Plan, meterlake::job::glue::Synced) {
    let plan = look(&lab.job().await.lake, glue, target).await.unwrap();
    let done = apply(glue, target, &plan).await.unwrap();
    (plan, done)
}

/// Fails where a table without a log is declared: Athena would fail on it.
#[test]
fn tables_are_declared_once_the_lake_has_them_and_the_second_sync_does_nothing() {
    let (lab, glue) = (lab(), Memory::default());
    let there: Vec<String> = lab.tables().keys().map(|name| (*name).to_owned()).collect();
    block_on(async {
        let (plan, done) = synced(&lab, &glue, &target()).await;
        assert!(plan.creates_database && done.updated.is_empty() && done.left.is_empty());
        let mut created = done.created.clone();
        created.sort();
        assert_eq!(created, there);
        assert!(!created.contains(&"invoices".to_owned()) && created.contains(&"charges_daily".to_owned()));
        let changes = glue.changes();
        let (again, done) = synced(&lab, &glue, &target()).await;
        assert!(again.is_empty() && done == Default::default(), "{}", told(&again));
        assert_eq!((again.right, glue.changes()), (created.len(), changes));
    });
}

#[test]
fn under_another_name_the_database_is_made_anew_and_the_former_one_stays() {
    block_on(async {
        let (lab, former, renamed) = (lab(), Memory::default(), Memory::default());
        synced(&lab, &former, &target()).await;
        let changes = former.changes();
        let (plan, _) = synced(&lab, &renamed, &Target::new("usage", LAKE).unwrap()).await;
        assert!(plan.creates_database);
        assert_eq!((renamed.changes(), former.changes()), (changes, changes));
    });
}

#[test]
fn what_somebody_changes_meanwhile_is_looked_at_again() {
    block_on(async {
        let (lab, glue) = (lab(), Memory::default());
        synced(&lab, &glue, &target()).await;
        let spoil = |name: &'static str| {
            move |tables: &mut Tables| {
                let (table, version) = tables.get_mut(name).unwrap();
                table.description = format!("version {version}");
                table.parameters.insert("seen".into(), version.to_string());
                *version += 1;
            }
        };
        // Twice somebody is faster. Their parameter stays, the description is ours again.
        spoil("usage_daily")(&mut glue.tables.lock().unwrap());
        glue.disturb(spoil("usage_daily"));
        glue.disturb(spoil("usage_daily"));
        let (_, done) = synced(&lab, &glue, &target()).await;
        assert_eq!(done.updated, ["usage_daily"]);
        let (table, version) = glue.tables.lock().unwrap()["usage_daily"].clone();
        assert_eq!((&*table.description, &*table.parameters["seen"], version), (Table::UsageDaily.doc(), "2", 4));
        // Another sync does the same work first.
        spoil("prices")(&mut glue.tables.lock().unwrap());
        glue.disturb(|tables| {
            let right = target().table(Table::Prices);
            let (table, version) = tables.get_mut("prices").unwrap();
            (*table, *version) = (right, *version + 1);
        });
        let (plan, done) = synced(&lab, &glue, &target()).await;
        assert_eq!((plan.steps.len(), done), (1, Default::default()));
        // Somebody makes a table of their own under a name that was free.
        glue.tables.lock().unwrap().remove("customers");
        glue.disturb(|tables| {
            let mut theirs = target().table(Table::Customers);
            theirs.parameters.remove(MARK);
            tables.insert(theirs.name.clone(), (theirs, 0));
        });
        let (_, done) = synced(&lab, &glue, &target()).await;
        assert!(done.created.is_empty());
        assert_eq!((done.left.len(), &done.left[0].why), (1, &Why::Foreign));
    });
}

#[test]
fn a_table_that_never_rests_is_an_error() {
    block_on(async {
        let (lab, glue) = (lab(), Memory::default());
        synced(&lab, &glue, &target()).await;
        let spoil = |tables: &mut Tables| {
            let (table, version) = tables.get_mut("prices").unwrap();
            (table.description, *version) = (String::new(), *version + 1);
        };
        spoil(&mut glue.tables.lock().unwrap());
        (0..20).for_each(|_| glue.disturb(spoil));
        let plan = look(&lab.job().await.lake, &glue, &target()).await.unwrap();
        let error = apply(&glue, &target(), &plan).await.unwrap_err();
        assert!(matches!(error, JobError::Glue(GlueError::Changed { .. })), "{error}");
    });
}

// At the shell ---------------------------------------------------------------------------------------------------------

fn shell(lake: &str, extra: &str) -> Shell {
    let shell = Shell::new();
    shell.write("meterlake.toml", edge_config(extra).replace("lake = \"lake\"", &format!("lake = \"{lake}\"")));
    shell
}

#[test]
fn ddl_prints_statements_or_definitions() {
    let shell = shell("s3://bucket/lake", "[aws]\nglue_database = \"billing\"\n");
    let all = shell.run(&["glue", "ddl"]);
    assert_eq!(all.code, 0, "{}", all.err);
    assert!(all.out.starts_with("CREATE DATABASE IF NOT EXISTS billing\n"), "{}", all.out);
    assert_eq!(all.out.matches("CREATE EXTERNAL TABLE billing.").count(), Table::ALL.len());
    assert_snapshot!(shell.run(&["glue", "ddl", "prices"]).all(), @"
    exit 0
    --- stdout
    CREATE EXTERNAL TABLE billing.prices
    LOCATION 's3://bucket/lake/tables/prices/'
    TBLPROPERTIES ('table_type' = 'DELTA');
    ");
    let json: serde_json::Value = serde_json::from_str(&shell.run(&["glue", "ddl", "--json"]).out).unwrap();
    assert_eq!(json["DatabaseInput"]["Name"], "billing");
    assert_eq!(json["TableInputs"].as_array().unwrap().len(), Table::ALL.len());
    let one: serde_json::Value = serde_json::from_str(&shell.run(&["glue", "ddl", "prices", "--json"]).out).unwrap();
    assert_eq!(one["StorageDescriptor"]["Location"], "s3://bucket/lake/tables/prices/");
    let unknown = shell.run(&["glue", "ddl", "price"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("there is no table `price`; did you mean `prices`?"), "{}", unknown.err);
}

#[test]
fn what_is_missing_is_said() {
    assert_snapshot!(shell("s3://bucket/lake", "").run(&["glue", "ddl"]).all(), @r#"
    exit 2
    --- stderr
    error: no Glue database is configured: write glue_database = "meterlake" under [aws] in meterlake.toml
    "#);
    assert_snapshot!(shell("lake", "[aws]\nglue_database = \"billing\"\n").run(&["glue", "ddl"]).all(), @"
    exit 2
    --- stderr
    error: the lake is [folder]/lake; Glue and Athena see only tables on s3://
    ");
}

#[test]
fn the_settings_are_checked() {
    let wrong = "[aws]\nglue_database = \"My-Lake\"\nglue_catalog_id = \"12345\"\nglue_databse = \"x\"\n";
    assert_snapshot!(shell("s3://bucket/lake", wrong).run(&["glue", "ddl"]).all(), @r"
    exit 2
    --- stderr
    error: meterlake.toml:17: `glue_database` must begin with a lower-case letter and have only those, digits and underscores
    meterlake.toml:18: `glue_catalog_id` must be the 12 digits of an AWS account, in quotes
    meterlake.toml:19: unknown key `glue_databse` in [aws]; did you mean `glue_database`?
    ");
}
