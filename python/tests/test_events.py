"""Events: what goes with an ack, what an exception does, what is left alone."""

import asyncio
import json
import threading
import unittest

from adaptive_runtime import (
    Agent,
    InboxFull,
    NotJson,
    PatchFailed,
    Runtime,
    StaleAttempt,
    UnknownAgent,
    UnknownEvent,
    _events,
)
from adaptive_runtime._memory import MemoryStore, inbox
from both import WithBoth


class Quiet(unittest.TestCase):
    """What is said on stderr is kept in `self.said`."""

    def setUp(self):
        super().setUp()
        self.said = []
        before = _events.say
        self.addCleanup(setattr, _events, "say", before)
        _events.say = self.said.append


class Blocks(Quiet, WithBoth):
    def clients(self, *events, **options):
        for client in super().clients(**options):
            self.said.clear()
            self.store.ends_when_idle = True
            for event in events:
                self.store.emit(event)
            yield client

    def statuses(self):
        return [entry.status for entry in self.store.inbox.entries.values()]

    def test_changes_go_with_the_ack_in_one_version(self):
        for client in self.clients({"type": "a", "n": 1}, {"type": "b", "n": 2}):
            seen = []

            def body(event, client=client, seen=seen):
                yield client.patch({"sum": client.state.get("sum", 0) + event["n"]})
                yield event.patch({"by": {event.type: True}})
                yield client.append("log", event.seq)
                yield client.kv.put("k", b"\x00\xff")
                yield client.emit({"type": "c", "n": 0}) if event.type == "a" else client.emit(
                    {"type": "d", "n": 5}
                )
                seen.append((client.state.copy(), client.state["log"], (yield client.kv.get("k"))))
                self.assertNotIn("by", self.store.state.get(event.type, {}))

            self.over(client, body, types=["a", "b"])
            self.assertEqual(
                self.store.state, {"sum": 3, "by": {"a": True, "b": True}, "log": [1, 2]}
            )
            # The list was begun on its own, then there is one version for each event.
            self.assertEqual(self.store.version, 3)
            self.assertEqual(seen[0][0], {"sum": 1, "by": {"a": True}, "log": [1]})
            self.assertEqual(seen[1][1:], ([1, 2], b"\x00\xff"))
            self.assertEqual(client.state, self.store.state)
            self.assertEqual(self.call(client.kv.get("k")), b"\x00\xff")
            self.assertEqual(self.statuses(), ["acked", "acked", "pending", "pending"])
            self.assertEqual(self.said, [])

    def test_an_event_is_a_dict_that_knows_its_circumstances(self):
        for client in self.clients({"type": "a", "id": "x", "source": "s", "deep": {"n": [1]}}):
            event = self.next_event(client)
            self.assertEqual((event["type"], event.type, event.get("zz")), ("a", "a", None))
            self.assertEqual((event.seq, event.attempt, event.last_error), (1, 1, None))
            self.assertEqual((event.id, event.source, event.lease_ms), ("x", "s", None))
            self.assertEqual(json.loads(json.dumps(event)), event)
            self.assertIn("event 1, attempt 1: {'type': 'a'", repr(event))
            with self.assertRaises(TypeError):
                event["deep"]["n"].append(2)
            self.assertIsNone(self.call(event.extend()))
            self.assertEqual(self.call(event.ack({"done": True}, checkpoint="after")), 1)
            self.assertEqual((event.version, self.store.checkpoints[0]["label"]), (1, "after"))
            self.assertIn("acked", repr(event))
            self.fails(RuntimeError, event.ack)
            self.fails(RuntimeError, event.nack)
            self.assertEqual(self.store.checkpoints[0]["state"], {"done": True})

    def test_an_exception_gives_it_back_and_drops_the_changes(self):
        for client in self.clients({"type": "a"}):
            attempts = []

            def body(event, client=client, attempts=attempts):
                attempts.append((event.attempt, event.last_error))
                yield client.patch({"half": True})
                yield client.emit({"type": "b"})
                yield client.kv.put("k", 1)
                if event.attempt < 3:
                    self.assertEqual(client.state, {"half": True})
                    raise ValueError(f"no {event.attempt}")

            self.over(client, body, types=["a"])
            self.assertEqual(
                attempts, [(1, None), (2, "ValueError: no 1"), (3, "ValueError: no 2")]
            )
            self.assertEqual((self.store.state, self.store.version), ({"half": True}, 1))
            self.assertEqual(self.statuses(), ["acked", "pending"])
            self.assertEqual(len(self.said), 2)
            self.assertIn("event 1 (a), attempt 1, failed", self.said[0])
            self.assertIn('raise ValueError(f"no {event.attempt}")', self.said[0])

    def test_state_is_as_before_after_an_exception(self):
        for client in self.clients({"type": "a"}):
            self.call(client.patch({"deep": {"list": [1]}}))

            def body(event, client=client):
                yield client.patch({"deep": {"x": 1}})
                yield client.append("/deep/list", 2)
                yield client.delete("/deep/x")
                self.assertEqual(client.state, {"deep": {"list": [1, 2]}})
                raise KeyError

            event = self.next_event(client)
            self.within(event, body)
            self.assertEqual(client.state, {"deep": {"list": [1]}})
            self.assertEqual(client.state, self.store.state)

    def test_what_is_no_exception_leaves_the_event_held(self):
        for kind in (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError):
            for client in self.clients({"type": "a"}):

                def body(event, client=client, kind=kind):
                    yield client.patch({"n": 1})
                    raise kind

                event = self.next_event(client)
                with self.assertRaises(kind):
                    self.within(event, body)
                self.assertEqual((self.statuses(), self.store.state), (["held"], {}))
                # The next incarnation gets it.
                later = self.begin(type(client))
                self.assertEqual(self.next_event(later).attempt, 2)

    def test_changes_adrt_refuses_are_a_nack(self):
        for client in self.clients({"type": "a"}):

            def body(event, client=client):
                yield client.patch({"n": event.attempt})
                if event.attempt == 1:
                    # Seen to fail here only after somebody else's change.
                    yield client.patch(
                        [{"op": "test", "path": "/n", "value": 1}], format="json"
                    )
                    yield event.patch([{"op": "remove", "path": "/gone"}], format="json")

            self.over(client, body)
            self.assertEqual(self.store.state, {"n": 2})

            self.store.emit({"type": "b"})

            later = self.begin(type(client))

            def guarded(event, later=later):
                yield later.patch({"m": event.attempt}, if_version=99 if event.attempt == 1 else 1)

            self.over(later, guarded)
            self.assertEqual(self.store.state, {"n": 2, "m": 2})
            entry = self.store.inbox.entries[2]
            self.assertIn("VersionConflict", entry.last_error)

    def test_a_failing_call_is_seen_where_it_is_made(self):
        for client in self.clients({"type": "a"}):

            def body(event, client=client):
                with self.assertRaises(PatchFailed):
                    yield client.delete("/nothing")
                with self.assertRaises(NotJson):
                    yield client.patch({"a": {1}})
                with self.assertRaises(ValueError):
                    yield client.patch({"n": 0}, if_version=0)
                    yield client.patch({"n": 0}, if_version=1)
                yield client.patch({"n": 1})

            self.over(client, body)
            self.assertEqual(self.store.state, {"n": 1})

    def test_parked_nacked_and_dead(self):
        for client in self.clients({"type": "a"}, {"type": "b"}, {"type": "c"}, {"type": "d"}):

            def body(event):
                yield event.patch({event.type: event.attempt})
                if event.type == "d":
                    yield event.nack("hopeless", dead=True)
                elif event.attempt == 1:
                    if event.type == "a":
                        yield event.park(event_type="c")
                    elif event.type == "b":
                        yield event.park(after=3600)
                    else:
                        yield event.nack("later", delay=60)

            # c comes in before a is parked, so it takes another one
            self.store.emit({"type": "c"}, delay=1800)
            self.over(client, body)
            self.assertEqual(self.statuses()[:4], ["parked", "acked", "acked", "dead"])
            self.store.emit({"type": "c"})
            client = self.begin(type(client))
            self.over(client, body)
            self.assertEqual(self.statuses()[:4], ["acked", "acked", "acked", "dead"])
            # A parked or nacked event's changes were dropped, the second attempt's weren't.
            self.assertEqual(self.store.state, {"a": 2, "b": 2, "c": 2})
            event = {"seq": 4, "attempt": 1, "patch": {}}
            with self.assertRaises(Exception) as caught:
                self.store.write("event.ack", event, self.store.incarnation)
            self.assertEqual(caught.exception.kind, "stale_attempt")

    def test_events_by_hand(self):
        for client in self.clients({"type": "a"}, {"type": "b"}):
            event = self.next_event(client)
            self.call(event.patch({"n": 1}))
            self.call(event.emit({"type": "c"}))
            self.assertEqual(self.store.state, {})
            self.call(event.ack())
            self.assertEqual(self.store.state, {"n": 1})
            self.fails(ValueError, self.next_event(client).park)

    def test_it_goes_on_after_the_ack(self):
        for client in self.clients({"type": "a"}):

            def body(event, client=client):
                yield client.patch({"n": 1})
                yield event.ack()
                self.assertEqual(self.store.state, {"n": 1})
                yield client.patch({"n": 2})
                self.assertEqual(self.store.state, {"n": 2})
                raise LookupError("nobody to give it back to")

            with self.assertRaises(LookupError):
                self.over(client, body)
            self.assertEqual(self.statuses(), ["acked"])

    def test_one_that_is_lost_is_told_and_no_more(self):
        for client in self.clients({"type": "a"}):

            def body(event, client=client):
                self.store.inbox.let_go(crashed=False)
                yield client.patch({"n": 1})

            event = self.next_event(client)
            self.within(event, body)
            self.assertEqual(self.store.state, {})
            self.assertIn("no longer held", self.said[0])
            self.fails(StaleAttempt, event.extend)

    def test_a_key_stands_for_itself(self):
        for client in self.clients({"type": "a"}):

            def body(event, client=client):
                yield client.patch({"once": True}, key="k")
                self.assertEqual(self.store.state, {"once": True})
                yield client.patch({"n": 1})
                raise ValueError

            self.within(self.next_event(client), body)
            self.assertEqual(self.store.state, {"once": True})

    def test_twice_in_a_block(self):
        for client in self.clients({"type": "a"}):

            def body(event):
                with self.assertRaises(RuntimeError):
                    self.within_sync(event)
                yield event.patch({"n": 1})

            self.within(self.next_event(client), body)

    def within_sync(self, event):
        event._begin()

    def test_emitting(self):
        for client in self.clients():
            first = self.call(client.emit({"type": "a", "id": "1", "source": "x"}))
            again = self.call(client.emit({"type": "a", "id": "1", "source": "x"}))
            self.assertEqual((first.seq, first.duplicate, again.duplicate), (1, False, True))
            sent = self.call(client.emit({"type": "b"}, to="pong", delay=0.5))
            self.assertEqual((sent.outbox_id, sent.seq), (1, None))
            self.assertEqual(self.store.outbox, [{"to": "pong", "event": {"type": "b"}}])
            self.store.peers["ping"] = MemoryStore()
            self.fails(UnknownAgent, client.emit, {"type": "b"}, to="pong")
            self.call(client.emit({"type": "b"}, to="ping"))
            self.assertEqual(len(self.store.peers["ping"].inbox.entries), 1)
            for wrong in ({"no": "type"}, "text", {"type": 5}):
                self.fails(NotJson, client.emit, wrong)
            self.fails(ValueError, client.emit, {"type": "a"}, delay=-1)

    def test_history(self):
        for client in self.clients({"type": "a"}, {"type": "b"}, {"type": "a.x"}):
            self.call(self.next_event(client).ack())
            page = self.call(client.event_history(2))
            self.assertEqual([past.event["type"] for past in page], ["a.x", "b"])
            rest = self.call(client.event_history(2, after=page.next))
            self.assertEqual([(past.status, past.attempt) for past in rest], [("acked", 1)])
            self.assertIsNone(rest.next)
            self.assertEqual(len(self.call(client.event_history(type="a*"))), 2)

    def test_a_full_inbox_is_waited_out(self):
        before = inbox.MAX_WAITING
        self.addCleanup(setattr, inbox, "MAX_WAITING", before)
        for client in self.clients({"type": "a"}, store_timeout=0.15):
            inbox.MAX_WAITING = 1
            self.fails(InboxFull, client.emit, {"type": "b"})
            tries = []

            def make_room(tries=tries):
                tries.append(1)
                inbox.MAX_WAITING = len(tries)

            self.store.before_write = make_room
            self.assertEqual(self.call(client.emit({"type": "b"})).seq, 2)

    def test_types_and_credit(self):
        for client in self.clients({"type": "a.1"}, {"type": "b"}, {"type": "a.2"}):
            self.assertEqual(self.next_event(client, types=["a.*"]).type, "a.1")
            self.assertEqual(self.next_event(client, types=["a.*"], credit=2).type, "a.2")
            self.assertEqual(self.store.inbox.held, 2)
            self.fails(ValueError, self.next_event, client, credit=0)

    def test_asked_for_at_the_start(self):
        for client in self.clients({"type": "a"}, credit=1, types=["a"]):
            self.assertEqual(client.start_info.pending["events"], 0)
            self.store.emit({"type": "b"})
            self.assertEqual(self.next_event(client).type, "a")

    def test_unknown_events(self):
        for client in self.clients({"type": "a"}):
            event = self.next_event(client)
            event.seq = 77
            self.fails(UnknownEvent, event.nack)


