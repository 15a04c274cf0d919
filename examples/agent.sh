#!/bin/sh
# An agent without any library, in two ways:
#   adrt run -n steps -- sh examples/agent.sh          with adrt's own commands
#   adrt run -n steps -- sh examples/agent.sh --wire   speaking the protocol
# It takes five steps and remembers each; kill it, and it goes on where it was.
set -eu
STEPS=5

work() {
    echo "step $1"
    sleep "${STEP_SECONDS:-1}"
}

# What a script does best: adrt's commands know the agent from the environment.
with_commands() {
    done=$(adrt state get /done 2>/dev/null) || done=0
    echo "$done steps are done"
    while [ "$done" -lt "$STEPS" ]; do
        work $((done + 1))
        done=$((done + 1))
        adrt state patch "{\"done\":$done}" >/dev/null # on the disk when it returns
    done
}

# The same over stdin and stdout, one JSON object a line; see adrt-protocol(7).
with_wire() {
    # 4 and 5 become the wire. 0 and 1 must not stay it, or the commands run
    # below would eat the answers and their output would get between the
    # frames; descriptor 3 leads to where ordinary output goes.
    exec 4<&0 5>&1 </dev/null >&3

    ask initialize "\"protocol\":[1],\"token\":\"$ADRT_TOKEN\",\"client\":{\"name\":\"agent.sh\"}"
    case $answer in
    *'"done":'*) done=${answer#*'"done":'} done=${done%%[!0-9]*} ;;
    *) done=0 ;;
    esac
    echo "$done steps are done"
    while [ "$done" -lt "$STEPS" ]; do
        work $((done + 1))
        done=$((done + 1))
        ask state.patch "\"patch\":{\"done\":$done}"
    done
    ask run.finish ''
}

id=0
# Sends a request, waits for its answer, passes over what adrt says meanwhile.
ask() {
    id=$((id + 1))
    printf '{"jsonrpc":"2.0","id":%d,"method":"%s","params":{%s}}\n' "$id" "$1" "$2" >&5
    while IFS= read -r answer <&4; do
        case $answer in
        *"\"id\":$id,"*'"error":'*) echo "$1 failed: $answer" >&2 && exit 1 ;;
        *"\"id\":$id,"*) return ;;
        esac
    done
    echo "adrt closed the wire" >&2
    exit 1
}

case ${1-} in
--wire) with_wire ;;
*) with_commands ;;
esac
