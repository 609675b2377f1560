#!/usr/bin/env bash
# The `datagram` protocol: who is online.
#
#   scripts/datagram-contacts.sh                    builds chatd and chat first
#   CHATD_BIN_DIR=DIR scripts/datagram-contacts.sh  takes them from DIR
name=datagram-contacts
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
flags=(--protocol datagram)

start_server

chapter "Nobody but oneself"
expect 0 "" alice contacts

chapter "The others, whichever protocol they use"
join bob
flags=(--insecure-plaintext)
join carol
flags=(--protocol datagram)
expect 0 "bob
carol" alice contacts
expect 0 '{"reply":"online","users":["bob","carol"]}' alice --json online

chapter "Who has blocked one is not to be seen"
flags=(--insecure-plaintext)
types carol "block alice"
sees_soon carol "ok"
flags=(--protocol datagram)
expect 0 "bob" alice contacts

chapter "Who has left is gone"
types bob "quit"
goes_offline bob
expect 0 "" alice contacts
stop_server
passes
