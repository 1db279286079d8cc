#!/usr/bin/env bash
# Runs the quick tests on each Python from 3.11 to 3.14 that this machine has, but for the one that .venv is made of.
# Not every machine has them: those that are missing are named.
set -euo pipefail
cd "$(dirname "$0")/.."

found() { # found VERSION: the path of that Python, which may be one of pyenv's
    local python
    for python in "$(command -v "python$1" || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/"python$1"; do
        # A shim of pyenv's is there for versions that it does not find.
        if [ -x "$python" ] && "$python" --version >/dev/null 2>&1; then
            echo "$python"
            return
        fi
    done
}

tested=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
for version in 3.11 3.12 3.13 3.14; do
    python=$(found $version)
    if [ $version = "$tested" ]; then
        echo "Python $version: tested by make test"
    elif [ -z "$python" ]; then
        echo "Python $version: not on this machine"
    else
        echo "Python $version: $python"
        make --no-print-directory unit VENV=build/python-$version PYTHON="$python"
    fi
done
