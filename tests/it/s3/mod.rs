//! Everything on S3: configuration, landing objects and lake in a bucket, the real binary, and a server that can be told to
//! go wrong. `METERLAKE_TEST_S3` names another S3 to run this against (its keys in `METERLAKE_TEST_S3_KEY` and `_SECRET`);
//! what needs a server that goes wrong on purpose is left out then, and says so.

mod buckets;
mod faults;
mod memory;
mod notices;
mod server;
mod whole;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use futures::StreamExt as _;
use tokio::runtime::Runtime;

use super::lab::Lab;
use super::shell::{Ran, SECRET};
use server::{KEY, SECRET_KEY, Server, Wrong};

/// The bucket of configuration, landing objects and lakes.
const BUCKET: &str = "meterlake-tests";
/// One that keeps versions.
const VERSIONS: &str = "meterlake-versions";
const REGION: &str = "us-east-1";

/// What a lab is asked in the end: charges, usage with its fate, and how much of which object came in.
const BILL: &str = "SELECT 'charged' AS what, CAST(day AS VARCHAR) AS day, customer_id AS who, price_id AS for_what, \
    CAST(sum(quantity) AS VARCHAR) AS quantity, CAST(sum(amount) AS VARCHAR) AS amount FROM charges_daily GROUP BY 1, 2, 3, 4 \
    UNION ALL SELECT attribution, CAST(day AS VARCHAR), key_ref, meter, CAST(sum(quantity) AS VARCHAR), CAST(sum(events) AS VARCHAR) \
    FROM usage_daily GROUP BY 1, 2, 3, 4 \
    UNION ALL SELECT 'objects', '', source, source_object, CAST(sum(records) AS VARCHAR), CAST(sum(rejects) AS VARCHAR) \
    FROM objects WHERE state = 'applied' GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4";

/// Tells prefixes of one process apart.
static PREFIXES: AtomicU32 = AtomicU32::new(0);

/// Where S3 is.
struct Place {
    url: String,
    key: String,
    secret: String,
}

/// S3, a prefix of its own in it, and a client.
pub(crate) struct Cloud {
    place: Place,
    /// None: an S3 outside of this process.
    server: Option<Server>,
    bucket: &'static str,
    prefix: String,
    client: aws_sdk_s3::Client,
    runtime: Runtime,
}

impl Cloud {
    /// An empty prefix, on the S3 that the environment names or a new one.
    fn new(bucket: &'static str) -> Self {
        let outside = |name: &str| std::env::var(format!("METERLAKE_TEST_S3{name}")).ok();
        match outside("") {
            None => Self::on(bucket, Some(Server::start()), None),
            Some(url) => {
                let (key, secret) = (outside("_KEY"), outside("_SECRET"));
                let key = key.unwrap_or_else(|| KEY.to_owned());
                let secret = secret.unwrap_or_else(|| SECRET_KEY.to_owned());
                Self::on(bucket, None, Some(Place { url, key, secret }))
            }
        }
    }

    /// The same where requests shall go wrong; none on an outside S3.
    fn going_wrong() -> Option<Self> {
        let cloud = Self::new(BUCKET);
        if cloud.server.is_none() {
            // Past the harness, which would keep it from whoever looks on.
            let _ = writeln!(std::io::stderr(), "left out: an S3 outside of the tests does not go wrong on purpose");
        }
        cloud.server.is_some().then_some(cloud)
    }

    fn on(bucket: &'static str, server: Option<Server>, outside: Option<Place>) -> Self {
        let place = outside.unwrap_or_else(|| Place {
            url: server.as_ref().map(Server::url).unwrap_or_default(),
            key: KEY.to_owned(),
            secret: SECRET_KEY.to_owned(),
        });
        let config = aws_sdk_s3::config::Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(&place.url)
            .credentials_provider(Credentials::new(&place.key, &place.secret, None, None, "tests"))
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .force_path_style(true)
            .build();
        let client = aws_sdk_s3::Client::from_conf(config);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let number = PREFIXES.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("p{}-{number}", std::process::id());
        runtime.block_on(async {
            // An S3 outside has it from an earlier test.
            let _ = client.create_bucket().bucket(bucket).send().await;
            if bucket == VERSIONS {
                let keeps = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
                client.put_bucket_versioning().bucket(bucket).versioning_configuration(keeps).send().await.unwrap();
            }
        });
        Self { place, server, bucket, prefix, client, runtime }
    }

