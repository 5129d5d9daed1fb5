#!/usr/bin/env bash
# Installs graphql-js for the test that compares request validation with it.
exec "$(dirname "$0")/npm-packages" tests/door