class Views(WithBoth):
    def test_somebody_elses_change_shows_through(self):
        for client in self.clients():
            self.store.emit({"type": "a"})
            self.call(client.patch({"mine": {"a": 1}, "theirs": {"b": 1}}))

            def body(event, client=client):
                yield client.patch({"mine": {"a": 2}})
                self.assertEqual(client.state, {"mine": {"a": 2}, "theirs": {"b": 1}})
                yield client.patch({"theirs": {"b": 2}}, key="now")
                self.assertEqual(client.state, {"mine": {"a": 2}, "theirs": {"b": 2}})
                yield client.replace({"new": True})
                self.assertEqual(client.state, {"new": True})
                yield client.patch({"list": None, "n": 1}, format="shallow")
                yield client.patch({"list": []})
                yield client.append("list", 5)
                self.assertEqual(client.state, {"new": True, "list": [5], "n": 1})

            self.within(self.next_event(client), body)
            self.assertEqual(self.store.state, {"new": True, "list": [5], "n": 1})
            self.assertEqual(client.state, self.store.state)
            self.assertEqual(client.version, 3)

    def test_kept_values(self):
        for client in self.clients():
            kv = client.kv
            for key in ("a", "b", "c", "d"):
                self.call(kv.put(key, key.upper()))
            self.store.emit({"type": "a"})

            def body(event, kv=kv):
                yield kv.put("bb", b"\x01")
                yield kv.put("c", {"n": [1]})
                yield kv.delete("d")
                self.assertEqual((yield kv.get("d", "none")), "none")
                whole = [("a", "A"), ("b", "B"), ("bb", b"\x01"), ("c", {"n": [1]})]
                self.assertEqual((yield kv.list()), whole)
                self.assertEqual((yield kv.list(reverse=True, limit=2)), whole[:1:-1])
                self.assertEqual((yield kv.list("b")), whole[1:3])
                self.assertEqual((yield kv.list(after="a", limit=1)), whole[1:2])
                self.assertEqual((yield kv.list(limit=4)), whole)
                self.assertEqual((yield kv.list(ns="other")), [])

            self.within(self.next_event(client), body)
            self.assertEqual(
                self.call(kv.list()), [("a", "A"), ("b", "B"), ("bb", b"\x01"), ("c", {"n": [1]})]
            )
            for n in range(30):
                self.call(kv.put(f"{n:03}", n, ns="many"))
            self.assertEqual(len(self.call(kv.list(ns="many"))), 30)
            self.assertEqual(self.call(kv.list(ns="many", limit=1, reverse=True)), [("029", 29)])
            self.assertIsNone(self.call(kv.get("zz")))
            self.fails(NotJson, kv.put, "x", {1})


