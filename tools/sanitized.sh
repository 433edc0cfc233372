#!/bin/sh
# Runs a command with the C++ under the address and undefined-behaviour sanitizers, in a build of its
# own that it brings up to date first; the module in place stays what it is.
#
#     tools/sanitized.sh python -m pytest tests/test_bad_input.py
set -eu
cd "$(dirname "$0")/.."

build=$PWD/build/sanitized
mkdir -p build
# Overflow on the way from floating point to integers is no part of "undefined". By force, or a change
# of a header alone would go unnoticed; ninja knows what has to be compiled.
PER_STEP_DENSE_CUDA=0 PER_STEP_DENSE_SANITIZE=address,undefined,float-cast-overflow \
  python setup.py --quiet build --force --build-base "$build" --build-lib "$build/lib" \
  >"$build.log" 2>&1 || { cat "$build.log"; exit 1; }

# Before the checkout's own package, which "python -m" would find first.
export PYTHONSAFEPATH=1 PYTHONPATH="$build/lib:$PWD:$PWD/tests"
# Python frees little at its end. An allocation that is too large fails, as it does elsewhere.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=500
export UBSAN_OPTIONS=print_stacktrace=1
# Where torch has longer vectors, this package leaves most to it.
export ATEN_CPU_CAPABILITY=avx2
# What inductor has compiled for those it would run on these, with wrong results.
export TORCHINDUCTOR_CACHE_DIR="$build/inductor"
# Of the program's, for Python is not built with it; and of libstdc++, or exceptions are not seen.
export LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libstdc++.so)"
python -c 'import sys, per_step_dense._C as m; sys.exit(not m.__file__.startswith(sys.argv[1]))' "$build"
exec "$@"
