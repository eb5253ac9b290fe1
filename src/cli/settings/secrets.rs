//! `[privacy]`: where the secret of the keyed hash is found, and what becomes of client addresses. The file names an
//! environment variable, a file or a secret of AWS; a secret written into it is refused and not shown. Where no source hashes keys,
//! a secret that cannot be found does not matter.

use crate::base::document::{Item, Section};
use crate::decode::{ClientIp, KeySecret, Privacy};

use super::Around;

/// A shorter secret could be found by trying.
const SECRET_BYTES_MIN: usize = 16;

/// `hashing` is a source that hashes keys, if there is one. `None` only where a problem was noted.
pub(super) fn read(root: &Section<'_>, around: &Around<'_>, hashing: Option<&str>) -> Option<Privacy> {
    let section = match root.get("privacy") {
        Some(item) => Some(item.section(&["key_secret", "client_ip"])?),
        None => None,
    };
    let get = |key: &str| section.as_ref().and_then(|section| section.get(key));
    let client_ip = match get("client_ip") {
        Some(item) => {
            item.word(&[("keep", ClientIp::Keep), ("truncate", ClientIp::Truncate), ("drop", ClientIp::Drop)])
        }
        None => Some(ClientIp::Keep),
    };
    let key_secrets = match (get("key_secret"), hashing) {
        (Some(item), _) => key_secrets(&item, around, hashing),
        (None, None) => Some(Vec::new()),
        (None, Some(source)) => {
            section.as_ref().unwrap_or(root).problem(format!(
                "source `{source}` hashes keys, so a secret is needed: write key_secret = \"env:METERLAKE_KEY_SECRET\" \
                 under [privacy] and set that variable to at least {SECRET_BYTES_MIN} random bytes"
            ));
            None
        }
    };
    Some(Privacy { key_secrets: key_secrets?, client_ip: client_ip? })
}

fn key_secrets(item: &Item<'_>, around: &Around<'_>, hashing: Option<&str>) -> Option<Vec<KeySecret>> {
    let members = item.one_or_more();
    if members.is_empty() {
        item.problem("`key_secret` is an empty list");
        return None;
    }
    let mut secrets = Vec::with_capacity(members.len());
    let mut right = true;
    for member in &members {
        match find(member, around) {
            Ok(secret) => secrets.push(secret),
            Err(Missing::Malformed) => right = false,
            Err(Missing::NotFound(message)) => {
                if let Some(source) = hashing {
                    member.problem(format!("{message}; source `{source}` hashes keys with it"));
                    right = false;
                }
            }
        }
    }
    right.then_some(secrets)
}

enum Missing {
    /// Noted already; wrong whether the secret is needed or not.
    Malformed,
    NotFound(String),
}

fn find(item: &Item<'_>, around: &Around<'_>) -> Result<KeySecret, Missing> {
    let text = item.text().ok_or(Missing::Malformed)?;
    let (value, place) = match text.split_once(':') {
        Some(("env", name)) if is_variable(name) => {
            let value = around.outside.variable(name).ok_or_else(|| {
                Missing::NotFound(format!(
                    "the environment variable {name} is not set: make a secret once, say with `openssl rand -hex 32`, \
                     keep it safe (another secret makes every key a new one) and export it as {name}"
                ))
            })?;
            (value.into_bytes(), format!("the environment variable {name}"))
        }
        Some(("file", path)) if !path.is_empty() => {
            let (name, value) = around.read(path);
            let value =
                value.map_err(|error| Missing::NotFound(format!("cannot read the secret file {name}: {error}")))?;
            (value, format!("the file {name}"))
        }
        Some(("secretsmanager" | "ssm", id)) if !id.is_empty() => {
            let value = around.outside.secret(text);
            (
                value.map_err(|error| Missing::NotFound(format!("cannot read the secret {text}: {error}")))?,
                text.to_owned(),
            )
        }
        _ => {
            item.problem(
                "`key_secret` says where the secret is, \"env:NAME\", \"file:PATH\", \"secretsmanager:ID\" or \"ssm:NAME\", and is never the secret itself \
                 (so it is not shown here)",
            );
            return Err(Missing::Malformed);
        }
    };
    let secret = value.trim_ascii();
    if secret.len() < SECRET_BYTES_MIN {
        return Err(Missing::NotFound(format!(
            "the secret in {place} has {} bytes and needs at least {SECRET_BYTES_MIN}",
            secret.len()
        )));
    }
    Ok(KeySecret(secret.to_vec()))
}

fn is_variable(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(plain)
}
