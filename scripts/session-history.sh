#!/usr/bin/env bash
# The `session` protocol: what two have said to each other, whoever asks, and after a server that was killed.
#
#   scripts/session-history.sh                    builds chatd and chat first
#   CHATD_BIN_DIR=DIR scripts/session-history.sh  takes them from DIR
name=session-history
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
flags=(--protocol session)

start_server
join bob

chapter "There is nothing at first"
expect_like 0 "chat: *" alice history bob

chapter "Two messages, each a chat of its own, and one by another protocol"
expect 0 "" alice message bob "one"
sees bob "* a chat with alice has begun"
sees bob "alice: one"
sees bob "* the chat with alice is over"
expect 0 "" alice message bob "two"
sees bob "* a chat with alice has begun"
sees bob "alice: two"
sees bob "* the chat with alice is over"
flags=(--insecure-plaintext)
expect 0 "" alice message bob "three"
sees bob "alice: three"
types bob "log off"
leaves bob 0

chapter "The server is killed, and starts again"
kill_server
start_server

chapter "Both have the same history, the oldest first"
flags=(--protocol session)
told="alice -> bob: one
alice -> bob: two
alice -> bob: three"
expect 0 "$told" alice history bob
expect 0 "$told" bob history alice
expect 0 "alice -> bob: three" bob history alice 1

chapter "Nobody has a history with themselves, or of others"
expect 2 "chat: a history is one with somebody else" alice history alice
expect_like 0 "chat: *" carol history bob
stop_server
passes
