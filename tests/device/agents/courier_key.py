"""Serves orders as courier.py does, with a key that each payment is signed by."""

import os
import sys

from adaptive_runtime import Agent


def pay(order):
    with open(sys.argv[1], "a", encoding="utf-8") as book:
        book.write(f"{order} signed {os.environ['SHOP_KEY']}\n")
    return f"receipt for {order}"


def main():
    with Agent() as agent:
        for event in agent.events(types=["order"]):
            with event:
                receipt = event.step("pay", pay, event["name"])
                served = agent.state.get("served", 0)
                agent.patch({"served": served + 1, "last": receipt})


main()
