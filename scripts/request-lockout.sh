#!/usr/bin/env bash
# The `request` protocol: who gets in, and who is locked out.
#
#   scripts/request-lockout.sh                    builds chatd and chat first
#   CHATD_BIN_DIR=DIR scripts/request-lockout.sh  takes them from DIR
name=request-lockout
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
flags=(--protocol request)

blocked="chat: Invalid password. Your account has been blocked.
chat: Please try again after sometime."
locked="chat: Due to multiple login failures, your account has been blocked.
chat: Please try again after sometime."

start_server --lockout 3

chapter "The right name and password"
expect 0 "" alice online
join alice

chapter "A name that nobody has, and wrong passwords: the third in a row locks the name out, for where they came from"
CHAT_PASSWORD=guess expect 77 "chat: Invalid Username. Please try again." zoe online
for _ in 1 2; do CHAT_PASSWORD=guess expect 77 "chat: Invalid Password. Please try again." carol online; done
CHAT_PASSWORD=guess expect 77 "$blocked" carol online
expect 77 "$locked" carol online

chapter "It is the name's lock-out: others come in, and whoever is in stays"
expect 0 "alice" bob online
sees alice "* bob is online"
sees alice "* bob is offline"
for _ in 1 2; do CHAT_PASSWORD=guess expect 77 "chat: Invalid Password. Please try again." alice online; done
CHAT_PASSWORD=guess expect 77 "$blocked" alice online
types alice "broadcast I am still here"
sees alice "ok"
types alice "logout"
leaves alice 0

chapter "It is over by itself"
end=$((SECONDS + limit))
until (chat_as carol online) >/dev/null 2>&1; do
    ((SECONDS < end)) || fail "carol should not be locked out for ever"
    sleep 0.2
done
passed
stop_server
passes
