#!/usr/bin/env bash
# The `session` protocol: two talk, and the one who has called ends the chat.
#
#   scripts/session-closed-by-a.sh                    builds chatd and chat first
#   CHATD_BIN_DIR=DIR scripts/session-closed-by-a.sh  takes them from DIR
name=session-closed-by-a
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
flags=(--protocol session)

start_server
join alice
join bob

chapter "Alice calls bob, and they talk"
types alice "chat bob"
sees alice "ok"
sees bob "* a chat with alice has begun"
types alice "hello, bob"
sees alice "ok"
sees bob "alice: hello, bob"
types bob "hello, alice"
sees bob "ok"
sees alice "bob: hello, alice"

chapter "What looks like a command of the protocol is a text, if it is said"
types alice "say END_NOTIF, log off"
sees alice "ok"
sees bob "alice: END_NOTIF, log off"

chapter "Alice ends the chat: both are out of it"
types alice "end chat"
sees alice "ok"
sees bob "* the chat with alice is over"
types bob "hello?"
sees_like bob "chat: line 2: you are in no chat*"
types alice "log off"
leaves alice 0
types bob "log off"
leaves bob 2
stop_server
passes