class Together(Quiet, unittest.IsolatedAsyncioTestCase):
    """Several events under way at once."""

    async def asyncSetUp(self):
        self.store = MemoryStore()
        self.store.ends_when_idle = True
        self.runtime = Runtime("a", backend=self.store)
        await self.runtime.start()
        self.addAsyncCleanup(self.runtime.stop)

    async def test_each_gathers_its_own(self):
        for n in range(8):
            self.store.emit({"type": "a", "n": n})
        arrived, gate = [], asyncio.Event()

        async def handle(event):
            async with event:
                await self.runtime.patch({f"n{event['n']}": event.attempt})
                await self.runtime.append("log", event["n"])
                arrived.append(event)
                if len(arrived) == 4:  # as many as the credit allows are in the middle
                    self.assertLessEqual(set(self.store.state), {"log"})
                    gate.set()
                await gate.wait()
                mine = [name for name in self.runtime.state if name.startswith("n")]
                self.assertIn(f"n{event['n']}", mine)
                if event["n"] == 2 and event.attempt == 1:
                    raise ValueError

        tasks = [
            asyncio.ensure_future(handle(event))
            async for event in self.runtime.events(credit=4)
        ]
        await asyncio.gather(*tasks)
        self.assertEqual(sorted(self.store.state["log"]), list(range(8)))
        self.assertEqual(self.store.state["n2"], 2)
        self.assertEqual(len([name for name in self.store.state if name.startswith("n")]), 8)

    async def test_several_workers(self):
        for n in range(20):
            self.store.emit({"type": "a", "n": n})
        done = []

        async def worker():
            async for event in self.runtime.events(credit=3):
                async with event:
                    await asyncio.sleep(0)
                    done.append(event["n"])

        await asyncio.gather(*(worker() for _ in range(3)))
        self.assertEqual(sorted(done), list(range(20)))

    async def test_an_event_that_comes_later_and_a_stop_from_outside(self):
        self.store.ends_when_idle = False
        seen = []

        async def work():
            async for event in self.runtime.events():
                async with event:
                    seen.append(event.type)
                    if event.type == "last":
                        self.store.shut_down()

        task = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        threading.Thread(target=self.store.emit, args=({"type": "first"},)).start()
        while not seen:
            await asyncio.sleep(0.001)
        self.store.emit({"type": "last"}, delay=0.01)
        self.store.emit({"type": "never"}, delay=0.01)
        await task
        self.assertEqual(seen, ["first", "last"])
        self.assertIn("pending", [entry.status for entry in self.store.inbox.entries.values()])

    async def test_a_cancelled_block(self):
        self.store.emit({"type": "a"})
        inside = asyncio.Event()

        async def handle():
            async for event in self.runtime.events():
                async with event:
                    inside.set()
                    await asyncio.sleep(60)

        task = asyncio.ensure_future(handle())
        await inside.wait()
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertEqual(self.store.inbox.entries[1].status, "held")
        await self.runtime.patch({"n": 1})
        self.assertEqual(self.store.state, {"n": 1})  # the block is over for this task's heirs

    async def test_stopped_while_it_waits(self):
        self.store.ends_when_idle = False

        async def wait():
            return [event async for event in self.runtime.events()]

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await self.runtime.stop()
        self.assertEqual(await task, [])


class InThreads(Quiet, unittest.TestCase):
    def test_several_go_over_the_same(self):
        store = MemoryStore()
        agent = Agent(backend=store)
        done = []

        def work():
            for event in agent.events(credit=3):
                with event:
                    agent.patch({str(event["n"]): threading.get_ident()})
                    done.append(event["n"])

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for n in range(30):
            store.emit({"type": "a", "n": n})
        store.ends_when_idle = True
        store.emit({"type": "a", "n": 30})
        for thread in threads:
            thread.join(60)
        self.assertEqual(sorted(done), list(range(31)))
        self.assertEqual(len(store.state), 31)
        agent.stop()


if __name__ == "__main__":
    unittest.main()
