#!/bin/sh
# Tests what `make dist` built as those who install it get it, without network, from a folder that has
# everything committed but the package:  tools/test_dist.sh PYTHON FOLDER [PYTEST'S ARGUMENTS]
#
# Left out is what does not depend on torch's build, the emulator above all.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
python=$1 folder=$2
shift 2

"$python" -m pytest -q -p no:cacheprovider "$root/tests/check_dist.py"

# By name, as from an index: pip refuses a build whose version is not the file's.
"$python" -m pip install --quiet --dry-run --no-deps --no-build-isolation --no-index \
  --find-links "$root/dist" --no-binary per_step_dense --ignore-installed per_step_dense
"$python" -m pip install --quiet --no-deps --force-reinstall "$root"/dist/*.whl
"$python" -m pip check

mkdir -p "$folder"
(cd "$root" && git archive HEAD . ':(exclude)per_step_dense' ':(exclude)setup.py') |
  tar -x -C "$folder"
cd "$folder"
"$python" -c 'import per_step_dense as psd; assert "site-packages" in psd.__file__, psd.__file__'
exec sh "$root/tools/offline.sh" "$python" -m pytest -q -m "not slow" \
  --ignore-glob='tests/test_emula*' --ignore-glob='tests/test_bench*' \
  --ignore-glob='tests/test_gpu_check*' --ignore-glob='tests/test_fuzz*' \
  --ignore=tests/test_build.py --ignore=tests/test_version.py --ignore=tests/test_demo.py \
  --ignore=tests/test_requirements.py --ignore=tests/test_licences.py \
  --ignore=tests/test_docs.py --ignore=tests/test_guarantees.py --ignore=tests/test_mutants.py \
  --ignore=tests/test_turns.py "$@"
