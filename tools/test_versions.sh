#!/bin/sh
# Tests what is committed, without CUDA kernels, with the oldest versions that pyproject.toml names or
# with the newest there are; each in an environment of its own:
#
#     tools/test_versions.sh oldest|newest [PYTEST'S ARGUMENTS]
#
# Needs uv and a package index; uv finds Python 3.10 for the oldest, or fetches it.
set -eu
cd "$(dirname "$0")/.."

case $1 in
  oldest) python=3.10 resolution=lowest-direct ;;
  newest) python=3 resolution=highest ;;
  *) echo "oldest or newest, not $1" >&2; exit 2 ;;
esac
work=$PWD/build/versions/$1
shift

rm -rf "$work"
uv venv --quiet --seed --python "$python" "$work/environment"
export VIRTUAL_ENV="$work/environment" PATH="$work/environment/bin:$PATH"
uv pip install --quiet --resolution "$resolution" --requirement pyproject.toml \
  --extra bench --extra interop --extra keras --group dev
python -c 'import sys, torch; print("Python", sys.version.split()[0], "torch", torch.__version__)'

git clone --quiet . "$work/checkout"
cd "$work/checkout"
export PER_STEP_DENSE_CUDA=0
PER_STEP_DENSE_LOCAL_VERSION=1 python -m build --no-isolation >"$work/build.log" 2>&1 ||
  { cat "$work/build.log"; exit 1; }
exec sh tools/test_dist.sh python "$work/elsewhere" "$@"
