#!/usr/bin/env bash
# The `session` protocol: who is in a chat can't be called; users of other protocols are always free.
#
#   scripts/session-busy.sh                    builds chatd and chat first
#   CHATD_BIN_DIR=DIR scripts/session-busy.sh  takes them from DIR
name=session-busy
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
flags=(--protocol session)

start_server
join alice
join bob
join carol

chapter "Alice and bob talk; carol calls each of them"
types alice "chat bob"
sees alice "ok"
sees bob "* a chat with alice has begun"
types carol "chat alice"
sees_like carol "chat: line 1: alice can't be reached now*"
types carol "chat bob"
sees_like carol "chat: line 2: bob can't be reached now*"

chapter "Who is in a chat begins no other"
types alice "chat carol"
sees alice "chat: line 2: you are in a chat with bob: 'end chat' first"

chapter "When the chat is over both are free"
types bob "end chat"
sees bob "ok"
sees alice "* the chat with bob is over"
types carol "chat alice"
sees carol "ok"
sees alice "* a chat with carol has begun"
types alice "end chat"
sees alice "ok"
sees carol "* the chat with alice is over"

chapter "A user of chat's own protocol is free, and sees private messages"
flags=(--insecure-plaintext)
join dave
types alice "chat dave"
sees alice "ok"
types carol "chat dave"
sees carol "ok"
types alice "hello from alice"
sees alice "ok"
sees dave "alice: hello from alice"
types carol "hello from carol"
sees carol "ok"
sees dave "carol: hello from carol"
types dave "message alice hello, alice"
sees_like dave "ok *"
sees alice "dave: hello, alice"
stop_server
passes
