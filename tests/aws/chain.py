#!/usr/bin/env python3
"""The way of the example's requests from where AWS logs them to the bill, in one go, on stand-ins.

    python -m venv V; V/bin/pip install -r tests/aws/requirements.txt
    V/bin/python tests/aws/chain.py target/debug/meterlake examples/quickstart

    API Gateway: a log group of CloudWatch Logs ─ subscription ─▶ Firehose ─┐
    CloudFront: a Kinesis stream ──────────────────────────────▶ Firehose ─┴▶ S3 ─▶ SQS ─▶ worker ─▶ lake, Glue, DynamoDB

moto serves all of it on loopback. It delivers log events as the real service does (DATA_MESSAGE in gzip; only their ids are numbers), and
writes an object for each batch that Firehose is given. It does not carry records from Kinesis to Firehose and does not compress what
Firehose writes: a few lines here do the first, and some edge objects are put as Firehose would write them.

The bill is the one of examples/quickstart/README.md, worked out by hand there. It must stay the same when everything is
delivered twice and out of order, and then nothing is written to Glue and DynamoDB.
"""

import gzip
import json
import random
import time
import zlib
from collections import Counter

from publish import EXPECTED, TABLE, Totals
from stand import Between, Worker, emptied, on_stand, run

LANDING, LAKE, DATABASE = "landing", "lake", "meterlake"
CONFIG = f"s3://{LAKE}/config/meterlake.toml"
BY_MONTH = "SELECT date_trunc('month', day) AS m, customer_id, sum(amount) AS a FROM charges_daily GROUP BY 1, 2 ORDER BY 1, 2"
# The sums of the README's last table of amounts.
AMOUNTS = {("2026-10", "acme"): "8.1392", ("2026-10", "globex"): "14.6505", ("2026-10", "initech"): "7.09",
           ("2026-11", "acme"): "4.0464", ("2026-11", "globex"): "11.498", ("2026-11", "initech"): "0.076"}
# And its table of what is not on the bill: events.
ASIDE = "SELECT meter, attribution, sum(events) AS n FROM usage_daily WHERE attribution <> 'mapped' GROUP BY 1, 2"
NOT_BILLED = {("api_calls", "unmapped"): 9, ("api_calls", "conflict"): 1, ("api_calls", "undecided"): 1, ("api_calls", "not_billable"): 23,
              ("api_calls", "anonymous"): 9, ("egress_bytes", "unmapped"): 5, ("egress_bytes", "truncated"): 1,
              ("egress_bytes", "not_billable"): 2, ("egress_bytes", "refused"): 4, ("egress_bytes", "anonymous"): 4}
WRITES = ("CreateDatabase", "CreateTable", "UpdateTable", "DeleteTable", "PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems")


class Counting(Between):
    """Counts what is asked of the services that speak JSON."""

    def __init__(self, url):
        super().__init__(url)
        self.asked = Counter()

    def passed_on(self, asked):
        self.asked[asked.operation.split(".")[-1]] += 1
        return super().passed_on(asked)

    def writes(self):
        found = {name: count for name, count in self.asked.items() if name in WRITES}
        self.asked.clear()
        return found


# The example's records ------------------------------------------------------------------------------------------------


def unpacked(data):
    """What is in gzip members, also where a newline stands between them."""
    while data[:2] == b"\x1f\x8b":
        out = b""
        while data:
            member = zlib.decompressobj(31)
            out += member.decompress(data) + member.flush()
            data = member.unused_data.lstrip(b"\n")
        data = out
    return data.decode()


def objects(example, source):
    """For each object of the example the records in it, and whether they came through CloudWatch Logs."""
    for path in sorted((example / "landing" / source).rglob("*")):
        if not path.is_file():
            continue
        text = unpacked(path.read_bytes())
        if not text.startswith('{"messageType"'):
            yield text.splitlines(), False
            continue
        records, at = [], 0
        while at < len(text):
            document, at = json.JSONDecoder().raw_decode(text, at)
            if document["messageType"] == "DATA_MESSAGE":
                records += [event["message"] for event in document["logEvents"]]
        if records:
            yield records, True


# The stand-ins --------------------------------------------------------------------------------------------------------


