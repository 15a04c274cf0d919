"""Runs a repair when it is needed, and asks first when it isn't sure.

    adrt run -n ops -- python3 examples/ops_automation.py --repair ./repair.sh
    adrt events emit ops '{"type": "recovery_needed", "service": "db", "severity": 0.9}'
    adrt reviews list ops
    adrt reviews approve ops 1 --note "seen it, go on"

The repair gets the service's name as its argument. It is a step: if the agent
dies while it runs, a person is asked before it is run again; if it has ended,
it is not run again. How it went is told to adrt, so that after a number of
good repairs the gate opens by itself, and after bad ones it closes.
"""

import argparse
import subprocess

from adaptive_runtime import Agent

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--repair", required=True, help="what to run for a service")
parser.add_argument("--count", type=int, help="end for good after so many events")
options = parser.parse_args()


def repair(service):
    """Its exit code."""
    done = subprocess.run([options.repair, service], stdin=subprocess.DEVNULL, timeout=600)
    return done.returncode


def allowed(event, result):
    """By its own confidence, or by a person."""
    if result.verdict == "execute":
        return True
    question = f"{result.action} of {event['service']}: run {options.repair}?"
    answer = event.review(question, decision=result.decision_id)
    who = answer.by or "nobody in time"
    print(f"{event['service']}: {answer.status} by {who}: {answer.note or 'no note'}", flush=True)
    return answer.approved


def handle(agent, event):
    result = event.process()
    if not allowed(event, result):
        return "left alone"
    code = event.step("repair", repair, event["service"], on_unknown="review")
    agent.confidence_engine.record_outcome(success=code == 0, decision_id=result.decision_id)
    return "repaired" if code == 0 else f"repair failed with code {code}"


def entries(agent):
    return len(agent.state.get("log", []))


with Agent() as agent:
    wanted = options.count or float("inf")
    for event in agent.events(types=["recovery_needed"]) if entries(agent) < wanted else ():
        with event:
            outcome = handle(agent, event)
            agent.append("/log", {"service": event["service"], "outcome": outcome})
        print(f"{event['service']}: {outcome}", flush=True)
        if entries(agent) >= wanted:
            break
    if entries(agent) >= wanted:
        agent.finish({"handled": entries(agent)})
