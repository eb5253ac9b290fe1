#!/usr/bin/env python3
"""`glue sync` against a stand-in for Glue: the example's lake on S3, its tables in a database.

    V/bin/python tests/aws/glue.py target/debug/meterlake examples/quickstart

moto serves S3 and Glue on loopback. It gives all tables on one page and accepts an update of a stale version, which Glue does not: a
few lines between the binary and moto do both as Glue does. Every sync runs as the binary.
"""

import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3

from end_to_end import BUCKET, LambdaRuntime, Stand, run, upload

LAKE = f"s3://{BUCKET}/lake"
DATABASE = "meterlake"
CONFIG = f"s3://{BUCKET}/quickstart/meterlake.toml"


class LikeGlue:
    """Stands before moto: tables in pages of four; an update names the newest version, and the first one is told that it lost a race."""

    def __init__(self, stand, glue):
        like, self.pages, self.refused, self.updates = self, 0, 0, []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                operation = self.headers["X-Amz-Target"].removeprefix("AWSGlue.")
                first = int(asked.pop("NextToken", 0))
                if operation == "UpdateTable":
                    newest = glue.get_table(DatabaseName=asked["DatabaseName"], Name=asked["TableInput"]["Name"])["Table"]
                    like.updates.append(asked.get("VersionId"))
                    if asked.get("VersionId") != newest["VersionId"] or like.refused == 0:
                        like.refused += 1
                        return self.answer(400, {"__type": "ConcurrentModificationException", "Message": "lost"})
                headers = {key: self.headers[key] for key in ("X-Amz-Target", "Content-Type", "Authorization")}
                request = urllib.request.Request(stand.url, json.dumps(asked).encode(), headers)
                try:
                    with urllib.request.urlopen(request, timeout=60) as reply:
                        status, body = reply.status, json.load(reply)
                except urllib.error.HTTPError as error:
                    status, body = error.code, json.load(error)
                if operation == "GetTables" and status == 200:
                    like.pages += 1
                    every = body["TableList"]
                    body["TableList"] = every[first:first + 4]
                    if first + 4 < len(every):
                        body["NextToken"] = str(first + 4)
                return self.answer(status, body)

            def answer(self, status, body):
                body = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stand.env["AWS_ENDPOINT_URL_GLUE"] = f"http://127.0.0.1:{server.server_address[1]}"


def configured(stand, example, scratch):
    """The example in the bucket, its lake beside it, and a database for its tables."""
    upload(stand, example, "quickstart")
    upload(stand, example, "quickstart", "landing")
    text = (example / "meterlake.toml").read_text()
    lines = [f'lake = "{LAKE}"' if line.startswith("lake ") or line.startswith("lake=") else line for line in text.splitlines()]
    assert f'lake = "{LAKE}"' in lines, "the example's configuration names its lake otherwise"
    changed = scratch / "meterlake.toml"
    changed.write_text("\n".join(lines) + f'\n[aws]\nglue_database = "{DATABASE}"\n')
    stand.s3.upload_file(str(changed), BUCKET, "quickstart/meterlake.toml")


def tables(glue):
    """All tables by name, without what changes by itself."""
    found = glue.get_tables(DatabaseName=DATABASE)["TableList"]
    for table in found:
        for key in ("CreateTime", "UpdateTime"):
            table.pop(key, None)
    return {table["Name"]: table for table in found}


def sync(binary, stand, *more, ok=(0,)):
    ran = run(binary, ["glue", "sync", "--json", "--config", CONFIG, *more], stand.env, ok=ok)
    return json.loads(ran.stdout), ran.stderr


