"""Two agents that play a ball to each other, and lose none however often they die.

    adrt run -n pong -- python3 examples/ping_pong.py pong
    adrt run -n ping -- python3 examples/ping_pong.py ping

A ball that is caught and the ball that is played back are one transaction: an
agent that is killed in between has done both or neither. Each ball has an id,
so one that is sent twice is caught once.
"""

import argparse

from adaptive_runtime import Agent, UnknownAgent

options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
options.add_argument("role", choices=["ping", "pong"])
options.add_argument("--balls", type=int, default=10, help="how many are played in all")
options = options.parse_args()
other = "pong" if options.role == "ping" else "ping"


def ball(number):
    return {"type": "ball", "number": number, "source": "ping-pong", "id": str(number)}


def play(agent):
    if options.role == "ping":
        # The key has it happen once, whichever incarnation comes to it first.
        # Until pong has been started once, adrt knows no agent of that name.
        agent.retry_policy.max_retries = 8
        agent.retry_policy.base_delay = 0.25
        agent.retry(
            lambda: agent.emit(ball(1), to=other, key="first ball"), retry_on=UnknownAgent
        )
    for event in agent.events(types=["ball"]):
        number = event["number"]
        with event:
            agent.patch({"caught": agent.state.get("caught", 0) + 1, "last": number})
            if number < options.balls:
                agent.emit(ball(number + 1), to=other)
        print(f"{options.role} caught {number}", flush=True)
        if over(agent):
            break


def over(agent):
    """Neither catches another after the last two."""
    return agent.state.get("last", 0) >= options.balls - 1


with Agent() as agent:
    if not over(agent):  # it is, where only the next line was missing
        play(agent)
    if over(agent):
        agent.finish({"caught": agent.state["caught"]})
