//! `meterlake init`: a commented configuration and the files it names, ready to run. It never overwrites a file unless told.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

const FILES: &[(&str, &str)] = &[
    ("meterlake.toml", include_str!("init/meterlake.toml")),
    ("customers.csv", "customer_id,name,plan,valid_from,valid_to\n"),
    ("keys.csv", "customer_id,api_key_id,key_fingerprint,label,valid_from,valid_to\n"),
    ("rates.toml", include_str!("init/rates.toml")),
];

/// Why nothing could be written.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Files are there already.
    #[error("{} already there; nothing was written, and `--force` overwrites", there(.0))]
    Exists(Vec<PathBuf>),
    /// A file or folder cannot be written.
    #[error("cannot write `{}`", .path.display())]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Writes the files into `dir`, which is made where it is missing, and names them. All or nothing where one exists.
pub fn write(dir: &Path, force: bool) -> Result<Vec<PathBuf>, InitError> {
    let paths: Vec<PathBuf> = FILES.iter().map(|(name, _)| dir.join(name)).collect();
    let there: Vec<PathBuf> = paths.iter().filter(|path| path.symlink_metadata().is_ok()).cloned().collect();
    if !force && !there.is_empty() {
        return Err(InitError::Exists(there));
    }
    fs::create_dir_all(dir).map_err(|source| InitError::Write { path: dir.to_owned(), source })?;
    for (path, (_, text)) in paths.iter().zip(FILES) {
        let written = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .create_new(!force)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|source| InitError::Write { path: path.clone(), source })?;
    }
    Ok(paths)
}

fn there(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
    format!("{} {}", names.join(", "), if names.len() == 1 { "is" } else { "are" })
}
