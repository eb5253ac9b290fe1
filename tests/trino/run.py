#!/usr/bin/env python3
"""The lake read by Trino, which is Athena's engine (version 3): the same SQL text must give the same rows.

    tests/trino/run.py METERLAKE [--archive trino-server-476.tar.gz] [--work FOLDER]

Makes the example's lake with that binary, closes October, starts Trino with its Delta Lake connector and a file metastore over the
lake, registers the tables, and runs in both engines
  1. every query of docs/ATHENA.md,
  2. the text of every table made by SQL, as `meterlake sql TABLE --day D` prints it, for every day; its rows are also those of the table,
  3. queries without a pause while builds replace the files they read.
Prints one line per check and the first rows that differ. Exit code 1 where something differs.

Needs Java 24 or newer (JAVA_HOME) and the archive. Without --archive Maven fetches it: about 820 MB. Uses Python's standard
library only; everything listens on 127.0.0.1.
"""

import argparse
import decimal
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VERSION = "476"
DAYS = ["2026-10-29", "2026-10-30", "2026-10-31", "2026-11-01", "2026-11-02"]
DERIVED = ["usage_slots", "usage_daily", "charges_daily", "coverage_hourly"]
# The connector alone: the other plugins would only take time to load.
PARTS = re.compile(r"^[^/]+/(lib/|plugin/delta-lake/)")


# Trino ----------------------------------------------------------------------------------------------------------------


def archive_from_maven(folder):
    target = folder / f"trino-server-{VERSION}.tar.gz"
    if not target.exists():
        subprocess.run(
            ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact=io.trino:trino-server:{VERSION}:tar.gz", f"-DoutputDirectory={folder}"],
            check=True,
        )
    return target


def unpack(archive, folder):
    home = folder / archive.name.removesuffix(".tar.gz")
    if not (home / "unpacked").exists():
        with tarfile.open(archive) as tar:
            # Files that several plugins share are links; tarfile takes their content from the archive.
            tar.extractall(folder, [member for member in tar if PARTS.match(member.name)], filter="data")
        (home / "unpacked").touch()
    return home


