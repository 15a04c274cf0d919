"""What goes wrong between the client and adrt: slow, torn and lost answers,
a disk that refuses, floods, and signal handlers that raise in the middle."""

import json
import signal
import unittest

from adaptive_runtime import StoreFailed
from adaptive_runtime._memory import MemoryStore
from fake_adrt import FakeAdrt, run


def error(frame, code, kind, retryable, **data):
    return {
        "jsonrpc": "2.0",
        "id": frame["id"],
        "error": {
            "code": code,
            "message": f"{kind} on purpose",
            "data": {"kind": kind, "retryable": retryable, **data},
        },
    }


COUNT = """
    from adaptive_runtime import Agent
    agent = Agent()
    for n in range({times}):
        agent.patch({{"n": agent.state.get("n", 0) + 1}})
"""

PIPELINE = """
    import asyncio
    from adaptive_runtime import Runtime
    async def main():
        async with Runtime() as runtime:
            results = await asyncio.gather(
                *(runtime.patch({{"n": n, "m" + str(n % 7): n}}) for n in range({times})))
            assert results == list(range(1, {times} + 1))
            assert runtime.state["n"] == {times} - 1
            assert runtime.version == {times}
    asyncio.run(main())
"""


class Answers(unittest.TestCase):
    def test_in_pieces(self):
        for piece in (1, 7):
            with FakeAdrt(COUNT.format(times=20)) as agent:
                agent.send_piece = piece
                agent.run()
                self.assertEqual((agent.code, agent.store.state), (0, {"n": 20}), agent.told())

    def test_several_at_once_and_between_notifications(self):
        with FakeAdrt(PIPELINE.format(times=50)) as agent:
            held = []

            def hold(frame):
                if frame["method"] != "state.patch":
                    return None
                held.extend(agent.usual(frame))
                if len(held) < 50:
                    return []
                lines = []
                for reply in held:
                    lines.append(b'{"jsonrpc":"2.0","method":"environment.changed","params":{}}')
                    lines.append(reply)
                return lines

            agent.on_frame = hold
            agent.run()
            self.assertEqual((agent.code, agent.store.version), (0, 50), agent.told())

    def test_ten_thousand_pipelined(self):
        agent = run(PIPELINE.format(times=10_000))
        self.assertEqual((agent.code, agent.store.version), (0, 10_000), agent.told())

    def test_an_adrt_that_reads_nothing_while_its_answers_pile_up(self):
        # The agent floods; each answer is large, so that both pipes fill.
        with FakeAdrt(
            """
            from adaptive_runtime import Agent
            agent = Agent()
            for n in range(300):
                agent.log("x" * 3000)
            for n in range(50):
                agent.patch({"n": n})
            """
        ) as agent:
            noise = b'{"jsonrpc":"2.0","method":"noise","params":{"x":"%s"}}' % (b"y" * 5000)
            agent.on_frame = lambda frame: [noise] * 3 if frame["method"] == "log" else None
            agent.run()
            self.assertEqual((agent.code, agent.store.version), (0, 50), agent.told())

    def test_a_big_state_comes_and_goes(self):
        store = MemoryStore()
        store.states.value = {"blob": ["x" * 1000] * 3000}
        agent = run(
            """
            from adaptive_runtime import Agent
            agent = Agent()
            state = agent.state.copy()
            state["blob"].append("é")
            agent.replace(state)
            agent.patch({"n": 1})
            """,
            store,
        )
        self.assertEqual(agent.code, 0, agent.told())
        self.assertEqual((len(store.state["blob"]), store.state["n"]), (3001, 1))

    def test_an_answer_without_a_number_is_for_the_oldest_question(self):
        with FakeAdrt(
            """
            from adaptive_runtime import Agent, AdrtError
            agent = Agent()
            try:
                agent.patch({"n": 1})
            except AdrtError as error:
                print(error.kind, error.data["line"])
            agent.patch({"n": 2})
            """
        ) as agent:
            bad = error({"id": None}, -32700, "parse_error", False, line=1)
            answers = iter([[bad]])
            agent.on_frame = lambda f: next(answers, None) if f["method"] == "state.patch" else None
            agent.run()
            self.assertEqual((agent.code, agent.stdout), (0, "parse_error 1\n"), agent.told())
            self.assertEqual(agent.store.state, {"n": 2})

    def test_answers_to_nobody_and_unknown_notifications(self):
        with FakeAdrt(COUNT.format(times=3)) as agent:
            agent.on_frame = lambda frame: [
                b'{"jsonrpc":"2.0","id":9999,"result":{}}',
                b'{"jsonrpc":"2.0","id":null,"result":{}}' if frame["method"] == "ready" else b"",
                b'{"jsonrpc":"2.0","method":"from.the.future","params":{"a":1}}\r',
                *agent.usual(frame),
            ]
            agent.run()
            self.assertEqual((agent.code, agent.store.state), (0, {"n": 3}), agent.told())

    def test_rubbish_ends_it(self):
        with FakeAdrt(
            """
            import signal
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            from adaptive_runtime import Agent, Disconnected
            try:
                Agent().patch({"n": 1})
            except Disconnected as error:
                print(error)
            """
        ) as agent:
            agent.on_frame = lambda f: [b"{rubbish"] if f["method"] == "state.patch" else None
            agent.run()
            self.assertIn("no JSON", agent.stdout)

    def test_a_refused_initialize(self):
        for start in ("Agent()", "asyncio.run(Runtime().start())"):
            with FakeAdrt(
                "import asyncio\nfrom adaptive_runtime import *\n"
                f"try: {start}\nexcept UnsupportedProtocol as e: print(e.data['supported'])"
            ) as agent:
                agent.on_frame = lambda f: [
                    error(f, 1001, "unsupported_protocol", False, supported=[2])
                ]
                agent.run()
                self.assertEqual((agent.code, agent.stdout), (0, "[2]\n"), agent.told())


