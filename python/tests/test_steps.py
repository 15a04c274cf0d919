"""Steps: paid for once, whatever happens after."""

import asyncio
import dataclasses
import functools
import unittest
import warnings

from adaptive_runtime import (
    Agent,
    Runtime,
    StepFailed,
    StepInProgress,
    StepMismatch,
    step,
)
from both import WithBoth
from test_events import Quiet


@dataclasses.dataclass
class Answer:
    text: str
    tokens: int


class Model:
    """As pydantic's look from outside."""

    def __init__(self, n):
        self.n = n

    def model_dump(self, *, mode="python"):
        return {"n": self.n, "mode": mode}


class Strange:
    def __repr__(self):
        return "<strange>"


class Steps(Quiet, WithBoth):
    def setUp(self):
        super().setUp()
        self.calls = []

    def clients(self, **options):
        for client in super().clients(**options):
            self.calls.clear()
            self.store.ends_when_idle = True
            self.store.emit({"type": "a"})
            yield client

    def paid(self, *args, **kwargs):
        self.calls.append((args, kwargs))
        return {"n": len(self.calls)}

    def test_a_result_is_remembered_over_attempts(self):
        for client in self.clients():
            results = []

            def body(event, results=results):
                for _ in range(2):
                    results.append((yield event.step("call", self.paid, 1, x=[2])))
                if event.attempt == 1:
                    raise ValueError("after it was paid")
                yield event.patch({"n": results[-1]["n"]})

            self.over(client, body)
            self.assertEqual(self.calls, [((1,), {"x": [2]})] * 2)
            self.assertEqual([result["n"] for result in results], [1, 2, 1, 2])
            self.assertEqual(self.store.state, {"n": 2})
            names = [where[2] for where in self.store.steps.steps]
            self.assertEqual(names, ["call", "call#2"])

    def test_over_crashes(self):
        for client in self.clients():

            def body(event):
                yield event.step("call", self.paid)
                yield event.patch({"n": 1})
                if event.attempt == 1:
                    raise SystemExit

            with self.assertRaises(SystemExit):
                self.over(client, body)
            self.over(self.begin(type(client)), body)
            self.assertEqual((len(self.calls), self.store.state), (1, {"n": 1}))

    def test_an_exception_leaves_it_open(self):
        for client in self.clients():

            def breaks():
                self.calls.append((step.name, step.attempt, step.idempotency_key))
                if len(self.calls) == 1:
                    raise OSError("no network")
                return "fine"

            def body(event):
                yield event.patch({"was": (yield event.step("call", breaks))})

            self.over(client, body)
            self.assertEqual(self.store.state, {"was": "fine"})
            (first, one, key), (second, two, again) = self.calls
            self.assertEqual((first, second, one, two), ("call", "call", 1, 2))
            self.assertEqual(key, again)  # to the outside it is the same call

    def test_it_may_stand_inside_of_retry(self):
        for client in self.clients():
            policy = client.retry_policy if isinstance(client, Agent) else client.recovery_engine
            policy.base_delay = 0.001

            def breaks():
                self.calls.append((step.name, step.attempt))
                if len(self.calls) < 3:
                    raise OSError
                return "fine"

            def body(event, client=client):
                yield client.retry(lambda: event.step("call", breaks))
                # Something else on the same name is another step.
                yield event.step("call", self.paid, 7)

            self.over(client, body)
            self.assertEqual(self.calls[:3], [("call", 1)] * 3)
            names = [where[2] for where in self.store.steps.steps]
            self.assertEqual(names, ["call", "call#2"])

    def test_a_failure_for_good(self):
        for client in self.clients():

            def refused():
                self.calls.append(1)
                raise StepFailed("the card was declined", data={"code": 51})

            def body(event):
                try:
                    yield event.step("charge", refused)
                except StepFailed as failure:
                    self.assertEqual((str(failure), failure.data["code"]), (
                        "the card was declined", 51))
                    if event.attempt == 1:
                        raise ValueError from None
                    yield event.patch({"paid": False})

            self.over(client, body)
            self.assertEqual((len(self.calls), self.store.state), (1, {"paid": False}))

    def test_results_of_all_kinds(self):
        results = {
            "plain": (None, None),
            "tuple": ((1, "x"), [1, "x"]),
            "dataclass": (Answer("hi", 3), {"text": "hi", "tokens": 3}),
            "model": (Model(5), {"n": 5, "mode": "json"}),
        }
        for client in self.clients():

            def body(event):
                for name, (result, kept) in results.items():
                    got = yield event.step(name, lambda result=result: result, input=name)
                    self.assertEqual(got, kept)
                codec = {"encode": lambda a: [a.text, a.tokens], "decode": lambda v: Answer(*v)}
                got = yield event.step("coded", Answer, "hi", 4, **codec)
                self.assertEqual(got, Answer("hi", 4))
                if event.attempt == 1:
                    raise ValueError

            self.over(client, body)
            kept = [found.outcome["result"] for found in self.store.steps.steps.values()]
            self.assertEqual(kept[-1], ["hi", 4])
            self.assertEqual(self.store.inbox.entries[1].status, "acked")

    def test_a_result_that_is_no_json_was_paid_for(self):
        for client in self.clients():
            results = []

            def body(event, results=results):
                results.append((yield event.step("call", Strange)))
                results.append((yield event.step("bad", dict, encode=lambda _: {}[0])))
                if event.attempt == 1:
                    raise ValueError

            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                self.over(client, body)
            self.assertIsInstance(results[0], Strange)
            self.assertEqual(results[2:], [{"$repr": "<strange>"}, {"$repr": "{}"}])
            self.assertIn("only its repr; pass encode=", str(caught[0].message))
            if isinstance(client, Agent):
                self.assertEqual(caught[0].filename, __file__)

    def test_another_input_is_told(self):
        for client in self.clients():

            def body(event, client=client):
                other = {"b": 1, "a": event.attempt} if event.attempt == 2 else {"a": 1, "b": 1}
                yield event.step("call", self.paid, other)
                if event.attempt == 1:
                    raise ValueError

            self.over(client, body)
            self.assertIn("StepMismatch", self.store.inbox.entries[1].last_error)
            self.assertEqual(len(self.calls), 1)
            self.fails(StepMismatch, self.again, client)

    def again(self, client):
        outcome = client.step("once", self.paid, scope="s", input=1)
        self.call(outcome)
        client._scopes.clear()
        return client.step("once", self.paid, scope="s", input=2)

    def test_the_order_of_members_is_no_difference(self):
        for client in self.clients():
            call = functools.partial(client.step, "x", self.paid, scope="s")
            first = self.call(call({"a": 1, "b": 2}))
            client._scopes.clear()
            self.assertEqual(self.call(call({"b": 2, "a": 1})), first)
            client._scopes.clear()
            # What isn't JSON can't be compared, unless input= says what it is.
            self.assertEqual(self.call(call(object())), first)
            client._scopes.clear()
            self.fails(StepMismatch, call, object(), input="other")

    def test_scopes(self):
        for client in self.clients():
            for n in (1, 2):
                self.assertEqual(self.call(client.step("x", self.paid, scope="job")), {"n": n})
            later = self.begin(type(client))
            for n in (1, 2):
                self.assertEqual(self.call(later.step("x", self.paid, scope="job")), {"n": n})
            self.call(later.forget_steps("job"))
            self.assertEqual(self.call(later.step("x", self.paid, scope="job")), {"n": 3})
            self.fails(ValueError, later.step, "x", self.paid)
            self.fails(ValueError, later.step, "x#2", self.paid, scope="job")
            self.fails(ValueError, later.step, "x", self.paid, scope="job", on_unknown="hope")
            with self.assertRaises(RuntimeError):
                _ = step.idempotency_key
            self.assertEqual(repr(step), "<no step>")

    def test_as_a_decorator(self):
        for client in self.clients():

            @client.durable_step()
            def fetch(url, depth=1):
                return self.paid(url, depth)

            @client.durable_step("summary", scope="all")
            def summarise(text):
                return self.paid(text)

            def body(event, fetch=fetch, summarise=summarise):
                yield fetch("a", depth=2)
                yield summarise("b")
                if event.attempt == 1:
                    client._scopes.clear()
                    raise ValueError

            self.over(client, body)
            self.assertEqual([args for args, _ in self.calls], [("a", 2), ("b",)])
            self.assertEqual(fetch.__name__, "fetch")
            where = list(self.store.steps.steps)
            self.assertEqual(where, [("seq", 1, "fetch"), ("scope", "all", "summary")])

    def test_a_person_decides(self):
        for decision in ("approved", "rejected"):
            for client in self.clients():

                def dies():
                    self.calls.append(1)
                    if len(self.calls) == 1:
                        raise SystemExit

                def body(event):
                    try:
                        yield event.step("send", dies, on_unknown="review")
                    except StepFailed as error:
                        yield event.patch({"why": str(error)})

                with self.assertRaises(SystemExit):
                    self.over(client, body)
                self.over(self.begin(type(client)), body)
                entry = self.store.inbox.entries[1]
                self.assertEqual((entry.status, len(self.calls)), ("parked", 1))
                self.store.settle_review(1, decision)
                self.over(self.begin(type(client)), body, types=["a"])
                self.assertEqual(entry.status, "acked")
                if decision == "approved":
                    self.assertEqual((len(self.calls), self.store.state), (2, {}))
                else:
                    self.assertEqual(self.store.state, {"why": "review 1 was rejected"})


