#!/usr/bin/env bash
# What a release consists of, in dist/, each part seen working: the binary, the Debian package, and their sums.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -n "$(git status --porcelain)" ]; then
    echo "kala: a release is made of a commit; commit or stash these first:" >&2
    git status --short >&2
    exit 1
fi
rm -rf dist
packaging/build-binary.sh
packaging/build-deb.sh
unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
dpkg-deb --extract dist/kala_*.deb "$unpacked"
for command in dist/kala dist/kala-onedir/kala "$unpacked/usr/bin/kala"; do
    echo "== $command"
    packaging/smoke.sh "$(realpath --no-symlinks "$command")"
done
cd dist
sha256sum kala kala_*.deb | tee SHA256SUMS
