#!/usr/bin/env python3
"""Measures meterlake side by side with DuckDB, Polars, ClickHouse (chdb) and Spark.

    cargo build --release
    cargo run --release -p meterlake-bench -- DATA
    benchmarks/compare.py DATA

Every engine does the same jobs on the same landing objects, on the same two cores, in turn, in a process of its own.
After every run the results are counted. Engines that differ in a row or a sum stop the comparison.

Jobs:
  edge      CloudFront records (gzip, tab-separated) to typed Parquet by day, duplicates included
  origin    API Gateway records (gzip members of CloudWatch Logs envelopes) to typed Parquet by day
  all       both, without exact duplicates, and daily totals per key
  all-edge  the edge part of `all`
  gunzip    only decompress the CloudFront objects, on one core: what no engine can go below

What the peers do not do, meterlake does in the same job: it hashes keys, keeps unreadable records with a reason,
writes a ledger of objects and Delta tables, and in `all` prices the usage.

CPU is user and system time of the process and all it waited for; memory is the largest process among them.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THREADS = 2
HERE = Path(__file__).resolve()
BINARY = HERE.parents[1] / "target/release/meterlake"
ENGINES = ["meterlake", "duckdb", "polars", "clickhouse", "spark"]
INFLATERS = ["libdeflate", "zlib"]
PACKAGES = {"duckdb": "duckdb", "polars": "polars", "clickhouse": "chdb", "spark": "pyspark", "libdeflate": "deflate"}
JOBS = ["edge", "origin", "all", "all-edge", "gunzip"]
# Polars reads no JSON values one after another without a line end, and one bad message fails its whole column.
NO_PLAIN_WAY = {("polars", "origin"), ("polars", "all")}

FIELDS = """timestamp c-ip s-ip time-to-first-byte sc-status sc-bytes cs-method cs-protocol cs-host cs-uri-stem
cs-bytes x-edge-location x-edge-request-id x-host-header time-taken cs-protocol-version c-ip-version cs-user-agent
cs-referer cs-cookie cs-uri-query x-edge-response-result-type x-forwarded-for ssl-protocol ssl-cipher
x-edge-result-type fle-encrypted-fields fle-status sc-content-type sc-content-len sc-range-start sc-range-end c-port
x-edge-detailed-result-type c-country cs-accept-encoding cs-accept cache-behavior-path-pattern cs-headers
cs-header-names cs-headers-count origin-fbl origin-lbl asn""".replace("-", "_").split()


def columns_of(text):
    """Column, field, how the field is read."""
    return [tuple(column.split()) for column in text.split(",")]


EDGE = columns_of("""
event_time timestamp time, request_id x_edge_request_id text, key cs_headers key, method cs_method text,
host cs_host text, path cs_uri_stem path, query cs_uri_query text, status sc_status smallint,
request_bytes cs_bytes bigint, response_bytes sc_bytes bigint, time_taken_ms time_taken ms,
time_to_first_byte_ms time_to_first_byte ms, origin_latency_ms origin_lbl ms, edge_location x_edge_location text,
result_type x_edge_result_type text, response_result_type x_edge_response_result_type text,
detailed_result_type x_edge_detailed_result_type text, country c_country text, asn asn bigint, client_ip c_ip text,
user_agent cs_user_agent decoded, referer cs_referer decoded, protocol cs_protocol_version text,
tls_protocol ssl_protocol text, content_type sc_content_type decoded, distribution x_host_header text,
behavior cache_behavior_path_pattern decoded
""")
ORIGIN = columns_of("""
event_time requestTimeEpoch epoch_ms, request_id extendedRequestId text, caller_request_id requestId text,
key apiKeyId text, account accountId text, api_id apiId text, stage stage text, domain domainName text,
method httpMethod text, route resourcePath text, path path text, status status smallint,
response_bytes responseLength bigint, latency_ms responseLatency int, integration_latency_ms integrationLatency int,
client_ip ip text, user_agent userAgent text, protocol protocol text
""")
KEY = "(?:^|%0A)x-api-key:(.*?)%0A"

# Daily totals: one text for every engine, over what it wrote.
CALLS = """SELECT day, key, route, count(*) AS calls FROM origin
WHERE status < 500 AND status NOT IN (401, 403, 429) AND method <> 'OPTIONS' GROUP BY day, key, route"""
EGRESS = """SELECT day, key, CAST(sum(response_bytes) AS BIGINT) AS bytes FROM edge
WHERE status < 500 GROUP BY day, key"""
TOTALS = {"origin": ("calls", CALLS), "edge": ("egress", EGRESS)}


def tables_of(job):
    return ["edge", "origin"] if job == "all" else [job.removeprefix("all-")]


def counts(job):
    """Whether duplicates go and totals are made."""
    return job.startswith("all")


def landing(data, table):
    return data / "landing" / {"edge": "cloudfront", "origin": "apigateway"}[table]


def columns(table, kinds, field="{}"):
    """The columns of a table as SQL; `kinds` is how a dialect reads each kind of field."""
    given = {"edge": EDGE, "origin": ORIGIN}[table]
    return ",\n".join(f"{kinds[kind].replace('@', field.format(name))} AS {column}" for column, name, kind in given)


DUCKDB_EDGE = {
    "time": "make_timestamp_ms(CAST(@ * 1000 AS BIGINT))",
    "text": "@",
    "smallint": "@",
    "bigint": "@",
    "ms": "CAST(@ * 1000 AS INTEGER)",
    "path": "split_part(@, '?', 1)",
    "decoded": "url_decode(@)",
    "key": f"nullif(regexp_extract(@, '{KEY}', 1), '')",
}
DUCKDB_ORIGIN = {
    "epoch_ms": "make_timestamp_ms(CAST(f.@ AS BIGINT))",
    "text": "nullif(f.@, '-')",
    "smallint": "TRY_CAST(f.@ AS SMALLINT)",
    "int": "TRY_CAST(f.@ AS INTEGER)",
    "bigint": "TRY_CAST(f.@ AS BIGINT)",
}


def duckdb_edge(files, once):
    numbers = {"time": "DECIMAL(14, 3)", "smallint": "SMALLINT", "bigint": "BIGINT", "ms": "DECIMAL(12, 3)"}
    typed = {field: numbers[kind] for _, field, kind in EDGE if kind in numbers}
    types = ", ".join(f"'{field}': '{typed.get(field, 'VARCHAR')}'" for field in FIELDS)
    unique = "QUALIFY row_number() OVER (PARTITION BY x_edge_request_id, hash(r)) = 1" if once else ""
    return f"""SELECT {columns("edge", DUCKDB_EDGE, '"{}"')}, CAST(event_time AS DATE) AS day
