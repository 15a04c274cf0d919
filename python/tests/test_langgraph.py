"""LangGraph on the key-value store: its own conformance suite, and graphs that die.

Where langgraph isn't installed these are skipped; what of it has no need of
LangGraph is tested anyway.
"""

import asyncio
import time
import unittest

from adaptive_runtime import Agent, Runtime
from adaptive_runtime._langgraph_store import escape, key, unescape
from adaptive_runtime._memory import MemoryStore
from adaptive_runtime.testing import Adrt
from fake_adrt import PATIENCE, run_plain
from test_events import Quiet

WHY_NOT = ""
try:
    import operator
    from typing import Annotated, TypedDict

    from langgraph.graph import END, START, StateGraph
    from langgraph.types import Command, Send, interrupt

    from adaptive_runtime.langgraph import EVENT, AdrtSaver, run_graph
except ImportError as error:
    WHY_NOT = f"langgraph is not installed: {error}"
try:
    from langgraph.checkpoint.conformance import checkpointer_test, validate
except ImportError as error:
    NO_SUITE = f"langgraph-checkpoint-conformance is not installed: {error}"
else:
    NO_SUITE = ""


class Without(unittest.TestCase):
    def test_the_package_does_without(self):
        result = run_plain(
            """
            import sys
            sys.modules["langgraph"] = None
            from adaptive_runtime import Agent, Runtime
            try: import adaptive_runtime.langgraph
            except ImportError: pass
            else: raise AssertionError
            """
        )
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_keys(self):
        for part in ("", "a/b", "%2F", "a%/", "日本"):
            self.assertNotIn("/", escape(part))
            self.assertEqual(unescape(escape(part)), part)
        self.assertEqual(key("c", "a/b", ""), "c/a%2Fb/")


@unittest.skipIf(WHY_NOT or NO_SUITE, WHY_NOT or NO_SUITE)
class Conformance(unittest.TestCase):
    def check(self, client):
        async def saver():
            store = MemoryStore()
            if client is Agent:
                with Agent(backend=store) as agent:
                    yield AdrtSaver(agent)
            else:
                async with Runtime(backend=store) as runtime:
                    yield AdrtSaver(runtime)

        registered = checkpointer_test(name=client.__name__)(saver)
        report = asyncio.run(validate(registered))
        for name, result in report.results.items():
            self.assertTrue(result.detected and result.passed, f"{name}: {result.failures}")

    def test_of_an_agent(self):
        self.check(Agent)

    def test_of_a_runtime(self):
        self.check(Runtime)


def nodes(calls, dies_in=(), kind=SystemExit):
    """Nodes that note that they were called; each name in `dies_in` dies once."""
    dies_in = list(dies_in)

    def node(name):
        def body(state):
            calls.append(name)
            if name in dies_in:
                dies_in.remove(name)
                raise kind(name)
            return {"log": [name]}

        return body

    return node


def chain(saver, calls, dies_in=()):
    class State(TypedDict):
        log: Annotated[list, operator.add]

    node = nodes(calls, dies_in)
    builder = StateGraph(State)
    for name, before in (("a", START), ("b", "a"), ("c", "b")):
        builder.add_node(name, node(name))
        builder.add_edge(before, name)
    builder.add_edge("c", END)
    return builder.compile(checkpointer=saver)


