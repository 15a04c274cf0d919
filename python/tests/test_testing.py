"""The stand-in that programs are tested with."""

import asyncio
import os
import subprocess
import sys
import unittest

from adaptive_runtime import Agent, Runtime
from adaptive_runtime.testing import Adrt, Crash
from fake_adrt import clean_environment, run_plain
from test_events import Quiet


def count_to(goal, key=None):
    with Agent() as agent:
        while agent.state.get("n", 0) < goal:
            n = agent.state.get("n", 0) + 1
            agent.patch({"n": n}, key=key and f"{key}-{n}")
        agent.finish()


async def count_awaiting(goal):
    async with Runtime("counter") as runtime:
        try:
            while runtime.state.get("n", 0) < goal:
                await runtime.patch({"n": runtime.state.get("n", 0) + 1})
        except Exception as error:  # must not catch the crash
            raise AssertionError("survived") from error


class Crashes(unittest.TestCase):
    def test_what_was_acknowledged_is_there_afterwards(self):
        with Adrt() as adrt:
            for crash in range(3):
                with adrt.crash_after(2):
                    count_to(10)
                self.assertEqual(adrt.state, {"n": 2 * (crash + 1)})
            self.assertFalse(adrt.finished)
            count_to(10)
            self.assertEqual((adrt.state, adrt.finished), ({"n": 10}, True))
            self.assertEqual(adrt.store.incarnation, 4)

    def test_asynchronously(self):
        with Adrt() as adrt:
            with adrt.crash_after(3):
                asyncio.run(count_awaiting(10))
            self.assertEqual(adrt.state, {"n": 3})
            asyncio.run(count_awaiting(5))
            self.assertEqual(adrt.state, {"n": 5})

    def test_a_reply_that_is_lost(self):
        with Adrt() as adrt:
            with adrt.crash_after(1, lost_reply=True):
                count_to(3)
            self.assertEqual(adrt.state, {"n": 2})
            with adrt.crash_after(0, lost_reply=True), Agent() as agent:
                agent.append("paid", 7, key="invoice")
            # That was the making of the list; now the append itself.
            with adrt.crash_after(0, lost_reply=True), Agent() as agent:
                agent.append("paid", 7, key="invoice")
            with Agent() as agent:
                agent.append("paid", 7, key="invoice")
                self.assertEqual(agent.state["paid"], [7])

    def test_everything_under_way_is_lost(self):
        async def burst():
            async with Runtime() as runtime:
                await asyncio.gather(*(runtime.append("log", n) for n in range(9)))

        with Adrt() as adrt:
            with adrt.crash_after(4):
                asyncio.run(burst())
            self.assertEqual(adrt.store.version, 4)

    def test_a_crash_that_never_came(self):
        with Adrt() as adrt:
            with self.assertRaisesRegex(AssertionError, "before it crashed"):
                with adrt.crash_after(5):
                    count_to(3)
            self.assertRaises(ValueError, adrt.crash_after, -1)

    def test_a_real_failure_is_not_hidden(self):
        with Adrt() as adrt:
            with self.assertRaises(ZeroDivisionError), adrt.crash_after(5):
                1 / 0
            count_to(2)

    def test_a_crash_is_no_exception(self):
        self.assertFalse(issubclass(Crash, Exception))


def work(paid):
    with Agent() as agent:
        for event in agent.events():
            with event:
                if event.type == "poison":
                    agent.patch({"poison": True}, key=f"{event.seq}-{event.attempt}")
                receipt = event.step("pay", paid, event["n"])
                agent.append("receipts", receipt)


