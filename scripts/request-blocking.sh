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

chapter "Her broadcast reaches the others, and she is told that it did not reach all"
types carol "broadcast lunch is ready"
sees carol "ok"
sees alice "carol: lunch is ready"
sees carol "* note: your message could not be delivered to some recipients"

chapter "He may still write to her; and he takes it back"
types bob "message carol I need some quiet"
sees bob "ok"
sees carol "bob: I need some quiet"
types bob "unblock carol"
sees bob "ok"
types bob "unblock carol"
sees_like bob "chat: line 4: *carol*"
types carol "message bob good night"
sees carol "ok"
sees bob "carol: good night"
stop_server
passes
