#!/usr/bin/env python3
"""Requests that CloudWatch counts, and what buckets tell, on a stand-in.

    V/bin/python tests/aws/counts.py target/debug/meterlake

moto serves CloudWatch, S3 and SQS on loopback. The SDK speaks CBOR with CloudWatch, which moto does not: a few lines here stand
between them, and give one number a page, so that there are pages. Landing objects of yesterday lie in a bucket; CloudWatch has counted more
requests than they tell of in one hour: a gap, until the records come. Then the bucket's notifications are checked and set.
"""

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import cbor2

from stand import Quiet, on_stand, run, served

BUCKET = "landing"
CONFIG = """lake = "lake"
[[source]]
name = "origin"
kind = "api-gateway"
location = "s3://landing/apigateway"
format = '{"id":"$context.extendedRequestId","epoch":"$context.requestTimeEpoch","status":"$context.status","key":"$context.identity.apiKeyId"}'
key = "$context.identity.apiKeyId"
count = [{ api_name = "shop", stage = "prod" }, { api_id = "a1b2c3", stage = "$default" }]
[[source]]
name = "edge"
kind = "cloudfront-realtime"
location = "s3://landing/cloudfront"
fields = ["timestamp", "c-ip", "sc-status", "x-edge-request-id", "cs-headers", "cs-headers-count"]
key = { header = "x-api-key" }
count = { distribution = "E1" }
[privacy]
key_secret = "env:ML_SECRET"
[[meter]]
name = "calls"
source = "origin"
"""


class InCbor:
    """CloudWatch's GetMetricData in CBOR, answered by a client of moto."""

    PAGE = 1

    def __init__(self, watch):
        stand, self.pages = self, 0

        class Handler(Quiet):
            def do_POST(self):
                assert self.path.endswith("/operation/GetMetricData"), self.path
                asked = cbor2.loads(self.body())
                begin = int(asked.pop("NextToken", 0))
                found = watch.get_metric_data(**asked)["MetricDataResults"][0]
                page = slice(begin, begin + InCbor.PAGE)
                is_last = page.stop >= len(found["Values"])
                stand.pages += 1
                answer = {"MetricDataResults": [{
                    "Id": found["Id"], "Timestamps": found["Timestamps"][page], "Values": [float(v) for v in found["Values"][page]],
                    "StatusCode": "Complete" if is_last else "PartialData"}]}
                if not is_last:
                    answer["NextToken"] = str(page.stop)
                body = cbor2.dumps(answer, datetime_as_timestamp=True, timezone=timezone.utc)
                self.reply(200, {"smithy-protocol": "rpc-v2-cbor", "Content-Type": "application/cbor"}, body)

        self.url = f"http://{served(Handler)}"


def calls(hour, numbers):
    stamp = int(hour.timestamp() * 1000)
    line = '{{"id":"{0}","epoch":"{0}","status":"200","key":"k"}}\n'
    return "".join(line.format(stamp + n * 1000) for n in numbers)


def hits(hour, numbers):
    stamp = int(hour.timestamp())
    return "".join(f"{stamp + n}.000\t203.0.113.9\t200\t{stamp + n:054}==\thost:a%0Ax-api-key:KEY%0A\t2\n" for n in numbers)


