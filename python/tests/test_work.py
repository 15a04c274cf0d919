"""Events, steps and what stands on them, under the real adrt, with SIGKILL at any moment."""

import json
import os
import signal
import sys
import time
import unittest

from real_adrt import EXAMPLES, SEED, RealAdrt

try:
    import langgraph.graph  # noqa: F401
except ImportError as error:
    NO_LANGGRAPH = f"langgraph is not installed: {error}"
else:
    NO_LANGGRAPH = ""

QUESTIONS = 10
KILLS = 20

COUNTS_EVENTS = """
    import sys
    from adaptive_runtime import Agent

    wanted = int(sys.argv[1])
    with Agent() as agent:
        if agent.state.get("n", 0) < wanted:
            for event in agent.events(credit=8):
                with event:
                    name = str(event["n"])
                    agent.patch({
                        "n": agent.state.get("n", 0) + 1,
                        name: agent.state.get(name, 0) + 1,
                    })
                if agent.state["n"] >= wanted:
                    break
        agent.finish()
"""


def lines_of(path):
    try:
        with open(path) as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return []


class WorkUnderAdrt(RealAdrt):
    def example(self, name, *arguments):
        return (sys.executable, os.path.join(EXAMPLES, name), *arguments)

    def emit(self, agent, event, *options):
        self.adrt("events", "emit", agent, json.dumps(event), *options)

    def until_it_ends(self, start, kill):
        """Starts it again and again, kills in between, until it is done."""
        kills = KILLS
        while True:
            process = start()
            while kills > 0 and process.poll() is None:
                time.sleep(0.05 + self.random.random() * 0.2)
                kills -= 1
                kill(process)
            _, err = process.communicate(timeout=120)
            if process.returncode == 0:
                return
            self.assertEqual(process.returncode, -signal.SIGKILL, err)

    def kill_one_of_them(self, process):
        """The agent, or adrt and the agent with it."""
        if self.random.random() < 0.5:
            self.kill_child_of(process)
        else:
            process.kill()
            process.wait()

    def test_each_event_counts_once_however_often_all_is_killed(self):
        count = 300
        path = os.path.join(self.dir, "feed.ndjson")
        with open(path, "w") as file:
            for n in range(count):
                file.write(json.dumps({"type": "count", "n": n}) + "\n")
        command = self.script(COUNTS_EVENTS)
        # A kill is no fault of the event's: none may be given up.
        options = ["--events", path, "--max-attempts", "1000"]
        self.until_it_ends(
            lambda: self.start(*command, str(count), options=options), self.kill_one_of_them
        )
        state = self.state()
        self.assertEqual(state.pop("n"), count, f"seed {SEED}")
        self.assertEqual(state, {str(n): 1 for n in range(count)}, f"seed {SEED}")

    def test_each_answer_is_paid_for_once(self):
        bill = os.path.join(self.dir, "bill.txt")
        command = self.example(
            "llm_agent.py", "--questions", str(QUESTIONS), "--bill", bill, "--dies"
        )
        started = self.start(*command, name="llm")
        self.wait_for(lambda: self.has("state/llm/db/adrt.db"), started)
        for n in range(QUESTIONS):
            self.emit("llm", {"type": "question", "text": f"Why {n}?"})
        out, err = started.communicate(timeout=120)
        self.assertEqual(started.returncode, 0, err)
        self.assertEqual(len(out.splitlines()), QUESTIONS)
        paid = [line.split(" ", 1)[0] for line in lines_of(bill)]
        self.assertEqual(len(paid), QUESTIONS, "each is paid for")
        self.assertEqual(len(set(paid)), QUESTIONS, "and none twice")
        self.assertEqual(len(self.state("llm")["answers"]), QUESTIONS)

    def test_a_call_cut_short_keeps_its_key_however_often_all_is_killed(self):
        bill = os.path.join(self.dir, "bill.txt")
        command = self.example("llm_agent.py", "--questions", str(QUESTIONS), "--bill", bill)
        first = self.start(*command, name="llm", options=["--max-attempts", "1000"])
        self.wait_for(lambda: self.has("state/llm/db/adrt.db"), first)
        for n in range(QUESTIONS):
            self.emit("llm", {"type": "question", "text": f"Why {n}?"})
        first.kill()
        first.wait()
        self.until_it_ends(
            lambda: self.start(*command, name="llm", options=["--max-attempts", "1000"]),
            self.kill_one_of_them,
        )
        # Killed between the payment and its record a call is made again, with
        # the same key: the provider knows it for the same.
        paid = {line.split(" ", 1)[0] for line in lines_of(bill)}
        self.assertEqual(len(paid), QUESTIONS, f"seed {SEED}")
        answers = self.state("llm")["answers"]
        asked = [answer["question"] for answer in answers]
        self.assertEqual(sorted(asked), sorted(f"Why {n}?" for n in range(QUESTIONS)))

    def test_two_agents_play_a_ball(self):
        agents = {
            name: self.start(*self.example("ping_pong.py", name), name=name)
            for name in ("pong", "ping")
        }
        for _ in range(4):
            time.sleep(0.3)
            self.kill_child_of(self.random.choice(list(agents.values())))
        for name, process in agents.items():
            _, err = process.communicate(timeout=120)
            self.assertEqual(process.returncode, 0, f"{name}: {err}")
            self.assertEqual(self.state(name)["caught"], 5)

    def test_an_error_is_tried_again_and_a_poison_is_put_aside(self):
        command = self.script("""
            import os, signal
            from adaptive_runtime import Agent

            with Agent() as agent:
                for event in agent.events():
                    with event:
                        if event["what"] == "poison":
                            os.kill(os.getpid(), signal.SIGSEGV)
                        if event["what"] == "error" and event.attempt < 3:
                            raise RuntimeError(f"not yet, attempt {event.attempt}")
                        agent.patch({event["what"]: event.attempt, "why": event.last_error})
                    if event["what"] == "last" or "last" in agent.state and "error" in agent.state:
                        if "error" in agent.state:
                            agent.finish()
                            break
        """)
        process = self.start(*command)
        self.wait_for(lambda: self.has("state/agent/db/adrt.db"), process)
        for what in ("poison", "error", "last"):
            self.emit("agent", {"type": "t", "what": what})
        _, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0, err)
        state = self.state()
        self.assertEqual((state["error"], state["last"]), (3, 1))
        dead = json.loads(self.adrt("events", "list", "agent", "--dead", "--json"))
        dead = dead["events"] if isinstance(dead, dict) else dead
        self.assertEqual([event["event"]["what"] for event in dead], ["poison"])
        self.assertEqual(dead[0]["attempt"], 3)

    @unittest.skipIf(NO_LANGGRAPH, NO_LANGGRAPH)
    def test_a_graph_killed_at_every_node_does_none_twice(self):
        for node in ("research", "draft", "review"):
            name = f"writer-{node}"
            command = self.example("langgraph_agent.py", "--topics", "1", "--die-in", node)
            process = self.start(*command, name=name)
            self.wait_for(lambda name=name: self.has(f"state/{name}/db/adrt.db"), process)
            self.emit(name, {"type": "topic", "topic": "tea", "thread": "t1"})
            out, err = process.communicate(timeout=120)
            self.assertEqual(process.returncode, 0, err)
            nodes = [line.split(": ")[1] for line in out.splitlines() if ": " in line]
            wanted = ["research", "draft", "review"]
            wanted.insert(wanted.index(node), node)
            self.assertEqual(nodes, wanted)
            self.assertIn("tea is old, and tea is liked.", out)


if __name__ == "__main__":
    unittest.main()
