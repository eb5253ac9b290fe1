#!/usr/bin/env bash
# What is under deploy/ holds: the edge function's tests, the template's linters, what its roles allow, the scripts' syntax. Needs Node 20 and Python with `venv`.
#   deploy/check.sh [VENV]      VENV: folder of the linters' environment, made where it is not there
set -euo pipefail
cd "$(dirname "$0")"

venv="${1:-$(mktemp -d)/venv}"
if ! [ -x "$venv/bin/cfn-lint" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt
fi

echo "edge function"
node --test cloudfront/ | grep -E '^# (tests|pass|fail|skipped) '

echo "scripts"
bash -n check.sh package.sh

echo "cfn-lint"
"$venv/bin/cfn-lint" --non-zero-exit-code informational --regions us-east-1 eu-central-1 -- template.yaml

echo "checkov"
"$venv/bin/checkov" --config-file checkov.yaml --file template.yaml --framework cloudformation --skip-download --compact --quiet
echo "roles"
"$venv/bin/python" roles.py
echo "deploy/ is in order"
