"""Timers, and the bus."""

import asyncio
import datetime
import unittest

from adaptive_runtime import Agent, Runtime, _bus, _bus_async
from adaptive_runtime._bus import matches
from adaptive_runtime._memory import MemoryStore, cron
from both import WithBoth
from test_events import Quiet

UTC = datetime.timezone.utc


class Timers(Quiet, WithBoth):
    def fired(self):
        return [entry.event for entry in self.store.inbox.entries.values()]

    def pass_time(self, seconds):
        self.store.move_on(seconds)
        self.store.fire()

    def test_once(self):
        for client in self.clients():
            now = self.store.clock.now()
            due = self.call(client.timer("t", after=90, event={"type": "a"}))
            moment = datetime.datetime.fromisoformat(due).timestamp()
            self.assertAlmostEqual(moment, now + 90, delta=30)
            self.call(client.timer("d", after=datetime.timedelta(minutes=1), event={"type": "d"}))
            at = datetime.datetime.fromtimestamp(now + 7200, UTC)
            self.call(client.timer("at", at=at, event={"type": "b"}))
            text = datetime.datetime.fromtimestamp(now + 7201, UTC).isoformat()
            self.call(client.timer("text", at=text.replace("+00:00", "Z"), event={"type": "c"}))
            self.pass_time(89)
            self.assertEqual(self.fired(), [{"type": "d"}])
            self.pass_time(2)
            self.assertEqual(self.fired()[1:], [{"type": "a"}])
            self.pass_time(10_000)
            self.assertEqual(self.fired()[2:], [{"type": "b"}, {"type": "c"}])
            self.assertEqual(self.store.timers.timers, {})

    def test_again_and_again(self):
        for client in self.clients():
            self.call(client.timer("t", every=60, event={"type": "tick"}))
            self.pass_time(61)
            self.pass_time(60)
            self.pass_time(180)
            self.pass_time(1)
            self.assertEqual(
                self.fired(), [{"type": "tick"}, {"type": "tick"}, {"type": "tick", "missed": 2}]
            )
            self.call(client.timer("t", every=3600, event={"type": "tock"}))  # instead
            self.pass_time(120)
            self.assertEqual(len(self.fired()), 3)
            self.assertTrue(self.call(client.cancel_timer("t")))
            self.assertFalse(self.call(client.cancel_timer("t")))
            self.pass_time(10_000)
            self.assertEqual(len(self.fired()), 3)

    def test_with_an_events_ack(self):
        for client in self.clients():
            self.store.ends_when_idle = True
            self.store.emit({"type": "a"})

            def body(event, client=client):
                self.assertIsNone((yield client.timer("t", after=5, event={"type": "b"})))
                yield client.patch({"n": event.attempt})
                if event.attempt == 1:
                    raise ValueError
                self.assertEqual(self.store.timers.timers, {})
                yield client.cancel_timer("other")

            self.over(client, body)
            self.assertEqual(list(self.store.timers.timers), ["t"])
            self.assertEqual((self.store.state, self.store.version), ({"n": 2}, 1))

    def test_what_is_no_timer(self):
        for client in self.clients():
            event = {"type": "a"}
            self.fails(ValueError, client.timer, "t", event=event)
            self.fails(ValueError, client.timer, "t", event=event, after=1, every=2)
            self.fails(ValueError, client.timer, "t", event={}, after=1)
            self.fails(ValueError, client.timer, "t", event=event, after=float("nan"))
            for wrong in ("* * * *", "61 * * * *", "x * * * *", "* * 30 2 *"):
                with self.assertRaises(Exception) as caught:
                    self.call(client.timer("t", event=event, cron=wrong))
                self.assertIn(caught.exception.kind, ("invalid_params",))

    def test_it_wakes_who_waits(self):
        for client in self.clients():
            self.call(client.timer("t", after=0.02, event={"type": "now"}))
            self.assertEqual(self.next_event(client).type, "now")