FROM read_csv('{files}', auto_detect = false, header = false, delim = '\t', quote = '', escape = '', nullstr = '-',
    compression = 'gzip', ignore_errors = true, columns = {{{types}}}) AS r {unique}"""


def duckdb_origin(files, once):
    names = {field: "VARCHAR" for _, field, _ in ORIGIN}
    unique = "QUALIFY row_number() OVER (PARTITION BY request_id, hash(message)) = 1" if once else ""
    return f"""WITH messages AS (
    SELECT unnest(logEvents).message AS message
    FROM read_json('{files}', format = 'unstructured', compression = 'gzip',
        columns = {{messageType: 'VARCHAR', logEvents: 'STRUCT(message VARCHAR)[]'}})
    WHERE messageType = 'DATA_MESSAGE'
),
records AS (
    SELECT message, json_transform(message, '{json.dumps(names)}') AS f FROM messages WHERE json_valid(message)
)
SELECT {columns("origin", DUCKDB_ORIGIN)}, CAST(event_time AS DATE) AS day
FROM records {unique}"""


def run_duckdb(job, data, out):
    import duckdb

    db = duckdb.connect()
    db.execute(f"SET threads = {THREADS}; SET preserve_insertion_order = false")
    for table in tables_of(job):
        select = {"edge": duckdb_edge, "origin": duckdb_origin}[table]
        rows = select(f"{landing(data, table)}/**/*.gz", counts(job))
        db.execute(f"COPY ({rows}) TO '{out}/{table}' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (day))")
        if counts(job):
            name, sql = TOTALS[table]
            files = f"'{out}/{table}/**/*.parquet', hive_partitioning = true"
            db.execute(f"CREATE VIEW {table} AS FROM read_parquet({files})")
            db.execute(f"COPY ({sql}) TO '{out}/{name}.parquet' (FORMAT parquet, COMPRESSION zstd)")


CLICKHOUSE = {
    "time": "toDateTime64(@, 3, 'UTC')",
    "epoch_ms": "fromUnixTimestamp64Milli(toInt64(@), 'UTC')",
    "text": "nullIf(@, '-')",
    "smallint": "toInt16OrNull(@)",
    "int": "toInt32OrNull(@)",
    "bigint": "toInt64OrNull(@)",
    "ms": "CAST(toDecimal64OrNull(nullIf(@, '-'), 3) * 1000 AS Nullable(Int32))",
    "path": "substringIndex(@, '?', 1)",
    "decoded": "decodeURLComponent(nullIf(@, '-'))",
    "key": f"nullIf(extract(@, '{KEY}'), '')",
}


def clickhouse_edge(files, once):
    # Columns a cut line does not have are empty; a null is `-`.
    types = ", ".join(f"{field} String" for field in FIELDS)
    unique = f"LIMIT 1 BY x_edge_request_id, sipHash64({', '.join(FIELDS)})" if once else ""
    rows = f"""SELECT toDate(toDateTime64(timestamp, 3, 'UTC')) AS day, {columns("edge", CLICKHOUSE)}