@unittest.skipIf(WHY_NOT, WHY_NOT)
class Graphs(Quiet, unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.calls = []

    def agent(self, build, thread="t", **given):
        """Goes over the events, running a graph for each; ends as it ends."""
        with Agent() as agent:
            graph = build(AdrtSaver(agent))
            for event in agent.events():
                with event:
                    result = run_graph(graph, event, thread, {"log": [event["text"]]}, **given)
                    agent.append("done", result["log"][-4:])

    async def runtime(self, build, thread="t"):
        async with Runtime() as runtime:
            graph = build(AdrtSaver(runtime))
            async for event in runtime.events():
                async with event:
                    result = await run_graph(graph, event, thread, {"log": [event["text"]]})
                    await runtime.append("done", result["log"][-4:])

    def go(self, kind, build):
        if kind is Agent:
            self.agent(build)
        else:
            asyncio.run(self.runtime(build))

    def test_taken_up_where_it_died(self):
        for kind in (Agent, Runtime):
            for dies_in in ("a", "b", "c"):
                with self.subTest(kind=kind, dies_in=dies_in), Adrt() as adrt:
                    self.calls.clear()
                    adrt.emit({"type": "q", "text": "one"})
                    build = lambda saver: chain(saver, self.calls, [dies_in] * first)  # noqa: E731
                    first = True
                    with self.assertRaises(SystemExit):
                        self.go(kind, build)
                    first = False
                    self.go(kind, build)
                    self.assertEqual(sorted(self.calls), sorted(["a", "b", "c", dies_in]))
                    self.assertEqual(adrt.state["done"], [["one", "a", "b", "c"]])
                    self.assertEqual(adrt.events[0].status, "acked")

    def test_at_every_write(self):
        for kind in (Agent, Runtime):
            for writes in range(100):
                with self.subTest(kind=kind, writes=writes), Adrt() as adrt:
                    adrt.emit({"type": "q", "text": "one"})
                    adrt.emit({"type": "q", "text": "two"})
                    self.calls.clear()
                    build = lambda saver: chain(saver, self.calls)  # noqa: E731
                    try:
                        with adrt.crash_after(writes):
                            self.go(kind, build)
                    except AssertionError:
                        self.assertGreater(writes, 15)
                        break
                    self.go(kind, build)
                    self.assertEqual(
                        adrt.state["done"], [["one", "a", "b", "c"], ["two", "a", "b", "c"]]
                    )
                    # Of six nodes at most the one that was under way ran twice.
                    self.assertIn(len(self.calls), (6, 7))
            else:
                self.fail("it never came to its end")

    def test_writes_saved_and_the_checkpoint_not(self):
        # Then no task is named by `next`, and the run is unfinished all the same.
        with Adrt() as adrt:
            adrt.emit({"type": "q", "text": "one"})

            class Dies(AdrtSaver):
                def put(self, config, checkpoint, metadata, new_versions):
                    if metadata["step"] == 2:
                        raise SystemExit
                    return super().put(config, checkpoint, metadata, new_versions)

            with self.assertRaises(SystemExit):
                with Agent() as agent:
                    graph = chain(Dies(agent), self.calls)
                    for event in agent.events():
                        with event:
                            run_graph(graph, event, "t", {"log": ["one"]})
            with Agent() as agent:
                state = chain(AdrtSaver(agent), []).get_state({"configurable": {"thread_id": "t"}})
                self.assertEqual((state.next, [task.name for task in state.tasks]), ((), ["b"]))
            self.agent(lambda saver: chain(saver, self.calls))
            self.assertEqual(self.calls, ["a", "b", "c"])
            self.assertEqual(adrt.state["done"], [["one", "a", "b", "c"]])

    def test_an_exception_is_a_nack_and_then_goes_on(self):
        for kind in (Agent, Runtime):
            with Adrt() as adrt, self.subTest(kind=kind):
                self.calls.clear()
                adrt.emit({"type": "q", "text": "one"})

                class Stumbles(TypedDict):
                    log: Annotated[list, operator.add]

                def flaky(state):
                    self.calls.append("flaky")
                    if self.calls.count("flaky") < 3:
                        raise OSError("no network")
                    return {"log": ["flaky"]}

                def build_flaky(saver):
                    builder = StateGraph(Stumbles)
                    builder.add_node("a", nodes(self.calls)("a"))
                    builder.add_node("flaky", flaky)
                    builder.add_edge(START, "a")
                    builder.add_edge("a", "flaky")
                    return builder.compile(checkpointer=saver)

                self.go(kind, build_flaky)
                self.assertEqual(self.calls, ["a", "flaky", "flaky", "flaky"])
                self.assertEqual(adrt.state["done"], [["one", "a", "flaky"]])

    def test_a_finished_run_whose_event_comes_again(self):
        with Adrt() as adrt:
            adrt.emit({"type": "q", "text": "one"})
            with Agent() as agent:
                graph = chain(AdrtSaver(agent), self.calls)
                for event in agent.events():
                    with event:
                        result = run_graph(graph, event, "t", {"log": [event["text"]]})
                        if event["text"] == "one" and event.attempt == 1:
                            event.nack("again, please", delay=5)
                            adrt.emit({"type": "q", "text": "two"})
                        else:
                            agent.patch({event["text"]: result["log"]})
            # A later event has used the thread meanwhile; the first is not given to it anew.
            self.assertEqual(len(self.calls), 6)
            self.assertEqual(adrt.state["one"], ["one", "a", "b", "c"])
            self.assertEqual(adrt.state["two"], ["one", "a", "b", "c", "two", "a", "b", "c"])

    def test_parallel_tasks_and_interrupts(self):
        class State(TypedDict):
            log: Annotated[list, operator.add]

        def fan_out(state):
            return [Send("work", {"n": n}) for n in range(3)]

        def work(state):
            self.calls.append(state["n"])
            if state["n"] == 1 and self.calls.count(1) == 1:
                # LangGraph records a sibling's writes only if it ends before this fails.
                end = time.monotonic() + PATIENCE
                while written() < 2 and time.monotonic() < end:
                    time.sleep(0.001)
                raise OSError("one of three")
            return {"log": [state["n"]]}

        def written():
            kept = dict(adrt.store.kept.spaces.get("langgraph", {}))
            values = [entry["value"] for name, entry in kept.items() if name.startswith("w/")]
            return sum(value["channel"] == "log" for value in values)

        def ask(state):
            return {"log": [interrupt("go on?")]}

        with Adrt() as adrt:
            adrt.emit({"type": "q", "text": "one"})
            adrt.emit({"type": "answer", "text": "yes"})
            results = []
            with Agent() as agent:
                builder = StateGraph(State)
                builder.add_node("work", work)
                builder.add_node("ask", ask)
                builder.add_conditional_edges(START, fan_out, ["work"])
                builder.add_edge("work", "ask")
                graph = builder.compile(checkpointer=AdrtSaver(agent))
                for event in agent.events(["q"]):
                    with event:
                        results.append(run_graph(graph, event, "t", {"log": []}))
            with Agent() as agent:
                graph = builder.compile(checkpointer=AdrtSaver(agent))
                for event in agent.events(["answer"]):
                    with event:
                        results.append(
                            run_graph(graph, event, "t", Command(resume=event["text"]))
                        )
            self.assertEqual(sorted(self.calls), [0, 1, 1, 2])  # only the failed one again
            self.assertIn("__interrupt__", results[0])
            self.assertEqual(results[1]["log"], [0, 1, 2, "yes"])

    def test_synchronous_calls_beside_a_loop(self):
        async def main():
            async with Runtime(backend=MemoryStore()) as runtime:
                saver = AdrtSaver(runtime)
                graph = chain(saver, self.calls)
                config = {"configurable": {"thread_id": "t"}}
                await graph.ainvoke({"log": []}, config, durability="sync")
                # On the loop's own thread, and on another.
                here = graph.get_state(config)
                there = await asyncio.to_thread(graph.get_state, config)
                self.assertEqual(here.values, there.values)
                result = await asyncio.to_thread(graph.invoke, {"log": []}, config)
                self.assertEqual(len(result["log"]), 6)
                await runtime.patch({"n": 1})

        asyncio.run(main())

    def test_checkpoints_know_their_event(self):
        with Adrt() as adrt:
            adrt.emit({"type": "q", "text": "one"})
            self.agent(lambda saver: chain(saver, self.calls))
            with Agent() as agent:
                saver = AdrtSaver(agent)
                self.assertTrue(all(t.metadata[EVENT] == 1 for t in saver.list(None)))
                self.assertEqual(len(list(saver.list(None, filter={EVENT: 1}, limit=2))), 2)
                before = len(adrt.store.kept.spaces["langgraph"])
                saver.prune(["t"])
                self.assertEqual(len(list(saver.list(None))), 1)
                self.assertLess(len(adrt.store.kept.spaces["langgraph"]), before)
                state = chain(saver, []).get_state({"configurable": {"thread_id": "t"}})
                self.assertEqual(state.values["log"], ["one", "a", "b", "c"])


if __name__ == "__main__":
    unittest.main()
