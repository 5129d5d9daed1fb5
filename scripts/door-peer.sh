#!/usr/bin/env bash
# Makes graphql-js ready for the test that compares the door with it.
exec "$(dirname "$0")/npm-packages" tests/door
