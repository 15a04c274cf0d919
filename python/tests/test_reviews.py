"""Questions to a person: asked once, answered once, whoever dies meanwhile."""

import asyncio
import json
import threading
import unittest

from adaptive_runtime import Agent, InvalidParams, NotConnected, Review, Runtime
from adaptive_runtime._memory import MemoryStore
from adaptive_runtime.testing import Adrt
from both import WithBoth
from fake_adrt import PATIENCE, FakeAdrt
from real_adrt import RealAdrt
from test_events import Quiet


class Questions(Quiet, WithBoth):
    def person(self, *decisions):
        """Decides about reviews as they come, from another thread."""
        store, over = self.store, threading.Event()

        def decide():
            for number, (status, *said) in enumerate(decisions, 1):
                while number not in store.reviews.all:
                    if over.wait(0.001):
                        return
                store.settle_review(number, status, *said)

        thread = threading.Thread(target=decide)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(over.set)

    def yes(self, number):
        self.store.settle_review(number, "approved")

    def test_the_answer(self):
        for client in self.clients():
            self.person(("approved", "blue", "as discussed", "ada"), ("rejected",))
            answer = self.call(client.review("Which?", options=["red", "blue"]))
            self.assertIsInstance(answer, Review)
            self.assertEqual((answer.status, answer.approved), ("approved", True))
            said = (answer.answer, answer.note, answer.by, answer.id)
            self.assertEqual(said, ("blue", "as discussed", "ada", 1))
            self.assertTrue(answer)
            no = self.call(client.review("Sure?"))
            self.assertEqual((no.status, no.approved, no.answer, no.note), ("rejected", False, None, None))
            self.assertFalse(no)
            self.assertEqual(self.store.reviews.all[1]["options"], ["red", "blue"])

    def test_silence(self):
        for client in self.clients():
            for default, approved in (("reject", False), ("approve", True)):
                answer = self.call(client.review(f"{default}?", timeout=0.01, default=default))
                self.assertEqual((answer.status, answer.approved), ("expired", approved))

    def test_a_key_makes_it_the_same_over_restarts(self):
        for client in self.clients():
            self.person(("approved", 7))
            for _ in range(2):
                self.assertEqual(self.call(client.review("How many?", key="k")).answer, 7)
            self.call(client.stop())
            client = self.begin(type(client))
            again = self.call(client.review("How many, did you say?", key="k"))
            self.assertEqual((again.answer, again.id), (7, 1))
            self.assertEqual(len(self.store.reviews.all), 1)

    def test_what_it_is_about(self):
        for client in self.clients():
            self.person(("approved", 1), ("approved", 2))
            decide = client.decision_engine.decide
            decided = decide({"type": "a"}, "c", "low", 0.5)
            self.assertEqual(self.call(client.review("1", decision=decided)).answer, 1)
            result = self.call(client.process({"type": "a"}))
            self.assertEqual(self.call(client.review("2", decision=result.decision_id)).answer, 2)
            self.fails(InvalidParams, client.review, "?", decision=7)
            about = [review["decision_id"] for review in self.store.reviews.all.values()]
            self.assertEqual(about, [1, 2])
            # One that waits for a person already is that review, in a block as well.
            doubtful = decide({"type": "a"}, "self_healing", "critical", 0.5)
            self.assertEqual((doubtful.verdict, doubtful.review_id), ("review", 3))
            self.store.emit({"type": "a"})

            asked = self.store.reviews.all[3]
            self.assertEqual(asked["prompt"], "run_recovery for a (self_healing, risk critical)?")

            def body(event, doubtful=doubtful):
                answer = yield event.review("Heal it?", options=[3, 4], decision=doubtful)
                self.assertEqual(answer.answer, 3)

            self.store.ends_when_idle = True
            self.store.on_review = lambda n, store=self.store: store.settle_review(n, "approved", 3)
            self.within(self.next_event(client), body)
            # In the handler's own words, and known by its key.
            self.assertEqual((asked["prompt"], asked["options"]), ("Heal it?", [3, 4]))
            self.assertEqual(asked["key"], "event 4 review")
            self.assertEqual(len(self.store.reviews.all), 3)

    def test_what_is_no_question(self):
        for client in self.clients():
            for arguments in (
                {"prompt": ""},
                {"prompt": 5},
                {"prompt": "x", "default": "maybe"},
                {"prompt": "x", "options": "abc"},
                {"prompt": "x", "timeout": -1},
            ):
                with self.assertRaises((InvalidParams, ValueError)):
                    self.call(client.review(**arguments))
            self.assertEqual(self.store.reviews.all, {})

    def test_in_an_events_block_it_is_known_by_event_and_order(self):
        for client in self.clients():
            for _ in range(2):
                self.store.emit({"type": "a"})
            asked = []

            def body(event, client=client, asked=asked):
                for ask in (event.review, client.review):
                    asked.append((event.seq, event.attempt, (yield ask("Sure?")).id))
                if event.attempt < 2:
                    raise ValueError

            self.store.on_review = self.yes
            self.store.ends_when_idle = True
            self.over(client, body)
            self.assertEqual({review["key"] for review in self.store.reviews.all.values()}, {
                "event 1 review", "event 1 review#2", "event 2 review", "event 2 review#2"})
            first = [(seq, number) for seq, attempt, number in asked if attempt == 1]
            second = [(seq, number) for seq, attempt, number in asked if attempt == 2]
            self.assertEqual((len(first), first), (4, second))

    def test_other_events_of_ones_own_reviews_are_not_handed_out(self):
        for client in self.clients():
            self.store.ends_when_idle = True
            self.store.emit({"type": "a"})
            seen = []

            def body(event, seen=seen):
                seen.append(event.type)
                if event.type == "a":
                    yield event.review("Sure?")

            self.store.on_review = self.yes
            self.over(client, body)
            self.assertEqual(seen, ["a"])
            statuses = [entry.status for entry in self.store.inbox.entries.values()]
            self.assertEqual(statuses, ["acked", "acked"])
            # Somebody else's are, and all to whoever asks for them.
            self.store.reviews.ask("Of a step?")
            self.store.settle_review(2, "approved")
            client = self.begin(type(client))
            self.over(client, body)
            self.assertEqual(seen, ["a", "review.resolved"])

    def test_the_lease_is_renewed_meanwhile(self):
        for client in self.clients():
            self.store.emit({"type": "a"})
            extended = []
            extend = self.store.inbox.extend

            def renewed(params, extend=extend, extended=extended, store=self.store):
                extended.append(params["seq"])
                if len(extended) == 2:
                    store.settle_review(1, "approved")
                return {**extend(params), "lease_ms": 20}

            self.store.inbox.extend = renewed

            def body(event):
                event.lease_ms = 20
                self.assertTrue((yield event.review("Sure?")).approved)

            self.within(self.next_event(client), body)
            self.assertEqual(extended, [1, 1])

    def test_several_at_once(self):
        async def main():
            store = MemoryStore()
            async with Runtime("a", backend=store) as runtime:
                answers = [
                    asyncio.ensure_future(runtime.review(f"{n}?", key=str(n))) for n in range(5)
                ]
                while len(store.reviews.all) < 5:
                    await asyncio.sleep(0)
                for number in (3, 1, 5, 2, 4):
                    store.settle_review(number, "approved", number)
                found = await asyncio.gather(*answers)
            self.assertEqual([answer.answer for answer in found], [1, 2, 3, 4, 5])

        self.loop.run_until_complete(main())

    def test_a_runtime_that_is_stopped_meanwhile(self):
        async def main():
            runtime = Runtime("a", backend=MemoryStore())
            await runtime.start()
            answer = asyncio.ensure_future(runtime.review("?"))
            await asyncio.sleep(0.01)
            await runtime.stop()
            with self.assertRaises(NotConnected):
                await answer

        self.loop.run_until_complete(main())


