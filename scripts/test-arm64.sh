#!/bin/sh
# Runs all tests of memory/vec for arm64 under qemu-user, the longest searches included.
set -e
scripts/need.sh qemu-aarch64:qemu-user
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
GOARCH=arm64 CGO_ENABLED=0 go test -c -o "$bin/vec.test" ./memory/vec
cd memory/vec
qemu-aarch64 "$bin/vec.test" -test.v
