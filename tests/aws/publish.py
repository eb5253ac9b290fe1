#!/usr/bin/env python3
"""Totals of the example in DynamoDB, and API keys of API Gateway in keys.csv, on stand-ins.

    python -m venv V; V/bin/pip install -r tests/aws/requirements.txt
    V/bin/python tests/aws/publish.py target/debug/meterlake examples/quickstart

moto serves DynamoDB, API Gateway and S3 on loopback. The table is made as deploy/template.yaml has it. The expected totals are the sums of
examples/quickstart/README.md; none is taken from the program's output.
"""

import csv
import io
import json
import os
import re
import subprocess
from decimal import Decimal
from pathlib import Path

import boto3

from stand import BUCKET, SCHEDULE, copied, on_lambda, on_stand, run

TABLE = "meterlake-totals"
# October 2026: acme's calls are 190 and 26 completions, and so on down the README's bill.
EXPECTED = {
    ("customer#acme", "2026-10#api_calls"): 190 + 26,
    ("customer#acme", "2026-10#egress_bytes"): 69_600_000,
    ("customer#globex", "2026-10#api_calls"): 145,
    ("customer#globex", "2026-10#egress_bytes"): 30_100_000,
    ("customer#initech", "2026-10#api_calls"): 68,
    ("customer#initech", "2026-10#egress_bytes"): 58_000_000,
    ("customer#acme", "2026-11#api_calls"): 114 + 17,
    ("customer#acme", "2026-11#egress_bytes"): 43_200_000,
    ("customer#globex", "2026-11#api_calls"): 95,
    ("customer#globex", "2026-11#egress_bytes"): 19_600_000,
    ("customer#initech", "2026-11#api_calls"): 44,
    ("customer#initech", "2026-11#egress_bytes"): 38_000_000,
}
# Keys with one owner and no change have their customer's figures.
for key, customer in [("globex0003", "globex"), ("initech004", "initech")]:
    for month in ["2026-10", "2026-11"]:
        EXPECTED[(f"key#{key}", f"{month}#api_calls")] = EXPECTED[(f"customer#{customer}", f"{month}#api_calls")]
for print_, customer in [("96b3fe7241cc0dbb43dd8a6bf4336d1b", "globex"), ("348e2a03886a146e8a339e4d4281c379", "initech")]:
    for month in ["2026-10", "2026-11"]:
        EXPECTED[(f"key#{print_}", f"{month}#egress_bytes")] = EXPECTED[(f"customer#{customer}", f"{month}#egress_bytes")]
# acme's second key takes over at 14:05 on 31 October. November is all its own.
EXPECTED[("key#acme2new02", "2026-11#api_calls")] = 114 + 17
EXPECTED[("key#0200149173bab9b7ff72e66c26abbb89", "2026-11#egress_bytes")] = 43_200_000
# acme's calls by day: 44 + 22 + 8, 38 + 24 + 9, the same.
ACME_DAYS = {"2026-10-29": 74, "2026-10-30": 71, "2026-10-31": 71}


class Totals:
    """The table, as its readers see it."""

    def __init__(self, stand):
        self.client = stand.client("dynamodb")
        self.table = boto3.resource("dynamodb", **stand.arguments).Table(TABLE)
        self.create()

    def create(self, index=True):
        keys = {"AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ["pk", "sk", "month"][: 3 if index else 2]]}
        if index:
            keys["GlobalSecondaryIndexes"] = [{
                "IndexName": "by_month",
                "KeySchema": [{"AttributeName": "month", "KeyType": "HASH"}, {"AttributeName": "pk", "KeyType": "RANGE"}],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": projected()},
            }]
        self.client.create_table(
            TableName=TABLE, BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}], **keys,
        )

    def items(self):
        return {(item["pk"], item["sk"]): item for item in self.table.scan()["Items"]}

    def get(self, pk, sk):
        return self.table.get_item(Key={"pk": pk, "sk": sk}).get("Item")


def projected():
    """The attributes of the index, as the template has them."""
    template = (Path(__file__).parents[2] / "deploy/template.yaml").read_text()
    return [name.strip() for name in re.search(r"NonKeyAttributes: \[([^\]]*)\]", template).group(1).split(",")]


def publish(binary, config, env, *arguments, ok=(0,)):
    ran = run(binary, ["publish", "dynamodb", "--json", *arguments, "--config", config], env, ok)
    if not ran.stdout:
        return ran.stderr
    report = json.loads(ran.stdout)
    changed = [(change["pk"], change["sk"]) for month in report["months"] for change in month["changes"]]
    return changed, report


