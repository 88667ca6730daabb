#!/usr/bin/env bash
# need.sh COMMAND:PACKAGE… makes sure that each command exists: it installs the missing ones' packages through apt where it
# may, else it prints the line to run and stops.
set -euo pipefail

missing=()
for pair in "$@"; do
	command -v "${pair%%:*}" >/dev/null 2>&1 || missing+=("${pair##*:}")
done
[ ${#missing[@]} -eq 0 ] && exit 0

install="apt-get install -y --no-install-recommends ${missing[*]}"
if ! command -v apt-get >/dev/null 2>&1; then
	echo "missing: ${missing[*]}. Install them with this system's package manager, then try again." >&2
	exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
	as=()
elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
	as=(sudo)
else
	echo "missing: ${missing[*]}. Run this as root, then try again:" >&2
	echo "  apt-get update && $install" >&2
	exit 1
fi
echo "installing: ${missing[*]}" >&2
log=$(mktemp)
if ! { "${as[@]}" apt-get update && DEBIAN_FRONTEND=noninteractive "${as[@]}" $install; } >"$log" 2>&1; then
	tail -n 20 "$log" >&2
	echo "the installation failed; the whole output is in $log" >&2
	exit 1
fi
rm -f "$log"
