#!/usr/bin/env bash
# Builds the Debian package of the last commit into dist/, from a clone of its own: nothing that lies about gets in.
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD

version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' kala/__init__.py)
packaged=$(sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog)
if [ "${packaged%%-*}" != "$version" ]; then
    echo "kala: debian/changelog has version $packaged, kala/__init__.py $version; make them the same" >&2
    exit 1
fi

packaging/need.sh debhelper dpkg-dev git lintian python3-venv binutils curl

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git clone --quiet . "$work/kala"
cd "$work/kala"
# A plain PATH, as another Python than Debian's lacks the modules of Debian's tools.
PATH=/usr/sbin:/usr/bin:/sbin:/bin dpkg-buildpackage --build=binary --unsigned-source --unsigned-changes
lintian --allow-root --fail-on error,warning ../*.changes
mkdir -p "$here/dist"
rm -f "$here"/dist/*.deb
cp ../*.deb "$here/dist/"
ls -l "$here"/dist/*.deb