def totals(stand, binary, example):
    config = str(example / "meterlake.toml")
    env, table = stand.env, Totals(stand)
    run(binary, ["run", "--config", config])
    append(example / "meterlake.toml", f'\n[aws]\ndynamodb_table = "{TABLE}"\n')

    planned, report = publish(binary, config, env, "--dry-run")
    assert table.items() == {}, "a dry run has written something"
    changed, report = publish(binary, config, env)
    assert changed == planned
    items = table.items()
    state = items.pop(("lake", "lake"))
    assert len(items) == len(changed), (len(items), changed)
    for name, quantity in EXPECTED.items():
        assert items[name]["quantity"] == quantity, (name, items[name])
    # Both keys of acme together are acme: 216 calls, 69.6 MB.
    for meter, keys in [("api_calls", ["acme1old01", "acme2new02"]),
                        ("egress_bytes", ["ef12adddf1eab0acd9fae309e892db3d", "0200149173bab9b7ff72e66c26abbb89"])]:
        of_keys = sum(items[(f"key#{key}", f"2026-10#{meter}")]["quantity"] for key in keys)
        assert of_keys == EXPECTED[("customer#acme", f"2026-10#{meter}")], (meter, of_keys)
    # Two calls with acme's old key after its end belong to nobody: held. Keys that nobody ever owned have no item.
    assert items[("key#acme1old01", "2026-10#api_calls")]["held"] == 2
    assert not [name for name in items if "nobody0005" in name[0] or "22981dba" in name[0]]
    acme = items[("customer#acme", "2026-10#api_calls")]
    assert acme["days"] == ACME_DAYS and acme["customer_id"] == "acme" and acme["meter"] == "api_calls", acme
    assert acme["provisional"] is True and acme["events"] == 216 and acme["as_of"].endswith("Z"), acme
    assert acme["complete_until"] == "2026-11-01T00:00:00Z", "November has records, so October's hours are complete"
    # The last calls are of 2 November, from 14:00 on.
    assert items[("customer#acme", "2026-11#api_calls")]["complete_until"] == "2026-11-02T14:00:00Z"
    assert state["months"]["2026-11"]["complete_until"] == "2026-11-02T14:00:00Z", state
    secret_free(json.dumps(list(items.values()), default=str), example)
    listed = table.table.query(IndexName="by_month", KeyConditionExpression=boto3.dynamodb.conditions.Key("month").eq("2026-10")
                               & boto3.dynamodb.conditions.Key("pk").begins_with("customer#"))["Items"]
    assert sum(item["quantity"] for item in listed if item["meter"] == "api_calls") == 216 + 145 + 68

    # Again, by the command and by a run: not one byte of the table changes.
    before = table.items()
    changed, report = publish(binary, config, env)
    assert changed == [] and not report["state_written"], report
    changed, report = publish(binary, config, env, "--all")
    assert changed == [], changed
    run(binary, ["run", "--config", config], env)
    assert table.items() == before

    # An older publisher: what is there is of a later version, and stays.
    newer = {**acme, "version": acme["version"] + 100, "quantity": Decimal(999), "digest": "newer"}
    table.table.put_item(Item=newer)
    said = run(binary, ["publish", "dynamodb", "--all", "--config", config], env, ok=(2,)).stderr
    assert "another publisher is ahead" in said, said
    assert table.get("customer#acme", "2026-10#api_calls")["quantity"] == 999
    table.table.put_item(Item=acme)
    table.table.put_item(Item={**state, "version": state["version"] + 100})
    said = run(binary, ["publish", "dynamodb", "--config", config], env, ok=(2,)).stderr
    assert f"totals of version {state['version'] + 100}" in said, said
    table.table.put_item(Item=state)

    # A deleted item is missed where everything is compared.
    table.table.delete_item(Key={"pk": "customer#acme", "sk": "2026-10#api_calls"})
    assert publish(binary, config, env)[0] == []
    assert publish(binary, config, env, "--all")[0] == [("customer#acme", "2026-10#api_calls")]
    restored = table.get("customer#acme", "2026-10#api_calls")
    assert {**restored, "as_of": acme["as_of"]} == acme

    # A run publishes what it built: globex's key goes to initech, and globex has used nothing.
    keys = (example / "keys.csv").read_text()
    (example / "keys.csv").write_text(keys.replace("globex,globex0003", "initech,globex0003"))
    said = run(binary, ["run", "--config", config], env).stderr
    assert "published " in said, said
    assert table.get("customer#globex", "2026-11#api_calls")["quantity"] == 0
    assert table.get("customer#initech", "2026-11#api_calls")["quantity"] == 44 + 95
    (example / "keys.csv").write_text(keys)
    run(binary, ["run", "--accept-config", "--config", config], env)
    stamps = ["as_of", "version"]
    assert without(table.items(), stamps) == without(before, stamps)

    # So does the function of the schedule: globex's key goes and comes back, under labels that make new configurations.
    for owner, label, calls in [("initech", "gone", 0), ("globex", "back", 95)]:
        changed = keys.replace("globex,globex0003", f"{owner},globex0003").replace("production", label)
        (example / "keys.csv").write_text(changed)
        said = on_lambda(binary, config, [SCHEDULE], env).said
        assert table.get("customer#globex", "2026-11#api_calls")["quantity"] == calls, said

    # Another lake, and a table that is made otherwise.
    other = example.parent / "other"
    copied(example, other)
    said = run(binary, ["run", "--config", str(other / "meterlake.toml")], env, ok=(1,)).stderr
    assert "totals were not published: the table holds totals of another lake" in said, said
    table.client.delete_table(TableName=TABLE)
    table.create(index=False)
    said = run(binary, ["publish", "dynamodb", "--config", config], env, ok=(2,)).stderr
    assert "must have an index `by_month`" in said, said
    print("totals:", len(EXPECTED), "totals are the README's; twice, overtaken, deleted and moved they stay right")


