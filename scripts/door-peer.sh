#!/usr/bin/env bash
# Makes graphql-js ready for the test that compares the door with it: Node from the system's packages where there is
# none, and the locked package. Does nothing where both are there; a test calls it, so several may at once.
set -euo pipefail
cd "$(dirname "$0")/../tests/door"

exec 9>.installing
flock 9

if ! command -v npm >/dev/null; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "graphql-js needs Node 18 or later and npm: install them, then run the tests again" >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null
fi

# npm writes this file last.
installed=node_modules/.package-lock.json
if [ ! "$installed" -nt package-lock.json ]; then
  npm ci --no-audit --no-fund --silent
  touch "$installed"
fi
