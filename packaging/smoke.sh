#!/usr/bin/env bash
# packaging/smoke.sh COMMAND...: whether this kala works, be it a clone's, a binary or an installed one. Needs curl.
#
#     packaging/smoke.sh .venv/bin/kala
#     packaging/smoke.sh dist/kala
set -euo pipefail
[ $# -gt 0 ] || { echo "usage: $0 COMMAND..., such as $0 dist/kala" >&2; exit 2; }
kala=("$@")
folder=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$folder"' EXIT

# Nothing of this machine's own Kala shall count; what `env -i` drops, a service does not have either.
clean=(env -i PATH=/usr/bin:/bin HOME="$folder" TMPDIR="$folder" LC_ALL=C.UTF-8)

fail() {
    echo "smoke: $1" >&2
    [ ! -s "$folder/log" ] || sed 's/^/    /' "$folder/log" >&2
    exit 1
}

eventually() { # the command succeeds, within 30 seconds
    for _ in {1..300}; do
        ! "$@" || return 0
        sleep 0.1
    done
    fail "not so after 30 seconds: $*"
}

expect() { # expect WHAT PATTERN TEXT
    grep -qE -- "$2" <<<"$3" || fail "$1: there is no '$2' in: $3"
    echo "smoke: $1"
}

# What PyInstaller's loader sets for its own program would make other programs load its libraries.
untouched() { # untouched WHAT ENVIRONMENT
    ! grep -E '_PYI_|_MEI|PYINSTALLER|LD_LIBRARY_PATH' <<<"$2" || fail "$1: the loader's variables reached a command"
    echo "smoke: $1"
}

call() {
    curl --silent --show-error --fail-with-body "$@"
}

answers() {
    address=$(grep -oE 'http://[0-9.]+:[0-9]+' "$folder/log" 2>/dev/null) &&
        call --output "$folder/jobs" "$address/api/v1/job/"
}

ended() { # ended RUN
    call "$address/api/v1/run/$1/" | grep -qE '"state":"(succeeded|failed|lost)"'
}

gone() {
    ! kill -0 "$1" 2>/dev/null
}

expect "the version, alone" '^kala [0-9.]+$' "$("${clean[@]}" "${kala[@]}" --version)"
expect "the version, for bug reports" '^kala [0-9.]+, .*Python 3' "$("${clean[@]}" "${kala[@]}" version)"
for command in $("${clean[@]}" "${kala[@]}" --help | sed '1,/^Look:/d' | grep -oE '^  [a-z]+'); do
    expect "the help of $command" "^Usage: kala $command" "$("${clean[@]}" "${kala[@]}" "$command" --help)"
done
expect "the settings" '^port += 8123 +# KALA_PORT' "$("${clean[@]}" KALA_PORT=8123 "${kala[@]}" config show)"
expect "a command" '^hi$' "$("${clean[@]}" "${kala[@]}" run 'echo hi' 2>/dev/null)"
untouched "a command's environment" "$("${clean[@]}" "${kala[@]}" run env 2>/dev/null)"
expect "LD_LIBRARY_PATH as it was set" '^/nowhere$' \
    "$("${clean[@]}" LD_LIBRARY_PATH=/nowhere "${kala[@]}" run 'echo $LD_LIBRARY_PATH' 2>/dev/null)"

"${clean[@]}" "${kala[@]}" serve --port 0 --data-dir "$folder/data" 2>"$folder/log" &
pid=$!
eventually answers
echo "smoke: the service answers"
# With a template, and then with a URL, which Kala itself refuses: their modules are imported when first used, so a binary may lack them unnoticed.
call --output /dev/null "$address/api/v1/job/" \
    -d '{"name": "smoke", "command": "echo {{ name | upper }}; env", "TemplateDelimiters": "{{ }}"}'
eventually ended 1
output=$(call "$address/api/v1/run/1/output/")
expect "a job's run and its output" '^SMOKE$' "$output"
untouched "a job's environment" "$output"
call --output /dev/null "$address/api/v1/job/" \
    -d '{"name": "remote", "type": 1, "remote_properties": {"url": "'"$address/api/v1/stats/"'",
         "expected_response_codes": [403]}}'
eventually ended 2
expect "a remote job's run" '"state":"succeeded"' "$(call "$address/api/v1/run/2/")"
client=("${clean[@]}" "${kala[@]}" --url "unix://$folder/data/kala.sock")
# With what is imported when first used: YAML, and the width of characters.
"${client[@]}" create 'näme 🙂' --command 'echo hello' --schedule manual >/dev/null
expect "a run that is followed" '^hello$' "$("${client[@]}" start 'näme 🙂' --follow)"
expect "a job as YAML" '^name: näme 🙂$' "$("${client[@]}" show 'näme 🙂' -o yaml)"
expect "a table" '^näme 🙂  ok ' "$("${client[@]}" jobs)"
page=$(call "$address/")
expect "a page" '<title>.*Overview – Kala</title>' "$page"
static=$address$(grep -oE '/static/[0-9a-f]+/' <<<"$page" | head -n 1)
expect "a style sheet" '^:root' "$(call "${static}kala.css")"
expect "a script" '^import ' "$(call "${static}js/main.js")"
expect "a script by others" 'export ?{' "$(call "${static}vendor/dagre.esm.js")"
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
pid=
[ "$status" = 0 ] || fail "SIGTERM made it exit with $status"
echo "smoke: SIGTERM ends it with 0"

rm "$folder/log"
"${clean[@]}" "${kala[@]}" serve --daemon --port 0 --data-dir "$folder/data" \
    --pid-file "$folder/pid" --log-file "$folder/log"
pid=$(<"$folder/pid")
answers || fail "it does not answer though --daemon returned"
expect "in the background, with the job from before" '"smoke"' "$(<"$folder/jobs")"
kill -TERM "$pid"
eventually gone "$pid"
pid=
[ ! -e "$folder/pid" ] || fail "the pid file is still there"
echo "smoke: stopped by its pid file"