def keys(stand, binary, example):
    gateway = stand.client("apigateway")
    secret = (example / "secret.txt").read_text().strip()
    values = {}
    for name, tags in [("acme third", {"customer_id": "acme"}), ("untagged", {}), ("stranger", {"customer_id": "nobody"}), ("globex, new", {"customer_id": "globex"})]:
        value = f"VALUE{name.encode().hex()}abcdefghijklmnop"
        made = gateway.create_api_key(name=name, value=value, enabled=True, tags=tags)
        values[name] = (made["id"], value)
    for lies_in_s3 in [False, True]:
        if lies_in_s3:
            for path in ["meterlake.toml", "customers.csv", "keys.csv", "rates.toml", "secret.txt"]:
                stand.s3.upload_file(str(example / path), BUCKET, f"keys/{path}")
        config = f"s3://{BUCKET}/keys/meterlake.toml" if lies_in_s3 else str(example / "meterlake.toml")

        def read():
            return stand.s3.get_object(Bucket=BUCKET, Key="keys/keys.csv")["Body"].read().decode() if lies_in_s3 else (example / "keys.csv").read_text()

        before = read()
        said = run(binary, ["keys", "import", "--dry-run", "--config", config], stand.env, ok=(1,))
        assert read() == before, "a dry run has written something"
        ran = run(binary, ["keys", "import", "--json", "--config", config], stand.env, ok=(1,))
        after = read()
        assert after.startswith(before), "rows that were there changed"
        added = {row["api_key_id"]: row for row in csv.DictReader(io.StringIO(after))}
        for name, customer in [("acme third", "acme"), ("globex, new", "globex")]:
            identity, value = values[name]
            row = added[identity]
            assert (row["customer_id"], row["label"], row["valid_to"]) == (customer, name, ""), row
            wanted = run_with_input(binary, ["keys", "fingerprint", "--config", config], stand.env, value)
            assert row["key_fingerprint"] == wanted, (row, wanted)
        assert len(after.splitlines()) == len(before.splitlines()) + 2
        verdicts = {key["label"]: key["verdict"] for key in json.loads(ran.stdout)["keys"]}
        assert verdicts == {"acme third": "added", "untagged": "no_customer", "stranger": "unknown_customer", "globex, new": "added"}, verdicts
        for text in [said.stdout, said.stderr, ran.stdout, ran.stderr, after]:
            assert secret not in text and not [value for _, value in values.values() if value in text], text
        run(binary, ["keys", "import", "--config", config], stand.env, ok=(1,))
        assert read() == after, "the second import has written something"
        if not lies_in_s3:
            (example / "keys.csv").write_text(before)
    print("keys: added once, listed where nobody owns them, in a folder and in S3; no value is told")


def run_with_input(binary, arguments, env, text):
    return subprocess.run([binary, *arguments], env={**os.environ, **env}, input=text, capture_output=True, text=True, check=True).stdout.strip()


def secret_free(text, example):
    assert (example / "secret.txt").read_text().strip() not in text


def without(items, names):
    return {key: {name: value for name, value in item.items() if name not in names} for key, item in items.items() if key[0] != "lake"}


def append(path, text):
    path.write_text(path.read_text() + text)


def check(stand, binary, source, scratch):
    example = copied(source, scratch / "example")
    keys(stand, binary, example)
    totals(stand, binary, example)
    print("totals and keys are right")


if __name__ == "__main__":
    on_stand(check)
