"""What agents of a campaign of kills have in common: a diary outside adrt, and
the wire, by hand.

What is noted comes before what it tells of is done. SIGKILL may tear a line
that spans two pages, so each begins on a line of its own and ends with a dot.
Two kinds of line are everybody's:

    P pid     I run, and hold the lock
    X what    something that must not be
"""

import fcntl
import json
import os
import sys

path = sys.argv[1]
_diary = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note(*lines):
    os.write(_diary, "".join(f"\n{line} .\n" for line in lines).encode())


def fail(what):
    note(f"X {what}")
    os._exit(99)


_lock = os.open(path + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
try:
    fcntl.flock(_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    fail("another agent is alive")
note(f"P {os.getpid()}")


def say(data):
    while data:
        data = data[os.write(1, data) :]


def frame(name, method, params):
    request = {"jsonrpc": "2.0", "id": name, "method": method, "params": params}
    return json.dumps(request) + "\n"


_unread = b""


def hear():
    """All whole lines that are there; waits for one."""
    global _unread
    while b"\n" not in _unread:
        data = os.read(0, 65536)
        if not data:
            os._exit(1)
        _unread += data
    *lines, _unread = _unread.split(b"\n")
    return [json.loads(line) for line in lines]


def greet(name):
    """What adrt answers to `initialize`."""
    hello = {"protocol": [1], "token": os.environ["ADRT_TOKEN"], "client": {"name": name}}
    say(frame("hello", "initialize", hello).encode())
    return hear().pop(0).get("result") or fail("no greeting")