FROM file('{files}', 'TSVRaw', '{types}', 'gzip') WHERE asn <> '' {unique}"""
    return rows, "input_format_tsv_allow_variable_number_of_columns = 1, prefer_column_name_to_alias = 1"


def clickhouse_origin(files, once):
    names = ", ".join(f"{field} String" for field in dict.fromkeys(field for _, field, _ in ORIGIN))
    unique = "LIMIT 1 BY request_id, sipHash64(message)" if once else ""
    rows = f"""SELECT toDate(event_time) AS day, {columns("origin", CLICKHOUSE, "tupleElement(f, '{}')")}
FROM (
    SELECT message, JSONExtract(message, 'Tuple({names})') AS f
    FROM (
        SELECT arrayJoin(logEvents.message) AS message
        FROM file('{files}', 'JSONEachRow', 'messageType String, logEvents Array(Tuple(message String))', 'gzip')
        WHERE messageType = 'DATA_MESSAGE'
    )
    WHERE isValidJSON(message)
) {unique}"""
    return rows, "input_format_json_ignore_unknown_keys_in_named_tuple = 1"


def run_clickhouse(job, data, out):
    from chdb import session

    db = session.Session()
    common = f"max_threads = {THREADS}, output_format_parquet_compression_method = 'zstd', session_timezone = 'UTC'"
    for table in tables_of(job):
        select = {"edge": clickhouse_edge, "origin": clickhouse_origin}[table]
        rows, settings = select(f"{landing(data, table)}/**/*.gz", counts(job))
        path = f"{out}/{table}/day={{_partition_id}}/part.parquet"
        target = f"INSERT INTO FUNCTION file('{path}', 'Parquet') PARTITION BY day"
        db.query(f"{target} {rows} SETTINGS {common}, {settings}")
        if counts(job):
            name, sql = TOTALS[table]
            sql = sql.replace(f"FROM {table}", f"FROM file('{out}/{table}/*/*.parquet', 'Parquet')")
            db.query(f"INSERT INTO FUNCTION file('{out}/{name}.parquet', 'Parquet') {sql} SETTINGS {common}")


SPARK = {
    "time": "timestamp_millis(CAST(try_cast(@ AS DECIMAL(18, 3)) * 1000 AS BIGINT))",
    "epoch_ms": "timestamp_millis(try_cast(@ AS BIGINT))",
    "text": "nullif(@, '-')",
    "smallint": "try_cast(@ AS SMALLINT)",
    "int": "try_cast(@ AS INT)",
    "bigint": "try_cast(@ AS BIGINT)",
    "ms": "CAST(try_cast(@ AS DECIMAL(12, 3)) * 1000 AS INT)",
    "path": "substring_index(@, '?', 1)",
    "decoded": "try_url_decode(nullif(@, '-'))",
    "key": f"nullif(regexp_extract(@, '{KEY}', 1), '')",
}


def spark_edge(spark, files):
    lines = spark.read.text(files, recursiveFileLookup=True).selectExpr("value", r"split(value, '\t') AS f")
    lines.where(f"size(f) = {len(FIELDS)}").createOrReplaceTempView("lines")
    fields = {field: f"f[{at}]" for at, field in enumerate(FIELDS)}
    select = ",\n".join(f"{SPARK[kind].replace('@', fields[field])} AS {column}" for column, field, kind in EDGE)
    return spark.sql(f"SELECT {select}, xxhash64(value) AS line_hash FROM lines")


def spark_origin(spark, files):
    # One envelope follows another without a line end, so lines are cut where an envelope begins.
    start = '{"messageType":'
    envelope = "STRUCT<messageType: STRING, logEvents: ARRAY<STRUCT<message: STRING>>>"
    names = ", ".join(f"{field}: STRING" for field in dict.fromkeys(field for _, field, _ in ORIGIN))
    spark.read.text(files, recursiveFileLookup=True, lineSep=start).createOrReplaceTempView("envelopes")
    return spark.sql(f"""WITH messages AS (
    SELECT explode(e.logEvents.message) AS message
    FROM (SELECT from_json(concat('{start}', value), '{envelope}') AS e FROM envelopes WHERE value <> '')
    WHERE e.messageType = 'DATA_MESSAGE'
),
records AS (
    SELECT message, from_json(message, 'STRUCT<{names}>', map('mode', 'PERMISSIVE')) AS f FROM messages
)
SELECT {columns("origin", SPARK, "f.{}")}, xxhash64(message) AS line_hash
FROM records WHERE endswith(message, '}}') AND f.extendedRequestId IS NOT NULL""")


def run_spark(job, data, out):
    from pyspark.sql import SparkSession

    spark = (
        SparkSession.builder.master(f"local[{THREADS}]")
        .config("spark.driver.memory", "4g")
        .config("spark.sql.parquet.compression.codec", "zstd")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", 2 * THREADS)
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.local.dir", str(out / "scratch"))
        .getOrCreate()
    )
    for table in tables_of(job):
        rows = {"edge": spark_edge, "origin": spark_origin}[table](spark, str(landing(data, table)))
        if counts(job):
            rows = rows.dropDuplicates(["request_id", "line_hash"])
        rows = rows.drop("line_hash").selectExpr("CAST(event_time AS DATE) AS day", "*")
        rows.write.partitionBy("day").parquet(f"{out}/{table}")
        if counts(job):
            name, sql = TOTALS[table]
            spark.read.parquet(f"{out}/{table}").createOrReplaceTempView(table)
            spark.sql(sql).coalesce(1).write.parquet(f"{out}/{name}.parquet")
    gateway = spark.sparkContext._gateway
    spark.stop()
    # The JVM's time counts only when it has been waited for.
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait()


def polars_edge(files, once):
    import polars as pl

    def read(value, kind):
        match kind:
            case "time":
                return (value * 1000).round().cast(pl.Int64).cast(pl.Datetime("ms", "UTC"))
            case "ms":
                return (value * 1000).round().cast(pl.Int32)
            case "path":
                return value.str.split("?").list.first()
            case "key":
                return value.str.extract(KEY, 1)
            case _:
                # Typed by the reader. Polars has no function for percent-encoding, so `decoded` stays encoded.
                return value

    numbers = {"time": pl.Float64, "smallint": pl.Int16, "bigint": pl.Int64, "ms": pl.Float64}
    typed = {field: numbers[kind] for _, field, kind in EDGE if kind in numbers and field != FIELDS[-1]}
    lines = pl.scan_csv(
        files,
        has_header=False,
        separator="\t",
        quote_char=None,
        schema={field: typed.get(field, pl.String) for field in FIELDS},
        # The last field of a cut line is null, that of a whole line never.
        null_values={field: "-" for field in FIELDS[:-1]},
        ignore_errors=True,
    ).filter(pl.col(FIELDS[-1]).is_not_null())
    selected = [read(pl.col(field), kind).alias(name) for name, field, kind in EDGE]
    rows = lines.select(*selected, pl.struct(FIELDS).hash().alias("line_hash"))
    rows = rows.with_columns(day=pl.col("event_time").dt.date(), asn=pl.col("asn").cast(pl.Int64, strict=False))
    if once:
        rows = rows.unique(["request_id", "line_hash"], keep="any")
    return rows.drop("line_hash")


def run_polars(job, data, out):
    import polars as pl

    rows = polars_edge(f"{landing(data, 'edge')}/**/*.gz", counts(job))
    target = pl.PartitionBy(out / "edge", key="day", include_key=False)
    rows.sink_parquet(target, compression="zstd", mkdir=True, maintain_order=False, engine="streaming")
    if counts(job):
        edge = pl.scan_parquet(f"{out}/edge/**/*.parquet", hive_partitioning=True)
        totals = pl.SQLContext(edge=edge).execute(EGRESS)
        totals.sink_parquet(out / "egress.parquet", compression="zstd", engine="streaming")


def inflate(engine, data, out):
    """Decompression alone."""
    if engine == "libdeflate":
        from deflate import gzip_decompress as decompress
    else:
        from gzip import decompress
    size = sum(len(decompress(path.read_bytes())) for path in sorted(landing(data, "edge").rglob("*.gz")))
    (out / "size").write_text(str(size))


def child(engine, job, data, out):
    """What runs in a measured process."""
    data, out = Path(data), Path(out)
    if engine in INFLATERS:
        inflate(engine, data, out)
    elif engine == "facts":
        print(json.dumps(facts(job, out)))
    else:
        globals()[f"run_{engine}"](job, data, out)


LATENCY = {"edge": "origin_latency_ms", "origin": "integration_latency_ms"}


def facts(job, out):
    """What was written, in a few numbers that every engine must agree on."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    def read(path, names):
        files = [path] if path.is_file() else sorted(path.glob("**/*.parquet"))
        # Rejects of meterlake lie beside its rows.
        files = [file for file in files if "rejects" not in file.relative_to(out).parts]
        return [pq.ParquetFile(file).read(names) for file in files]

    found = {}
    for table in tables_of(job):
        staged = (out / "staged").exists()
        key = "key_ref" if staged else "key"
        parts = read((out / "staged" if staged else out) / table, ["response_bytes", key, LATENCY[table]])
        found[f"{table} rows"] = sum(part.num_rows for part in parts)
        found[f"{table} response bytes"] = sum(pc.sum(part["response_bytes"]).as_py() or 0 for part in parts)
        for label, column in (("keys", key), ("latencies", LATENCY[table])):
            found[f"{table} {label}"] = sum(part.num_rows - part[column].null_count for part in parts)
        if counts(job):
            name, value = {"edge": ("egress", "bytes"), "origin": ("calls", "calls")}[table]
            for part in read(out / f"{name}.parquet", ["day", value]):
                for row in part.group_by("day").aggregate([(value, "sum")]).to_pylist():
                    label = f"{name} {row['day']}"
                    found[label] = found.get(label, 0) + row[f"{value}_sum"]
    return found


