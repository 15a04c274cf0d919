"""Has events decided and tells how it went, as fast as it can, and keeps a
diary outside adrt.

What is noted comes before what it tells of is done. SIGKILL may tear a line
that spans two pages, so each begins on a line of its own and ends with a dot:

    P pid                     I run, and hold the lock
    B incarnation             greeted
    S name method params      about to be asked for the first time
    A name number             answered: the decision, or 0 for an outcome
    D                         all that was ever asked for is answered
    X what                    something that must not be

Whatever was asked for and not answered is asked for again by the next one, in
the same words: events have ids, outcomes a decision's number, the name of a
calculation, or a key. Once in a while what was answered is asked for again,
too. Beside the diary lies a file named `enough` when nothing new is wanted.
"""

import fcntl
import json
import os

import sys

BATCH = 12
EVENT = {"type": "storm", "severity": 0.3, "cpu": 50}
CALCULATE = {"event": EVENT, "context_risk": "low", "context": "unknown_storm"}

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

asked = {}
answered = {}
told = set()
with open(diary_path) as lines:
    for line in lines:
        if not line.endswith(" .\n"):
            continue
        words = line[:-3].split(" ", 3)
        if words[0] == "S":
            asked[words[1]] = (words[2], json.loads(words[3]))
            if words[1][0] == "d":
                told.add(int(words[1][1:]))
        elif words[0] == "A":
            answered[words[1]] = int(words[2])


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


hello = {"protocol": [1], "token": os.environ["ADRT_TOKEN"], "client": {"name": "judge"}}
say(frame("hello", "initialize", hello).encode())
greeting = hear().pop(0).get("result") or fail("no greeting")
incarnation = greeting["incarnation"]
note(f"B {incarnation}")

waiting = set()
made = 0
again = [name for name in asked if name not in answered]
calls = []


def is_enough():
    return os.path.exists(os.path.join(os.path.dirname(diary_path), "enough"))


def outcome(name, **of):
    return name, "confidence.record_outcome", {"success": len(name) % 2 == 0, **of}


def next_request():
    """What is to be asked for next: its name, method and params."""
    global made
    if again:
        name = again.pop(0)
        return (name, *asked[name])
    if calls:
        call = calls.pop(0)
        return outcome(f"c{call}", call_id=call)
    for name, decision in answered.items():
        if name[0] == "e" and decision not in told:
            told.add(decision)
            return outcome(f"d{decision}", decision_id=decision)
    if is_enough():
        return None
    made += 1
    name = f"{incarnation}.{made}"
    if made % 5 == 1:
        return "?" + name, "confidence.calculate", CALCULATE
    if made % 5 == 2:
        return outcome(f"k{name}", confidence=0.6, context_risk="low", context="unknown_storm", key=name)
    if made % 5 == 3 and answered:
        # One that was answered long ago.
        name = next(iter(answered))
        return (name, *asked[name])
    return f"e{name}", "event.process", {"event": {**EVENT, "id": name}}


while True:
    while len(waiting) < BATCH:
        request = next_request()
        if request is None:
            break
        name, method, params = request
        if name in waiting:
            break
        if name not in asked and name[0] != "?":
            note(f"S {name} {method} {json.dumps(params)}")
            asked[name] = (method, params)
        waiting.add(name)
        say(frame(name, method, params).encode())
    if not waiting:
        note("D")
    for answer in hear():
        if answer.get("method") == "shutdown":
            os._exit(0)
        name = answer["id"]
        result = answer.get("result")
        if result is None:
            fail(f"{name} was refused: {answer}")
        waiting.discard(name)
        if name[0] == "?":
            calls.append(result["call_id"])
            continue
        number = result.get("decision_id", 0)
        if answered.setdefault(name, number) != number:
            fail(f"{name} was decided twice: {number} after {answered[name]}")
        note(f"A {name} {number}")
