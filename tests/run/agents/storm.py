"""Patches its state as fast as it can, and keeps a diary outside adrt.

What is noted comes before what it tells of is done. SIGKILL may tear a line
that spans two pages, so each begins on a line of its own and ends with a dot:

    P pid                                   I run, and hold the lock
    B incarnation version state             what I was handed back
    S name before kind slot                 about to be sent (kind: + or -)
    A name version                          acknowledged
    C name id                               a checkpoint, acknowledged
    X what                                  something that must not be

A patch called NAME, made on the state that BEFORE made, sets "last" to NAME,
adds one to "n" and sets "slots"/SLOT to NAME and some padding, or removes it.
The padding makes the journal grow until it brings checkpoints of its own.
"""

import fcntl
import json
import os
import sys

SLOTS = 8
PADDING = 400
BATCH = 16
OUTSTANDING = 48

diary_path = sys.argv[1]
diary = os.open(diary_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note(*lines):
    os.write(diary, "".join(f"\n{line} .\n" for line in lines).encode())


def fail(what):
    note(f"X {what}")
    os._exit(99)


lock = os.open(diary_path + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    fail("another agent is alive")
note(f"P {os.getpid()}")


def say(data):
    while data:
        data = data[os.write(1, data) :]


def frame(name, method, params):
    request = {"jsonrpc": "2.0", "id": name, "method": method, "params": params}
    return json.dumps(request) + "\n"


unread = b""


def hear():
    """All whole lines that are there; waits for one."""
    global unread
    while b"\n" not in unread:
        data = os.read(0, 65536)
        if not data:
            os._exit(1)
        unread += data
    *lines, unread = unread.split(b"\n")
    return [json.loads(line) for line in lines]


hello = {"protocol": [1], "token": os.environ["ADRT_TOKEN"], "client": {"name": "storm"}}
say(frame("hello", "initialize", hello).encode())
answers = hear()
greeting = answers.pop(0).get("result") or fail("no greeting")
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
