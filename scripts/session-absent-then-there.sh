#!/usr/bin/env bash
# The `session` protocol: who is not there can't be called, but once there.
#
#   scripts/session-absent-then-there.sh                    builds chatd and chat first
#   CHATD_BIN_DIR=DIR scripts/session-absent-then-there.sh  takes them from DIR
name=session-absent-then-there
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
flags=(--protocol session)

start_server
join alice

chapter "Bob is not there"
types alice "chat bob"
sees alice "chat: line 1: bob can't be reached now: not online, in another chat, or not for you"

chapter "He comes, and can be called"
join bob
types alice "chat bob"
sees alice "ok"
sees bob "* a chat with alice has begun"
types alice "end chat"
sees alice "ok"
sees bob "* the chat with alice is over"

chapter "Whoever has blocked somebody is not there for them"
flags=(--insecure-plaintext)
expect 0 "" bob block alice
types alice "chat bob"
sees alice "chat: line 4: bob can't be reached now: not online, in another chat, or not for you"

chapter "Nobody is called by a name that nobody has, and nobody calls themselves"
types alice "chat zoe"
sees_like alice "chat: line 5: zoe can't be reached now*"
types alice "chat alice"
sees alice "chat: line 6: a chat needs somebody else"
types alice "log off"
leaves alice 75
stop_server
passes