def meterlake_config(data, job, lake):
    """The generated configuration with a lake of its own, cut down to the job's sources."""
    text = (data / "meterlake.toml").read_text()
    text = re.sub(r'(?m)^(location|customers|keys|rates) = "(.*)"$', rf'\1 = "{data}/\2"', text)
    text = text.replace('"file:', f'"file:{data}/').replace('lake = "lake"', f'lake = "{lake}"')
    if job == "all":
        return text
    table = tables_of(job)[0]

    def wanted(section):
        if section.startswith("[[source]]"):
            return f'name = "{table}"' in section
        return not section.startswith(("[billing]", "[[meter]]")) or (counts(job) and f'source = "{table}"' in section)

    return "".join(section for section in re.split(r"(?m)^(?=\[)", text) if wanted(section))


def meterlake_facts(binary, config, job):
    """The same numbers as `facts`, from the tables."""

    def query(sql):
        command = [binary, "--quiet", "--config", config, "query", "--format", "json", sql]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    found = {}
    for table in tables_of(job):
        sums = "count(*) AS rows, sum(response_bytes) AS bytes, count(key_ref) AS keys"
        (row,) = query(f"SELECT {sums}, count({LATENCY[table]}) AS latencies FROM {table}_requests")
        labels = ("rows", "response bytes", "keys", "latencies")
        found |= {f"{table} {label}": int(row[label.split()[-1]]) for label in labels}
    counted = "FROM usage_slots WHERE outcome = 'counted' GROUP BY day, meter"
    totals = query(f"SELECT day, meter, sum(quantity) AS q {counted}")
    names = {"egress_bytes": "egress", "api_calls": "calls"}
    return found | {f"{names[row['meter']]} {row['day']}": int(row["q"]) for row in totals}


