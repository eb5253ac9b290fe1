//! `keys fingerprint`: what the edge logs' keys become in the lake, for the keys file. Keys come on standard input, never as
//! arguments, which other users of a machine can see. `keys import`: the keys that API Gateway has become rows of the file,
//! without their values.

use std::io::{BufRead, Write, stdin, stdout};

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};

use crate::billing::{ConfigFile, KeysImport, OfferedKey, Verdict};
use crate::decode::key_ref;

use super::args::ImportArgs;
use super::grid::{Grid, count};
use super::rewrite::Rewritable;
use super::settings::Settings;
use super::world::World;
use super::{Outcome, Talk, print_json, print_text};

/// Prints the fingerprint of each key read, one a line.
pub(crate) fn fingerprint(settings: &Settings) -> Result<Outcome> {
    let secret = settings.privacy.key_secrets.first().ok_or_else(|| {
        anyhow!("no key secret is configured: set key_secret under [privacy] in {}", settings.file.display())
    })?;
    let mut out = stdout().lock();
    for line in stdin().lock().lines() {
        let line = line?;
        let key = line.trim();
        if !key.is_empty() {
            writeln!(out, "{}", key_ref(secret, key.as_bytes()))?;
        }
    }
    Ok(Outcome::Done)
}

/// Adds the keys of API Gateway to the keys file.
pub(crate) async fn import(
    settings: &Settings,
    args: &ImportArgs,
    world: &World,
    json: bool,
    talk: &Talk,
) -> Result<Outcome> {
    let no_file = || anyhow!("no keys file is configured: name one under [billing] in {}", settings.file.display());
    let billing = settings.billing.as_ref().ok_or_else(no_file)?;
    let name = billing.keys.file().ok_or_else(no_file)?;
    let file = Rewritable::read(name, world).await?;
    let offered = world.aws().await.api_keys(settings.privacy.key_secrets.first(), &args.customer_tag).await?;
    let read = ConfigFile { name: name.to_owned(), bytes: file.bytes.clone() };
    let import = KeysImport::plan(&read, billing.zone, &billing.customers, offered)?;
    match json {
        true => print_json(&json!({
            "file": name, "dry_run": args.dry_run,
            "keys": import.keys.iter().map(|(key, verdict)| key_json(key, *verdict)).collect::<Vec<_>>(),
        }))?,
        false => print_text(&keys_text(&import, &args.customer_tag))?,
    }
    let added = import.keys.iter().filter(|(_, verdict)| *verdict == Verdict::Added).count();
    match import.content {
        None => talk.say(format!("nothing to add to {name}")),
        Some(_) if args.dry_run => talk.say(format!("would add {} keys to {name}", count(added as u64))),
        Some(content) => {
            file.replace(content).await.context("the keys file is as it was")?;
            talk.say(format!("added {} keys to {name}; `meterlake run` applies them", count(added as u64)));
        }
    }
    let needs_look = import.keys.iter().any(|(_, verdict)| !matches!(verdict, Verdict::Added | Verdict::Known));
    Ok(if needs_look { Outcome::NeedsLook } else { Outcome::Done })
}

/// A word for machines.
fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Added => "added",
        Verdict::Known => "known",
        Verdict::OtherFingerprint { .. } => "other_fingerprint",
        Verdict::OtherId { .. } => "other_id",
        Verdict::NoCustomer => "no_customer",
        Verdict::UnknownCustomer => "unknown_customer",
    }
}

fn told(verdict: Verdict, tag: &str) -> String {
    match verdict {
        Verdict::Added => "added".to_owned(),
        Verdict::Known => "known".to_owned(),
        Verdict::OtherFingerprint { line } => format!("line {line} has another fingerprint for this id: left as it is"),
        Verdict::OtherId { line } => format!("line {line} has this fingerprint under another id: left as it is"),
        Verdict::NoCustomer => format!("not added: it has no tag `{tag}`"),
        Verdict::UnknownCustomer => "not added: this customer is not in the customers file".to_owned(),
    }
}

fn key_json(key: &OfferedKey, verdict: Verdict) -> Value {
    json!({"api_key_id": key.id, "label": key.name, "key_fingerprint": key.fingerprint, "customer_id": key.customer_id,
        "valid_from": key.created_at, "verdict": word(verdict)})
}

fn keys_text(import: &KeysImport, tag: &str) -> String {
    let mut grid = Grid::new(&["api_key_id", "label", "customer_id", ""]);
    for (key, verdict) in &import.keys {
        let [label, customer] = [&key.name, &key.customer_id].map(|text| text.clone().unwrap_or_default());
        grid.row([key.id.clone(), label, customer, told(*verdict, tag)]);
    }
    if import.keys.is_empty() {
        "API Gateway has no keys in this region.\n".to_owned()
    } else {
        format!("Keys\n{grid}")
    }
}
