"""Counts events in its state: "n" of them, "sum" of their member "n".

Each ack carries the patch that counts its event, so an event that is handed
out again after its ack was lost is counted by the one that was not. It tells
its process (P), and each ack that was answered (A), a line each, in the file
that it is given.
"""

import json
import os
import sys

diary = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
wire = os.fdopen(0, "rb")


def say(name, method, params):
    request = {"jsonrpc": "2.0", "id": name, "method": method, "params": params}
    data = json.dumps(request).encode() + b"\n"
    while data:
        data = data[os.write(1, data) :]


os.write(diary, f"P {os.getpid()}\n".encode())
say(
    "hello",
    "initialize",
    {
        "protocol": [1],
        "token": os.environ["ADRT_TOKEN"],
        "client": {"name": "count"},
        "events": {"credit": 32},
    },
)
state = {}
for line in wire:
    frame = json.loads(line)
    if frame.get("method") == "event.deliver":
        params = frame["params"]
        number = params["event"]["n"]
        state = {"n": state.get("n", 0) + 1, "sum": state.get("sum", 0) + number}
        ack = {"seq": params["seq"], "attempt": params["attempt"], "patch": state}
        say(number, "event.ack", ack)
    elif frame.get("id") == "hello":
        state = frame["result"]["state"]["value"]
    elif "error" in frame:
        sys.exit(f"refused: {line}")
    elif "id" in frame:
        os.write(diary, b"A\n")
