#!/usr/bin/env bash
# The `request` protocol: who gives no sign of life is offline, and nothing that was meant for them is lost.
#
#   scripts/request-heartbeat.sh                    builds chatd and chat first
#   CHATD_BIN_DIR=DIR scripts/request-heartbeat.sh  takes them from DIR
name=request-heartbeat
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
flags=(--protocol request)

start_server --heartbeat-timeout 6
join alice --heartbeat 1
join bob --heartbeat 1
sees alice "* bob is online"

chapter "Signs of life keep both there for longer than the server waits"
end=$((SECONDS + 8))
while ((SECONDS < end)); do
    is_online bob || fail "bob should be online all the time"
    sleep 0.5
done
passed

chapter "Bob's program is stopped: it takes nothing and says nothing"
say "\$ kill -STOP ${session_pid[bob]}"
kill -STOP "${session_pid[bob]}"
types alice "message bob can you hear me?"
sees alice "ok"
types alice "broadcast anybody?"
sees alice "ok"
sees alice "* bob is offline"

chapter "He comes back with another one, and has missed nothing"
say "\$ kill -KILL ${session_pid[bob]}"
# bash would tell of it itself.
{
    kill -KILL "${session_pid[bob]}"
    wait "${session_pid[bob]}" || true
} 2>/dev/null
join bob --heartbeat 1
sees alice "* bob is online"
sees bob "* note: what came while you were offline:"
sees bob "alice: can you hear me?"
sees bob "alice: anybody?"
stop_server
passes
