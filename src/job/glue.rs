//! Makes a database of the Glue catalogue show the lake: looks what is to be done, then does it. Where somebody changes a table at the
//! same time, it is looked at again and decided anew; done twice it changes nothing.

use std::time::Duration;

use crate::glue::{Decision, Glue, GlueError, Left, Plan, Step, Target, decide};
use crate::lake::Lake;
use crate::schema::Table;

use super::JobError;

/// Times one table is looked at again because somebody else changes it.
const ATTEMPTS_MAX: u32 = 5;
/// The pause before the first of them; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(100);

/// What was done.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Synced {
    /// Tables that were made.
    pub created: Vec<String>,
    /// Tables that were changed.
    pub updated: Vec<String>,
    /// Tables that somebody has to look at; those of the plan and those that turned out so.
    pub left: Vec<Left>,
}

/// Compares the catalogue with the lake's tables. A table that nothing was written to yet has no log that Athena could read: it waits.
pub async fn look(lake: &Lake, glue: &dyn Glue, target: &Target) -> Result<Plan, JobError> {
    let found = if glue.has_database().await? { Some(glue.tables().await?) } else { None };
    let mut wanted = Vec::new();
    for &table in Table::ALL {
        let is_declared = found.iter().flatten().any(|found| found.table.name == table.name());
        if is_declared || lake.has_table(table).await? {
            wanted.push(target.table(table));
        }
    }
    Ok(Plan::new(target.lake(), &wanted, found.as_deref()))
}

/// Does what a plan says.
pub async fn apply(glue: &dyn Glue, target: &Target, plan: &Plan) -> Result<Synced, JobError> {
    if plan.creates_database {
        glue.create_database(target.description()).await?;
    }
    let mut synced = Synced { left: plan.left.clone(), ..Synced::default() };
    for step in &plan.steps {
        let name = step.table().name.clone();
        match settle(glue, target, step).await? {
            Settled::Created => synced.created.push(name),
            Settled::Updated => synced.updated.push(name),
            Settled::ByOthers => {}
            Settled::Left(left) => synced.left.push(left),
        }
    }
    Ok(synced)
}

/// How a step ended.
enum Settled {
    Created,
    Updated,
    /// Somebody else did the same.
    ByOthers,
    Left(Left),
}

async fn settle(glue: &dyn Glue, target: &Target, step: &Step) -> Result<Settled, JobError> {
    let mut step = step.clone();
    let mut pause = PAUSE;
    for _ in 0..ATTEMPTS_MAX {
        let (done, settled) = match &step {
            Step::Create(table) => (glue.create(table).await, Settled::Created),
            Step::Update { table, version, .. } => (glue.update(table, version.as_deref()).await, Settled::Updated),
        };
        match done {
            Ok(()) => return Ok(settled),
            Err(GlueError::Changed { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
        let name = &step.table().name;
        let Some(table) = Table::by_name(name) else { break };
        match decide(&target.table(table), glue.table(name).await?.as_ref()) {
            Decision::Right => return Ok(Settled::ByOthers),
            Decision::Leave(left) => return Ok(Settled::Left(left)),
            Decision::Do(next) => step = next,
        }
    }
    Err(GlueError::Changed { table: step.table().name.clone() }.into())
}