class InTests(Quiet, unittest.TestCase):
    """With the stand-in that programs are tested with."""

    def test_nobody_answers(self):
        def synchronously():
            with Agent() as agent:
                for event in agent.events():
                    with event:
                        answers.append(event.review("Sure?", timeout=3600).status)

        async def asynchronously():
            async with Runtime("a") as runtime:
                async for event in runtime.events():
                    async with event:
                        answers.append((await event.review("Sure?", timeout=3600)).status)

        for main in (synchronously, lambda: asyncio.run(asynchronously())):
            for settle in (lambda adrt: adrt.reject(1), lambda adrt: adrt.advance(3601)):
                answers = []
                with Adrt() as adrt:
                    adrt.emit({"type": "a"})
                    with self.assertRaises(SystemExit):
                        main()
                    self.assertEqual(adrt.events[0].status, "held")
                    [review] = adrt.reviews
                    self.assertEqual((review.prompt, review.key), ("Sure?", "event 1 review"))
                    settle(adrt)
                    main()
                    self.assertIn(answers, (["rejected"], ["expired"]))
                    self.assertEqual(adrt.events[0].attempt, 2)
                    self.assertEqual({event.status for event in adrt.events}, {"acked"})

    def test_somebody_answers(self):
        async def asynchronously():
            async with Runtime("a") as runtime:
                return (await runtime.review("Which?", options=[1, 2])).answer

        for main in (lambda: Agent().review("Which?", options=[1, 2]).answer,
                     lambda: asyncio.run(asynchronously())):  # fmt: skip
            with Adrt() as adrt:
                adrt.on_review(lambda review: adrt.approve(review.id, review.options[-1]))
                self.assertEqual(main(), 2)

    def test_the_environment(self):
        with Adrt() as adrt:
            adrt.set_environment("critical", 0.9)
            with Agent() as agent:
                self.assertEqual(agent.environment.level, "critical")
                self.assertFalse(agent.environment.wait_below("high"))