def counts(stand, binary, env):
    watch = stand.client("cloudwatch")
    stand_between = InCbor(watch)
    env = {**env, "AWS_ENDPOINT_URL_CLOUDWATCH": stand_between.url}
    now = datetime.now(timezone.utc)
    day = (now - timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    hours = [day + timedelta(hours=n) for n in (1, 2, 3)]
    for hour in hours:
        stand.s3.put_object(Bucket=BUCKET, Key=f"apigateway/{hour:%Y-%m-%dT%H}", Body=calls(hour, range(60)))
    stand.s3.put_object(Bucket=BUCKET, Key="cloudfront/a", Body=hits(hours[0], range(5)) + hits(hours[1], range(5)))

    def told(namespace, metric, dimensions, hour, minutes):
        # One sample a request, as AWS sends them; a minute at a time.
        data = [{"MetricName": metric, "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions],
                 "Timestamp": hour + timedelta(minutes=minute), "Values": [1.0], "Counts": [float(count)]} for minute, count in minutes]
        watch.put_metric_data(Namespace=namespace, MetricData=data)

    rest, http = [("ApiName", "shop"), ("Stage", "prod")], [("ApiId", "a1b2c3"), ("Stage", "$default")]
    # The first hour with records is not held against anything: it may have begun in its middle. 60 calls in each of the others;
    # CloudWatch has counted 40 and 20 in the one, 70 in the other.
    told("AWS/ApiGateway", "Count", rest, hours[0], [(5, 500)])
    told("AWS/ApiGateway", "Count", rest, hours[1], [(0, 30), (59, 10)])
    told("AWS/ApiGateway", "Count", http, hours[1], [(30, 20)])
    told("AWS/ApiGateway", "Count", rest, hours[2], [(1, 70)])
    told("AWS/CloudFront", "Requests", [("DistributionId", "E1"), ("Region", "Global")], hours[1], [(1, 5)])
    # Of the hour that runs nothing is asked.
    told("AWS/ApiGateway", "Count", rest, now.replace(minute=0, second=0, microsecond=0), [(0, 1000)])

    run(binary, ["run"], env)
    first = run(binary, ["counts", "--json"], env, ok=(1,))
    found = json.loads(first.stdout)
    counted = {source["source"]: (source["hours"], source["requests"]) for source in found["counted"]}
    assert counted == {"edge": (1, 5), "origin": (2, 130)}, found
    short = [{"source": "origin", "hour": f"{hours[2]:%Y-%m-%dT%H}", "expected": 70, "found": 60, "missing": 10}]
    assert found["short"] == short, found
    assert stand_between.pages > len(found["counted"]) + 1, stand_between.pages
    print("counts: a gap of 10 requests is found")
    again = json.loads(run(binary, ["counts", "--json"], env, ok=(1,)).stdout)
    assert again == {**found, "derived": {}}, again
    stand.s3.put_object(Bucket=BUCKET, Key="apigateway/late", Body=calls(hours[2], range(60, 70)))
    run(binary, ["run"], env)
    last = json.loads(run(binary, ["counts", "--json"], env, ok=(0,)).stdout)
    assert last["short"] == [], last
    print("counts: and gone when the records have come")
    # A name that is not CloudWatch's is told, and what is known stays.
    text = Path(env["METERLAKE_CONFIG"]).read_text()
    Path(env["METERLAKE_CONFIG"]).write_text(text.replace('distribution = "E1"', 'distribution = "E2"'))
    wrong = run(binary, ["counts"], env, ok=(1,))
    assert "CloudWatch knows nothing of AWS/CloudFront Requests (DistributionId=E2" in wrong.stderr, wrong.stderr
    sql = "SELECT requests FROM request_counts WHERE source = 'edge'"
    assert run(binary, ["query", "--format", "csv", sql], env, ok=(0,)).stdout.split() == ["requests", "5"]
    # A number that is no count stops it.
    told("AWS/CloudFront", "Requests", [("DistributionId", "E2"), ("Region", "Global")], hours[1], [(1, 1)])
    watch.put_metric_data(Namespace="AWS/CloudFront", MetricData=[{
        "MetricName": "Requests", "Timestamp": hours[1], "Value": 0.5,
        "Dimensions": [{"Name": "DistributionId", "Value": "E2"}, {"Name": "Region", "Value": "Global"}]}])
    refused = run(binary, ["counts"], env, ok=(2,))
    assert "1.5 in the hour" in refused.stderr, refused.stderr
    Path(env["METERLAKE_CONFIG"]).write_text(text)


def notifications(stand, binary, env):
    url, arn = stand.queue("landed")
    _, other = stand.queue("other")

    def rules():
        found = stand.s3.get_bucket_notification_configuration(Bucket=BUCKET).get("QueueConfigurations", [])
        return sorted(rule["Id"] for rule in found)

    def put(rule, prefix):
        key = {"FilterRules": [{"Name": "prefix", "Value": prefix}]}
        one = {"Id": rule, "QueueArn": other, "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": key}}
        stand.s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration={"QueueConfigurations": [one]})

    env = {**env, "METERLAKE_QUEUE": url}
    put("audit", "audit/")
    # moto's answer to whether a bucket keeps versions has another root than S3's: it cannot be told here, so that each needs a look.
    before = run(binary, ["notifications", "check"], env, ok=(1,))
    assert before.stdout.count("nobody") == 2 and "landing: whether it keeps versions" in before.stderr, before.stdout + before.stderr
    planned = run(binary, ["notifications", "set", "--dry-run"], env, ok=(1,))
    assert "new rule `meterlake-edge` for cloudfront/*" in planned.stderr and rules() == ["audit"], planned.stderr
    run(binary, ["notifications", "set"], env, ok=(1,))
    assert rules() == ["audit", "meterlake-edge", "meterlake-origin"], rules()
    twice = run(binary, ["notifications", "set", "--queue", arn], env, ok=(1,))
    assert "nothing is missing" in twice.stderr and len(rules()) == 3, twice.stderr
    checked = json.loads(run(binary, ["notifications", "check", "--json"], env, ok=(1,)).stdout)
    assert [source["told"] for source in checked["sources"]] == ["queue", "queue"] and checked["queue"] == arn, checked
    # The rule works: S3 tells the queue, and the worker finds the object.
    stand.s3.put_object(Bucket=BUCKET, Key="cloudfront/told", Body=hits(datetime(2026, 1, 1, tzinfo=timezone.utc), range(3)))
    worked = run(binary, ["worker", "--until-empty", "--log", "json"], env, ok=(0,))
    assert "1 objects, 3 records" in worked.stderr, worked.stderr
    measured = [json.loads(line) for line in worked.stdout.splitlines()]
    edge = next(line for line in measured if line.get("source") == "edge" and "objects" in line)
    assert (edge["objects"], edge["records"], edge["rejects"]) == (1, 3, 0) and edge["lateness"] > 86_400, edge
    assert all(json.loads(line)["level"] in ("INFO", "WARN") for line in worked.stderr.splitlines()), worked.stderr
    put("wide", "cloud")
    refused = run(binary, ["notifications", "set"], env, ok=(2,))
    assert "the rule `wide` (cloud to" in refused.stderr and rules() == ["wide"], refused.stderr
    print("notifications: missing rules are added once, others kept, one in the way is refused")


def check(stand, binary, _, scratch):
    (scratch / "meterlake.toml").write_text(CONFIG)
    stand.s3.create_bucket(Bucket=BUCKET)
    env = {**stand.env, "METERLAKE_CONFIG": str(scratch / "meterlake.toml"), "ML_SECRET": "0123456789abcdef0123"}
    counts(stand, binary, env)
    notifications(stand, binary, env)
    print("counts and notifications work")


if __name__ == "__main__":
    on_stand(check)
