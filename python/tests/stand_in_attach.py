"""What `adrt attach` does, as far as a client sees it, from a `MemoryStore`.

    ADRT_BIN=…/adrt    (a script that executes this one)

`STAND_IN` says how it is to behave: `refuse CODE` ends before it answers,
`die N` kills itself with SIGKILL after N requests, `stop N` tells the program to
end before it answers the next, `linger` has to be killed.
What it notes in the file `STAND_IN_LOG` are its arguments and how it ended.
"""

import os
import signal
import sys
import time

TOKEN = os.environ.pop("ADRT_TOKEN")  # before the package sees it and takes the wire over

from adaptive_runtime._memory import MemoryStore  # noqa: E402


def note(text):
    with open(os.environ["STAND_IN_LOG"], "a") as log:
        log.write(text + "\n")


def main():
    note(" ".join(sys.argv[1:]))
    behaviour = os.environ.get("STAND_IN", "").split()
    if behaviour[:1] == ["refuse"]:
        sys.stderr.write("adrt: no, for a reason\n")
        sys.exit(int(behaviour[1]))
    left = int(behaviour[1]) if behaviour[:1] in (["die"], ["stop"]) else -1
    connection = MemoryStore().connect(sys.argv[3])
    part = b""
    while True:
        data = os.read(0, 65536)
        if not data:
            break
        *lines, part = (part + data).split(b"\n")
        for line in lines:
            if b'"initialize"' in line:
                assert TOKEN.encode() in line, line
            if left == 0 and behaviour[0] == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if left == 0:
                connection.end("operator")
            left -= 1
            connection.line(line)
        try:
            os.write(1, connection.read(-1, 0))
        except BlockingIOError:
            pass
    if behaviour == ["linger"]:
        signal.signal(signal.SIGTERM, lambda *_: note("TERM"))
        os.close(1)
        time.sleep(600)
    note("ended in good order")


main()
