#!/usr/bin/env bash
# The `request` protocol: blocking, and a broadcast with somebody who has blocked the sender.
#
#   scripts/request-blocking.sh                    builds chatd and chat first
#   CHATD_BIN_DIR=DIR scripts/request-blocking.sh  takes them from DIR
name=request-blocking
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
flags=(--protocol request)

start_server
join alice
join bob
sees alice "* bob is online"
join carol
sees alice "* carol is online"
sees bob "* carol is online"

chapter "A broadcast reaches everyone"
types carol "broadcast good morning"
sees carol "ok"
sees alice "carol: good morning"
sees bob "carol: good morning"

chapter "Bob blocks carol: nothing of hers reaches him, and she does not see him"
types bob "block carol"
sees bob "ok"
types carol "message bob why?"
sees carol "chat: line 2: not delivered: bob has blocked you"
types carol "online"
sees carol "alice"

chapter "He may still write to her"
types bob "message carol I need some quiet"
sees bob "ok"
sees carol "bob: I need some quiet"

chapter "Her broadcast reaches the others, and she is told that it did not reach all"
types carol "logout"
leaves carol 77
sees alice "* carol is offline"
sees bob "* carol is offline"
expect 0 '{"reach":"partial","reply":"handed-over"}' carol --json broadcast "lunch is ready"
sees alice "* carol is online"
sees alice "carol: lunch is ready"
sees alice "* carol is offline"

chapter "He takes it back"
sees bob "* carol is online"
sees bob "* carol is offline"
types bob "unblock carol"
sees bob "ok"
types bob "unblock carol"
sees bob "chat: line 4: you do not block carol"
expect 0 "" carol message bob "good night"
sees bob "* carol is online"
sees bob "carol: good night"
stop_server
passes
