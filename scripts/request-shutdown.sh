#!/usr/bin/env bash
# The `request` protocol: the server stops, and says so.
#
#   scripts/request-shutdown.sh                    builds chatd and chat first
#   CHATD_BIN_DIR=DIR scripts/request-shutdown.sh  takes them from DIR
name=request-shutdown
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
flags=(--protocol request)

start_server
join alice
join bob
sees alice "* bob is online"
types alice "message bob see you tomorrow"
sees bob "alice: see you tomorrow"
sees alice "ok"

chapter "The server stops in order: everybody is told, and the programs end"
stop_server
for user in alice bob; do
    sees_like "$user" "chat: *server*"
    leaves "$user" 69
done

chapter "Without it nobody gets in, and a script is told by the exit status"
expect 69 "chat: can't reach 127.0.0.1 port $port: Connection refused (os error 111); is chatd running there?" alice online
start_server
expect 0 "" alice online
stop_server
passes
