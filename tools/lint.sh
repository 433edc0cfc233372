#!/bin/sh
# Checks style and types; with --fix, rewrites what the formatters can.
set -eu
cd "$(dirname "$0")/.."

cpp=$(git ls-files --cached --others --exclude-standard -- '*.cpp' '*.h' '*.cu' '*.cuh' '*.c')
if [ "${1:-}" = --fix ]; then
  ruff check --fix .
  ruff format .
  clang-format -i $cpp
else
  ruff check .
  ruff format --check .
  clang-format --dry-run --Werror $cpp
fi
mypy
