#!/usr/bin/env bash
# Generates types of the model and its operations, compiles example.ts with them, and runs it against `tidegate dev`.
set -euo pipefail
cd "$(dirname "$0")"
export GATEWAY=${GATEWAY:-http://127.0.0.1:4000}

tidegate() {
  cargo run --quiet --release --manifest-path ../../Cargo.toml -- "$@"
}
tidegate schema --model ../../model.graphql >schema.graphql
tidegate operations --model ../../model.graphql >operations.graphql
npx graphql-codegen --config codegen.ts
npx tsc --project .

until token=$(curl --silent --fail "$GATEWAY/dev/token?sub=alice&teams=demo"); do sleep 1; done
TOKEN=$(node --print 'JSON.parse(process.argv[1]).token' "$token") node build/example.js
