#!/bin/sh
# Writes requirements/, the exact packages that CI installs, with their hashes: what is newest and fits
# pyproject.toml. Needs uv and a package index.
set -eu
cd "$(dirname "$0")/.."

compile() {
  uv pip compile --quiet --universal --python-version 3.10 --generate-hashes \
    --no-header --no-annotate --no-emit-index-url "$@"
}

# All that a version of torch needs, in a file of its own.
for torch in 2.11.0 2.13.0; do
  echo "torch==$torch" |
    compile --upgrade --group cuda-toolkit --output-file "requirements/torch-$torch.txt" -
done
# torch's own build without CUDA, for Python 3.11: the index has it not, but pip may be told of a place.
awk '/^[a-z]/ { kept = !/^(cuda|nvidia|torch|triton)/ } kept' requirements/torch-2.13.0.txt \
  >requirements/torch-2.13.0+cpu.txt
echo 'torch==2.13.0+cpu --hash=sha256:6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b' \
  >>requirements/torch-2.13.0+cpu.txt

not_again=$(sed -n 's/^\([a-z0-9-]*\)==.*/--no-emit-package \1/p' requirements/torch-2.11.0.txt)
compile --upgrade --constraint requirements/torch-2.11.0.txt $not_again \
  --extra demo --extra examples --extra bench --extra bench-jax --extra docs --extra interop \
  --extra keras --group dev --output-file requirements/common.txt pyproject.toml

# A wheel for a test to read, not to install.
echo mbrl==0.2.0 | compile --no-deps --output-file requirements/mbrl.txt -

# Before all else: the pip that the others are installed by.
grep -A 100 '^pip==' requirements/common.txt | sed '2,$ { /^[a-z]/,$ d }' >requirements/pip.txt
