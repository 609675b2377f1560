#!/usr/bin/env bash
# The `nick` protocol: nicknames in a room, with people of other protocols in it.
#
#   scripts/nick.sh                    builds chatd and chat first
#   CHATD_BIN_DIR=DIR scripts/nick.sh  takes them from DIR
name=nick
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
flags=(--protocol nick)

start_server

chapter "Three come in under a nickname, without an account"
for user in ann ben cleo; do join "$user"; done
sees ann "* ben is online"
sees ann "* cleo is online"
sees ben "* cleo is online"

chapter "What one says everybody reads"
types ann "broadcast hello, everybody"
sees ann "ann (to everyone): hello, everybody"
for user in ben cleo; do sees "$user" "ann (to everyone): hello, everybody"; done

sees ann "ok"

chapter "A name in use, or of an account, is refused"
expect 77 "chat: the server does not let you in: the name ann is taken" ann broadcast hi
expect 77 "chat: the server does not let you in: the name alice is taken" alice broadcast hi

chapter "The others are the users of all protocols: here one of chat's own"
flags=(--insecure-plaintext)
join alice
for user in ann ben cleo; do sees "$user" "* alice is online"; done
types ben "broadcast welcome, alice"
sees alice "ben (to everyone): welcome, alice"
for user in ann ben cleo; do sees "$user" "ben (to everyone): welcome, alice"; done
sees ben "ok"
types alice "message ann good to see you"
sees ann "alice: good to see you"
types alice "block cleo"
types cleo "broadcast who reads this?"
for user in ann ben cleo; do sees "$user" "cleo (to everyone): who reads this?"; done
sees cleo "ok"

chapter "Who goes is gone, and the name is free"
types ben "logout"
leaves ben 0
for user in ann cleo; do sees "$user" "* ben is offline"; done
stop_server
passes