ASK = {
    "Agent": """
        from adaptive_runtime import Agent
        with Agent() as agent:
            print("up", flush=True)
            for event in agent.events():
                with event:
                    print("attempt", event.attempt, event.get("n"), flush=True)
                    answer = event.review("Go on?", options=["a", "b"])
                    agent.append("answers", [event["n"], answer.status, answer.answer])
                if event["n"] == 2:
                    agent.finish()
                    break
        """,
    "Runtime": """
        import asyncio
        from adaptive_runtime import Runtime
        async def main():
            async with Runtime() as runtime:
                print("up", flush=True)
                async for event in runtime.events():
                    async with event:
                        print("attempt", event.attempt, event.get("n"), flush=True)
                        answer = await event.review("Go on?", options=["a", "b"])
                        await runtime.append("answers", [event["n"], answer.status, answer.answer])
                    if event["n"] == 2:
                        await runtime.finish()
                        break
        asyncio.run(main())
        """,
}


class OnTheWire(unittest.TestCase):
    def test_an_answer_that_comes_with_the_number(self):
        # Number, notification and all in one write; and in pieces.
        for piece in (1 << 20, 9):
            for kind, source in ASK.items():
                store = MemoryStore()
                for n in (1, 2):
                    store.emit({"type": "a", "n": n})
                with self.subTest(kind), FakeAdrt(source, store) as agent:
                    agent.send_piece = piece

                    def at_once(frame, agent=agent, store=store):
                        if frame["method"] != "review.request":
                            return None
                        lines = agent.usual(frame)
                        for number in store.reviews.pending():
                            store.settle_review(number, "approved", "b")
                        return [b"\n".join(lines + agent._said())]

                    agent.on_frame = at_once
                    agent.run()
                    self.assertEqual(agent.code, 0, agent.told())
                    expected = [[1, "approved", "b"], [2, "approved", "b"]]
                    self.assertEqual(store.state["answers"], expected)

    def test_adrt_is_gone_meanwhile(self):
        for kind, source in ASK.items():
            store = MemoryStore()
            store.emit({"type": "a", "n": 1})
            with self.subTest(kind), FakeAdrt(source, store) as agent:
                agent.run(until=store.reviews.pending)
                agent.vanish()
                agent.run()
                self.assertNotEqual(agent.code, 0)
                self.assertEqual(store.state, {})

    def test_a_stop_meanwhile(self):
        for kind, source in ASK.items():
            store = MemoryStore()
            store.emit({"type": "a", "n": 1})
            with self.subTest(kind), FakeAdrt(source, store) as agent:
                agent.run(until=store.reviews.pending)
                agent.notify("shutdown", reason="operator", deadline_ms=600_000)
                agent.run()
                self.assertEqual((agent.code, agent.errors), (143, ""), agent.told())
                self.assertEqual(store.inbox.entries[1].status, "held")


