"""An agent that does what a test tells it, one line of Python at a time.

It hands its stdin, stdout, stderr and text pipe to the test over a Unix
socket, so that the test itself speaks, or misuses, the wire. Then it runs each
statement the test sends (a JSON string a line) and sends back the value of
`answer` as JSON. It does nothing more when the test lets go of the socket.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time

control = socket.socket(socket.AF_UNIX)
control.connect(sys.argv[1])
# A child is to have the wire only where a test says so.
control.set_inheritable(False)
hello = {"pid": os.getpid(), "env": dict(os.environ)}
fds = [0, 1, 2]
try:
    os.fstat(3)
    fds.append(3)
except OSError:
    pass
socket.send_fds(control, [json.dumps(hello).encode() + b"\n"], fds)
for line in control.makefile("r"):
    answer = None
    exec(json.loads(line))
    control.sendall(json.dumps(answer).encode() + b"\n")
while True:
    signal.pause()
