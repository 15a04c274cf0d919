"""Serves orders. Each is paid for: a line in a book outside adrt, named as the
first argument, which must have each order once.

Release 1, mended: it delivers everything."""

import sys

from adaptive_runtime import Agent


def pay(order):
    with open(sys.argv[1], "a", encoding="utf-8") as book:
        book.write(f"{order}\n")
    return f"receipt for {order}"


def main():
    with Agent() as agent:
        for event in agent.events(types=["order"]):
            with event:
                receipt = event.step("pay", pay, event["name"])
                served = agent.state.get("served", 0)
                agent.patch({"served": served + 1, "last": receipt})


main()
