"""Serves orders. Each is paid for: a line in a book outside adrt, named as the
first argument, which must have each order once.

Release 1, by an author who numbers the shapes of the state from the first."""

import sys

from adaptive_runtime import Agent


def pay(order):
    with open(sys.argv[1], "a", encoding="utf-8") as book:
        book.write(f"{order}\n")
    return f"receipt for {order}"


def main():
    with Agent(schema=1) as agent:
        for event in agent.events(types=["order"]):
            with event:
                if event["name"] == "poison":
                    # Not an exception, which would be a nack: the program dies.
                    print("no way to deliver this", file=sys.stderr, flush=True)
                    sys.exit(3)
                receipt = event.step("pay", pay, event["name"])
                served = agent.state.get("served", 0)
                agent.patch({"served": served + 1, "last": receipt})


main()
