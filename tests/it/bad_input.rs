//! Bad input: a clear message with file and place, the right exit code, nothing half-written, and the right result once it is mended.

use insta::assert_snapshot;

use super::shell::{SECRET, Shell, edge_config, edge_record, edge_record_of, edge_records, gz};

fn shell() -> Shell {
    let shell = Shell::new();
    shell.write("meterlake.toml", edge_config(""));
    shell
}

/// Events in the lake.
fn events(shell: &Shell) -> String {
    shell.query("SELECT count(*) FROM edge_requests").join("")
}

#[test]
fn a_wrong_configuration_leaves_no_trace() {
    let shell = Shell::new();
    shell.write("meterlake.toml", edge_config("").replace("location", "lokation"));
    shell.write("landing/a", edge_records(0..3));
    assert_snapshot!(shell.run(&["run"]).all(), @"
    exit 2
    --- stderr
    error: meterlake.toml:4: `location` is missing in [[source]]
    meterlake.toml:7: unknown key `lokation` in [[source]]; did you mean `location`?
    ");
    assert!(!shell.exists("lake"));
}

#[test]
fn a_field_that_cloudfront_does_not_have_is_told_with_its_line() {
    let shell = Shell::new();
    shell.write("meterlake.toml", edge_config("").replace("\"cs-method\"", "\"cs-methode\""));
    assert_snapshot!(shell.run(&["run"]).all(), @"
    exit 2
    --- stderr
    error: meterlake.toml:4: source `edge`: `cs-methode` is not a field of CloudFront real-time logs; the nearest is `cs-method`
    ");
    assert!(!shell.exists("lake"));
}

#[test]
fn a_missing_secret_is_told_and_leaves_no_trace() {
    let shell = shell();
    shell.write("landing/a", edge_records(0..3));
    assert_snapshot!(shell.run_with(&["run"], &[], b"").all(), @"
    exit 2
    --- stderr
    error: meterlake.toml:3: the environment variable ML_SECRET is not set: make a secret once, say with `openssl rand -hex 32`, keep it safe (another secret makes every key a new one) and export it as ML_SECRET; source `edge` hashes keys with it
    ");
    shell.write("meterlake.toml", edge_config("").replace("env:ML_SECRET", "file:secret.txt"));
    assert_snapshot!(shell.run(&["run"]).all(), @"
    exit 2
    --- stderr
    error: meterlake.toml:3: cannot read the secret file secret.txt: No such file or directory (os error 2); source `edge` hashes keys with it
    ");
    assert!(!shell.exists("lake"));
}

#[test]
fn a_changed_secret_is_refused_and_a_rotated_one_is_not() {
    let shell = shell();
    shell.write("landing/a", edge_records(0..3));
    assert_eq!(shell.run(&["run"]).code, 0);
    let other = "another secret of good length";
    assert_snapshot!(shell.run_with(&["run"], &[("ML_SECRET", other)], b"").all(), @r#"
    exit 2
    --- stderr
    error: the key secret is not one this lake knows: it would turn every key into a new one; configure the secret used before, after the new one to rotate it

    hint: to rotate a secret, give a list under [privacy]: key_secret = ["env:NEW", "env:OLD"]
    "#);
    let list = edge_config("").replace("\"env:ML_SECRET\"", "[\"env:NEW\", \"env:ML_SECRET\"]");
    shell.write("meterlake.toml", list).write("landing/b", edge_records(3..5));
    let ran = shell.run_with(&["run"], &[("ML_SECRET", SECRET), ("NEW", other)], b"");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        shell
            .run_with(
                &["query", "SELECT count(DISTINCT key_ref) FROM edge_requests", "--format", "csv"],
                &[("ML_SECRET", SECRET), ("NEW", other)],
                b""
            )
            .out,
        "count(DISTINCT edge_requests.key_ref)\n2\n"
    );
}

#[test]
fn an_object_that_fails_whole_is_told_tried_again_and_stops_no_other() {
    let shell = shell();
    let whole = gz(edge_records(0..20).as_bytes());
    shell.write("landing/truncated.gz", &whole[..whole.len() - 9]);
    shell.write("landing/tail.gz", [whole.as_slice(), b"and then text"].concat());
    let short = edge_records(0..20).replace("\t2\n", "\n");
    shell.write("landing/columns.tsv", short);
    shell.write("landing/good.tsv", edge_records(20..25));
    let ran = shell.run(&["run"]);
    assert_eq!(ran.code, 1);
    assert_snapshot!(ran.err, @"
    edge: columns.tsv cannot be converted: records have 9 columns, the configured `fields` have 10: the two do not belong together; they fit the configured set without `cs-headers-count`; it is tried again by the next run
    edge: tail.gz cannot be converted: byte 268 of compression level 1 follows a complete compressed member and starts no other; it is tried again by the next run
    edge: truncated.gz cannot be converted: the compressed data end too early: the object is cut off or still being written; it is tried again by the next run
    ");
    assert_eq!(events(&shell), "5");
    // No receipt and no staged file of what failed.
    assert_eq!(shell.files("lake/receipts"), [""; 0].map(std::path::PathBuf::from));
    assert_eq!(shell.query("SELECT source_object FROM objects"), ["good.tsv"]);
    shell.write("landing/truncated.gz", &whole);
    shell.remove("landing/tail.gz");
    shell.remove("landing/columns.tsv");
    assert_eq!(shell.run(&["run"]).code, 0);
    assert_eq!(events(&shell), "25");
}

#[test]
fn a_bomb_is_stopped_at_the_limit() {
    let shell = Shell::new();
    shell.write("meterlake.toml", edge_config("[limits]\nobject_bytes_max = 8_000_000\n"));
    // 64 members of 1 MiB of zeros, some 64 KiB in all.
    let member = gz(&vec![0; 1 << 20]);
    shell.write("landing/bomb.gz", member.repeat(64));
    shell.write("landing/bomb-in-a-bomb.gz", gz(&member.repeat(64)));
    shell.write("landing/nested.gz", gz(&gz(&gz(&gz(edge_records(0..1).as_bytes())))));
    shell.write("landing/good.tsv", edge_records(0..1));
    assert_snapshot!(shell.run(&["run"]).err, @"
    edge: bomb-in-a-bomb.gz cannot be converted: it unpacks to more than 8000000 bytes, the limit for one object (`object_bytes_max` under [limits]); it is tried again by the next run
    edge: bomb.gz cannot be converted: it unpacks to more than 8000000 bytes, the limit for one object (`object_bytes_max` under [limits]); it is tried again by the next run
    edge: nested.gz cannot be converted: it is compressed more than 3 times over (`nesting_max` under [limits]); it is tried again by the next run
    ");
    assert_eq!(events(&shell), "1");
}

#[test]
fn an_empty_object_is_an_object_without_records() {
    let shell = shell();
    shell.write("landing/empty", "").write("landing/empty.gz", gz(b"")).write("landing/lines", "\n\r\n\n");
    assert_eq!(shell.run(&["run"]).code, 0);
    assert_eq!(
        shell.query("SELECT source_object, records, rejects FROM objects ORDER BY 1"),
        ["empty,0,0", "empty.gz,0,0", "lines,0,0"]
    );
    assert_eq!(shell.run(&["verify"]).code, 0);
}

#[test]
fn an_object_read_while_half_copied_is_replaced_when_it_is_whole() {
    let shell = shell();
    let whole = edge_records(0..12);
    // Cut within the last field of the last record: 9 columns instead of 10.
    shell.write("landing/copy.tsv", &whole[..whole.len() - 3]);
    assert_eq!(shell.run(&["run"]).code, 1);
    assert_eq!(events(&shell), "11");
    assert_eq!(shell.query("SELECT source_position, reason FROM rejects"), ["11,columns"]);
    shell.write("landing/copy.tsv", &whole);
    assert_eq!(shell.run(&["run"]).code, 0);
    assert_eq!(events(&shell), "12");
    assert!(shell.query("SELECT reason FROM rejects").is_empty());
    assert_eq!(
        shell.query("SELECT state, records, rejects FROM objects ORDER BY state"),
        ["applied,12,0", "superseded,12,1"]
    );
    assert_eq!(shell.run(&["verify"]).code, 0);
}

#[test]
fn a_record_cut_in_its_last_field_does_not_stay_beside_the_whole_one() {
    let shell = shell();
    // `…\t2` is a record too when it is cut to `…\t`, with other bytes: a conflict if both stayed.
    let whole = edge_records(0..3).replace("\t2\n", "\t22\n");
    shell.write("landing/copy.tsv", &whole[..whole.len() - 2]);
    shell.run(&["run"]);
    shell.write("landing/copy.tsv", &whole);
    shell.run(&["run"]);
    assert_eq!(
        shell.query("SELECT count(*), count(DISTINCT request_id), bool_or(conflict) FROM edge_requests"),
        ["3,3,false"]
    );
}

#[test]
fn a_configuration_older_than_the_lakes_is_refused_unless_told() {
    let shell = shell();
    shell.write("landing/a", edge_records(0..3));
    assert_eq!(shell.run(&["run"]).code, 0);
    shell.write("meterlake.toml", edge_config("").replace("status < 500", "status < 400"));
    assert_eq!(shell.run(&["run"]).code, 0);
    // Comments and order do not make another configuration; an older rule does.
    shell.write("meterlake.toml", edge_config("# a comment\n").replace("status < 500", "status < 400"));
    assert_eq!(shell.run(&["run"]).code, 0);
    shell.write("meterlake.toml", edge_config(""));
    assert_snapshot!(shell.run(&["run"]).all(), @"
    exit 2
    --- stderr
    error: this configuration is generation 1 of the lake, and generation 2 was used since; use the newest, or say that the old one is wanted again

    hint: --accept-config makes this configuration the newest one again
    ");
    assert_eq!(shell.run(&["run", "--accept-config"]).code, 0);
    assert_eq!(shell.run(&["run"]).code, 0);
}

#[test]
fn a_lake_of_a_newer_format_is_refused() {
    let shell = shell();
    shell.write("landing/a", edge_records(0..1));
    assert_eq!(shell.run(&["run"]).code, 0);
    let description = std::fs::read_to_string(shell.path("lake/_meta/lake.json")).unwrap();
    shell.write(
        "lake/_meta/lake.json",
        description.replace("\"format\":1", "\"format\":2").replace("\"format\": 1", "\"format\": 2"),
    );
    assert_snapshot!(shell.run(&["run"]).all(), @"
    exit 2
    --- stderr
    error: the lake has format 2 but this version knows formats up to 1; use a newer meterlake
    ");
}

#[test]
fn a_source_keeps_its_table_and_split() {
    let shell = shell();
    shell.write("landing/a", edge_records(0..1));
    assert_eq!(shell.run(&["run"]).code, 0);
    shell.write("meterlake.toml", edge_config("").replace("location =", "split = 2\nlocation ="));
    assert_snapshot!(shell.run(&["run"]).all(), @"
    exit 2
    --- stderr
    error: source `edge` is in the lake with table edge_requests, split 1 and configured with table edge_requests, split 2; these stay as they are for a lake: give it another name
    ");
}

#[test]
fn names_of_objects_are_taken_as_they_are() {
    let shell = shell();
    let names = ["a b+c=d.tsv", "100%25.tsv", "day=1/ü/x y", "%2F"];
    for (n, name) in (0..).zip(names) {
        shell.write(&format!("landing/{name}"), edge_record(n));
    }
    shell.write("landing/.hidden", "x").write("landing/_marker", "x");
    assert_eq!(shell.run(&["run"]).code, 0);
    let mut found = shell.query("SELECT DISTINCT source_object FROM edge_requests");
    found.sort();
    let mut names = names.map(str::to_owned);
    names.sort();
    assert_eq!(found, names);
    assert_eq!(shell.run(&["verify"]).code, 0);
}

#[test]
fn hostile_records_are_rejects_and_never_reach_the_terminal_raw() {
    let shell = shell();
    let agent = "%1B]0;owned%07%1B%5B31mred";
    shell.write("landing/escapes", edge_record_of(0, "KEYKEYKEYKEYKEY1", "/x%1B%5B2J", agent));
    shell.write("landing/raw", format!("\x1b[31mraw\x07 escape\n\0\0\0\n{}\n", edge_record(1)));
    shell.write("landing/long", format!("{}\n{}\n", "x".repeat(3_000_000), edge_record(2)));
    shell.write("landing/binary", [&[0xff, 0xfe, 0x00, 0x9b][..]; 2000].concat());
    let ran = shell.run(&["run"]);
    assert_eq!(ran.code, 1);
    assert_eq!(events(&shell), "3");
    assert_eq!(
        shell.query("SELECT reason, count(*) FROM rejects GROUP BY reason ORDER BY reason"),
        ["columns,3", "too_long,1"]
    );
    let shown = [
        shell.run(&["query", "SELECT path, user_agent FROM edge_requests"]).all(),
        shell.run(&["query", "SELECT path, user_agent FROM edge_requests", "--json"]).all(),
        shell.run(&["rejects"]).all(),
        shell.run(&["rejects", "--json"]).all(),
        shell.run(&["status"]).all(),
        ran.all(),
    ];
    for text in shown {
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }
    assert_eq!(shell.query("SELECT path FROM edge_requests WHERE path <> '/v1/x'"), ["/x%1B[2J"]);
}
