# Counts to ten. On the way it is killed once and fails once; each time adrt
# starts it again, and it goes on where it was: adrt run -- python3 examples/counter.py
import os
import time

from adaptive_runtime import Agent

agent = Agent()
n = agent.state.get("n", 0)
print(f"incarnation {agent.start_info.incarnation} ({agent.start_info.reason}), I was at {n}")
while n < 10:
    time.sleep(0.1)
    n += 1
    agent.patch({"n": n})  # returns when it is on the disk
    print(n)
    if n == 4:
        os.kill(os.getpid(), 9)  # SIGKILL: no goodbye, no cleaning up
    if n == 7:
        raise RuntimeError("a bug, at night")
agent.finish()  # the work is done: adrt ends too
