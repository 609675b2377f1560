#!/usr/bin/env bash
# The `datagram` protocol: messages to all who are there.
#
#   scripts/datagram-group.sh                    builds chatd and chat first
#   CHATD_BIN_DIR=DIR scripts/datagram-group.sh  takes them from DIR
name=datagram-group
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
flags=(--protocol datagram)

start_server
join alice

chapter "Nobody else is there"
types alice "broadcast hello?"
sees alice "chat: line 1: nobody else is there to read it"
sees alice "ok"

chapter "Two are there: both get it, and both acknowledge it"
join bob
sees alice "* bob is online"
join carol
sees alice "* carol is online"
sees bob "* carol is online"
types alice "message* hello, all"
sees bob "alice (to everyone): hello, all"
sees carol "alice (to everyone): hello, all"
sees alice "ok"
sees_like alice "\* acknowledged: Message received by *"

chapter "Users of chat's own protocol get it too"
flags=(--insecure-plaintext)
join dave
for user in alice bob carol; do sees "$user" "* dave is online"; done
types bob "broadcast hello, dave"
for user in alice carol dave; do sees "$user" "bob (to everyone): hello, dave"; done
sees bob "ok"
for _ in 1 2; do sees_like bob "\* acknowledged: Message received by *"; done
types dave "broadcast hello, everybody"
for user in alice bob carol; do sees "$user" "dave (to everyone): hello, everybody"; done
stop_server
passes
