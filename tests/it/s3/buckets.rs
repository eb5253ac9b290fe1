//! A bucket that is not there is told as that, not as a lake, a configuration or an object that is not there.

use super::{BUCKET, Cloud, ran};
use crate::lab::Lab;

/// Before, a misspelt bucket was "no lake yet", and the advice was to make one.
#[test]
fn a_wrong_bucket_is_told() {
    let cloud = Cloud::new(BUCKET);
    let lab = Lab::new();
    cloud.upload(&lab);
    let misspelt = "lake = \"s3://no-such-bucket-of-meterlake/lake\"";
    lab.configure("lake = \"lake\"", misspelt);
    let config = lab.beside("lake.toml").display().to_string();
    for command in ["status", "run"] {
        let told = ran(cloud.command_with(&config).arg(command).spawn().unwrap());
        assert_eq!(told.code, 2, "{}", told.all());
        let words = ["there is no bucket `no-such-bucket-of-meterlake`", "hint: look at the bucket's name"];
        assert!(words.iter().all(|word| told.err.contains(word)), "{}", told.all());
        assert!(!told.err.contains("no lake"), "{}", told.all());
    }
    let told =
        ran(cloud.command_with("s3://no-such-bucket-of-meterlake/meterlake.toml").arg("status").spawn().unwrap());
    assert_eq!(told.code, 2, "{}", told.all());
    assert!(told.err.contains("there is no bucket") && !told.err.contains("meterlake init"), "{}", told.all());
}

/// What is not there yet is still that.
#[test]
fn a_lake_that_is_not_there_yet_is_told() {
    let cloud = Cloud::new(BUCKET);
    let lab = Lab::new();
    lab.configure("lake = \"lake\"", "lake = \"elsewhere\"");
    cloud.upload(&lab);
    let told = cloud.meterlake(&["status"]);
    assert_eq!(told.code, 2, "{}", told.all());
    assert!(told.err.contains("there is no lake at s3://"), "{}", told.all());
    let told = ran(cloud.command_with(&format!("s3://{BUCKET}/none.toml")).arg("status").spawn().unwrap());
    assert!(told.code == 2 && told.err.contains("meterlake init"), "{}", told.all());
}
