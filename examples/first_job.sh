#!/bin/sh
# A job that runs once, immediately, and its result. Needs curl.
set -eu
jobs=${KALA_URL:-http://127.0.0.1:8000}/api/v1/job

call() {
    curl --silent --show-error --fail-with-body "$@"
}

answer=$(call "$jobs/" -d '{"name": "first", "command": "echo hello from $(hostname)"}')
id=$(echo "$answer" | sed 's/.*"id":"\([^"]*\)".*/\1/')
echo "created: $id"

tries=0
until call "$jobs/$id/" | grep -q '"is_done":true'; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || { echo "it still runs after 10 seconds" >&2; exit 1; }
    sleep 0.1
done
echo "its runs: $(call "$jobs/stats/$id/")"

call -X DELETE "$jobs/$id/"
echo "deleted"