class Events(Quiet, unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.paid = []

    def pay(self, n):
        self.paid.append(n)
        return f"receipt {n}"

    def test_paid_once_whenever_it_dies(self):
        for writes in range(12):
            with self.subTest(writes), Adrt() as adrt:
                self.paid.clear()
                for n in range(3):
                    adrt.emit({"type": "order", "n": n})
                try:
                    with adrt.crash_after(writes):
                        work(self.pay)
                except AssertionError:
                    self.assertEqual(writes, 10)  # two for each step, one for each ack, one list
                    break
                work(self.pay)
                # Dying between the payment and its being remembered pays again.
                between = writes in (1, 5, 8)
                self.assertEqual(sorted(set(self.paid)), [0, 1, 2])
                self.assertEqual(len(self.paid), 4 if between else 3)
                self.assertEqual(adrt.state["receipts"], [f"receipt {n}" for n in range(3)])
                self.assertEqual([event.status for event in adrt.events], ["acked"] * 3)

    def test_poison_goes_to_the_dead_letters(self):
        with Adrt() as adrt:
            adrt.emit({"type": "poison", "n": 1})
            adrt.emit({"type": "order", "n": 2})
            for _ in range(3):
                with adrt.crash_after(0):
                    work(self.pay)
            work(self.pay)
            self.assertEqual([event.event["n"] for event in adrt.dead], [1])
            self.assertIn("crashed 3 times", adrt.dead[0].last_error)
            self.assertEqual((self.paid, adrt.state), ([2], {"receipts": ["receipt 2"]}))

    def test_time_is_the_tests(self):
        seen = []

        def agent():
            with Agent() as agent:
                agent.timer("daily", every=86_400, event={"type": "day"}, key="daily")
                for event in agent.events():
                    with event:
                        seen.append(event.type)
                        agent.emit({"type": "hello"}, to="other")

        with Adrt() as adrt:
            adrt.emit({"type": "later"}, delay=3600)
            agent()
            self.assertEqual(seen, ["later"])
            adrt.advance(86_400)
            agent()
            self.assertEqual(seen, ["later", "day"])
            self.assertEqual(adrt.sent, [{"to": "other", "event": {"type": "hello"}}] * 2)
            adrt.advance(3 * 86_400)
            agent()
            self.assertEqual(adrt.events[-1].event, {"type": "day", "missed": 2})

    def test_a_stop_from_outside(self):
        with Adrt() as adrt:
            adrt.emit({"type": "a"})
            adrt.emit({"type": "b"})
            seen = []
            for event in Agent().events():
                with event:
                    seen.append(event.type)
                    adrt.stop()
            self.assertEqual(seen, ["a"])

    def test_steps_that_a_person_decides_about(self):
        for decide in (Adrt.approve, Adrt.reject):
            with Adrt() as adrt:
                seq = adrt.emit({"type": "a"})

                def send():
                    raise OSError

                for event in Agent().events():
                    with event:
                        event.step("send", send, on_unknown="review")
                self.assertEqual(adrt.events[seq - 1].status, "parked")
                [review] = adrt.reviews
                self.assertIn("send", review.prompt)
                decide(adrt, review.id)
                self.assertEqual(adrt.events[seq - 1].status, "pending")
                self.assertEqual(adrt.reviews, [])


class Fixture(unittest.TestCase):
    def test_the_import_needs_no_pytest(self):
        result = run_plain(
            """
            import sys
            sys.modules["pytest"] = None
            import adaptive_runtime.testing as testing
            assert not hasattr(testing, "adrt")
            with testing.Adrt(): pass
            """
        )
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_the_fixture(self):
        try:
            import pytest  # noqa: F401
        except ImportError:
            self.skipTest("pytest is not installed")
        import tempfile

        with tempfile.TemporaryDirectory() as directory:
            for name, text in (
                ("conftest.py", 'pytest_plugins = ["adaptive_runtime.testing"]\n'),
                (
                    "test_it.py",
                    "from adaptive_runtime import Agent\n"
                    "def test_it(adrt):\n"
                    "    with adrt.crash_after(0): Agent().patch({'n': 1})\n"
                    "    Agent().patch({'n': 2})\n"
                    "    assert adrt.state == {'n': 2}\n"
                    "def test_afresh(adrt):\n"
                    "    assert adrt.state == {}\n",
                ),
            ):
                with open(os.path.join(directory, name), "w") as file:
                    file.write(text)
            result = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", directory],
                env=clean_environment(),
                cwd=directory,
                capture_output=True,
                text=True,
                check=False,
            )
            self.assertIn("2 passed", result.stdout, result.stdout + result.stderr)


if __name__ == "__main__":
    unittest.main()