class Asynchronously(Quiet, unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        from adaptive_runtime._memory import MemoryStore

        self.store = MemoryStore()
        self.store.ends_when_idle = True
        self.runtime = Runtime("a", backend=self.store)
        await self.runtime.start()
        self.addAsyncCleanup(self.runtime.stop)

    async def test_coroutines_and_numbers_by_the_order_of_calls(self):
        self.store.emit({"type": "a"})
        keys = {}

        async def work(n):
            await asyncio.sleep(0.001 * (3 - n))
            keys[step.name] = step.idempotency_key
            return n

        async for event in self.runtime.events():
            async with event:
                calls = [event.step("x", work, n) for n in range(3)]
                self.assertEqual(await asyncio.gather(*reversed(calls)), [2, 1, 0])
        self.assertEqual(len(set(keys.values())), 3)
        done = {where[2]: found.outcome["result"] for where, found in self.store.steps.steps.items()}
        self.assertEqual(done, {"x": 0, "x#2": 1, "x#3": 2})

    async def test_one_at_a_time(self):
        started = asyncio.Event()

        async def slow():
            started.set()
            await asyncio.sleep(60)

        task = asyncio.ensure_future(self.runtime.step("x", slow, scope="s"))
        await started.wait()
        self.runtime._scopes.clear()
        with self.assertRaises(StepInProgress):
            await self.runtime.step("x", slow, scope="s")
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task

    async def test_a_large_result(self):
        self.runtime._link.core.max_frame = 5000
        with self.assertWarns(RuntimeWarning):
            self.assertEqual(len(await self.runtime.step("x", lambda: "y" * 6000, scope="s")), 6000)
        kept = self.store.steps.steps["scope", "s", "x"].outcome["result"]
        self.assertEqual(len(kept["$repr"]), 1000)


if __name__ == "__main__":
    unittest.main()
