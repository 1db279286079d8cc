#!/bin/sh
# Two jobs that call a URL instead of running a command: one URL exists, the other does not. Needs curl.
set -eu
url=${KALA_URL:-http://127.0.0.1:8000}
server=${SERVER_URL:-https://example.org}
jobs=$url/api/v1/job

call() {
    curl --silent --show-error --fail-with-body "$@"
}

# remote_job NAME URL: create a job, wait for its run, and print how the run ended.
remote_job() {
    answer=$(call "$jobs/" -d @- <<JSON
{
  "name": "$1",
  "type": 1,
  "remote_properties": {
    "url": "$2",
    "method": "GET",
    "headers": {"Accept": ["application/json"]},
    "timeout": 5,
    "expected_response_codes": [200]
  }
}
JSON
)
    id=$(echo "$answer" | sed 's/.*"id":"\([^"]*\)".*/\1/')
    tries=0
    until call "$jobs/$id/" | grep -q '"is_done":true'; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || { echo "$1 still runs after 10 seconds" >&2; exit 1; }
        sleep 0.1
    done
    case $(call "$jobs/stats/$id/") in
        *'"success":true'*) echo "$1: succeeded" ;;
        *) echo "$1: failed" ;;
    esac
    call -X DELETE "$jobs/$id/"
}

remote_job there "$server/"
remote_job missing "$server/nothing"
