"""Looks at a camera's frames, and at fewer of them when it is hot.

    adrt run -n edge --events examples/edge_feed.ndjson --rules examples/edge_rules.toml \\
        -- python3 examples/edge_device.py --frames 22

The feed stands for a sensor: each line is a frame with the temperature it was
taken at. What heat means is in the rules, not in here: change them, say
`adrt reload edge`, and the next frame goes by the new ones. Each frame counts
once, however often the device loses its power in between.

Beside the feed's heat there is that of the machine itself: while adrt's
sensors say `high`, frames are made smaller whatever the feed says.
"""

import argparse
import hashlib

from adaptive_runtime import Agent

# Where the camera begins to suffer, and where it dies, in °C.
WARM, HOT = 40, 90
FULL, SMALL = 20_000, 2_000

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--frames", type=int, help="end for good after so many")
options = parser.parse_args()


def analyze(frame, rounds):
    """Stands for the work of a model: the same frame gives the same answer."""
    seen = str(frame).encode()
    for _ in range(rounds):
        seen = hashlib.sha256(seen).digest()
    return seen.hex()[:8]


def decide(agent, frame):
    severity = max(0.0, min(1.0, (frame["celsius"] - WARM) / (HOT - WARM)))
    result = agent.process(
        {"type": "frame", "severity": severity, "frame": frame["id"]}, key=f"frame-{frame['id']}"
    )
    if result.action == "analyze_frame" and not agent.environment.is_below("high"):
        return "shrink_frame"
    return result.action


def look_at(frame, action):
    if action == "analyze_frame":
        return analyze(frame, FULL)
    if action == "shrink_frame":
        return analyze(frame, SMALL)
    return None


def frames(agent):
    return sum(agent.state.get("frames", {}).values())


with Agent() as agent:
    wanted = options.frames or float("inf")
    for frame in agent.events(types=["frame"]) if frames(agent) < wanted else ():
        with frame:
            action = decide(agent, frame)
            seen = look_at(frame, action)
            counted = agent.state.get("frames", {}).get(action, 0)
            agent.patch({"frames": {action: counted + 1}, "last": seen})
        print(f"frame {frame['id']:>2}  {frame['celsius']} °C  {action}", flush=True)
        if frames(agent) >= wanted:
            break
    if frames(agent) >= wanted:
        agent.finish(agent.state["frames"].copy())