class Engine:
    """One engine on one job."""

    def __init__(self, name, job, args, python):
        self.name, self.job, self.args, self.python = name, job, args, python
        self.out = args.work / name
        self.config = args.work / f"{name}.toml"

    def command(self):
        if self.name != "meterlake":
            self.out.mkdir()
            return [self.python, HERE, "--child", self.name, self.job, self.args.data, self.out]
        self.config.write_text(meterlake_config(self.args.data, self.job, self.out))
        return [self.args.meterlake, "--quiet", "--config", self.config, "run" if counts(self.job) else "convert"]

    def run(self):
        """One run: its figures, and what it wrote."""
        shutil.rmtree(self.out, ignore_errors=True)
        command = self.command()
        env = os.environ | {"POLARS_MAX_THREADS": str(THREADS), "TMPDIR": str(self.args.work)}
        # meterlake says with 1 that something needs a look: the data has records that cannot be read.
        log = self.args.work / f"{self.name}.log"
        os.sync()
        with log.open("wb") as errors:
            start = time.perf_counter()
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=env)
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in ((0, 1) if self.name == "meterlake" else (0,)):
            raise SystemExit(f"{self.name} failed at {self.job}:\n{log.read_text(errors='replace')[-3000:]}")
        figures = {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss / 1024}
        return figures | {"output": self.output_mib()}, self.facts()

    def output_mib(self):
        """meterlake keeps staged files for a while; what they become is in the tables."""
        folder = self.out
        if self.name == "meterlake":
            folder /= "tables" if counts(self.job) else "staged"
        return sum(file.stat().st_size for file in folder.rglob("*.parquet")) / 2**20

    def facts(self):
        if self.name in INFLATERS:
            return {"plain bytes": int((self.out / "size").read_text())}
        if self.name == "meterlake" and counts(self.job):
            return meterlake_facts(self.args.meterlake, self.config, self.job)
        command = [self.python, HERE, "--child", "facts", self.job, self.args.data, self.out]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare(engines, runs):
    """All engines in turn, once uncounted. Figures per engine, one entry per run."""
    figures = {engine.name: [] for engine in engines}
    expected = None
    for number in range(runs + 1):
        for engine in engines:
            measured, found = engine.run()
            shutil.rmtree(engine.out, ignore_errors=True)
            expected = expected or (engine.name, found)
            if found != expected[1]:
                raise SystemExit(difference(engine.job, expected, (engine.name, found)))
            if number > 0:
                figures[engine.name].append(measured)
    return figures, expected[1]


