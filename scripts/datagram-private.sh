#!/usr/bin/env bash
# The `datagram` protocol: private messages, to who is there, who is not, and who is nobody.
#
#   scripts/datagram-private.sh                    builds chatd and chat first
#   CHATD_BIN_DIR=DIR scripts/datagram-private.sh  takes them from DIR
name=datagram-private
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
flags=(--protocol datagram)

start_server
join alice
join bob
sees alice "* bob is online"

chapter "Two talk"
types alice "message bob hello, bob"
sees bob "alice: hello, bob"
sees alice "ok"
types bob "message alice it's \"you\", née \\x41"
sees alice "bob: it's \"you\", née \\x41"
sees bob "ok"

chapter "A message to oneself is refused, and so is one to nobody"
types alice "message alice hello"
sees alice "chat: line 2: a message needs somebody else"
types alice "message zoe hello"
sees_like alice "chat: line 3: the server says: *zoe*"

chapter "A message for who is not there waits"
types bob "quit"
leaves bob 0
sees alice "* bob is offline"
types alice "message bob are you there?"
sees alice "chat: line 4: bob is not there now: the server keeps the message"
sees alice "ok"
join bob
sees bob "alice: are you there?"
sees_both alice "* bob is online" "* acknowledged: Message received by bob"
stop_server
passes
