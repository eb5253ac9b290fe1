#!/usr/bin/env python3
"""The tests of `tests/it/s3/` against SeaweedFS, a real S3 server that checks signatures and keeps its data on disk.

    python -m venv V; V/bin/pip install -r tests/aws/requirements.txt
    V/bin/python tests/aws/seaweedfs.py [FILTER]

Starts `weed` on loopback in a folder of its own, waits until it takes a write, and runs `cargo test --test it s3::` with
METERLAKE_TEST_S3. What needs a server that goes wrong on purpose is left out there; the tests say so.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3

KEY, SECRET = "testkey", "testsecret"
STARTS_WITHIN_S = 120


def free_port():
    # Each port and the one 10000 above it are taken.
    while True:
        with socket.socket() as probe, socket.socket() as above:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            if port >= 55_000:
                continue
            try:
                above.bind(("127.0.0.1", port + 10_000))
                return port
            except OSError:
                continue


def started(folder):
    """The process and its address; it takes writes."""
    identity = {"name": "t", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    master, volume, filer, s3 = (free_port() for _ in range(4))
    log = open(folder / "weed.log", "w")
    process = subprocess.Popen(
        [Path(sys.executable).parent / "weed", "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
         f"-master.port={master}", f"-volume.port={volume}", "-filer", f"-filer.port={filer}", "-s3", f"-s3.port={s3}",
         f"-s3.config={folder / 's3.json'}", "-s3.port.iceberg=0", "-volume.max=1000", "-master.volumeSizeLimitMB=64",
         "-master.telemetry=false", "-volume.preStopSeconds=0", "-master.electionTimeout=1s", "-master.heartbeatInterval=100ms"],
        stdout=log, stderr=subprocess.STDOUT, cwd=folder,
    )
    url = f"http://127.0.0.1:{s3}"
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id=KEY, aws_secret_access_key=SECRET)
    ends = time.time() + STARTS_WITHIN_S
    while True:
        try:
            # A port that answers is not enough: a fresh folder takes some seconds before it can be written to.
            client.create_bucket(Bucket="waiting")
            client.put_object(Bucket="waiting", Key="k", Body=b"x")
            return process, url
        except Exception as error:
            if time.time() > ends or process.poll() is not None:
                process.kill()
                raise SystemExit(f"SeaweedFS did not start: {error}\n{(folder / 'weed.log').read_text()[-4000:]}")
            time.sleep(0.5)


def main():
    with tempfile.TemporaryDirectory() as scratch:
        process, url = started(Path(scratch))
        try:
            env = {**os.environ, "METERLAKE_TEST_S3": url, "METERLAKE_TEST_S3_KEY": KEY, "METERLAKE_TEST_S3_SECRET": SECRET}
            command = ["cargo", "test", "--locked", "--test", "it", "--", *(sys.argv[1:] or ["s3::"]), "--nocapture"]
            code = subprocess.run(command, env=env).returncode
        finally:
            # Asked to end it takes twenty seconds; its folder goes anyway.
            process.kill()
            process.wait()
    if code:
        raise SystemExit(code)


if __name__ == "__main__":
    main()
