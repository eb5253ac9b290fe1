#!/usr/bin/env python3
"""Other engines read the lake and must agree with `meterlake query` on counts and sums.

    python -m venv v && v/bin/pip install -r tests/peers/requirements.txt
    v/bin/python tests/peers/read_lake.py target/debug/meterlake examples/quickstart/meterlake.toml

DuckDB reads each table as a Delta table. pyarrow and polars read the Parquet files that are current by the Delta log,
which is replayed here with nothing but a JSON parser. Anything that differs is printed, and the exit code is 1.
"""

import csv
import json
import subprocess
import sys
import tomllib
from decimal import Decimal
from pathlib import Path
from urllib.parse import unquote

import duckdb
import polars
import pyarrow.compute
import pyarrow.parquet
from duckdb_extensions import import_extension

# The columns that are summed, per table.
SUMS = {
    "origin_requests": ["status", "response_bytes", "latency_ms", "source_position"],
    "edge_requests": ["status", "request_bytes", "response_bytes", "asn", "source_position"],
    "objects": ["bytes", "records", "staged", "rejects", "control"],
    "object_hours": ["records", "rejects"],
    "rejects": ["source_position"],
    "coverage_hourly": ["objects", "records", "events", "duplicates", "conflicts", "rejects"],
    "usage_slots": ["quantity", "events"],
    "usage_daily": ["quantity", "events"],
    "charges_daily": ["quantity", "unit_price", "amount", "month_to_date_before"],
    "customers": [],
    "api_keys": [],
    "prices": ["unit_price", "tier_from"],
}


def number(value):
    return Decimal(0) if value in (None, "") else Decimal(str(value))


def by_meterlake(binary, config, table, columns):
    sums = "".join(f", SUM({column}) AS {column}" for column in columns)
    command = [binary, "query", "--config", config, "--format", "csv", f"SELECT COUNT(*) AS n{sums} FROM {table}"]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [number(value) for value in list(csv.reader(out.splitlines()))[1]]


def by_duckdb(connection, folder, columns):
    sums = "".join(f", SUM({column})" for column in columns)
    row = connection.execute(f"SELECT COUNT(*){sums} FROM delta_scan('{folder.as_uri()}')").fetchone()
    return [number(value) for value in row]


def current_files(folder):
    """The data files of the table's newest version: what was added less what was removed."""
    commits = sorted((folder / "_delta_log").glob("*.json"))
    if [int(commit.stem) for commit in commits] != list(range(len(commits))):
        raise SystemExit(f"{folder}: this reader needs every commit from version 0 on")
    files = set()
    for commit in commits:
        for line in commit.read_text().splitlines():
            action = json.loads(line)
            if "remove" in action:
                files.discard(unquote(action["remove"]["path"]))
            if "add" in action:
                files.add(unquote(action["add"]["path"]))
    return [folder / file for file in sorted(files)]


def by_pyarrow(files, columns):
    tables = [pyarrow.parquet.ParquetFile(file).read() for file in files]
    sums = [sum((number(pyarrow.compute.sum(table[column]).as_py()) for table in tables), Decimal(0)) for column in columns]
    return [Decimal(sum(table.num_rows for table in tables)), *sums]


def by_polars(files, columns):
    if not files:
        return [Decimal(0)] * (1 + len(columns))
    frame = polars.concat([polars.read_parquet(file, hive_partitioning=False) for file in files])
    # Sums of 16-bit columns would stay 16 bits wide.
    wide = [polars.col(c).cast(polars.Int64) if frame.schema[c].is_integer() else polars.col(c) for c in columns]
    return [Decimal(frame.height), *(number(value) for value in (frame.select(wide).sum().row(0) if columns else ()))]


def main(binary, config):
    # As the configuration says it: a folder, relative to the configuration.
    lake = Path(config).resolve().parent / tomllib.loads(Path(config).read_text())["lake"]
    import_extension("delta")
    connection = duckdb.connect()
    connection.execute("LOAD delta")
    differ = 0
    for table, columns in SUMS.items():
        folder = lake / "tables" / table
        expected = by_meterlake(binary, config, table, columns)
        files = current_files(folder)
        found = {
            "duckdb": by_duckdb(connection, folder, columns),
            "pyarrow": by_pyarrow(files, columns),
            "polars": by_polars(files, columns),
        }
        for reader, values in found.items():
            if values != expected:
                differ += 1
                print(f"{table}: {reader} says {list(zip(['rows', *columns], map(str, values)))}")
                print(f"{table}: meterlake says {list(zip(['rows', *columns], map(str, expected)))}")
        print(f"{table}: {expected[0]} rows in {len(files)} files, {len(columns)} sums, {len(found)} readers")
    return 1 if differ else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: read_lake.py METERLAKE-BINARY CONFIG")
    sys.exit(main(*sys.argv[1:]))
