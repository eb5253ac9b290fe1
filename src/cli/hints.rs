//! Hints for the first hour: why nothing came, why no key was found, why nothing was counted or charged.

use anyhow::Result;
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use crate::decode::KeySpec;
use crate::job::convert::{ConvertReport, ConvertedSource};
use crate::model::Engine;

use super::settings::Settings;
use super::summary::Summary;

/// What a person may want to know after a run; most important first.
pub(crate) async fn after_run(
    settings: &Settings,
    engine: &Engine,
    converted: &ConvertReport,
    summary: &Summary,
    changed: bool,
) -> Result<Vec<String>> {
    let mut hints: Vec<String> = converted.sources.iter().filter_map(of_source).collect();
    if settings.sources.is_empty() {
        hints.push("no [[source]] is configured, so there is nothing to read".to_owned());
    }
    if settings.meters.is_empty() {
        hints.push("no [[meter]] is configured, so events are kept but nothing is counted".to_owned());
    }
    if changed {
        hints.extend(of_meters(engine, settings).await?);
    }
    if summary.has_held() {
        hints.push(
            "held usage is kept and charged as soon as its reason is gone: add the owner of an unmapped key to the keys file \
             and run again"
                .to_owned(),
        );
    }
    Ok(hints)
}

fn of_source(source: &ConvertedSource) -> Option<String> {
    let ConvertedSource { source: name, location, .. } = source;
    if source.absent {
        return Some(format!(
            "{name}: the folder {location} is not there; put landing objects into it or correct `location`"
        ));
    }
    if source.found == 0 {
        return Some(format!("{name}: nothing has landed in {location} yet"));
    }
    if source.records > 0 && source.records == source.rejects {
        return Some(format!(
            "{name}: not one record could be read; `meterlake rejects` says why, and `fields` or `format` is the first place to look"
        ));
    }
    if source.decoded_otherwise > 0 {
        return Some(format!(
            "{name}: {} objects were decoded under other settings than today's; `meterlake rebuild --from --to` decodes them again",
            source.decoded_otherwise
        ));
    }
    None
}

async fn of_meters(engine: &Engine, settings: &Settings) -> Result<Vec<String>> {
    let fates = engine.query(include_str!("../../sql/report/fates.sql")).await?.collect().await?;
    let mut hints = Vec::new();
    for batch in &fates {
        let text = |column: usize, row: usize| {
            arrow::util::display::array_value_to_string(batch.column(column), row).unwrap_or_else(|_| "?".to_owned())
        };
        let number = |column: usize, row: usize| {
            batch.column(column).as_primitive_opt::<Int64Type>().map_or(0, |numbers| numbers.value(row))
        };
        for row in 0..batch.num_rows() {
            let (source, meter) = (text(0, row), text(1, row));
            let [events, with_key, counted] = [2, 3, 4].map(|column| number(column, row));
            if events > 0 && with_key == 0 {
                let key = settings.source(&source).map_or(&KeySpec::None, |source| &source.spec.key);
                hints.push(match key {
                    KeySpec::None => format!("{source}: no `key` is configured, so its usage belongs to nobody"),
                    key => format!("{source}: no event carries a key where the configuration looks for one ({key})"),
                });
            } else if events > 0 && counted == 0 {
                hints.push(format!("{meter}: none of the {events} events of {source} meets its rule"));
            }
        }
    }
    hints.dedup();
    Ok(hints)
}
