#!/bin/sh
# An agent without any library that works off events, each step once:
#   adrt run -n mailer -- sh examples/shell_events.sh
#   adrt events emit mailer '{"type":"mail","to":"ada@example.org"}'
# Kill it, or adrt, where you like. An event is handed out again until it is
# acked; a step that is done is not done again, its output is remembered.
set -eu
SENT=${SENT:-sent.txt} # stands for the outside world

# A number in the line that adrt prints: {"seq":88,"attempt":2,…,"event":{…}}
member() {
    value=${2#*"\"$1\":"}
    echo "${value%%[!0-9]*}"
}

adrt notify ready --status 'waiting for events'
while event=$(adrt events next --wait); do
    seq=$(member seq "$event")
    attempt=$(member attempt "$event")
    export ADRT_EVENT="$seq" # the steps below belong to it
    echo "event $seq, attempt $attempt"
    # shellcheck disable=SC2016 # $1 and $2 are for the inner shell
    if receipt=$(adrt step run send -- sh -c 'echo "$1" >>"$2" && echo "sent as $$"' sh "$event" "$SENT"); then
        adrt events ack "$seq" "$attempt" --patch "{\"last\":\"$receipt\"}"
    else
        adrt events nack "$seq" "$attempt" --reason "send failed with $?"
    fi
done
