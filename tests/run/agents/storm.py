"""Patches its state as fast as it can, and keeps a diary outside adrt.

Beside what every diary has (`diary.py`):

    B incarnation version state             what I was handed back
    S name before kind slot                 about to be sent (kind: + or -)
    A name version                          acknowledged
    C name id                               a checkpoint, acknowledged

A patch called NAME, made on the state that BEFORE made, sets "last" to NAME,
adds one to "n" and sets "slots"/SLOT to NAME and some padding, or removes it.
The padding makes the journal grow until it brings checkpoints of its own.
"""

import json
import os

import diary
from diary import fail, frame, hear, note, say

SLOTS = 8
PADDING = 400
BATCH = 16
OUTSTANDING = 48

greeting = diary.greet("storm")
incarnation = greeting["incarnation"]
version, state = greeting["state"]["version"], greeting["state"]["value"]
note(f"B {incarnation} {version} {json.dumps(state, separators=(',', ':'))}")

last, n = state.get("last", "-"), state.get("n", 0)
slots = set(state.get("slots", {}))
outstanding = made = 0


def next_request():
    """Its line in the diary, and the request."""
    global last, n, made
    made += 1
    name = f"{incarnation}.{made}"
    if made % 100 == 99:
        return None, frame("C" + name, "checkpoint.create", {"label": "storm"})
    before, last, n = last, name, n + 1
    slot = str(n % SLOTS)
    removes = n % 5 == 0 and slot in slots
    (slots.discard if removes else slots.add)(slot)
    value = name + "x" * (n % 7 * PADDING)
    line = f"S {name} {before} {'-' if removes else '+'} {slot}"
    if n % 3 == 0:
        patch = [
            {"op": "test", "path": "/last", "value": before},
            {"op": "replace", "path": "/last", "value": name},
            {"op": "replace", "path": "/n", "value": n},
            {"op": "remove", "path": f"/slots/{slot}"}
            if removes
            else {"op": "add", "path": f"/slots/{slot}", "value": value},
        ]
        return line, frame(name, "state.patch", {"patch": patch, "format": "json"})
    patch = {"last": name, "n": n, "slots": {slot: None if removes else value}}
    return line, frame(name, "state.patch", {"patch": patch})


while True:
    while outstanding <= OUTSTANDING:
        batch = [next_request() for _ in range(BATCH)]
        note(*(line for line, _ in batch if line))
        # Text in between, as of a print() that was forgotten.
        say("".join(request for _, request in batch).encode() + b'{"text": 1}\n')
        outstanding += BATCH
    for answer in hear():
        if answer.get("method") == "shutdown":
            os._exit(0)
        name = answer["id"]
        if "result" not in answer:
            fail(f"{name} was refused: {answer}")
        outstanding -= 1
        if name.startswith("C"):
            note(f"C {name[1:]} {answer['result']['id']}")
        else:
            note(f"A {name} {answer['result']['version']}")
