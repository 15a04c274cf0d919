"""Serves orders. Each is paid for: a line in a book outside adrt, named as the
first argument, which must have each order once.

Release 2. What was served is an object: there is more to count some day."""

import sys

from adaptive_runtime import Agent


def pay(order):
    with open(sys.argv[1], "a", encoding="utf-8") as book:
        book.write(f"{order}\n")
    return f"receipt for {order}"


def to_2(state):
    state["served"] = {"total": state.get("served", 0)}


def main():
    with Agent(schema=2, migrations={2: to_2}) as agent:
        for event in agent.events(types=["order"]):
            with event:
                receipt = event.step("pay", pay, event["name"])
                total = agent.state["served"]["total"]
                agent.patch({"served": {"total": total + 1}, "last": receipt})


main()
