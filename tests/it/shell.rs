//! A folder and the real binary in it, as a person at a shell has them. What it prints has the folder's path taken out.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

/// A secret of the keyed hash, given to every run in `ML_SECRET`.
pub(crate) const SECRET: &str = "0123456789abcdef0123";

/// The folder.
pub(crate) struct Shell {
    folder: TempDir,
}

/// What a command did.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Everything a person sees: exit code, stdout, stderr.
    pub(crate) fn all(&self) -> String {
        let mut text = format!("exit {}\n", self.code);
        if !self.out.is_empty() {
            let _ = write!(text, "--- stdout\n{}", self.out);
        }
        if !self.err.is_empty() {
            let _ = write!(text, "--- stderr\n{}", self.err);
        }
        text
    }
}

impl Shell {
    /// An empty folder.
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and the folders above it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// The binary in the folder, without a secret.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meterlake"));
        command.args(arguments).current_dir(self.folder.path()).env_remove("ML_SECRET");
        command
    }

    /// Runs the binary in the folder.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, &[("ML_SECRET", SECRET)], b"")
    }

    /// The same with other environment and with text on standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], env: &[(&str, &str)], input: &[u8]) -> Ran {
        let mut child = self
            .command(arguments)
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        let folder = self.folder.path().canonicalize().unwrap().display().to_string();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&folder, "[folder]");
        Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The rows of a query as CSV lines, without the header.
    pub(crate) fn query(&self, sql: &str) -> Vec<String> {
        let ran = self.run(&["query", "--format", "csv", sql]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.out.lines().skip(1).map(str::to_owned).collect()
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Files below a folder, in order.
    pub(crate) fn files(&self, name: &str) -> Vec<PathBuf> {
        fn walk(path: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(path).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() { walk(&path, found) } else { found.push(path) }
            }
        }
        let mut found = Vec::new();
        walk(&self.path(name), &mut found);
        found.sort();
        found
    }
}

/// The bytes as one gzip member.
pub(crate) fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A configuration of one edge source, one meter and no billing; `extra` comes last.
pub(crate) fn edge_config(extra: &str) -> String {
    format!(
        r#"lake = "lake"
[privacy]
key_secret = "env:ML_SECRET"
[[source]]
name = "edge"
kind = "cloudfront-realtime"
location = "landing"
fields = ["timestamp", "c-ip", "sc-status", "sc-bytes", "cs-method", "cs-uri-stem", "x-edge-request-id", "cs-user-agent", "cs-headers", "cs-headers-count"]
key = {{ header = "x-api-key" }}
[[meter]]
name = "calls"
source = "edge"
where = "status < 500"
value = "count"
group_by = []
{extra}"#
    )
}

/// One record of that source: the n-th second of 2026-10-29T09.
pub(crate) fn edge_record(n: u32) -> String {
    edge_record_of(n, "KEYKEYKEYKEYKEY1", "/v1/x", "agent")
}

/// The same with a key, path and user agent, as they stand in the log.
pub(crate) fn edge_record_of(n: u32, key: &str, path: &str, agent: &str) -> String {
    // 1793264400 is 2026-10-29T09:00:00Z.
    let at = 1_793_264_400 + n;
    format!("{at}.000\t203.0.113.9\t200\t100\tGET\t{path}\t{n:054}==\t{agent}\thost:a.example%0Ax-api-key:{key}%0A\t2")
}

/// Several records, each with a line feed.
pub(crate) fn edge_records(numbers: std::ops::Range<u32>) -> String {
    numbers.map(|n| edge_record(n) + "\n").collect()
}
