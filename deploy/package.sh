#!/usr/bin/env bash
# Makes the zip that Lambda takes: the release binary under the name `bootstrap`, for x86_64 and Amazon Linux 2023 (glibc 2.34). A newer machine's
# binary asks for a newer glibc; `pip install cargo-zigbuild ziglang` lets this script link against 2.34 anywhere.
#   deploy/package.sh [OUT.zip] [BINARY]     BINARY: one that is built already
set -euo pipefail
cd "$(dirname "$0")/.."

out="$(realpath -m "${1:-meterlake.zip}")"
binary="${2:-}"
if [ -z "$binary" ]; then
    target="${CARGO_TARGET_DIR:-target}"
    if command -v cargo-zigbuild >/dev/null; then
        cargo zigbuild --release --locked --target x86_64-unknown-linux-gnu.2.34
        binary="$target/x86_64-unknown-linux-gnu/release/meterlake"
    else
        cargo build --release --locked
        binary="$target/release/meterlake"
    fi
fi

# The newest version of glibc that the binary asks for.
needed="$(grep -aoE 'GLIBC_2\.[0-9]+' "$binary" | sort -uV | tail -n 1)"
if [ "$(printf '%s\nGLIBC_2.34\n' "$needed" | sort -V | tail -n 1)" != GLIBC_2.34 ]; then
    echo "$binary needs $needed, and Lambda's provided.al2023 has GLIBC_2.34." >&2
    echo "hint: pip install cargo-zigbuild ziglang, then run this again; or use the image of deploy/Dockerfile" >&2
    exit 1
fi

# Python writes the zip, so that the file's mode is in it and its time is not: the same binary gives the same zip.
python3 - "$binary" "$out" <<'PYTHON'
import sys, zipfile
binary, out = sys.argv[1:]
entry = zipfile.ZipInfo("bootstrap", (1980, 1, 1, 0, 0, 0))
entry.external_attr = 0o755 << 16
entry.compress_type = zipfile.ZIP_DEFLATED
with zipfile.ZipFile(out, "w") as archive, open(binary, "rb") as file:
    archive.writestr(entry, file.read(), compresslevel=9)
PYTHON

megabytes() { echo "$(($(stat -c %s "$1") / 1048576)) MiB"; }
echo "$out: $(megabytes "$out") (unpacked $(megabytes "$binary"); Lambda takes 250 MB)"