    /// The server that can go wrong.
    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// Another prefix on the same S3.
    fn beside(&self) -> Self {
        let number = PREFIXES.fetch_add(1, Ordering::Relaxed);
        let place =
            Place { url: self.place.url.clone(), key: self.place.key.clone(), secret: self.place.secret.clone() };
        let cloud = Self::on(self.bucket, None, Some(place));
        Self { prefix: format!("{}-{number}", self.prefix), ..cloud }
    }

    /// Writes an object below the prefix, and gives its version where the bucket keeps versions: each a second later, because
    /// a store tells no shorter times.
    fn put(&self, key: &str, content: impl Into<Vec<u8>>) -> Option<String> {
        if self.bucket == VERSIONS && self.server.is_none() {
            std::thread::sleep(Duration::from_millis(1_100));
        }
        let request = self.client.put_object().bucket(self.bucket).key(format!("{}/{key}", self.prefix));
        let sent = request.body(content.into().into()).send();
        self.runtime.block_on(sent).unwrap().version_id().map(str::to_owned)
    }

    fn delete(&self, key: &str) {
        let request = self.client.delete_object().bucket(self.bucket).key(format!("{}/{key}", self.prefix));
        self.runtime.block_on(request.send()).unwrap();
    }

    /// The keys below a folder of the prefix, without it.
    fn keys(&self, folder: &str) -> Vec<String> {
        let below = format!("{}/{folder}", self.prefix);
        let pages = self.client.list_objects_v2().bucket(self.bucket).prefix(&below).into_paginator();
        let pages = self.runtime.block_on(pages.send().try_collect()).unwrap();
        let keys = pages.iter().flat_map(|page| page.contents()).filter_map(|object| object.key());
        keys.filter_map(|key| key.strip_prefix(&below)).map(str::to_owned).collect()
    }

    /// Puts a lab that was not run yet below the prefix: its configuration, its landing objects, the key of its fingerprints.
    fn upload(&self, lab: &Lab) {
        let mut files = BTreeMap::new();
        files_below(&lab.beside(""), "", &mut files);
        let puts = files.into_iter().map(|(name, content)| {
            let request = self.client.put_object().bucket(self.bucket).key(format!("{}/{name}", self.prefix));
            request.body(content.into()).send()
        });
        self.runtime.block_on(async {
            let mut sent = futures::stream::iter(puts).buffer_unordered(16);
            while let Some(sent) = sent.next().await {
                sent.unwrap();
            }
        });
    }

    /// The binary, with the configuration that lies below the prefix.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command_with(&format!("s3://{}/{}/lake.toml", self.bucket, self.prefix));
        command.args(arguments);
        command
    }

    /// The binary, with a configuration and what it needs to find S3.
    fn command_with(&self, config: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meterlake"));
        command
            .args(["--config", config])
            .env("ML_SECRET", SECRET)
            .env("AWS_ENDPOINT_URL", &self.place.url)
            .env("AWS_ACCESS_KEY_ID", &self.place.key)
            .env("AWS_SECRET_ACCESS_KEY", &self.place.secret)
            .env("AWS_REGION", REGION)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env_remove("AWS_PROFILE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().unwrap()
    }

    fn meterlake(&self, arguments: &[&str]) -> Ran {
        ran(self.start(arguments))
    }

    /// The main job; it must be done, whether or not something needs a look.
    fn run(&self) -> Ran {
        let ran = self.meterlake(&["run"]);
        assert!(ran.code < 2, "{}", ran.all());
        ran
    }

    /// The answer to [`BILL`].
    fn bill(&self) -> String {
        let ran = self.meterlake(&["query", "--format", "csv", BILL]);
        assert_eq!(ran.code, 0, "{}", ran.all());
        ran.out
    }
}

fn ran(child: Child) -> Ran {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// The bill of a lab over its folders.
fn bill_in_folders(lab: &Lab) -> String {
    lab.run();
    let ran = lab.meterlake(&["query", "--format", "csv", BILL]);
    assert_eq!(ran.code, 0, "{}", ran.all());
    ran.out
}

fn files_below(folder: &Path, name: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let own = entry.file_name().into_string().unwrap();
        let name = if name.is_empty() { own } else { format!("{name}/{own}") };
        if entry.path().is_dir() {
            files_below(&entry.path(), &name, files);
        } else {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
}