def check(binary, stand, glue):
    # A dry run says everything and does nothing.
    plan, _ = sync(binary, stand, "--dry-run")
    assert plan["creates_database"] and plan["dry_run"] and plan["steps"], plan
    assert not glue.get_databases()["DatabaseList"], "--dry-run made a database"

    # The plan comes first and is what is done; the tables are those that the definitions say.
    plan, _ = sync(binary, stand)
    there = tables(glue)
    assert sorted(there) == sorted(step["table"] for step in plan["steps"]), sorted(there)
    assert "charges_daily" in there and "invoices" not in there, sorted(there)
    for name, table in there.items():
        printed = run(binary, ["glue", "ddl", name, "--json", "--config", CONFIG], stand.env, ok=(0,)).stdout
        wanted = json.loads(printed)
        assert {key: table[key] for key in wanted} == wanted, f"{name}: {table}"
    charges = there["charges_daily"]
    kinds = {column["Name"]: column["Type"] for column in charges["StorageDescriptor"]["Columns"]}
    assert (kinds["amount"], kinds["unit_price"], kinds["quantity"]) == ("decimal(38,9)", "decimal(18,9)", "bigint"), kinds
    assert [(key["Name"], key["Type"]) for key in charges["PartitionKeys"]] == [("day", "date")]
    assert charges["Parameters"]["spark.sql.sources.provider"] == "delta"
    # Each location holds a Delta log.
    for name, table in there.items():
        prefix = table["StorageDescriptor"]["Location"].removeprefix(f"s3://{BUCKET}/") + "_delta_log/"
        assert stand.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["KeyCount"] > 0, f"{name} has no log at {prefix}"

    # Again: nothing to do, and nothing is done.
    plan, _ = sync(binary, stand)
    assert plan["steps"] == [] and not plan["creates_database"] and plan["right"] == len(there), plan
    assert tables(glue) == there

    # Tables of others stay: one with a name of its own, one in the place of ours.
    foreign = {"Name": "clicks", "StorageDescriptor": {"Columns": [{"Name": "a", "Type": "int"}], "Location": "s3://other/clicks/"}}
    glue.create_table(DatabaseName=DATABASE, TableInput=foreign)
    glue.delete_table(DatabaseName=DATABASE, Name="prices")
    glue.create_table(DatabaseName=DATABASE, TableInput={**foreign, "Name": "prices"})
    # One of ours differs: a column's type, a column too many, no description. What others noted on it stays.
    spoilt = json.loads(run(binary, ["glue", "ddl", "usage_daily", "--json", "--config", CONFIG], stand.env, ok=(0,)).stdout)
    columns = spoilt["StorageDescriptor"]["Columns"]
    next(column for column in columns if column["Name"] == "quantity")["Type"] = "int"
    columns.append({"Name": "extra", "Type": "string"})
    spoilt["Description"] = ""
    spoilt["Parameters"]["team"] = "finance"
    glue.update_table(DatabaseName=DATABASE, TableInput=spoilt)
    before = tables(glue)
    plan, _ = sync(binary, stand, "--dry-run", ok=(1,))
    assert tables(glue) == before, "--dry-run changed a table"
    plan, said = sync(binary, stand, ok=(1,))
    assert [(step["table"], step["action"]) for step in plan["steps"]] == [("usage_daily", "update")], plan
    assert plan["steps"][0]["changes"] == ["quantity: int is now bigint", "- extra", "description"], plan["steps"][0]["changes"]
    assert plan["left"] == [{"table": "prices", "why": "not made by meterlake"}], plan["left"]
    assert "DROP TABLE meterlake.prices" in said, said
    after = tables(glue)
    assert after["clicks"] == before["clicks"] and after["prices"] == before["prices"]
    usage = after["usage_daily"]
    assert usage["StorageDescriptor"] == there["usage_daily"]["StorageDescriptor"] and usage["Parameters"]["team"] == "finance"
    plan, _ = sync(binary, stand, ok=(1,))
    assert plan["steps"] == [], plan
    assert tables(glue) == after

    text = run(binary, ["glue", "sync", "--config", CONFIG], stand.env, ok=(1,))
    print(text.stdout + text.stderr)
    return len(there)


def on_lambda(binary, stand, glue):
    """A build on Lambda puts back what is missing, and says so."""
    before = tables(glue)
    glue.delete_table(DatabaseName=DATABASE, Name="api_keys")
    runtime = LambdaRuntime([{"meterlake": "build"}])
    env = {**os.environ, **stand.env, "AWS_LAMBDA_RUNTIME_API": runtime.address, "METERLAKE_CONFIG": CONFIG,
           "AWS_LAMBDA_FUNCTION_NAME": "meterlake", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "AWS_LAMBDA_FUNCTION_VERSION": "1",
           "AWS_LAMBDA_LOG_STREAM_NAME": "s", "AWS_LAMBDA_LOG_GROUP_NAME": "g"}
    process = subprocess.Popen([binary], env=env, stderr=subprocess.PIPE, text=True)
    ends = time.time() + 120
    while not runtime.answers and time.time() < ends and process.poll() is None:
        time.sleep(0.1)
    process.kill()
    said = process.communicate()[1]
    assert runtime.answers and runtime.answers[0][0] == "response", f"{runtime.answers}\n{said}"
    told = runtime.answers[0][1]["glue"]
    assert (told["created"], told["updated"]) == (["api_keys"], []), told
    # Made anew, the table's version begins again.
    assert {name: {**table, "VersionId": ""} for name, table in tables(glue).items()} == {
        name: {**table, "VersionId": ""} for name, table in before.items()
    }
    print("lambda:", json.dumps(told))


def main():
    binary, example = os.path.abspath(sys.argv[1]), Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        stand = Stand(scratch)
        try:
            glue = boto3.client(
                "glue", endpoint_url=stand.url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
            )
            stand.s3.create_bucket(Bucket=BUCKET)
            configured(stand, example, scratch)
            run(binary, ["run", "--config", CONFIG], stand.env)
            like = LikeGlue(stand, glue)
            count = check(binary, stand, glue)
            assert like.pages > 4 and like.refused == 1, (like.pages, like.refused)
            assert len(like.updates) == 2 and None not in like.updates, like.updates
            on_lambda(binary, stand, glue)
        finally:
            stand.stop()
    print(f"{count} tables are in Glue as they are defined; other people's stayed")


if __name__ == "__main__":
    main()