def difference(job, one, other):
    labels = [label for label in one[1] | other[1] if one[1].get(label) != other[1].get(label)]
    rows = [["", one[0], other[0]]] + [[label, str(one[1].get(label)), str(other[1].get(label))] for label in labels]
    return f"{job}: the results differ\n{grid(rows)}"


def grid(rows):
    """First column left, others right."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    pad = [str.ljust] + [str.rjust] * (len(widths) - 1)
    return "\n".join("  ".join(map(lambda to, *cell: to(*cell), pad, row, widths)).rstrip() for row in rows)


def table(job, figures):
    """Medians with their range; ratios are taken within a round, then their median."""
    base = next(iter(figures))
    heads = ["engine", "wall s", "(min-max)", "CPU s", "(min-max)", "peak MiB", "output MiB"]
    rows = [heads + [f"CPU / {base}", f"wall / {base}"]]
    for name, runs in figures.items():
        row = [name]
        for what in ("wall", "cpu"):
            values = [run[what] for run in runs]
            row += [f"{statistics.median(values):.2f}", f"({min(values):.2f}-{max(values):.2f})"]
        row += [f"{statistics.median(run['peak'] for run in runs):.0f}"]
        row += ["" if job == "gunzip" else f"{statistics.median(run['output'] for run in runs):.1f}"]
        for what in ("cpu", "wall"):
            row.append(
                f"{statistics.median(run[what] / of[what] for run, of in zip(runs, figures[base], strict=True)):.2f}"
            )
        rows.append(row)
    rows += [[name, "no plain way"] + [""] * 7 for name, with_job in sorted(NO_PLAIN_WAY) if with_job == job]
    return grid(rows)


def install(venv):
    """The peers in a virtual environment of their own. Returns its Python, and what could not be had."""
    python = venv / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    requirements = HERE.parent / "requirements.txt"
    if subprocess.run([*pip, "-r", requirements], stderr=subprocess.DEVNULL).returncode == 0:
        return python, set()
    lines = [line for line in requirements.read_text().splitlines() if line and not line.startswith("#")]
    absent = {line.split("==")[0] for line in lines if subprocess.run([*pip, line]).returncode != 0}
    if "pyarrow" in absent:
        raise SystemExit("pyarrow, which reads the results, cannot be installed")
    return python, absent


def main():
    if sys.argv[1:2] == ["--child"]:
        return child(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that the generator made")
    parser.add_argument("--meterlake", type=Path, default=BINARY, help="default: target/release/meterlake")
    parser.add_argument("--venv", type=Path, help="keep the peers here (default: a temporary folder)")
    parser.add_argument("--only", default=",".join(ENGINES + INFLATERS), help="engines, by comma (default: all)")
    parser.add_argument("--jobs", default=",".join(JOBS), help="jobs, by comma (default: all)")
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each (default: 5)")
    parser.add_argument("--json", type=Path, help="write every run's figures to this file")
    args = parser.parse_args()
    if args.runs < 1:
        parser.error("--runs must be at least 1")
    args.only, args.jobs = args.only.split(","), args.jobs.split(",")
    if unknown := {*args.only, *args.jobs} - {*ENGINES, *INFLATERS, *JOBS}:
        parser.error(f"there is no {', '.join(unknown)}")
    args.data, args.meterlake = args.data.resolve(), args.meterlake.resolve()
    # Every child inherits the cores.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    with tempfile.TemporaryDirectory(prefix="compare-") as work:
        args.work = Path(work)
        # Not resolved: a link to the Python of a virtual environment is what makes it one.
        python, absent = install((args.venv or args.work / "venv").absolute())
        raw = {}
        for job in args.jobs:
            names = [name for name in (INFLATERS if job == "gunzip" else ENGINES) if name in args.only]
            gone = [name for name in names if PACKAGES.get(name) in absent]
            names = [name for name in names if name not in gone and (name, job) not in NO_PLAIN_WAY]
            engines = [Engine(name, job, args, python) for name in names]
            if not engines:
                continue
            figures, found = compare(engines, args.runs)
            raw[job] = {"runs": figures, "facts": found}
            wholes = {label: value for label, value in found.items() if not label[-1].isdigit()}
            print(f"\n{job}: " + ", ".join(f"{value:,} {label}" for label, value in wholes.items()))
            print(table(job, figures))
            if gone:
                print(f"absent, could not be installed: {', '.join(gone)}")
            sys.stdout.flush()
            if args.json:
                args.json.write_text(json.dumps(raw, indent=1) + "\n")


if __name__ == "__main__":
    main()
