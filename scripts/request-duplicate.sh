#!/usr/bin/env bash
# The `request` protocol: who logs in twice is there once.
#
#   scripts/request-duplicate.sh                    builds chatd and chat first
#   CHATD_BIN_DIR=DIR scripts/request-duplicate.sh  takes them from DIR
name=request-duplicate
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
flags=(--protocol request)

start_server
join alice
join bob
sees alice "* bob is online"

chapter "Bob logs in from another terminal: his first session ends, and says why"
first_pid=${session_pid[bob]} first_out=${session_out[bob]}
join bob
session_pid[first]=$first_pid session_out[first]=$first_out session_in[first]=$first_out
sees_like first "chat: *logged in*"
leaves first 69

chapter "The second one is there, and gets what is for him; alice saw nobody leave"
types alice "message bob which one are you?"
sees bob "alice: which one are you?"
sees alice "ok"
types alice "online"
sees alice "bob"

chapter "With chat's own protocol he can be there beside it"
flags=(--insecure-plaintext)
expect 0 "alice" bob online
flags=(--protocol request)
types alice "message bob still there?"
sees bob "alice: still there?"
stop_server
passes
