"""Has events decided and tells how it went, as fast as it can, and keeps a
diary outside adrt.

Beside what every diary has (`diary.py`):

    B incarnation             greeted
    S name method params      about to be asked for the first time
    A name number             answered: the decision, or 0 for an outcome
    D                         all that was ever asked for is answered

Whatever was asked for and not answered is asked for again by the next one, in
the same words: events have ids, outcomes a decision's number, the name of a
calculation, or a key. Once in a while what was answered is asked for again,
too. Beside the diary lies a file named `enough` when nothing new is wanted.
"""

import json
import os

import diary
from diary import fail, frame, hear, note, say

BATCH = 12
EVENT = {"type": "storm", "severity": 0.3, "cpu": 50}
CALCULATE = {"event": EVENT, "context_risk": "low", "context": "unknown_storm"}

asked = {}
answered = {}
told = set()
with open(diary.path) as lines:
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

greeting = diary.greet("judge")
incarnation = greeting["incarnation"]
note(f"B {incarnation}")

waiting = set()
made = 0
again = [name for name in asked if name not in answered]
calls = []


def is_enough():
    return os.path.exists(os.path.join(os.path.dirname(diary.path), "enough"))


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