class Trino:
    def __init__(self, home, folder, root):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        etc = folder / "etc"
        (etc / "catalog").mkdir(parents=True)
        (etc / "config.properties").write_text(
            f"coordinator=true\nnode-scheduler.include-coordinator=true\nhttp-server.http.port={port}\ndiscovery.uri={self.url}\n"
            f"plugin.dir={home}/plugin\nquery.max-memory=1GB\n"
        )
        (etc / "catalog" / "lake.properties").write_text(
            "connector.name=delta_lake\nhive.metastore=file\nhive.metastore.catalog.dir=local:///metastore\n"
            f"fs.native-local.enabled=true\nlocal.location={root}\ndelta.register-table-procedure.enabled=true\n"
        )
        (etc / "log.properties").write_text("io.trino=WARN\n")
        java = Path(os.environ["JAVA_HOME"], "bin", "java") if "JAVA_HOME" in os.environ else "java"
        self.log = folder / "trino.log"
        command = [
            str(java), "-Xmx2G", "--add-modules=jdk.incubator.vector", "--sun-misc-unsafe-memory-access=allow",
            "-Djdk.attach.allowAttachSelf=true", "-XX:+ExitOnOutOfMemoryError", "-cp", f"{home}/lib/*",
            "-Dnode.id=one", "-Dnode.environment=test", f"-Dnode.data-dir={folder}/data", "-Dnode.bind-ip=127.0.0.1",
            "-Dnode.internal-address=127.0.0.1", f"-Dconfig={etc}/config.properties",
            f"-Dlog.levels-file={etc}/log.properties", "io.trino.server.TrinoServer",
        ]  # fmt: skip
        self.process = subprocess.Popen(command, cwd=folder, stdout=self.log.open("w"), stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 240
        while True:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                sys.exit(f"Trino did not start:\n{self.log.read_text()[-4000:]}")
            try:
                if not self.call(f"{self.url}/v1/info")["starting"]:
                    self.rows("SELECT 1")
                    return
            except (urllib.error.URLError, ConnectionError, RuntimeError):
                pass
            time.sleep(1)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def call(self, url, body=None):
        headers = {"X-Trino-User": "test", "X-Trino-Catalog": "lake", "X-Trino-Schema": "meterlake", "X-Trino-Time-Zone": "UTC"}
        request = urllib.request.Request(url, body and body.encode(), headers)
        with urllib.request.urlopen(request, timeout=120) as response:
            return json.load(response)

    def rows(self, sql):
        """Names of the columns, and the rows with each value as text or None."""
        answer = self.call(f"{self.url}/v1/statement", sql)
        names, types, rows = [], [], []
        while True:
            if "error" in answer:
                raise RuntimeError(answer["error"]["message"])
            if "columns" in answer:
                names = [column["name"] for column in answer["columns"]]
                types = [column["type"] for column in answer["columns"]]
            rows += [[plain(value, kind) for value, kind in zip(row, types)] for row in answer.get("data", [])]
            if "nextUri" not in answer:
                return names, rows
            answer = self.call(answer["nextUri"])


def plain(value, kind=""):
    """One spelling for both engines: text, with instants in microseconds and decimals without trailing zeros."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    if kind.startswith("decimal") or re.fullmatch(r"-?\d+\.\d+", text):
        number = decimal.Decimal(text)
        return f"{number.quantize(1):f}" if number == number.to_integral() else f"{number.normalize():f}"
    instant = re.fullmatch(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d+)?( UTC|Z)?", text)
    if instant:
        day, clock, part, _ = instant.groups()
        return f"{day}T{clock}.{(part or '.')[1:].ljust(6, '0')[:6]}Z"
    return text


# meterlake ------------------------------------------------------------------------------------------------------------


class Example:
    """A copy of the quickstart whose objects are as old as their names say."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder
        shutil.copytree(ROOT / "examples/quickstart", folder, ignore=shutil.ignore_patterns("lake"))
        self.objects = sorted((path for path in (folder / "landing").rglob("*") if path.is_file()), key=arrival)
        for path in self.objects:
            os.utime(path, (arrival(path).timestamp(),) * 2)

    def meterlake(self, *arguments, good=(0,)):
        config = str(self.folder / "meterlake.toml")
        ran = subprocess.run([self.binary, *arguments, "--config", config], capture_output=True, text=True, timeout=300)
        if ran.returncode not in good:
            raise RuntimeError(f"meterlake {' '.join(arguments)}: {ran.stderr}")
        return ran.stdout

    def run(self):
        self.meterlake("run", good=(0, 1))

    def rows(self, sql):
        lines = self.meterlake("query", "--format", "ndjson", sql).splitlines()
        found = [json.loads(line, parse_float=str) for line in lines]
        return (list(found[0]) if found else []), [[plain(value) for value in row.values()] for row in found]


def arrival(path):
    parts = path.name.split("-")
    start = parts.index("2026")
    return datetime(*map(int, parts[start : start + 6]), tzinfo=timezone.utc)


# Checks ---------------------------------------------------------------------------------------------------------------


class Report:
    def __init__(self, binary):
        self.binary, self.good, self.bad = binary, 0, 0

    def say(self, what, problem=None, detail=""):
        self.good, self.bad = self.good + (problem is None), self.bad + (problem is not None)
        print(f"{'ok  ' if problem is None else 'FAIL'} {what}{detail}" + (f"\n     {problem}" if problem else ""), flush=True)


def difference(ours, theirs, in_order):
    """What is unequal, or None. Where no order is asked for, the rows are compared as a set with counts."""
    (our_names, our_rows), (their_names, their_rows) = ours, theirs
    if our_rows and our_names != their_names:
        return f"columns {our_names} and {their_names}"
    if not in_order:
        our_rows, their_rows = ([sorted(rows, key=repr) for rows in (our_rows, their_rows)])
    for place, (our, their) in enumerate(zip(our_rows, their_rows)):
        if our != their:
            return f"row {place}: meterlake {our}\n             Trino {their}"
    if len(our_rows) != len(their_rows):
        return f"{len(our_rows)} rows and {len(their_rows)} rows"
    return None


def queries_of_the_page():
    heading, block = "", None
    for line in (ROOT / "docs/ATHENA.md").read_text().splitlines():
        if line.startswith("### "):
            heading = line[4:]
        elif line == "```sql":
            block = []
        elif line.startswith("```") and block is not None:
            yield heading, "\n".join(block)
            block = None
        elif block is not None:
            block.append(line)


def statements(text):
    """A text of `meterlake sql` may hold several statements."""
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return [part.strip() for part in code.split(";") if part.strip()]


def compare(report, what, example, trino, sql, in_order=True):
    try:
        ours, theirs = example.rows(sql), trino.rows(sql)
    except RuntimeError as error:
        report.say(what, str(error))
        return None
    report.say(what, difference(ours, theirs, in_order), f" ({len(theirs[1])} rows)")
    return theirs


def texts_of_tables(report, example, trino):
    for table in DERIVED:
        for day in DAYS:
            made, failed = ([], []), False
            for sql in statements(example.meterlake("sql", table, "--day", day)):
                theirs = compare(report, f"sql {table} --day {day}", example, trino, sql, in_order=False)
                failed |= theirs is None
                made = (theirs[0], made[1] + theirs[1]) if theirs else made
            if not failed:
                span = f"day >= DATE '{day[:8]}01' AND day <= DATE '{day}'" if table == "charges_daily" else f"day = DATE '{day}'"
                stored = example.rows(f"SELECT {', '.join(made[0])} FROM {table} WHERE {span}")
                report.say(f"the same rows as the table {table} holds", difference(stored, made, False), f" ({len(made[1])} rows)")


def register(trino, example, schema):
    trino.rows(f"CREATE SCHEMA lake.{schema} WITH (location = 'local:///metastore/{schema}')")
    for path in sorted((example.folder / "lake/tables").iterdir()):
        location = f"local:///{path.relative_to(example.folder.parent)}"
        call = f"schema_name => '{schema}', table_name => '{path.name}', table_location => '{location}'"
        trino.rows(f"CALL lake.system.register_table({call})")


def while_builds_commit(report, trino, folder):
    """Queries that begin at any moment of a build see the lake before or after it, and none fails."""
    example = Example(report.binary, folder / "moving")
    waiting = example.objects[-8:]
    for path in waiting:
        path.rename(path.with_name(f".{path.name}.later"))
    example.run()
    register(trino, example, "moving")
    asked = {
        # One query each, so that the state is that of one table.
        "events": "SELECT COUNT(*) AS n, SUM(response_bytes) AS bytes, COUNT(DISTINCT fingerprint) AS prints FROM {}origin_requests",
        "usage": "SELECT SUM(quantity) AS quantity, SUM(events) AS events FROM {}usage_daily WHERE attribution = 'mapped'",
        "charges": "SELECT COUNT(*) AS n, SUM(amount) AS amount FROM {}charges_daily",
    }
    states = {name: [example.rows(sql.format(""))[1]] for name, sql in asked.items()}
    seen, problems, done = {name: [] for name in asked}, [], threading.Event()

    def ask():
        while not done.is_set():
            for name, sql in asked.items():
                try:
                    seen[name].append(trino.rows(sql.format("lake.moving."))[1])
                except RuntimeError as error:
                    problems.append(f"{name}: {error}")

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    try:
        for path in waiting:
            path.with_name(f".{path.name}.later").rename(path)
            example.run()
            for name, sql in asked.items():
                states[name].append(example.rows(sql.format(""))[1])
    finally:
        done.set()
        for asker in askers:
            asker.join()
    for name, rows in seen.items():
        strange = [row for row in rows if row not in states[name]]
        different = len({repr(row) for row in rows})
        problem = (problems or [f"a state that never was: {row}" for row in strange] or [None])[0]
        report.say(f"{name} while {len(waiting)} builds commit", problem, f" ({len(rows)} queries saw {different} states)")
        last = trino.rows(asked[name].format("lake.moving."))[1]
        report.say(f"{name} after them", None if last == states[name][-1] else f"{last} for {states[name][-1]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("meterlake", type=Path)
    parser.add_argument("--archive", type=Path, help="trino-server-*.tar.gz; without it Maven fetches it")
    parser.add_argument("--work", type=Path, help="folder to unpack and work in; without it a new one that is deleted")
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp(prefix="meterlake-trino-"))
    work.mkdir(parents=True, exist_ok=True)
    run = Path(tempfile.mkdtemp(prefix="run-", dir=work)).resolve()
    trino = None
    try:
        home = unpack(options.archive or archive_from_maven(work), work.resolve())
        report = Report(options.meterlake.resolve())
        example = Example(report.binary, run / "example")
        example.run()
        example.meterlake("invoice", "2026-10", "--close", "--accept", "the example's holes are known")
        trino = Trino(home, run, run)
        register(trino, example, "meterlake")
        for heading, sql in queries_of_the_page():
            compare(report, heading, example, trino, sql)
        texts_of_tables(report, example, trino)
        while_builds_commit(report, trino, run)
        print(f"{report.good} passed, {report.bad} failed")
        sys.exit(1 if report.bad else 0)
    finally:
        if trino:
            trino.stop()
        shutil.rmtree(run, ignore_errors=True)
        if not options.work:
            shutil.rmtree(work, ignore_errors=True)


main()