class Streams:
    """Log group, Kinesis stream and Firehoses, all of which end in the landing bucket."""

    GROUP, STREAM = "/apigw/prod", "0f1e2d3c4b5a"

    def __init__(self, stand):
        self.s3, self.logs, self.kinesis, self.firehose = stand.s3, stand.client("logs"), stand.client("kinesis"), stand.client("firehose")
        self.kinesis.create_stream(StreamName="cf-realtime", ShardCount=1)
        self.iterator = None
        for name, prefix in [("apigw-access", "apigateway/"), ("amazon-apigateway-access", "apigateway/"), ("cf-realtime", "cloudfront/")]:
            made = self.firehose.create_delivery_stream(DeliveryStreamName=name, ExtendedS3DestinationConfiguration={
                "BucketARN": f"arn:aws:s3:::{LANDING}", "RoleARN": "arn:aws:iam::123456789012:role/r", "Prefix": prefix})
            if name == "apigw-access":
                arn = made["DeliveryStreamARN"]
        self.logs.create_log_group(logGroupName=self.GROUP)
        self.logs.create_log_stream(logGroupName=self.GROUP, logStreamName=self.STREAM)
        self.logs.put_subscription_filter(logGroupName=self.GROUP, filterName="to-firehose", filterPattern="", destinationArn=arn)

    def logged(self, records):
        """API Gateway writes to its log group."""
        at = int(time.time() * 1000)
        self.logs.put_log_events(logGroupName=self.GROUP, logStreamName=self.STREAM,
                                 logEvents=[{"timestamp": at, "message": record} for record in records])

    def given(self, records):
        """API Gateway gives its records to Firehose itself."""
        self.delivered("amazon-apigateway-access", [record.encode() + b"\n" for record in records])

    def seen_at_edge(self, records):
        """CloudFront writes to Kinesis, a record each; Firehose takes them from there."""
        self.kinesis.put_records(StreamName="cf-realtime", Records=[{"Data": f"{record}\n".encode(), "PartitionKey": str(n)} for n, record in enumerate(records)])
        if self.iterator is None:
            shard = self.kinesis.list_shards(StreamName="cf-realtime")["Shards"][0]["ShardId"]
            self.iterator = self.kinesis.get_shard_iterator(StreamName="cf-realtime", ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        taken = self.kinesis.get_records(ShardIterator=self.iterator)
        self.iterator = taken["NextShardIterator"]
        assert len(taken["Records"]) == len(records), len(taken["Records"])
        self.delivered("cf-realtime", [record["Data"] for record in taken["Records"]])

    def delivered(self, name, records):
        self.firehose.put_record_batch(DeliveryStreamName=name, Records=[{"Data": record} for record in records])

    def written(self, number, records):
        """As Firehose writes with its compression on, which no stand-in has."""
        body = gzip.compress("".join(record + "\n" for record in records).encode())
        self.s3.put_object(Bucket=LANDING, Key=f"cloudfront/2026/11/25/09/cf-realtime-3-2026-11-25-09-00-{number:02}-x.gz", Body=body)


def taken_out(stand, queue):
    """All messages that wait, taken from the queue."""
    bodies = []
    while True:
        found = stand.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        if not found:
            return bodies
        for message in found:
            bodies.append(message["Body"])
            stand.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def configured(stand, example):
    text = (example / "meterlake.toml").read_text()
    for old, new in [('lake = "lake"', f'lake = "s3://{LAKE}/lake"'), ('"landing/', f'"s3://{LANDING}/')]:
        assert old in text, f"the example's configuration has no {old}"
        text = text.replace(old, new)
    text += f'\n[aws]\nglue_database = "{DATABASE}"\ndynamodb_table = "{TABLE}"\n'
    for bucket in (LANDING, LAKE):
        stand.s3.create_bucket(Bucket=bucket)
    stand.s3.put_object(Bucket=LAKE, Key="config/meterlake.toml", Body=text)
    for name in ["customers.csv", "keys.csv", "rates.toml", "secret.txt"]:
        stand.s3.upload_file(str(example / name), LAKE, f"config/{name}")


def check(stand, binary, example, scratch):
    configured(stand, example)
    streams, table, glue = Streams(stand), Totals(stand), stand.client("glue")
    between = Counting(stand.url)
    queue, _ = stand.queue("landed")
    env = {**stand.env, "AWS_ENDPOINT_URL": between.url, "METERLAKE_QUEUE": queue, "METERLAKE_CONFIG": CONFIG}
    # moto tells of a bucket without any rule otherwise than S3 does: another's rule is there, and stays.
    _, other = stand.queue("other")
    rule = {"Id": "audit", "QueueArn": other, "Events": ["s3:ObjectRemoved:*"]}
    stand.s3.put_bucket_notification_configuration(Bucket=LANDING, NotificationConfiguration={"QueueConfigurations": [rule]})
    run(binary, ["notifications", "set"], env)

    def worked(workers=1):
        started = [Worker(binary, env) for _ in range(workers)]
        emptied(stand, queue)
        for worker in started:
            worker.stop()
        return "".join(worker.said() for worker in started)

    def sent(origin, edge):
        for records, by_logs in origin:
            streams.logged(records) if by_logs else streams.given(records)
        for number, records in edge:
            streams.written(number, records) if number % 3 == 0 else streams.seen_at_edge(records)

    # A worker waits while the first half is logged.
    origin, edge = list(objects(example, "apigateway")), [(number, records) for number, (records, _) in enumerate(objects(example, "cloudfront"))]
    worker = Worker(binary, env)
    sent(origin[::2], edge[::2])
    emptied(stand, queue)
    worker.stop()
    assert "comes back" not in worker.said(), worker.said()
    print("half of the records are in the lake, each through its own services")

    # Of the other half the notifications come out of order, some twice at once, to two workers.
    sent(origin[1::2], edge[1::2])
    told = taken_out(stand, queue)
    mixed = told + told[::3]
    random.Random(5).shuffle(mixed)
    for body in mixed:
        stand.sqs.send_message(QueueUrl=queue, MessageBody=body)
    worked(workers=2)
    right(stand, binary, env, table, glue)
    assert between.writes(), "nothing was written to Glue and DynamoDB"
    print(f"{len(origin)} + {len(edge)} objects' records, half of them told out of order: the bill is the README's")

    # Everything again: the same notifications backwards, the same objects written again, and records delivered again in new objects.
    before = table.items(), tables(glue)
    for found in stand.s3.list_objects_v2(Bucket=LANDING, Prefix="cloudfront/")["Contents"]:
        body = stand.s3.get_object(Bucket=LANDING, Key=found["Key"])["Body"].read()
        stand.s3.put_object(Bucket=LANDING, Key=found["Key"], Body=body)
    for body in reversed(told):
        stand.sqs.send_message(QueueUrl=queue, MessageBody=body)
    again = [records for records, by_logs in origin if by_logs][:2]
    for records in again:
        streams.logged(records)
    streams.seen_at_edge(edge[1][1])
    said = worked()
    right(stand, binary, env, table, glue)
    assert "3 objects" in said, said
    assert (table.items(), tables(glue)) == before
    assert between.writes() == {}, "delivered twice, something was written to Glue or DynamoDB"
    run(binary, ["build"], env)
    assert between.writes() == {}, "a second build has written to Glue or DynamoDB"
    run(binary, ["verify"], env, ok=(0,))
    print("everything delivered twice: the same bill, and not one write to Glue and DynamoDB")


def right(stand, binary, env, table, glue):
    """The bill is the README's, DynamoDB has its totals, and the tables are in Glue, each at a Delta log."""
    def asked(sql):
        return json.loads(run(binary, ["query", "--format", "json", sql], env, ok=(0,)).stdout)

    amounts = {(row["m"][:7], row["customer_id"]): row["a"].rstrip("0") for row in asked(BY_MONTH)}
    assert amounts == AMOUNTS, amounts
    aside = {(row["meter"], row["attribution"]): row["n"] for row in asked(ASIDE)}
    assert aside == NOT_BILLED, aside
    items = table.items()
    for name, quantity in EXPECTED.items():
        assert items[name]["quantity"] == quantity, (name, items[name])
    plan = json.loads(run(binary, ["glue", "sync", "--dry-run", "--json"], env, ok=(0,)).stdout)
    found = tables(glue)
    assert plan["steps"] == [] and plan["right"] == len(found) > 10, plan
    for name, table in found.items():
        prefix = table["StorageDescriptor"]["Location"].removeprefix(f"s3://{LAKE}/") + "_delta_log/"
        assert stand.s3.list_objects_v2(Bucket=LAKE, Prefix=prefix)["KeyCount"] > 0, f"{name} has no log at {prefix}"


def tables(glue):
    return {table["Name"]: table for table in glue.get_tables(DatabaseName=DATABASE)["TableList"]}


if __name__ == "__main__":
    on_stand(check)