class Disk(unittest.TestCase):
    def test_refusals_are_waited_out_and_apply_once(self):
        for source in (COUNT.format(times=3), PIPELINE.format(times=1)):
            with self.subTest(source), FakeAdrt(source) as agent:
                refused = []

                def refuse(frame, refused=refused):
                    if frame["method"] == "state.patch" and len(refused) < 2:
                        refused.append(frame)
                        return [error(frame, 1501, "store_failed", True)]
                    return None

                agent.on_frame = refuse
                agent.run()
                self.assertEqual(agent.code, 0, agent.told())
                patches = [f for f in agent.frames if f.get("method") == "state.patch"]
                # The first goes without a key, its repeats with one, always the same.
                keys = [frame["params"].get("key") for frame in patches[:3]]
                self.assertIsNone(keys[0])
                self.assertTrue(keys[1])
                self.assertEqual(keys[1], keys[2])

    def test_a_key_of_the_programs_stays(self):
        with FakeAdrt('from adaptive_runtime import Agent\nAgent().patch({"n": 1}, key="k")') as a:
            left = [1]
            a.on_frame = lambda f: (
                [error(f, 1501, "store_failed", True)]
                if f["method"] == "state.patch" and left and left.pop()
                else None
            )
            a.run()
            keys = [f["params"]["key"] for f in a.frames if f["method"] == "state.patch"]
            self.assertEqual((a.code, keys), (0, ["k", "k"]), a.told())

    def test_an_unknown_outcome_is_told(self):
        with FakeAdrt(
            """
            from adaptive_runtime import Agent, OutcomeUnknown
            try:
                Agent().patch({"n": 1})
            except OutcomeUnknown as error:
                print(error.retryable)
            """
        ) as agent:
            agent.on_frame = lambda frame: (
                [error(frame, 1502, "outcome_unknown", True)]
                if frame["method"] == "state.patch"
                else None
            )
            agent.run()
            self.assertEqual((agent.code, agent.stdout), (0, "True\n"), agent.told())

    def test_sigterm_while_waiting_for_the_disk(self):
        with FakeAdrt(COUNT.format(times=1)) as agent:
            agent.on_frame = lambda frame: (
                [error(frame, 1501, "store_failed", True)]
                if frame["method"] == "state.patch"
                else None
            )
            agent.run(until=lambda: agent.methods().count("state.patch") > 1)
            agent.signal(signal.SIGTERM)
            agent.run()
            self.assertEqual((agent.code, agent.errors), (143, ""))


