#!/usr/bin/env python3
"""The example on AWS stand-ins: objects land in S3, S3 tells SQS, a worker converts and builds; then the same by Lambda.

    python -m venv V; V/bin/pip install -r tests/aws/requirements.txt
    V/bin/python tests/aws/end_to_end.py target/debug/meterlake examples/quickstart

moto serves S3 and SQS on loopback. Configuration, landing objects and lake lie in one bucket. The bill of each lake must
be the one that the same objects give in folders. Lambda is a few lines of its runtime API here.
"""

import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import boto3

QUERIES = [
    "SELECT day, customer_id, price_id, tier, quantity, amount FROM charges_daily ORDER BY 1, 2, 3, 4, 5",
    "SELECT attribution, meter, sum(quantity) AS q, sum(events) AS e FROM usage_daily GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT source, sum(records) AS r, sum(rejects) AS x FROM objects WHERE state = 'applied' GROUP BY 1 ORDER BY 1",
]
BUCKET = "meterlake"


class Stand:
    """moto, and the clients to fill it."""

    def __init__(self, folder):
        moto = shutil.which("moto_server", path=str(Path(sys.executable).parent))
        self.port = free_port()
        self.log = open(folder / "moto.log", "w")
        command = [moto, "-H", "127.0.0.1", "-p", str(self.port)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT)
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {
            "AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
        }
        clients = {"endpoint_url": self.url, "region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
        self.s3, self.sqs = boto3.client("s3", **clients), boto3.client("sqs", **clients)
        for _ in range(100):
            try:
                self.s3.list_buckets()
                return
            except Exception:
                time.sleep(0.2)
        raise SystemExit("moto did not start")

    def stop(self):
        self.process.kill()
        self.process.wait()


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(binary, arguments, env=None, ok=(0, 1)):
    ran = subprocess.run([binary, *arguments], env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=300)
    if ran.returncode not in ok:
        raise SystemExit(f"meterlake {' '.join(arguments)}: {ran.returncode}\n{ran.stdout}\n{ran.stderr}")
    return ran


def bill(binary, config, env=None):
    return [run(binary, ["query", "--format", "csv", sql, "--config", config], env).stdout for sql in QUERIES]


def upload(stand, example, prefix, below=""):
    for path in sorted((example / below).rglob("*")):
        if path.is_file() and not path.is_relative_to(example / "lake"):
            if below or not path.is_relative_to(example / "landing"):
                stand.s3.upload_file(str(path), BUCKET, f"{prefix}/{path.relative_to(example).as_posix()}")


class LambdaRuntime:
    """Gives a process one event after the other and keeps its answers."""

    def __init__(self, events):
        runtime, self.answers = self, []
        waiting = list(enumerate(events))

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                if not waiting:
                    # Nothing more comes: the process is stopped while it waits.
                    time.sleep(600)
                    return
                number, event = waiting.pop(0)
                body = json.dumps(event).encode()
                self.send_response(200)
                self.send_header("Lambda-Runtime-Aws-Request-Id", f"request-{number}")
                self.send_header("Lambda-Runtime-Deadline-Ms", str(int(time.time() * 1000) + 600_000))
                self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:111122223333:function:meterlake")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                runtime.answers.append((self.path.rsplit("/", 1)[1], json.loads(body or b"null")))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"127.0.0.1:{self.server.server_address[1]}"


def worker(stand, binary, example, wanted):
    queue = stand.sqs.create_queue(QueueName="landed")["QueueUrl"]
    arn = stand.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    stand.s3.put_bucket_notification_configuration(
        Bucket=BUCKET, NotificationConfiguration={"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
    )
    config = f"s3://{BUCKET}/queued/meterlake.toml"
    upload(stand, example, "queued")
    upload(stand, example, "queued", "landing")
    stand.sqs.send_message(QueueUrl=queue, MessageBody="no notification")
    env = {**stand.env, "METERLAKE_QUEUE": queue, "METERLAKE_CONFIG": config}
    both = [subprocess.Popen([binary, "worker", "--until-empty"], env={**os.environ, **env}, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        said = process.communicate(timeout=300)[1]
        print("worker:", said.strip().replace("\n", "\n        "))
        assert process.returncode in (0, 1), said
    assert bill(binary, config, stand.env) == wanted, "the workers' bill differs"
    again = run(binary, ["run", "--json", "--config", config], stand.env).stdout
    assert all(source["converted"] == 0 for source in json.loads(again)["converted"]), "a listing found something new"
    run(binary, ["verify", "--config", config], stand.env, ok=(0,))


def on_lambda(stand, binary, example, wanted):
    upload(stand, example, "lambda")
    upload(stand, example, "lambda", "landing")
    listed = stand.s3.list_objects_v2(Bucket=BUCKET, Prefix="lambda/landing/")["Contents"]

    def told(key):
        from urllib.parse import quote_plus

        return {"Records": [{"eventVersion": "2.6", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
                             "s3": {"bucket": {"name": BUCKET}, "object": {"key": quote_plus(key, safe="/"), "size": 1}}}]}

    keys = [found["Key"] for found in listed]
    half = len(keys) // 2
    batch = {"Records": [{"messageId": f"m{n}", "eventSource": "aws:sqs", "body": json.dumps(told(key))} for n, key in enumerate(keys[:half])]}
    batch["Records"].append({"messageId": "poison", "eventSource": "aws:sqs", "body": "no notification"})
    bridged = [{"version": "0", "source": "aws.s3", "detail-type": "Object Created",
                "detail": {"bucket": {"name": BUCKET}, "object": {"key": key, "size": 1}}} for key in keys[half:half + 1]]
    build = {"version": "0", "source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
    events = [batch, *map(told, keys[half + 1:]), *bridged, build]
    runtime = LambdaRuntime(events)
    env = {**os.environ, **stand.env, "AWS_LAMBDA_RUNTIME_API": runtime.address, "METERLAKE_CONFIG": f"s3://{BUCKET}/lambda/meterlake.toml",
           "AWS_LAMBDA_FUNCTION_NAME": "meterlake", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "AWS_LAMBDA_FUNCTION_VERSION": "1",
           "AWS_LAMBDA_LOG_STREAM_NAME": "s", "AWS_LAMBDA_LOG_GROUP_NAME": "g"}
    process = subprocess.Popen([binary], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    ends = time.time() + 240
    while len(runtime.answers) < len(events) and time.time() < ends and process.poll() is None:
        time.sleep(0.1)
    process.kill()
    measured, said = process.communicate()
    kinds = [kind for kind, _ in runtime.answers]
    assert kinds == ["response"] * len(events), f"{runtime.answers}\n{said}"
    assert runtime.answers[0][1] == {"batchItemFailures": [{"itemIdentifier": "poison"}]}, runtime.answers[0]
    # What is said and measured is JSON, a line each; each object was measured once.
    assert all(json.loads(line)["level"] in ("INFO", "WARN") for line in said.splitlines()), said
    lines = [json.loads(line) for line in measured.splitlines()]
    assert all(line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "meterlake" for line in lines), measured
    assert sum(line.get("objects", 0) for line in lines) == len(keys), measured
    print("lambda:", len(events), "events answered; the first", json.dumps(runtime.answers[0][1]))
    assert bill(binary, f"s3://{BUCKET}/lambda/meterlake.toml", stand.env) == wanted, "Lambda's bill differs"


def main():
    binary, example = os.path.abspath(sys.argv[1]), Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        local = scratch / "local"
        shutil.copytree(example, local, ignore=shutil.ignore_patterns("lake"))
        run(binary, ["run", "--config", str(local / "meterlake.toml")])
        wanted = bill(binary, str(local / "meterlake.toml"))
        stand = Stand(scratch)
        try:
            stand.s3.create_bucket(Bucket=BUCKET)
            worker(stand, binary, example, wanted)
            on_lambda(stand, binary, example, wanted)
        finally:
            stand.stop()
    print("the bills of folders, workers and Lambda are equal")


if __name__ == "__main__":
    main()
