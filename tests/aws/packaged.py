#!/usr/bin/env python3
"""The package that Lambda gets, run: the bootstrap out of the zip answers every kind of event, and is measured.

    deploy/package.sh meterlake.zip
    V/bin/python tests/aws/packaged.py meterlake.zip examples/quickstart

moto serves S3 on loopback, stand.py has Lambda's runtime API. The example's objects are told of by S3, in a batch of SQS with a message that is
none, by SNS, and by EventBridge; a schedule builds. The bill must be the one that the same binary makes in folders. Then the start of the
process is timed, and its memory is measured while it converts the largest objects that Firehose writes: 128 MiB of records, in gzip. By hand only:
a release build takes its time.
"""

import base64
import gzip
import json
import os
import random
import zipfile
from pathlib import Path
from urllib.parse import quote_plus

from stand import BUCKET, SCHEDULE, bill, bill_in_folders, on_lambda, on_stand, upload

# What Firehose buffers at most, and what the function may use.
OBJECT_BYTES, MEMORY_MAX = 128 << 20, 512 << 20


def unpacked(archive, folder):
    """The bootstrap, with the mode that is in the zip."""
    with zipfile.ZipFile(archive) as zipped:
        entry, = zipped.infolist()
        assert entry.filename == "bootstrap" and (entry.external_attr >> 16) & 0o777 == 0o755, entry
        path = Path(zipped.extract(entry, folder))
    path.chmod(0o755)
    return str(path)


# Events ---------------------------------------------------------------------------------------------------------------


def by_s3(key):
    return {"Records": [{"eventVersion": "2.6", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
                         "s3": {"bucket": {"name": BUCKET}, "object": {"key": quote_plus(key, safe="/"), "size": 1}}}]}


def by_sqs(keys):
    bodies = {f"m{number}": json.dumps(by_s3(key)) for number, key in enumerate(keys)} | {"poison": "no notification"}
    return {"Records": [{"messageId": name, "eventSource": "aws:sqs", "body": body} for name, body in bodies.items()]}


def by_sns(key):
    return {"Records": [{"EventSource": "aws:sns", "EventVersion": "1.0", "Sns": {"Type": "Notification", "Message": json.dumps(by_s3(key))}}]}


def by_event_bridge(key):
    return {"version": "0", "source": "aws.s3", "detail-type": "Object Created", "detail": {"bucket": {"name": BUCKET}, "object": {"key": key, "size": 1}}}


def every_kind(stand, binary, example, wanted):
    upload(stand, example, "zip")
    upload(stand, example, "zip", "landing")
    keys = [found["Key"] for found in stand.s3.list_objects_v2(Bucket=BUCKET, Prefix="zip/landing/")["Contents"]]
    third = len(keys) // 3
    events = [by_s3(keys[0]), by_sqs(keys[1:third]), *map(by_sns, keys[third:2 * third]), *map(by_event_bridge, keys[2 * third:]), SCHEDULE]
    config = f"s3://{BUCKET}/zip/meterlake.toml"
    answered = on_lambda(binary, config, events, stand.env)
    assert answered.answers[1] == {"batchItemFailures": [{"itemIdentifier": "poison"}]}, answered.answers[1]
    converted = [answer.get("converted") for answer in answered.answers[:1] + answered.answers[2:-1]]
    assert converted == [1] * len(converted), converted
    warned = [json.loads(line) for line in answered.said.splitlines() if '"WARN"' in line]
    assert any("poison comes back" in line["message"] and line["hint"] for line in warned), answered.said
    assert bill(binary, config, stand.env) == wanted, "the bill is not that of folders"
    print(f"{len(events)} events of S3, SQS, SNS, EventBridge and a schedule: the bill is that of folders")
    asked, answer = answered.first_asked - answered.began, answered.answered_at[0] - answered.began
    print(f"start: {asked * 1000:.0f} ms to the first request for an event, {answer * 1000:.0f} ms to its answer; memory {mib(answered.memory_max)}")


# The largest objects --------------------------------------------------------------------------------------------------


def edge_record(n, chance):
    """As the example's real-time records, in the order of its `fields`; ids, addresses, paths and times hardly compress."""
    at = 1793264400 + n // 80
    request = base64.urlsafe_b64encode(chance.randbytes(40)).decode()
    headers = f"host:files.example.com%0Auser-agent:client/{n % 50}%0Ax-api-key:GLOBEXexampleKEY0000000003%0Aaccept:*/*%0A"
    address, path = ".".join(str(byte) for byte in chance.randbytes(4)), chance.randbytes(12).hex()
    return (f"{at}.{n % 1000:03}\t{address}\t0.{n % 90 + 10:03}\t200\t{chance.randrange(10 ** 6)}\tGET\thttps\tfiles.example.com\t/v1/files/{path}\t"
            f"{chance.randrange(300, 900)}\tFRA56-P{n % 9}\t{request}\td111111abcdef8.cloudfront.net\t0.{chance.randrange(999):03}\tHTTP/2.0\t"
            f"Mozilla/5.0%20(X11;%20Linux%20x86_64)%20client/{n % 50}\tv={n % 977}\tHit\tTLSv1.3\tHit\tapplication/octet-stream\tHit\tDE\t/v1/files/*\t"
            f"{headers}\thost%0Auser-agent%0Ax-api-key%0Aaccept%0A\t4\t{64500 + n % 10}\n")


