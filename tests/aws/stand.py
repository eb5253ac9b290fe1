"""What the scripts beside this one share: moto, a proxy in front of it, Lambda's runtime API, and how the binary is run."""

import http.client
import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3

BUCKET = "meterlake"
QUERIES = [
    "SELECT day, customer_id, price_id, tier, quantity, amount FROM charges_daily ORDER BY 1, 2, 3, 4, 5",
    "SELECT attribution, meter, sum(quantity) AS q, sum(events) AS e FROM usage_daily GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT source, sum(records) AS r, sum(rejects) AS x FROM objects WHERE state = 'applied' GROUP BY 1 ORDER BY 1",
]


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
        self.arguments = {"endpoint_url": self.url, "region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
        self.s3, self.sqs = self.client("s3"), self.client("sqs")
        for _ in range(100):
            try:
                self.s3.list_buckets()
                return
            except Exception:
                time.sleep(0.2)
        raise SystemExit("moto did not start")

    def client(self, service):
        return boto3.client(service, **self.arguments)

    def queue(self, name):
        """A new queue: its URL and its ARN."""
        url = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        return url, self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    def stop(self):
        self.process.kill()
        self.process.wait()


def on_stand(check):
    """Runs `check(stand, binary, example, scratch)` with what the command line names; `example` is None where it names none."""
    binary = os.path.abspath(sys.argv[1])
    example = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory() as scratch:
        stand = Stand(Path(scratch))
        try:
            stand.s3.create_bucket(Bucket=BUCKET)
            check(stand, binary, example, Path(scratch))
        finally:
            stand.stop()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def served(handler):
    """Serves on loopback until the script ends; gives the address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_address[1]}"


class Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def reply(self, status, headers, body=b""):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def log_message(self, *_):
        pass


# The binary -----------------------------------------------------------------------------------------------------------


def run(binary, arguments, env=None, ok=(0, 1)):
    ran = subprocess.run([binary, *arguments], env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=300)
    if ran.returncode not in ok:
        raise SystemExit(f"meterlake {' '.join(arguments)}: {ran.returncode}\n{ran.stdout}\n{ran.stderr}")
    return ran


def bill(binary, config, env=None):
    return [run(binary, ["query", "--format", "csv", sql, "--config", config], env).stdout for sql in QUERIES]


def copied(example, folder):
    """A copy of the example without its lake."""
    shutil.copytree(example, folder, ignore=shutil.ignore_patterns("lake"))
    return folder


def bill_in_folders(binary, example, scratch):
    config = str(copied(example, scratch / "local") / "meterlake.toml")
    run(binary, ["run", "--config", config])
    return bill(binary, config)


def upload(stand, example, prefix, below=""):
    for path in sorted((example / below).rglob("*")):
        if path.is_file() and not path.is_relative_to(example / "lake"):
            if below or not path.is_relative_to(example / "landing"):
                stand.s3.upload_file(str(path), BUCKET, f"{prefix}/{path.relative_to(example).as_posix()}")


class Worker:
    """A `meterlake worker`. Leaving it asks it to stop: it finishes what it has, builds, and ends well."""

    def __init__(self, binary, env):
        # What it says goes to a file: nobody reads it while the worker runs.
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([binary, "worker"], env={**os.environ, **env}, stderr=self.log)

    def stop(self):
        self.process.terminate()
        assert self.process.wait(timeout=240) in (0, 1), self.said()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def said(self):
        self.log.seek(0)
        return self.log.read()


def emptied(stand, queue, within_s=240):
    """Waits until a queue holds nothing, neither waiting nor taken."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    ends = time.time() + within_s
    while True:
        found = stand.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
        if not any(int(found[name]) for name in names):
            return
        assert time.time() < ends, found
        time.sleep(0.2)


# A proxy --------------------------------------------------------------------------------------------------------------


@dataclass
class Asked:
    method: str
    path: str
    headers: Any
    body: bytes

    @property
    def operation(self):
        """`Service.Operation`, where the service speaks JSON."""
        return self.headers.get("X-Amz-Target", "")


class Between:
    """Stands before moto and passes everything on. A heir looks at what is asked, or answers otherwise."""

    def __init__(self, url):
        between, self.moto = self, urlsplit(url).netloc

        class Handler(Quiet):
            def handle_one(self):
                try:
                    between.answer(Asked(self.command, self.path, self.headers, self.body()), self)
                except ConnectionError:
                    # Whoever asked has ended.
                    self.close_connection = True

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one

        self.url = f"http://{served(Handler)}"

    def answer(self, asked, handler):
        handler.reply(*self.passed_on(asked))

    def passed_on(self, asked):
        """What moto answers: status, headers, body."""
        connection = http.client.HTTPConnection(self.moto, timeout=60)
        headers = {name: value for name, value in asked.headers.items() if name.lower() not in ("connection", "content-length")}
        connection.request(asked.method, asked.path, asked.body or None, headers)
        reply = connection.getresponse()
        body = reply.read()
        connection.close()
        # The length of a HEAD's answer is that of what is not sent.
        left_out = {"connection", "transfer-encoding"} | (set() if asked.method == "HEAD" else {"content-length"})
        return reply.status, {name: value for name, value in reply.getheaders() if name.lower() not in left_out}, body


# Lambda ---------------------------------------------------------------------------------------------------------------


class LambdaRuntime:
    """Lambda's runtime API: gives a process one event after the other, and keeps its answers and when they came."""

    def __init__(self, events):
        runtime, self.answers, self.asked_at, self.answered_at = self, [], [], []
        waiting = list(enumerate(events))

        class Handler(Quiet):
            def do_GET(self):
                runtime.asked_at.append(time.time())
                if not waiting:
                    # Nothing more comes: the process is stopped while it waits.
                    time.sleep(600)
                    return
                number, event = waiting.pop(0)
                self.reply(200, {
                    "Lambda-Runtime-Aws-Request-Id": f"request-{number}", "Content-Type": "application/json",
                    "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 600_000),
                    "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:111122223333:function:meterlake",
                }, json.dumps(event).encode())

            def do_POST(self):
                body = self.body()
                runtime.answered_at.append(time.time())
                runtime.answers.append((self.path.rsplit("/", 1)[1], json.loads(body or b"null")))
                self.reply(202, {})

        self.address = served(Handler)


@dataclass
class Answered:
    answers: list
    measured: str
    said: str
    # When the process was started, asked for its first event, and had answered each; seconds.
    began: float
    first_asked: float
    answered_at: list
    # The most memory that it held, bytes.
    memory_max: int


def on_lambda(binary, config, events, env, patience_s=240):
    """The binary, started as Lambda starts it, answers the events; none may fail."""
    runtime = LambdaRuntime(events)
    env = {**os.environ, **env, "AWS_LAMBDA_RUNTIME_API": runtime.address, "METERLAKE_CONFIG": config,
           "AWS_LAMBDA_FUNCTION_NAME": "meterlake", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "AWS_LAMBDA_FUNCTION_VERSION": "1",
           "AWS_LAMBDA_LOG_STREAM_NAME": "s", "AWS_LAMBDA_LOG_GROUP_NAME": "g"}
    with tempfile.TemporaryFile("w+") as measured, tempfile.TemporaryFile("w+") as said:
        began = time.time()
        process = subprocess.Popen([binary], env=env, stdout=measured, stderr=said)
        ends = began + patience_s
        while len(runtime.answers) < len(events) and time.time() < ends and process.poll() is None:
            time.sleep(0.05)
        memory_max = peak_memory(process)
        process.kill()
        process.wait()
        texts = []
        for file in (measured, said):
            file.seek(0)
            texts.append(file.read())
    kinds = [kind for kind, _ in runtime.answers]
    assert kinds == ["response"] * len(events), f"{runtime.answers}\n{texts[1]}"
    answers = [answer for _, answer in runtime.answers]
    return Answered(answers, *texts, began, runtime.asked_at[0], runtime.answered_at, memory_max)


def peak_memory(process):
    """VmHWM of a process, bytes; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


SCHEDULE = {"version": "0", "source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
