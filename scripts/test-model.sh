#!/usr/bin/env bash
# The embedded model: its bars, then the goals of evals/ on it. SEEDS workspaces of each goal; fails below FLOOR accepted runs.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/need.sh npm:npm python3:python3 pip3:python3-pip

# A private daemon fetches what is missing; models are shared by all daemons of this user.
home=$(mktemp -d "${TMPDIR:-/tmp}/model-XXXXXX")
export AGENTD_HOME=$home
trap 'bin/agentctl daemon stop >/dev/null 2>&1 || true; rm -rf "$home"' EXIT
bin/agentctl model pull
bin/agentctl model pull smollm2:135m
bin/agentctl daemon stop

CGO_ENABLED=0 go test -count=1 -timeout 15m -tags model ./llm/local/...
go run ./evals -model local -seeds "${SEEDS:-3}" -floor "${FLOOR:-15}" -limit "${LIMIT:-2m}"
