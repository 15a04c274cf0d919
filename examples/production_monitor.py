"""Keeps a service on its feet: adrt run -- python3 examples/production_monitor.py

Each round it measures the service, has adrt decide what to do about it, does
it, and says in the next round whether it helped. So its confidence comes to
be worth something, and a decision that isn't sure enough of itself waits for
a person (adrt reviews list).

Two things go by pressure: what is done to the service, by the pressure on the
service; and what the monitor itself does, by that on its own machine. The
report at the end is heavy work, so it waits for a calmer moment.

Kill it at any point. A round has a key: asked again, it is the same decision,
and it is acted upon once.
"""

import argparse
import asyncio

from adaptive_runtime import Runtime

# Requests a second over a day, and what one replica can take of them.
LOAD = (40, 60, 120, 190, 270, 260, 250, 180, 90, 50)
CAPACITY = 50
START = {"round": 0, "replicas": 2, "degraded": False}


def measure(load, replicas, degraded):
    """Stands for the monitoring: what the service says of itself now."""
    use = load * (0.6 if degraded else 1.0) / (replicas * CAPACITY)
    return {
        "type": "service_overload" if use > 0.8 else "timeout" if use > 0.6 else "heartbeat",
        "severity": min(1.0, 0.7 * use),
        "cpu": min(100.0, 80 * use),
        "memory": min(100.0, 35 + 40 * use),
        "error_rate": max(0.0, min(1.0, 2 * (use - 1.0))),
        "latency_ms": 2000 * use**3,
    }


def act(action, service):
    """What the decisions mean here. Those that only watch change nothing."""
    if action == "scale_up_immediate":
        return {"replicas": service["replicas"] + 2, "degraded": False}
    if action == "restart_service":  # one at a time, beside a new one
        return {"replicas": service["replicas"] + 1}
    if action in ("throttle_requests", "optimize_resources", "optimize_query"):
        return {"degraded": True}
    return {}


async def one_round(runtime):
    service = runtime.state
    number = service["round"]
    event = measure(LOAD[number], service["replicas"], service["degraded"])
    if service.get("open"):
        # Of each request: there may be more of them by now.
        helped = event["cpu"] / LOAD[number] < service["open"]["cost"]
        runtime.confidence_engine.record_outcome(
            success=helped, decision_id=service["open"]["decision"]
        )
    result = await runtime.process(event, key=f"round-{number}")
    done = act(result.action, service) if result.verdict == "execute" else {}
    print(
        f"{number:2} {event['type']:17} cpu {event['cpu']:3.0f} %  {result.action}"
        + (f" (asks: review {result.review_id})" if result.verdict == "review" else ""),
        flush=True,
    )
    cost = event["cpu"] / LOAD[number]
    opened = {"decision": result.decision_id, "cost": cost} if done else None
    # One patch: from here on the round is over, for ever.
    await runtime.patch({"round": number + 1, "open": opened, **done})


async def report(runtime, patience):
    if await runtime.environment.wait_below("high", timeout=patience):
        history = await runtime.event_history(limit=len(LOAD))
        kinds = {}
        for kept in history:
            kinds[kept.event["type"]] = kinds.get(kept.event["type"], 0) + 1
        print("report:", ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))
    else:
        print(f"report: {runtime.environment.level} pressure on this machine, so only this line")


async def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--every", type=float, default=0.2, help="seconds between two rounds")
    parser.add_argument("--patience", type=float, default=30, help="seconds the report may wait")
    options = parser.parse_args()
    async with Runtime(checkpoint_every=5) as runtime:
        if "round" not in runtime.state:
            await runtime.patch(START)
        while runtime.state["round"] < len(LOAD):
            await one_round(runtime)
            await asyncio.sleep(options.every)
        await report(runtime, options.patience)
        await runtime.finish({"replicas": runtime.state["replicas"]})


if __name__ == "__main__":
    asyncio.run(main())
