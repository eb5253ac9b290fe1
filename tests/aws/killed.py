#!/usr/bin/env python3
"""A worker killed while it works off a queue: the message comes back, another worker finishes, and the bill is the same.

    V/bin/python tests/aws/killed.py target/debug/meterlake examples/quickstart

moto serves S3 and SQS on loopback. A proxy lets S3 stand still at a chosen moment: in the middle of an object's bytes, after a staged file
was written, after the receipt was written. There the worker is killed with SIGKILL. A message is hidden for two minutes at a time; the proxy
makes it seconds, so that the wait for it to come back is short.
"""

import json
import threading
from collections import Counter

from stand import BUCKET, Between, Worker, copied, emptied, on_stand, run, upload

HIDDEN_S = 6
BILL = "SELECT day, customer_id, price_id, tier, quantity, amount FROM charges_daily ORDER BY 1, 2, 3, 4, 5"
OBJECTS = "SELECT source_object, count(*) AS times, sum(records) AS records FROM objects GROUP BY 1 ORDER BY 1"
EVENTS = "SELECT count(*) AS n, count(DISTINCT request_id) AS d FROM origin_requests"
# Where S3 stands still: the request, and whether its answer is held in the middle of its body.
MOMENTS = {"the object is half read": ("GET", "/landing/", True), "a staged file is written": ("PUT", "/lake/staged/", False),
           "the receipt is written": ("PUT", "/lake/receipts/", False)}


class StandingStill(Between):
    """Holds the answer to one request until it is let go, and counts how often each message was taken."""

    def __init__(self, url):
        super().__init__(url)
        self.wish, self.held, self.free = None, threading.Event(), threading.Event()
        self.taken = Counter()

    def hold(self, method, part, in_body):
        self.held.clear()
        self.free.clear()
        self.wish = (method, part, in_body)

    def answer(self, asked, handler):
        if asked.operation.startswith("AmazonSQS."):
            asked.body = self.shorter(asked.body)
        reply = status, headers, body = self.passed_on(asked)
        if asked.operation == "AmazonSQS.ReceiveMessage":
            self.taken.update(message["MessageId"] for message in json.loads(body).get("Messages", []))
        wish = self.wish
        if wish and asked.method == wish[0] and wish[1] in asked.path and status == 200:
            self.wish, in_body = None, wish[2]
            if in_body:
                assert len(body) > 1000, len(body)
                headers["Content-Length"] = str(len(body))
                handler.reply(status, headers, body[:len(body) // 2])
                handler.wfile.flush()
            self.held.set()
            assert self.free.wait(120), "nobody let S3 go on"
            handler.close_connection = True
            return
        handler.reply(*reply)

    @staticmethod
    def shorter(body):
        sent = json.loads(body)
        if "VisibilityTimeout" in sent:
            sent["VisibilityTimeout"] = HIDDEN_S
        return json.dumps(sent).encode()


def killed(stand, binary, example, between, name, moment, wanted):
    queue, arn = stand.queue(name)
    stand.s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration={"QueueConfigurations": [{
        "QueueArn": arn, "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": f"{name}/landing/"}]}}}]})
    upload(stand, example, name)
    upload(stand, example, name, "landing")
    config = f"s3://{BUCKET}/{name}/meterlake.toml"
    env = {**stand.env, "AWS_ENDPOINT_URL": between.url, "METERLAKE_QUEUE": queue, "METERLAKE_CONFIG": config}
    between.taken.clear()
    between.hold(*MOMENTS[moment])
    first = Worker(binary, env)
    assert between.held.wait(120), f"S3 was never asked: {first.said()}"
    first.kill()
    between.free.set()
    second = Worker(binary, env)
    emptied(stand, queue)
    second.stop()
    assert "comes back" not in second.said(), second.said()
    assert max(between.taken.values()) == 2, between.taken
    found = answers(binary, config, stand.env)
    assert found == wanted, (moment, found, wanted)
    run(binary, ["verify", "--config", config], stand.env, ok=(0,))
    twice = sum(count == 2 for count in between.taken.values())
    print(f"killed when {moment}: {twice} messages came back, and the bill is the same")


def answers(binary, config, env=None):
    return [run(binary, ["query", "--format", "csv", sql, "--config", config], env, ok=(0,)).stdout for sql in (BILL, OBJECTS, EVENTS)]


def check(stand, binary, example, scratch):
    # One day: some objects of either source.
    small = copied(example, scratch / "example")
    for path in (small / "landing").rglob("*"):
        if path.is_file() and "/2026/10/30/" not in path.as_posix():
            path.unlink()
    config = str(small / "meterlake.toml")
    run(binary, ["run", "--config", config])
    wanted = answers(binary, config)
    assert ",1," in wanted[1] and ",2," not in wanted[1], wanted[1]
    between = StandingStill(stand.url)
    for number, moment in enumerate(MOMENTS):
        killed(stand, binary, small, between, f"killed-{number}", moment, wanted)
    print("a worker killed in the middle changes nothing")


if __name__ == "__main__":
    on_stand(check)
