#!/usr/bin/env bash
# The `request` protocol: who is offline gets it later, once, in order, and after a server that was killed too.
#
#   scripts/request-offline.sh                    builds chatd and chat first
#   CHATD_BIN_DIR=DIR scripts/request-offline.sh  takes them from DIR
name=request-offline
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
flags=(--protocol request)

start_server

chapter "Alice writes to bob, who is not there"
expect 0 "" alice message bob "are you there?"
expect 0 "" alice message bob "this, too, can wait"
flags=(--insecure-plaintext)
expect 0 "" carol message bob "and this is from chat's own protocol"
flags=(--protocol request)

chapter "The server is killed, and starts again: it has everything on its disk"
kill_server
start_server

chapter "Bob comes"
join bob
sees bob "* note: what came while you were offline:"
sees bob "alice: are you there?"
sees bob "alice: this, too, can wait"
sees bob "carol: and this is from chat's own protocol"
types bob "logout"
leaves bob 0

chapter "He comes again: it was kept once"
join bob
expect 0 "bob" alice online
sees bob "* alice is online"
sees bob "* alice is offline"
types bob "logout"
leaves bob 0
stop_server
passes