class OtherWriters(unittest.TestCase):
    def test_what_the_operator_writes_is_seen(self):
        for source in (
            """
            from adaptive_runtime import Agent
            agent = Agent()
            while "go" not in agent.state:
                agent.sleep(0.01)
            agent.patch({"seen": agent.state.copy()}, format="shallow")
            """,
            """
            import asyncio
            from adaptive_runtime import Runtime
            async def main():
                async with Runtime() as runtime:
                    while "go" not in runtime.state:
                        await asyncio.sleep(0.01)
                    await runtime.state_engine.save_state({"seen": runtime.state.copy()})
            asyncio.run(main())
            """,
        ):
            with self.subTest(source), FakeAdrt(source) as agent:
                agent.run(until=lambda agent=agent: "ready" in agent.methods())
                agent.store.states.change("set", {"a": 1})
                agent.notify("state.changed", version=1, patch={"a": 1}, format="set", by="operator")
                agent.store.states.change("set", {"a": 1, "go": None})
                agent.notify(
                    "state.changed", version=2, patch={"go": None}, format="shallow", by="operator"
                )
                agent.run()
                self.assertEqual(agent.code, 0, agent.told())
                self.assertEqual(agent.store.state["seen"], {"a": 1, "go": None})


class Interruptions(unittest.TestCase):
    def test_a_handler_that_raises_at_any_moment(self):
        # An alarm raises wherever the program is, sooner or later, many times.
        # Whatever was cut off, the stream stays whole and the state a true copy.
        agent = run(
            """
            import signal
            class Alarm(Exception): pass
            def ring(*_): raise Alarm
            signal.signal(signal.SIGALRM, ring)
            from adaptive_runtime import Agent
            agent = Agent()
            done = rung = n = 0
            while done < 300 or rung < 100:
                n += 1
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.00005 * 1.25 ** (n % 32))
                    agent.patch({"n": n, "blob": "x" * (n % 11 * 9000)})
                    done += 1
                except Alarm:
                    rung += 1
                finally:
                    try: signal.setitimer(signal.ITIMER_REAL, 0)
                    except Alarm: pass
            agent.patch({"last": n})
            print(done, rung)
            assert agent.state["last"] == n
            agent.patch({"copy": agent.state.copy()})
            """
        )
        self.assertEqual(agent.code, 0, agent.told())
        self.assertEqual(agent.stray, [])
        copy = agent.store.state.pop("copy")
        self.assertEqual(copy, agent.store.state)
        # No request went out twice.
        ids = [frame["id"] for frame in agent.frames if "id" in frame]
        self.assertEqual(len(ids), len(set(ids)))

    def test_calls_from_a_handler_are_refused_where_they_would_corrupt(self):
        agent = run(
            """
            import signal
            from adaptive_runtime import Agent
            agent = Agent()
            outcomes = set()
            def ring(*_):
                try:
                    agent.log("from the handler")
                    outcomes.add("sent")
                except RuntimeError as error:
                    outcomes.add("refused")
            signal.signal(signal.SIGALRM, ring)
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0005)
            for n in range(300):
                agent.patch({"n": n})
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert "sent" in outcomes
            """
        )
        self.assertEqual((agent.code, agent.store.version), (0, 300), agent.told())
        self.assertEqual(agent.stray, [])


class TheStandIn(unittest.TestCase):
    """What these tests rest on."""

    def test_it_can_tell_a_stray_line(self):
        agent = run("print('text')\nprint('[1]')\nprint('{\"jsonrpc\":\"1.0\"}')")
        self.assertEqual(len(agent.stray), 3)

    def test_store_errors_look_alike(self):
        store = MemoryStore()

        def full():
            raise StoreFailed("full", retryable=True)

        store.before_write = full
        with FakeAdrt("", store) as agent:
            agent.connection._initialized = True
            frame = {"id": 1, "method": "state.patch", "params": {"patch": {}}}
            reply = json.loads(agent.usual(frame)[0])
            mine = error(frame, 1501, "store_failed", True)
            self.assertEqual(reply["error"]["data"], mine["error"]["data"])
            self.assertEqual(reply["error"]["code"], mine["error"]["code"])


if __name__ == "__main__":
    unittest.main()
