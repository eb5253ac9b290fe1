#!/usr/bin/env python3
"""The example on AWS stand-ins: objects land in S3, S3 tells SQS, a worker converts and builds; then the same by Lambda.

    python -m venv V; V/bin/pip install -r tests/aws/requirements.txt
    V/bin/python tests/aws/end_to_end.py target/debug/meterlake examples/quickstart

moto serves S3 and SQS on loopback. Configuration, landing objects and lake lie in one bucket. The bill of each lake must
be the one that the same objects give in folders. Lambda is a few lines of its runtime API in stand.py.
"""

import json
import os
import subprocess
from urllib.parse import quote_plus

from stand import BUCKET, SCHEDULE, bill, bill_in_folders, on_lambda, on_stand, run, upload


def worker(stand, binary, example, wanted):
    queue, arn = stand.queue("landed")
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


def by_lambda(stand, binary, example, wanted):
    upload(stand, example, "lambda")
    upload(stand, example, "lambda", "landing")
    listed = stand.s3.list_objects_v2(Bucket=BUCKET, Prefix="lambda/landing/")["Contents"]

    def told(key):
        return {"Records": [{"eventVersion": "2.6", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
                             "s3": {"bucket": {"name": BUCKET}, "object": {"key": quote_plus(key, safe="/"), "size": 1}}}]}

    keys = [found["Key"] for found in listed]
    half = len(keys) // 2
    batch = {"Records": [{"messageId": f"m{n}", "eventSource": "aws:sqs", "body": json.dumps(told(key))} for n, key in enumerate(keys[:half])]}
    batch["Records"].append({"messageId": "poison", "eventSource": "aws:sqs", "body": "no notification"})
    bridged = [{"version": "0", "source": "aws.s3", "detail-type": "Object Created",
                "detail": {"bucket": {"name": BUCKET}, "object": {"key": key, "size": 1}}} for key in keys[half:half + 1]]
    events = [batch, *map(told, keys[half + 1:]), *bridged, SCHEDULE]
    config = f"s3://{BUCKET}/lambda/meterlake.toml"
    answered = on_lambda(binary, config, events, stand.env)
    assert answered.answers[0] == {"batchItemFailures": [{"itemIdentifier": "poison"}]}, answered.answers[0]
    # What is said and measured is JSON, a line each; each object was measured once.
    assert all(json.loads(line)["level"] in ("INFO", "WARN") for line in answered.said.splitlines()), answered.said
    lines = [json.loads(line) for line in answered.measured.splitlines()]
    assert all(line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "meterlake" for line in lines), answered.measured
    assert sum(line.get("objects", 0) for line in lines) == len(keys), answered.measured
    print("lambda:", len(events), "events answered; the first", json.dumps(answered.answers[0]))
    assert bill(binary, config, stand.env) == wanted, "Lambda's bill differs"


def check(stand, binary, example, scratch):
    wanted = bill_in_folders(binary, example, scratch)
    worker(stand, binary, example, wanted)
    by_lambda(stand, binary, example, wanted)
    print("the bills of folders, workers and Lambda are equal")


if __name__ == "__main__":
    on_stand(check)
