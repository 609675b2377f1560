#!/usr/bin/env bash
# The `session` protocol: two pairs talk at once, and nothing of the one gets into the other.
#
#   scripts/session-two-chats.sh                    builds chatd and chat first
#   CHATD_BIN_DIR=DIR scripts/session-two-chats.sh  takes them from DIR
name=session-two-chats
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
flags=(--protocol session)

start_server
for user in alice bob carol dave; do join "$user"; done

chapter "Alice calls bob, carol calls the fourth"
types alice "chat bob"
types carol "chat dave"
sees alice "ok"
sees carol "ok"
sees bob "* a chat with alice has begun"
sees dave "* a chat with carol has begun"

chapter "All four talk"
for number in 1 2 3; do
    types alice "alice $number"
    types bob "bob $number"
    types carol "carol $number"
    types dave "dave $number"
    sees_both alice "ok" "bob: bob $number"
    sees_both bob "ok" "alice: alice $number"
    sees_both carol "ok" "dave: dave $number"
    sees_both dave "ok" "carol: carol $number"
done

chapter "One chat ends, and the other goes on"
types alice "end chat"
sees alice "ok"
sees bob "* the chat with alice is over"
types carol "still here"
sees carol "ok"
sees dave "carol: still here"
stop_server
passes
