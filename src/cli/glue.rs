//! `glue ddl` and `glue sync`: the lake's tables in the Glue catalogue, where Athena looks them up. What is to be done is printed before it
//! is done. Builds of a worker and on Lambda keep the catalogue by themselves where the configuration names a database.

use anyhow::Result;
use serde_json::{Value, json};

use crate::aws::GlueDatabase;
use crate::base::problem::suggestion;
use crate::glue::{GlueTable, Left, Plan, Step, Target, Why};
use crate::job::Job;
use crate::job::glue::{Synced, apply, look};
use crate::schema::Table;

use super::grid::Grid;
use super::settings::Settings;
use super::world::World;
use super::{Outcome, Talk, print_json, print_text};

/// Prints the statements, or with `--json` the definitions, of one table or of the database and all.
pub(crate) fn ddl(settings: &Settings, table: Option<&str>, json: bool) -> Result<Outcome> {
    let target = target(settings)?;
    let tables = match table {
        Some(name) => vec![Table::by_name(name).ok_or_else(|| {
            let near = suggestion(name, Table::ALL.iter().map(|table| table.name()));
            anyhow::anyhow!("there is no table `{name}`{near}")
        })?],
        None => Table::ALL.to_vec(),
    };
    if json {
        let inputs: Vec<GlueTable> = tables.into_iter().map(|table| target.table(table)).collect();
        print_json(&match table {
            Some(_) => json!(inputs.first()),
            None => json!({"DatabaseInput": target.database_input(), "TableInputs": inputs}),
        })?;
    } else {
        let database = table.is_none().then(|| target.database_ddl());
        let statements = database.into_iter().chain(tables.into_iter().map(|table| target.table_ddl(table)));
        print_text(&statements.collect::<Vec<_>>().join("\n"))?;
    }
    Ok(Outcome::Done)
}

/// Prints what is to be done and, unless it is a dry run, does it.
pub(crate) async fn sync(
    settings: &Settings,
    job: &Job,
    dry_run: bool,
    world: &World,
    json: bool,
    talk: &Talk,
) -> Result<Outcome> {
    let target = target(settings)?;
    let glue = database(settings, &target, world).await;
    let plan = look(&job.lake, &glue, &target).await?;
    if json {
        print_json(&plan_json(&target, &plan, dry_run))?;
    } else {
        print_text(&plan_text(&target, &plan))?;
    }
    let mut left = plan.left.clone();
    if dry_run {
        talk.say("nothing was changed (--dry-run)");
    } else if !plan.is_empty() {
        let synced = apply(&glue, &target, &plan).await?;
        talk.say(done_text(&synced));
        left = synced.left;
    }
    left.iter().for_each(|left| talk.say(format!("\nhint: {}", hint(&target, left))));
    Ok(if left.is_empty() { Outcome::Done } else { Outcome::NeedsLook })
}

/// After a build: the same, where the configuration names a database. What goes wrong is said; the build is done all the same.
pub(super) async fn keep(settings: &Settings, job: &Job, world: &World, talk: &Talk) -> Option<Value> {
    settings.aws.glue_database.as_ref()?;
    match kept(settings, job, world).await {
        Ok(synced) => {
            if !synced.created.is_empty() || !synced.updated.is_empty() {
                talk.say(done_text(&synced));
            }
            Some(json!({"created": synced.created, "updated": synced.updated, "left": left_json(&synced.left)}))
        }
        Err(error) => {
            talk.warn(format!("the Glue catalogue was not brought up to date: {error:#}"));
            Some(json!({"error": format!("{error:#}")}))
        }
    }
}

async fn kept(settings: &Settings, job: &Job, world: &World) -> Result<Synced> {
    let target = target(settings)?;
    let glue = database(settings, &target, world).await;
    let plan = look(&job.lake, &glue, &target).await?;
    Ok(apply(&glue, &target, &plan).await?)
}

/// The database of the configuration and the lake it shall show.
fn target(settings: &Settings) -> Result<Target> {
    let Some(database) = &settings.aws.glue_database else {
        anyhow::bail!(
            "no Glue database is configured: write glue_database = \"meterlake\" under [aws] in {}",
            settings.file.display()
        );
    };
    Ok(Target::new(database, &settings.lake)?)
}

async fn database(settings: &Settings, target: &Target, world: &World) -> GlueDatabase {
    world.aws().await.glue(target.database(), settings.aws.glue_catalog_id.as_deref())
}

fn plan_text(target: &Target, plan: &Plan) -> String {
    let mut grid = Grid::new(&["table", "action", "why"]);
    if plan.creates_database {
        grid.row([format!("(database {})", target.database()), "create".into(), "it is not there".into()]);
    }
    for step in &plan.steps {
        let why = match step {
            Step::Create(table) => {
                format!(
                    "{} columns, {}",
                    table.partition_keys.len() + table.storage.columns.len(),
                    table.storage.location
                )
            }
            Step::Update { changes, .. } => changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        };
        grid.row([step.table().name.clone(), action(step).into(), why]);
    }
    for left in &plan.left {
        grid.row([left.table.clone(), "leave".into(), left.why.to_string()]);
    }
    let mut text = format!("Glue database {} for the lake {}: ", target.database(), target.lake());
    let is_short = plan.is_empty() && plan.left.is_empty();
    text += &match (is_short, plan.right) {
        (true, right) => format!("nothing to do, {right} tables are as they should be\n"),
        (false, right) => format!("{right} tables are as they should be\n\n{grid}"),
    };
    text
}

fn plan_json(target: &Target, plan: &Plan, dry_run: bool) -> Value {
    let step = |step: &Step| match step {
        Step::Create(table) => json!({"table": table.name, "action": action(step), "definition": table}),
        Step::Update { table, changes, .. } => {
            let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
            json!({"table": table.name, "action": action(step), "changes": changes, "definition": table})
        }
    };
    json!({
        "database": target.database(),
        "lake": target.lake(),
        "dry_run": dry_run,
        "creates_database": plan.creates_database,
        "steps": plan.steps.iter().map(step).collect::<Vec<_>>(),
        "left": left_json(&plan.left),
        "right": plan.right,
    })
}

fn left_json(left: &[Left]) -> Value {
    left.iter().map(|left| json!({"table": left.table, "why": left.why.to_string()})).collect()
}

const fn action(step: &Step) -> &'static str {
    match step {
        Step::Create(_) => "create",
        Step::Update { .. } => "update",
    }
}

fn done_text(synced: &Synced) -> String {
    format!("the Glue catalogue: {} tables created, {} updated", synced.created.len(), synced.updated.len())
}

fn hint(target: &Target, left: &Left) -> String {
    let name = format!("{}.{}", target.database(), left.table);
    match &left.why {
        Why::Foreign => format!(
            "{name} was not made by meterlake and is left alone; if it is not needed, `DROP TABLE {name}` in Athena (no file is \
             deleted) and sync again"
        ),
        Why::OtherLake(lake) => format!(
            "{name} shows the lake {lake}; use a database of its own for each lake, or `DROP TABLE {name}` in Athena (no file is \
             deleted) and sync again"
        ),
        Why::Gone => {
            format!("{name} shows a table that this version does not have; `DROP TABLE {name}` in Athena removes it")
        }
    }
}
