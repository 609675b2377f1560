#!/usr/bin/env bash
# The `datagram` protocol: who logs in with a new name has an account, where sign-up is allowed.
#
#   scripts/datagram-sign-up.sh                    builds chatd and chat first
#   CHATD_BIN_DIR=DIR scripts/datagram-sign-up.sh  takes them from DIR
name=datagram-sign-up
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
flags=(--protocol datagram)

start_server

chapter "A name nobody has: the log-in is the sign-up"
CHAT_PASSWORD=first expect 0 "" newcomer contacts

chapter "From then on the password is this one"
CHAT_PASSWORD=other expect_like 77 "chat: the server says: *" newcomer contacts
CHAT_PASSWORD=first expect 0 "" newcomer contacts

chapter "The account is one for all protocols"
flags=(--insecure-plaintext)
CHAT_PASSWORD=first expect 0 "" newcomer message alice "hello"
flags=(--protocol request)
CHAT_PASSWORD=first expect_like 0 "*" newcomer message alice "hello again"
flags=(--insecure-plaintext)
expect 0 "newcomer -> alice: hello
newcomer -> alice: hello again" alice history newcomer

chapter "Where sign-up is not allowed a new name is refused like a wrong password"
stop_server
start_server --registration off
flags=(--protocol datagram)
CHAT_PASSWORD=any expect_like 77 "chat: the server says: *" stranger contacts
CHAT_PASSWORD=first expect 0 "" newcomer contacts
stop_server
passes