class Cron(unittest.TestCase):
    def following(self, text, moment):
        fields = cron.parse(text)
        at = datetime.datetime.fromisoformat(moment + "+00:00").timestamp()
        return datetime.datetime.fromtimestamp(cron.following(fields, at), UTC).strftime(
            "%Y-%m-%dT%H:%M"
        )

    def test_times(self):
        for text, moment, expected in (
            ("* * * * *", "2026-01-31T23:59:30", "2026-02-01T00:00"),
            ("30 4 * * *", "2026-01-01T04:30:00", "2026-01-02T04:30"),
            ("*/15 9-17 * * 1-5", "2026-11-27T17:50:00", "2026-11-30T09:00"),
            ("0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29T00:00"),
            ("0 12 1 * 7", "2026-11-24T00:00:00", "2026-11-29T12:00"),
            ("5,50 1 * 3/4 *", "2026-07-31T01:50:00", "2026-11-01T01:05"),
        ):
            with self.subTest(text):
                self.assertEqual(self.following(text, moment), expected)


class Buses(Quiet, WithBoth):
    def test_after_the_ack(self):
        for client in self.clients():
            heard = []
            self.said.clear()

            @client.bus.subscribe("a.*")
            def on_a(event, heard=heard):
                heard.append(("a", event["type"], self.store.version))
                raise ValueError("a bad handler")

            @client.bus.subscribe_all
            def on_all(event, heard=heard):
                heard.append(("all", event["type"], self.store.version))

            self.store.ends_when_idle = True
            for type in ("a.1", "b", "c"):
                self.store.emit({"type": type})

            def body(event, client=client, heard=heard):
                yield client.patch({"n": event.seq})
                self.assertNotIn(event.type, [entry[1] for entry in heard])
                if event.type == "c" and event.attempt == 1:
                    raise ValueError
                if event.type == "b":
                    yield event.ack()
                    yield client.patch({"m": 1})

            self.over(client, body)
            if isinstance(client, Runtime):
                self.call(client.bus.drain())
            self.assertEqual(
                heard, [("a", "a.1", 1), ("all", "a.1", 1), ("all", "b", 3), ("all", "c", 4)]
            )
            told = [text for text in self.said if "on_a failed on an event of type a.1" in text]
            self.assertEqual(len(told), 1)
            client.bus.unsubscribe(on_all)
            self.call(client.bus.publish({"type": "d"}))
            self.assertEqual(len(heard), 4)
            self.assertRaises(TypeError, client.bus.subscribe, "x", 5)

    def setUp(self):
        super().setUp()
        for module in (_bus, _bus_async):
            before = module.tell
            self.addCleanup(setattr, module, "tell", before)
        before = _bus.say
        self.addCleanup(setattr, _bus, "say", before)
        _bus.say = self.said.append

    def test_globs(self):
        for pattern, text, fits in (
            ("a", "a", True), ("a", "ab", False), ("*", "", True), ("a*", "abc", True),
            ("*c", "abc", True), ("a*c", "abbc", True), ("a*c", "abcd", False),
            ("a?c", "abc", True), ("a?c", "ac", False), ("*a*b*", "xxaxbx", True),
            ("temp.*", "temp", False), ("**", "x", True), ("a**b", "ab", True),
        ):  # fmt: skip
            self.assertEqual(matches(pattern, text), fits, (pattern, text))

    def test_no_coroutines_without_a_loop(self):
        async def handler(event):
            pass

        with Agent(backend=MemoryStore()) as agent:
            self.assertRaises(TypeError, agent.bus.subscribe, "a", handler)


class Tasks(Quiet, unittest.IsolatedAsyncioTestCase):
    async def test_order_and_draining(self):
        heard = []
        runtime = Runtime("a", backend=MemoryStore())

        @runtime.bus.subscribe("first")
        async def on_first(event):
            heard.append("first begins")
            await asyncio.sleep(0.01)
            await runtime.patch({"seen": True})
            await runtime.bus.publish({"type": "second"})
            heard.append("first ends")

        @runtime.bus.subscribe("second")
        def on_second(event):
            heard.append("second")

        await runtime.start()
        await runtime.bus.publish({"type": "first"})
        heard.append("published")  # with no await in between, this comes first
        await runtime.stop()
        self.assertEqual(heard, ["published", "first begins", "first ends", "second"])

    async def test_a_handler_that_stops_the_runtime(self):
        runtime = Runtime("a", backend=MemoryStore())
        await runtime.start()
        stopped = asyncio.Event()

        @runtime.bus.subscribe("stop")
        async def on_stop(event):
            await runtime.stop()
            stopped.set()

        await runtime.bus.publish({"type": "stop"})
        await stopped.wait()


if __name__ == "__main__":
    unittest.main()
