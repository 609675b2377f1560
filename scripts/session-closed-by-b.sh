#!/usr/bin/env bash
# The `session` protocol: two talk, and the one who was called ends the chat, or goes.
#
#   scripts/session-closed-by-b.sh                    builds chatd and chat first
#   CHATD_BIN_DIR=DIR scripts/session-closed-by-b.sh  takes them from DIR
name=session-closed-by-b
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
flags=(--protocol session)

start_server
join alice
join bob

chapter "Alice calls bob, who ends the chat"
types alice "chat bob"
sees alice "ok"
sees bob "* a chat with alice has begun"
types alice "hello, bob"
sees alice "ok"
sees bob "alice: hello, bob"
types bob "end chat"
sees bob "ok"
sees alice "* the chat with bob is over"

chapter "She calls again, and he goes"
types alice "chat bob"
sees alice "ok"
sees bob "* a chat with alice has begun"
types bob "log off"
leaves bob 0
sees alice "* the chat with bob is over"

chapter "He comes back, she calls again, and his program is killed"
join bob
types alice "chat bob"
sees alice "ok"
sees bob "* a chat with alice has begun"
kill_session bob
sees alice "* the chat with bob is over"
types alice "log off"
leaves alice 0
stop_server
passes