class UnderAdrt(RealAdrt):
    def reviews(self, name):
        return json.loads(self.adrt("reviews", "list", name, "--json"))

    def ends_well(self, process):
        told = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0, told)

    def test_a_handler_waits_at_credit_1(self):
        for kind, source in ASK.items():
            with self.subTest(kind):
                process = self.start(*self.script(source), name=kind)
                self.assertEqual(process.stdout.readline(), "up\n")
                for n in (1, 2):
                    self.adrt("events", "emit", kind, json.dumps({"type": "a", "n": n}))
                for n, (command, answer) in enumerate((("approve", "a"), ("reject", "b")), 1):
                    self.assertEqual(process.stdout.readline(), f"attempt 1 {n}\n")
                    self.wait_for(lambda kind=kind: self.reviews(kind), process)
                    [review] = self.reviews(kind)
                    self.assertEqual(review["options"], ["a", "b"])
                    self.adrt("reviews", command, kind, str(review["id"]), "--answer", answer)
                self.ends_well(process)
                answers = [[1, "approved", "a"], [2, "rejected", "b"]]
                self.assertEqual(self.state(kind)["answers"], answers)

    def test_killed_while_it_waits(self):
        for kind, source in ASK.items():
            for meanwhile in (False, True):  # is it answered while nobody waits?
                name = f"{kind}-{meanwhile}"
                with self.subTest(name):
                    process = self.start(*self.script(source), name=name)
                    self.assertEqual(process.stdout.readline(), "up\n")
                    self.adrt("events", "emit", name, '{"type": "a", "n": 2}')
                    self.assertEqual(process.stdout.readline(), "attempt 1 2\n")
                    self.wait_for(lambda name=name: self.reviews(name), process)
                    if not meanwhile:
                        self.kill_child_of(process)
                        self.assertEqual(process.stdout.readline(), "up\n")
                        self.assertEqual(process.stdout.readline(), "attempt 2 2\n")
                    else:
                        process.kill()
                        process.communicate()
                    [review] = self.reviews(name)
                    self.adrt("reviews", "approve", name, str(review["id"]), "--note", "fine")
                    if meanwhile:
                        process = self.start(*self.script(source), name=name)
                    self.ends_well(process)
                    self.assertEqual(self.state(name)["answers"], [[2, "approved", None]])

    def test_all_that_a_review_says(self):
        process = self.start(
            *self.script(
                """
                from adaptive_runtime import Agent
                with Agent() as agent:
                    first = agent.review("First?", key="first")
                    assert (first.answer, first.note, first.approved) == ({"n": 1}, "so", True)
                    assert first.by, first
                    again = agent.review("First, was it?", key="first")
                    assert again == first, again
                    silent = agent.review("Second?", timeout=0.05, default="approve")
                    assert (silent.status, silent.approved) == ("expired", True), silent
                    assert agent.review("Third?", timeout=0.05).approved is False
                    agent.finish()
                """
            )
        )
        self.wait_for(lambda: self.has("state/agent/db/adrt.db") and self.reviews("agent"), process)
        self.adrt("reviews", "approve", "1", "--answer", '{"n": 1}', "--note", "so")
        self.ends_well(process)


if __name__ == "__main__":
    unittest.main()