def origin_record(n, chance):
    """As the example's access log, in the order of its `format`."""
    at = 1793264400000 + n * 12
    extended, request = base64.b64encode(chance.randbytes(11)).decode(), chance.randbytes(16).hex()
    record = {
        "extendedRequestId": extended, "requestId": f"{request[:8]}-{request[8:12]}-4{request[13:16]}-a{request[17:20]}-{request[20:]}",
        "requestTimeEpoch": str(at), "requestTime": "29/Oct/2026:09:00:00 +0000", "accountId": "111122223333", "apiId": "a1b2c3d4e5",
        "stage": "prod", "domainName": "api.example.com", "httpMethod": "GET", "resourcePath": "/v1/items/{id}", "status": "200",
        "protocol": "HTTP/1.1", "responseLength": str(chance.randrange(10 ** 5)), "responseLatency": str(chance.randrange(900)),
        "integrationLatency": str(chance.randrange(900)), "apiKeyId": "globex0003", "ip": ".".join(str(byte) for byte in chance.randbytes(4)),
        "path": f"/prod/v1/items/{chance.randbytes(8).hex()}", "userAgent": f"Mozilla/5.0 (X11; Linux x86_64) client/{n % 50}",
    }
    return json.dumps(record, separators=(",", ":")) + "\n"


def envelope(records, chance):
    """What CloudWatch Logs sends: one gzip member."""
    events = [{"id": str(chance.randrange(10 ** 55)).zfill(56), "timestamp": 1793264400000, "message": record.rstrip("\n")} for record in records]
    return gzip.compress(json.dumps({"messageType": "DATA_MESSAGE", "owner": "111122223333", "logGroup": "/apigw/prod", "logStream": "0f1e2d3c4b5a",
                                     "subscriptionFilters": ["to-firehose"], "logEvents": events}, separators=(",", ":")).encode(), 6)


def plain(record):
    """128 MiB of records that Firehose compresses; how many, and the object."""
    chance, size, records = random.Random(1), 0, []
    while size < OBJECT_BYTES - 2000:
        records.append(record(len(records), chance))
        size += len(records[-1])
    return len(records), gzip.compress("".join(records).encode(), 6)


def enveloped():
    """128 MiB of envelopes, which come compressed: some ten times as much when unpacked."""
    chance, size, count, members = random.Random(2), 0, 0, []
    while size < OBJECT_BYTES - (1 << 20):
        members.append(envelope([origin_record(count + n, chance) for n in range(1000)], chance))
        size, count = size + len(members[-1]), count + 1000
    return count, b"".join(members)


LARGEST = {"edge records": ("cloudfront", lambda: plain(edge_record)), "access-log records": ("apigateway", lambda: plain(origin_record)),
           "envelopes of CloudWatch Logs": ("apigateway", enveloped)}


def largest(stand, binary, example):
    for number, (name, (source, make)) in enumerate(LARGEST.items()):
        upload(stand, example, f"large{number}")
        count, body = make()
        key = f"large{number}/landing/{source}/2026/10/29/09/large"
        stand.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        answered = on_lambda(binary, f"s3://{BUCKET}/large{number}/meterlake.toml", [by_s3(key)], stand.env, patience_s=840)
        answer, took = answered.answers[0], answered.answered_at[0] - answered.began
        assert (answer["converted"], answer["records"], answer["rejects"]) == (1, count, 0), answer
        print(f"{name}: {count} in {mib(len(body))} of gzip: {took:.0f} s, memory {mib(answered.memory_max)}", flush=True)
        assert answered.memory_max <= MEMORY_MAX, "more memory than the function has"


def mib(count):
    return f"{count / (1 << 20):.0f} MiB"


def check(stand, archive, example, scratch):
    binary = unpacked(archive, scratch)
    print(f"{mib(os.path.getsize(archive))} zipped, {mib(os.path.getsize(binary))} unpacked")
    every_kind(stand, binary, example, bill_in_folders(binary, example, scratch))
    largest(stand, binary, example)


if __name__ == "__main__":
    on_stand(check)
