#!/bin/sh
# Tests what `make dist` built as those who install it get it, without network, from a folder that has
# everything committed but the package:  tools/test_dist.sh PYTHON FOLDER [PYTEST'S ARGUMENTS]
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
exec sh "$root/tools/offline.sh" "$python" -m pytest "$@"
