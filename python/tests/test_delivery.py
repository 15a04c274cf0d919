"""Events over the wire, in real processes, killed and stopped."""

import signal
import unittest

from adaptive_runtime._memory import MemoryStore
from fake_adrt import FakeAdrt, run

SYNCHRONOUS = """
    import sys
    from adaptive_runtime import Agent
    def count(n):
        with open(sys.argv[0] + ".paid", "a") as file:
            print(n, file=file)
        return n
    with Agent() as agent:
        for event in agent.events():
            with event:
                print("event", event["n"], flush=True)
                agent.patch({"sum": agent.state.get("sum", 0) + event.step("x", count, event["n"])})
    print("the end")
"""
ASYNCHRONOUS = """
    import asyncio
    from adaptive_runtime import Runtime
    async def main():
        async with Runtime(credit=4) as runtime:
            async def handle(event):
                async with event:
                    print("event", event["n"], flush=True)
                    await runtime.append("log", await event.step("x", count, event["n"]))
            async def count(n):
                return n
            tasks = []
            async for event in runtime.events():
                tasks.append(asyncio.create_task(handle(event)))
            await asyncio.gather(*tasks)
    asyncio.run(main())
    print("the end")
"""
STUCK = """
    import asyncio
    from adaptive_runtime import Runtime
    async def main():
        async with Runtime() as runtime:
            async for event in runtime.events():
                async with event:
                    try:
                        print("inside", flush=True)
                        await asyncio.sleep(600)
                    finally:
                        print("cancelled")
    asyncio.run(main())
"""
STUCK_TOO = """
    import time
    from adaptive_runtime import Agent
    for event in Agent().events():
        with event:
            try:
                print("inside", flush=True)
                time.sleep(600)
            finally:
                print("cancelled")
"""


def filled(count):
    store = MemoryStore()
    for n in range(count):
        store.emit({"type": "a", "n": n})
    return store


