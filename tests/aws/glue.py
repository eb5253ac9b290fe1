#!/usr/bin/env python3
"""`glue sync` against a stand-in for Glue: the example's lake on S3, its tables in a database.

    V/bin/python tests/aws/glue.py target/debug/meterlake examples/quickstart

moto serves S3 and Glue on loopback. It gives all tables on one page and accepts an update of a stale version, which Glue does not: a
few lines between the binary and moto do both as Glue does. Every sync runs as the binary.
"""

import json

from stand import BUCKET, Between, on_lambda, on_stand, run, upload

LAKE = f"s3://{BUCKET}/lake"
DATABASE = "meterlake"
CONFIG = f"s3://{BUCKET}/quickstart/meterlake.toml"


class LikeGlue(Between):
    """Tables in pages of four; an update names the newest version, and the first one is told that it lost a race."""

    def __init__(self, stand, glue):
        super().__init__(stand.url)
        self.glue, self.pages, self.refused, self.updates = glue, 0, 0, []
        stand.env["AWS_ENDPOINT_URL_GLUE"] = self.url

    def passed_on(self, asked):
        sent = json.loads(asked.body)
        if asked.operation == "AWSGlue.UpdateTable":
            newest = self.glue.get_table(DatabaseName=sent["DatabaseName"], Name=sent["TableInput"]["Name"])["Table"]
            self.updates.append(sent.get("VersionId"))
            if sent.get("VersionId") != newest["VersionId"] or self.refused == 0:
                self.refused += 1
                lost = {"__type": "ConcurrentModificationException", "Message": "lost"}
                return 400, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(lost).encode()
        first = int(sent.pop("NextToken", 0))
        asked.body = json.dumps(sent).encode()
        status, headers, body = super().passed_on(asked)
        if asked.operation == "AWSGlue.GetTables" and status == 200:
            self.pages += 1
            every = json.loads(body)["TableList"]
            page = {"TableList": every[first:first + 4]} | ({"NextToken": str(first + 4)} if first + 4 < len(every) else {})
            body = json.dumps(page).encode()
        return status, headers, body


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


def synced(binary, stand, glue):
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


def built_on_lambda(binary, stand, glue):
    """A build on Lambda puts back what is missing, and says so."""
    before = tables(glue)
    glue.delete_table(DatabaseName=DATABASE, Name="api_keys")
    told = on_lambda(binary, CONFIG, [{"meterlake": "build"}], stand.env).answers[0]["glue"]
    assert (told["created"], told["updated"]) == (["api_keys"], []), told
    # Made anew, the table's version begins again.
    assert {name: {**table, "VersionId": ""} for name, table in tables(glue).items()} == {
        name: {**table, "VersionId": ""} for name, table in before.items()
    }
    print("lambda:", json.dumps(told))


def check(stand, binary, example, scratch):
    glue = stand.client("glue")
    configured(stand, example, scratch)
    run(binary, ["run", "--config", CONFIG], stand.env)
    like = LikeGlue(stand, glue)
    count = synced(binary, stand, glue)
    assert like.pages > 4 and like.refused == 1, (like.pages, like.refused)
    assert len(like.updates) == 2 and None not in like.updates, like.updates
    built_on_lambda(binary, stand, glue)
    print(f"{count} tables are in Glue as they are defined; other people's stayed")


if __name__ == "__main__":
    on_stand(check)
