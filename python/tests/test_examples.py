"""The examples that live by events, with a stand-in for adrt; `test_adrt` has the others."""

import os
import tempfile
import unittest

from adaptive_runtime._memory import MemoryStore
from fake_adrt import ROOT, FakeAdrt

try:
    import langgraph.graph  # noqa: F401
except ImportError as error:
    NO_LANGGRAPH = f"langgraph is not installed: {error}"
else:
    NO_LANGGRAPH = ""


def example(name, *arguments):
    """Source that runs an example, with a directory of its own."""
    path = os.path.join(ROOT, "examples", name)
    return f"""
        import runpy, sys
        sys.argv = {[name, *arguments]!r}
        runpy.run_path({path!r}, run_name="__main__")
    """


class Examples(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.dir = directory.name

    def incarnations(self, store, source, limit=10):
        """What it prints, until it has said that it is done."""
        said = ""
        for _ in range(limit):
            with FakeAdrt(source, store) as agent:
                agent.run()
            said += agent.stdout
            if store.is_finished:
                self.assertEqual(agent.code, 0, agent.told())
                return said
        self.fail(agent.told())

    def test_each_answer_is_paid_for_once(self):
        bill = os.path.join(self.dir, "bill.txt")
        for dies in ([], ["--dies"]):
            store = MemoryStore()
            for text in ("Why?", "How?", "Why not?"):
                store.emit({"type": "question", "text": text})
            source = example("llm_agent.py", "--questions", "3", "--bill", bill, *dies)
            said = self.incarnations(store, source)
            self.assertEqual([line.split("?")[0] for line in said.splitlines()], [
                "Why", "How", "Why not"])
            with open(bill) as file:
                paid = file.read().splitlines()
            self.assertEqual(len(paid), 3)
            self.assertEqual(len({line.split(" ")[0] for line in paid}), 3)
            self.assertEqual(len(store.state["answers"]), 3)
            self.assertEqual(store.incarnation, 4 if dies else 1)
            os.unlink(bill)

    def test_ping_and_pong(self):
        for kills in (0, 3):
            stores = {"ping": MemoryStore(), "pong": MemoryStore()}
            stores["ping"].peers["pong"] = stores["pong"]
            stores["pong"].peers["ping"] = stores["ping"]
            said = {"ping": "", "pong": ""}
            agents = {}
            try:
                while not all(store.is_finished for store in stores.values()):
                    for name, store in stores.items():
                        if store.is_finished:
                            continue
                        if name not in agents:
                            agents[name] = FakeAdrt(example("ping_pong.py", name), store)
                        caught = store.state.get("caught", 0)
                        rounds = iter(range(2))
                        agents[name].run(
                            until=lambda store=store, caught=caught, rounds=rounds: next(
                                rounds, None) is None or store.state.get("caught", 0) > caught
                        )
                        if kills and store.state.get("caught", 0) > caught:
                            kills -= 1
                            said[name] += self.end(agents.pop(name))
                for name in list(agents):
                    agents[name].run()
                    said[name] += self.end(agents.pop(name))
            finally:
                for agent in agents.values():
                    self.end(agent)
            for name, store in stores.items():
                self.assertEqual(store.state["caught"], 5)
                self.assertEqual(store.finished, {"caught": 5})
                numbers = [line.rsplit(" ", 1) for line in said[name].splitlines()]
                self.assertLessEqual({int(number) for _, number in numbers}, set(range(1, 11)))

    def end(self, agent):
        agent.__exit__()
        return agent.stdout

    @unittest.skipIf(NO_LANGGRAPH, NO_LANGGRAPH)
    def test_a_graph_goes_on_in_the_node_it_died_in(self):
        store = MemoryStore()
        store.emit({"type": "topic", "topic": "tea", "thread": "t1"})
        source = example("langgraph_agent.py", "--topics", "1", "--die-in", "draft")
        self.assertEqual(
            self.incarnations(store, source).splitlines(),
            [
                "incarnation 1: research",
                "incarnation 1: draft",
                "incarnation 2: draft",
                "incarnation 2: review",
                "tea is old, and tea is liked.",
            ],
        )


if __name__ == "__main__":
    unittest.main()
