#!/usr/bin/env bash
# The `datagram` protocol: a message is done when its recipient has it, whichever protocol they use.
#
#   scripts/datagram-acknowledgement.sh                    builds chatd and chat first
#   CHATD_BIN_DIR=DIR scripts/datagram-acknowledgement.sh  takes them from DIR
name=datagram-acknowledgement
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
flags=(--protocol datagram)

start_server
join alice --wait delivered
join bob
sees alice "* bob is online"

chapter "The recipient's client acknowledges"
types alice "message bob hello"
sees bob "alice: hello"
sees alice "ok"

chapter "For a recipient with another protocol the server does, once they have it"
flags=(--insecure-plaintext)
join carol
sees alice "* carol is online"
types alice "message carol hello"
sees carol "alice: hello"
sees alice "ok"

chapter "Whoever sends by chat's own protocol is told the same of a datagram client"
types carol "message bob hello, bob"
sees bob "* carol is online"
sees bob "carol: hello, bob"
sees_like carol "ok *"

chapter "Whoever waits for a delivery waits until the recipient comes"
types carol "logout"
leaves carol 0
sees alice "* carol is offline"
types alice "message carol are you there?"
join carol
sees carol "alice: are you there?"
sees_both alice "* carol is online" "ok"
stop_server
passes
