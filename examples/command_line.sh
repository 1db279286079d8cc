#!/bin/sh
# A job on the command line: created, followed, explained, changed and deleted. Needs kala on the PATH.
set -eu

kala create greet --command 'echo "hello, $NAME"; test -n "$NAME"' --schedule manual --env NAME=world > /dev/null
kala start greet --follow

kala set greet env.NAME=
kala start greet --wait > /dev/null || echo "exit status $?"
kala why greet | grep '^reason'

kala jobs greet --no-headers --columns name,state
kala delete greet --yes
