"""Acks whatever it is handed, without waiting for answers, and says in a file
how many that were once there are enough."""

import os
import re
import sys

wanted, said = int(sys.argv[1]), sys.argv[2]
HANDED = re.compile(rb'"method":"event.deliver","params":\{"seq":(\d+),"attempt":(\d+)')


def send(text):
    text = text.encode()
    while text:
        text = text[os.write(1, text):]


send(
    '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocol":[1],"token":"%s",'
    '"client":{"name":"swallow"},"events":{"credit":256}}}\n' % os.environ["ADRT_TOKEN"]
)
held, count = b"", 0
while True:
    data = os.read(0, 1 << 16)
    if not data:
        break
    lines, _, held = (held + data).rpartition(b"\n")
    acks = []
    for seq, attempt in HANDED.findall(lines):
        acks.append(
            '{"jsonrpc":"2.0","method":"event.ack","params":{"seq":%d,"attempt":%d}}\n'
            % (int(seq), int(attempt))
        )
    send("".join(acks))
    count += len(acks)
    if count >= wanted:
        with open(said, "w") as file:
            file.write(str(count))
        wanted = float("inf")
