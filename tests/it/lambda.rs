//! On Lambda: events are answered, and the log is JSON throughout: what is said with time and level, what is measured in
//! CloudWatch's embedded format. Lambda is a few lines of its runtime interface here; the lake is a folder. Objects in a bucket
//! are `tests/aws/`'s.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::lab::{Call, Hit, Key, Lab, at, lines};
use super::shell::gz;

/// How long the process may take for its events.
const PATIENCE: Duration = Duration::from_secs(120);

/// What became of events: the last word of the address that was answered to (`response` or `error`) and the answer.
type Answer = (String, Value);

/// The runtime interface of Lambda: gives events one by one, takes the answers.
fn runtime(events: Vec<Value>) -> (String, Receiver<Answer>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (answered, answers) = channel();
    let waiting = Arc::new(Mutex::new(events.into_iter().enumerate().collect::<Vec<_>>().into_iter()));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (waiting, answered) = (Arc::clone(&waiting), answered.clone());
            thread::spawn(move || serve(stream, &|| waiting.lock().unwrap().next(), &answered));
        }
    });
    (address, answers)
}

fn serve(stream: TcpStream, next: &dyn Fn() -> Option<(usize, Value)>, answered: &Sender<Answer>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    let mut first = String::new();
    while reader.read_line(&mut first).is_ok_and(|read| read > 0) {
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            if header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        if first.starts_with("GET") {
            // When nothing more comes the process waits until it is ended.
            let Some((number, event)) = next() else { return thread::sleep(PATIENCE) };
            let event = event.to_string();
            write!(
                writer,
                "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: request-{number}\r\nLambda-Runtime-Deadline-Ms: 9999999999999\r\n\
                 Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:111122223333:function:f\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{event}",
                event.len()
            )
            .unwrap();
        } else {
            let kind = first.split(' ').nth(1).unwrap().rsplit('/').next().unwrap().to_owned();
            answered.send((kind, serde_json::from_slice(&body).unwrap())).unwrap();
            write!(writer, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").unwrap();
        }
        first.clear();
    }
}

/// Lets the process answer events; gives its answers and the lines of its stdout and stderr.
fn answered(lab: &Lab, events: Vec<Value>) -> (Vec<Answer>, Vec<Value>, Vec<Value>) {
    let wanted = events.len();
    let (address, answers) = runtime(events);
    let mut command = lab.command(&[]);
    command.envs([
        ("AWS_LAMBDA_RUNTIME_API", address.as_str()),
        ("METERLAKE_CONFIG", "lake.toml"),
        ("AWS_LAMBDA_FUNCTION_NAME", "f"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "s"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "g"),
    ]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let found = (0..wanted).map_while(|_| answers.recv_timeout(PATIENCE).ok()).collect();
    child.kill().unwrap();
    let ended = child.wait_with_output().unwrap();
    let json = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).unwrap();
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}\n{text}"));
        text.lines().map(parse).collect()
    };
    (found, json(ended.stdout), json(ended.stderr))
}

/// Holds a line to what CloudWatch asks of the embedded format, and gives its metrics as `name=value`.
fn metrics(line: &Value) -> Vec<String> {
    const UNITS: &[&str] = &["Count", "Bytes", "Seconds", "Milliseconds", "None"];
    // 2020 to 2100, in milliseconds.
    assert!((1_577_836_800_000..4_102_444_800_000).contains(&line["_aws"]["Timestamp"].as_i64().unwrap()), "{line}");
    let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
    assert_eq!(directives.len(), 1);
    let directive = &directives[0];
    assert_eq!(directive["Namespace"], "meterlake");
    for dimension in directive["Dimensions"].as_array().unwrap().iter().flat_map(|set| set.as_array().unwrap()) {
        assert!(line[dimension.as_str().unwrap()].is_string(), "{line}");
    }
    let of = |metric: &Value| {
        let name = metric["Name"].as_str().unwrap();
        assert!(UNITS.contains(&metric["Unit"].as_str().unwrap()), "{line}");
        format!("{name}={}", line[name].as_u64().unwrap())
    };
    directive["Metrics"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn the_log_is_json_and_measures_what_was_built() {
    let lab = Lab::new();
    let call = |n: i64| Call::new(at(0, 9, n * 1_000), Key::Acme).line();
    let calls: Vec<String> = (0..10).map(call).collect();
    lab.origin("a", lines(&calls));
    lab.origin("b", lines(&calls[..4]));
    lab.edge("c.gz", gz(&lines(&[Hit::new(at(0, 9, 0), Key::Beta).line()])));
    assert_eq!(lab.meterlake(&["convert"]).code, 0);
    let build = json!({"version": "0", "source": "aws.events", "detail-type": "Scheduled Event", "detail": {}});
    let queue = json!({"Records": [{"messageId": "poison", "eventSource": "aws:sqs", "body": "no notification"}]});
    let asked = |what: &str| json!({"meterlake": what});
    let events = vec![build, asked("build"), queue, json!({"neither": 1}), asked("counts"), asked("vacuum")];
    let (answers, out, err) = answered(&lab, events);
    let kinds: Vec<&str> = answers.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["response", "response", "response", "error", "response", "response"], "{answers:?}\n{err:?}");
    // What was replaced was so a moment ago.
    assert_eq!(answers[5].1, json!({"files": 0, "bytes": 0}));
    assert_eq!(answers[2].1, json!({"batchItemFailures": [{"itemIdentifier": "poison"}]}));

    let measured: Vec<Vec<String>> = out.iter().map(metrics).collect();
    let [first, edge, origin, watched, again, watched_again] = &measured[..] else { panic!("{measured:?}") };
    // All of it is older than what is watched, and nobody knows what is usual.
    assert_eq!((watched, watched_again), (&vec!["new_unmapped_keys=0".to_owned()], watched));
    assert!(first[0].starts_with("build_time=") && first[1] == "objects_applied=3", "{first:?}");
    assert_eq!((&out[1]["source"], edge), (&json!("edge"), &vec!["duplicates=0".to_owned(), "conflicts=0".to_owned()]));
    // Four of the fourteen records came twice.
    assert_eq!(
        (&out[2]["source"], origin),
        (&json!("origin"), &vec!["duplicates=4".to_owned(), "conflicts=0".to_owned()])
    );
    assert_eq!(again[1], "objects_applied=0");

    let levels: Vec<(&str, &str)> =
        err.iter().map(|line| (line["level"].as_str().unwrap(), line["event"].as_str().unwrap_or("-"))).collect();
    assert_eq!(
        levels,
        [
            ("INFO", "build"),
            ("INFO", "build"),
            ("WARN", "-"),
            ("INFO", "queue"),
            ("ERROR", "notification"),
            ("INFO", "counts"),
            ("INFO", "vacuum"),
        ]
    );
    for line in &err {
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z') && !line["message"].as_str().unwrap().is_empty());
        assert!(line["event"].is_null() || line["took_ms"].is_u64(), "{line}");
    }
    // What went wrong has a hint with it, nothing else has.
    let hints: Vec<bool> = err.iter().map(|line| line["hint"].is_string()).collect();
    assert_eq!(hints, [false, false, true, false, true, false, false], "{err:?}");
    assert!(err[2]["hint"].as_str().unwrap().contains("dead letters"), "{}", err[2]);
    // What is secret is in no line.
    let all = format!("{out:?}{err:?}");
    for secret in [super::shell::SECRET, Key::Acme.raw(), Key::Beta.raw()] {
        assert!(!all.contains(secret));
    }
    assert_eq!(lab.query("SELECT count(*) AS n FROM origin_requests"), ["10"]);
}
