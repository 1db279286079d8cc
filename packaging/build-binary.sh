#!/usr/bin/env bash
# Builds dist/kala (one file) and dist/kala-onedir (a folder), in a virtual environment of their own in build/.
# The same commit gives the same programs on the same Debian: all that goes in is locked with hashes.
set -euo pipefail
cd "$(dirname "$0")/.."

# Debian's own Python: it is built with PGO and LTO, and asks for no newer glibc than the release that it is from.
python=/usr/bin/python3
packaging/need.sh python3-venv binutils

venv=build/venv
if [ ! -e $venv/ready ] || [ packaging/build.lock -nt $venv/ready ] || [ packaging/run.lock -nt $venv/ready ]; then
    rm -rf $venv
    $python -m venv $venv
    for lock in run build; do
        $venv/bin/pip --disable-pip-version-check --quiet install --use-pep517 --require-hashes -r packaging/$lock.lock
    done
    touch $venv/ready
fi

# Without these two the bytecode and the archive differ from build to build.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH PYTHONHASHSEED=0
$venv/bin/pyinstaller --clean --noconfirm --log-level WARN --workpath build/pyinstaller --distpath dist build.spec
du -sh dist/kala dist/kala-onedir
