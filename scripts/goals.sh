#!/bin/sh
# Tries the criteria of every goal file in goals/ on its sample workspace: each must hold there, and notice when something is broken.
set -eu
cd "$(dirname "$0")/.."
ctl=$PWD/${1:-bin/agentctl}
home=$(mktemp -d /tmp/goals.XXXXXX)
trap '"$ctl" daemon stop >/dev/null 2>&1 || true; rm -rf "$home"' EXIT
export AGENTD_HOME="$home/data" XDG_CONFIG_HOME="$home/config"
failed=0
for file in goals/*.goal.md; do
	name=$(basename "$file" .goal.md)
	cp -R "goals/testdata/samples/$name" "$home/ws"
	set --
	case $name in upgrade-dependency) set -- -p module=example.com/dep -p version=v1.2.0 ;; esac
	if out=$("$ctl" goal test "$PWD/$file" -C "$home/ws" "$@" 2>&1) && ! printf %s "$out" | grep -q '^untried'; then
		echo "ok   $name"
	else
		echo "FAIL $name"
		printf '%s\n' "$out"
		failed=1
	fi
	rm -rf "$home/ws"
done
exit $failed