class OverTheWire(unittest.TestCase):
    def test_to_the_end(self):
        for source in (SYNCHRONOUS, ASYNCHRONOUS):
            store = filled(30)
            store.ends_when_idle = True
            with FakeAdrt(source, store) as agent:
                handled = lambda: not store.inbox.unsettled  # noqa: E731
                agent.run(until=handled)
                agent.notify("shutdown", reason="operator", deadline_ms=10_000)
                agent.run()
                self.assertEqual(agent.code, 0, agent.told())
                self.assertEqual(agent.stdout.splitlines()[-1], "the end")
                if source is SYNCHRONOUS:
                    self.assertEqual(store.state, {"sum": sum(range(30))})
                    self.assertEqual(agent.methods().count("event.subscribe"), 1)
                else:
                    self.assertEqual(sorted(store.state["log"]), list(range(30)))
                    self.assertNotIn("event.subscribe", agent.methods())
                    hello = agent.frames[0]["params"]
                    self.assertEqual(hello["events"], {"credit": 4})
                # One request carries the event and all it did.
                self.assertEqual(agent.methods().count("event.ack"), 30)

    def test_killed_again_and_again(self):
        for source in (SYNCHRONOUS, ASYNCHRONOUS):
            store = filled(10)
            for kill in range(10):
                with FakeAdrt(source, store) as agent:
                    frames = 4 + kill
                    agent.run(
                        until=lambda agent=agent, frames=frames: len(agent.frames) >= frames
                        or not store.inbox.unsettled
                    )
            with FakeAdrt(source, store) as agent:
                agent.run(until=lambda: not store.inbox.unsettled)
            dead = [e for e in store.inbox.entries.values() if e.status == "dead"]
            done = {e.event["n"] for e in store.inbox.entries.values() if e.status == "acked"}
            self.assertEqual(len(dead) + len(done), 10)
            if source is SYNCHRONOUS:
                self.assertEqual(store.state.get("sum", 0), sum(done))
            else:
                self.assertEqual(sorted(store.state.get("log", [])), sorted(done))

    def test_several_in_one_read_and_one_read_twice(self):
        store = MemoryStore()
        with FakeAdrt(SYNCHRONOUS, store) as agent:
            agent.run(until=lambda: "event.subscribe" in agent.methods())
            store.emit({"type": "a", "n": 1})
            line = (
                b'{"jsonrpc":"2.0","method":"event.deliver","params":'
                b'{"seq":1,"attempt":1,"lease_ms":null,"event":{"type":"a","n":1}}}'
            )
            agent._deliver()
            agent.send(line + b"\n" + line)
            agent.run(until=lambda: not store.inbox.unsettled)
            agent.close_stdin()
            agent.run()
            self.assertEqual(agent.code, 0, agent.told())
            self.assertEqual(agent.stdout, "event 1\nthe end\n")

    def test_the_end_of_the_wire_is_the_end(self):
        for source in (SYNCHRONOUS, ASYNCHRONOUS):
            with FakeAdrt(source, filled(1)) as agent:
                agent.run(until=lambda agent=agent: not agent.store.inbox.unsettled)
                agent.close_stdin()
                agent.run()
                self.assertIn("the end", agent.stdout)
                self.assertIn("adrt closed the wire", agent.errors)

    def test_sigterm_while_it_waits(self):
        for source, code, end in ((SYNCHRONOUS, 143, ""), (ASYNCHRONOUS, 0, "the end\n")):
            with FakeAdrt(source, filled(1)) as agent:
                agent.run(until=lambda agent=agent: not agent.store.inbox.unsettled)
                agent.signal(signal.SIGTERM)
                agent.run()
                self.assertEqual((agent.code, agent.stdout), (code, "event 0\n" + end))

    def test_sigterm_in_the_middle_of_an_event_after_a_shutdown(self):
        for source in (STUCK, STUCK_TOO):
            with FakeAdrt(source, filled(2)) as agent:
                agent.run(until=lambda agent=agent: "inside\n" in agent.stdout)
                agent.notify("shutdown", reason="operator", deadline_ms=10_000)
                agent.signal(signal.SIGTERM)
                agent.run()
                self.assertEqual(
                    (agent.code, agent.stdout), (143, "inside\ncancelled\n"), agent.told()
                )
                self.assertEqual(
                    [entry.status for entry in agent.store.inbox.entries.values()],
                    ["held", "pending"],
                )

    def test_an_adrt_that_knows_no_events(self):
        def on_frame(frame):
            if frame["method"] != "event.subscribe":
                return None
            error = {"code": -32601, "message": "no such method", "data": {
                "kind": "method_not_found", "retryable": False}}
            return [{"jsonrpc": "2.0", "id": frame["id"], "error": error}]

        with FakeAdrt(SYNCHRONOUS) as agent:
            agent.on_frame = on_frame
            agent.run()
            self.assertEqual(agent.code, 1)
            self.assertIn("ProtocolError: no such method", agent.errors)

    def test_a_lost_answer_to_an_ack(self):
        store = filled(3)
        with FakeAdrt(SYNCHRONOUS, store) as agent:
            agent.on_frame = lambda frame: (
                [] if frame["method"] == "event.ack" and agent.usual(frame) else None
            )
            agent.run(until=lambda: store.version == 1)
        with FakeAdrt(SYNCHRONOUS, store) as agent:
            agent.run(until=lambda: not store.inbox.unsettled)
        self.assertEqual(store.state, {"sum": 3})

    def test_heavy_modules_stay_out(self):
        agent = run(
            """
            import sys
            before = set(sys.modules)
            from adaptive_runtime import Agent
            for event in Agent().events():
                with event:
                    event.patch({"n": event["n"]})
                break
            heavy = {"asyncio", "json", "re", "enum", "typing", "threading", "dataclasses",
                     "collections", "functools", "warnings", "hashlib", "traceback"}
            print(sorted(heavy & (set(sys.modules) - before)))
            """,
            filled(1),
        )
        self.assertEqual((agent.code, agent.stdout), (0, "[]\n"), agent.told())


if __name__ == "__main__":
    unittest.main()
