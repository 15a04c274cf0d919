"""What both clients make of the engines and the environment, on the memory backend."""

import asyncio
import threading
import unittest

from adaptive_runtime import (
    Agent,
    Context,
    Decision,
    InvalidParams,
    KeyReused,
    NotConnected,
    NotJson,
    Runtime,
    _bus,
)
from adaptive_runtime._memory import MemoryStore
from both import WithBoth
from test_events import Quiet

OVERLOAD = {"type": "service_overload", "severity": 0.91, "cpu": 96, "memory": 92}
FIVE = (
    (OVERLOAD, "high", "scale_up_immediate"),
    ({"type": "anomaly_detected", "severity": 0.74, "error_rate": 0.6}, "normal", "flag_for_review"),
    ({"type": "auth_failure", "severity": 0.55}, "normal", "trigger_security_audit"),
    ({"type": "timeout", "severity": 0.45, "latency_ms": 4200}, "low", "cache_warmup"),
    ({"type": "recovery_needed", "severity": 0.30}, "low", "run_recovery"),
)
DOUBTFUL = {"type": "auth_failure", "severity": 0.0, "cpu": 100, "memory": 100, "error_rate": 1}
"""Medium risk, and less confidence than that asks for once a signal is 0."""


class Engines(Quiet, WithBoth):
    def test_each_by_itself(self):
        for client in self.clients():
            # Not awaited, also on Runtime, and also within its loop.
            for ask in (self.plainly, self.within_the_loop):
                found = ask(lambda c: c.context_engine.analyze(OVERLOAD), client)
                self.assertIsInstance(found, Context)
                self.assertEqual((found.risk, found.context), ("high", "resource_pressure"))
                sure = ask(
                    lambda c: c.confidence_engine.calculate(OVERLOAD, context_risk="high"), client
                )
                self.assertAlmostEqual(float(sure), 0.8334)
                for confidence in (0.78, 1, sure):
                    decided = ask(
                        lambda c, confidence=confidence: c.decision_engine.decide(
                            OVERLOAD, "resource_pressure", "high", confidence
                        ),
                        client,
                    )
                    self.assertIsInstance(decided, Decision)
                self.assertEqual(decided.action, "scale_up_immediate")
                own = [("c", "high+", 0, "mine", "because")]
                decided = ask(
                    lambda c, own=own: c.decision_engine.decide(OVERLOAD, "c", "critical", 0, rules=own),
                    client,
                )
                self.assertEqual((decided.action, decided.verdict), ("mine", "review"))
            self.assertEqual(self.store.version, 0)

    def plainly(self, ask, client):
        return ask(client)

    def within_the_loop(self, ask, client):
        async def within():
            return ask(client)

        return self.loop.run_until_complete(within())

    def test_what_is_refused(self):
        for client in self.clients():
            self.fails(InvalidParams, client.context_engine.analyze, {"type": "a", "cpu": "high"})
            self.fails(NotJson, client.context_engine.analyze, {"cpu": 5})
            self.fails(NotJson, client.confidence_engine.calculate, [], "low")
            self.fails(InvalidParams, client.confidence_engine.calculate, {}, "lowest")
            self.fails(InvalidParams, client.confidence_engine.calculate, {"cpu": 101}, "low")
            decide = client.decision_engine.decide
            self.fails(InvalidParams, decide, OVERLOAD, "c", "low", 0.5, rules=[("c", "low")])
            self.fails(InvalidParams, decide, OVERLOAD, "c", "low", 2)
            self.fails(InvalidParams, decide, OVERLOAD, "c", "none", 0.5)
            record = client.confidence_engine.record_outcome
            self.fails(InvalidParams, record, 1, 0.5, "low")
            self.fails(InvalidParams, record, True)
            self.fails(InvalidParams, record, True, 0.5)
            self.fails(InvalidParams, record, True, 0.5, "low", call_id="x")
            self.fails(NotJson, client.process, {"n": 1})
            self.fails(InvalidParams, client.process, {"type": "a", "severity": -1})
            self.assertEqual(len(self.store.inbox.entries), 0)

    def test_outcomes_teach_once(self):
        for client in self.clients():
            engine = client.confidence_engine
            first = engine.calculate(OVERLOAD, "high")
            for _ in range(3):
                engine.record_outcome(False, call_id=first.call_id)
            second = engine.calculate(OVERLOAD, "high")
            self.assertLess(second.final, first.final)
            self.assertEqual(self.store.engines.confidence.cells["*", "high"].outcomes, 1)
            decided = client.decision_engine.decide(OVERLOAD, "resource_pressure", "high", 0.78)
            for _ in range(2):
                engine.record_outcome(success=True, decision_id=decided.decision_id)
            engine.record_outcome(success=True, confidence=0.78, context_risk="high")
            engine.record_outcome(success=True, confidence=second, context_risk="high", context="c")
            self.call(client.process({"type": "x"}))  # what was said before has been heard
            cells = self.store.engines.confidence.cells
            self.assertEqual(cells["*", "high"].outcomes, 4)
            self.assertEqual(cells["resource_pressure", "high"].outcomes, 1)
            self.assertEqual(cells["c", "high"].outcomes, 1)

    def test_an_outcome_that_is_refused_is_said(self):
        said = []
        from adaptive_runtime import _agent_engines, _runtime_engines

        for module in (_agent_engines, _runtime_engines):
            self.addCleanup(setattr, module, "say", module.say)
            module.say = said.append
        for client in self.clients():
            said.clear()
            client.confidence_engine.record_outcome(True, decision_id=77)
            self.call(client.process({"type": "x"}))
            self.assertEqual(len(said), 1)
            self.assertIn("confidence.record_outcome was refused: there is no decision 77", said[0])

    def test_from_another_thread(self):
        for client in self.clients():
            found = []

            def ask(client=client, found=found):
                found.append(client.context_engine.analyze(OVERLOAD).risk)
                client.confidence_engine.record_outcome(True, 0.5, "high")
                found.append(client.decision_engine.decide(OVERLOAD, "c", "low", 1).priority)

            async def beside(ask=ask):
                await asyncio.get_running_loop().run_in_executor(None, ask)

            if isinstance(client, Agent):
                thread = threading.Thread(target=ask)
                thread.start()
                thread.join()
            else:
                self.loop.run_until_complete(beside())
                self.call(client.process({"type": "x"}))
            self.assertEqual(found, ["high", "low"])
            self.assertEqual(self.store.engines.confidence.cells["*", "high"].outcomes, 1)

    def test_before_the_start(self):
        runtime = Runtime(backend="memory")
        self.fails(NotConnected, runtime.context_engine.analyze, OVERLOAD)
        self.fails(NotConnected, runtime.process, OVERLOAD)
        self.fails(NotConnected, lambda: runtime.environment.level)
        self.assertEqual(runtime.metrics_summary()["events_processed"], 0)


class Processing(Quiet, WithBoth):
    def test_the_five_of_the_article(self):
        for client in self.clients(checkpoint_every=5):
            handled = []
            client.bus.subscribe_all(lambda event, handled=handled: handled.append(event))
            for event, priority, action in FIVE:
                result = self.call(client.process(event))
                self.assertEqual((result.priority, result.action), (priority, action))
                self.assertEqual((result.event_type, result.verdict), (event["type"], "execute"))
                self.assertTrue(result.state_persisted)
                self.assertEqual(result.checkpoint_created, event is FIVE[4][0])
            self.assertEqual(result.context.risk, "low")
            self.assertEqual(result.model_dump()["context"]["context"], "self_healing")
            self.assertIn("action='run_recovery'", repr(result))
            self.call(client.bus.drain()) if isinstance(client, Runtime) else None
            self.assertEqual(handled, [event for event, _, _ in FIVE])
            history = self.call(client.event_history(limit=5))
            self.assertEqual([past.event for past in history], [e for e, _, _ in FIVE[::-1]])
            self.assertEqual({past.status for past in history}, {"acked"})
            self.assertEqual(len(self.call(client.checkpoints())), 1)

    def test_with_a_key_it_is_processed_once(self):
        for client in self.clients():
            first = self.call(client.process(OVERLOAD, key="k"))
            self.assertEqual(self.call(client.process(OVERLOAD, key="k")), first)
            self.fails(KeyReused, client.process, {"type": "x"}, key="k")
            self.assertEqual(len(self.store.inbox.entries), 1)

    def test_an_event_that_was_handed_out(self):
        for client in self.clients():
            self.store.emit(OVERLOAD)
            handled, results = [], []
            client.bus.subscribe_all(lambda event, handled=handled: handled.append(event))

            def body(event, client=client, results=results, handled=handled):
                results.append((yield event.process()))
                results.append((yield client.process(event)))
                self.assertEqual(handled, [])
                if event.attempt == 1:
                    raise ValueError

            self.store.ends_when_idle = True
            self.over(client, body)
            self.call(client.bus.drain()) if isinstance(client, Runtime) else None
            self.assertEqual([result.action for result in results], ["scale_up_immediate"] * 4)
            self.assertEqual({result.decision_id for result in results}, {1})
            self.assertEqual(handled, [OVERLOAD])
            self.assertEqual(len(self.store.inbox.entries), 1)

    def test_within_a_block_it_stands_for_itself(self):
        for client in self.clients():
            self.store.emit({"type": "a"})

            def body(event, client=client):
                yield client.patch({"n": 1})
                yield client.process(OVERLOAD)
                raise ValueError

            self.within(self.next_event(client), body)
            self.assertEqual([e.status for e in self.store.inbox.entries.values()], ["pending", "acked"])
            self.assertEqual(self.store.state, {})

    def test_an_outcome_is_told_once(self):
        said = []
        from adaptive_runtime import _agent_engines, _runtime_engines

        for module in (_agent_engines, _runtime_engines):
            self.addCleanup(setattr, module, "say", module.say)
            module.say = said.append
        for client in self.clients():
            said.clear()
            result = self.call(client.process(OVERLOAD))
            for success in (True, True, False):
                client.confidence_engine.record_outcome(success, decision_id=result.decision_id)
            self.call(client.patch({}))
            self.assertEqual(len(said), 1)
            self.assertIn("another outcome", said[0])

    def test_one_of_a_source_and_id_is_processed_once(self):
        for client in self.clients():
            event = {**OVERLOAD, "source": "s", "id": "1"}
            first = self.call(client.process(event))
            again = self.call(client.process({**event, "severity": 0.0}))
            self.assertEqual((again.decision_id, again.seq), (first.decision_id, first.seq))
            self.assertEqual(len(self.store.inbox.entries), 1)

    def test_a_verdict_of_review(self):
        for client in self.clients():
            result = self.call(client.process(DOUBTFUL))
            if result.verdict == "execute":  # the evidence of zeros counts, too
                self.store.set_environment("critical")
                result = self.call(client.process({**DOUBTFUL, "latency_ms": 0}))
            self.assertEqual((result.verdict, result.review_id), ("review", 1))
            again = self.call(client.process({**DOUBTFUL, "latency_ms": 0}))
            self.assertEqual(again.review_id, 1)
            self.assertEqual(self.store.reviews.all[1]["count"], 2)

    def test_the_summary(self):
        for client in self.clients(agent_id="me", checkpoint_every=2):
            self.assertIsNone(client.metrics_summary()["average_confidence"])
            results = [self.call(client.process(event)) for event, _, _ in FIVE]
            self.call(client.patch({"n": 1}))
            self.call(client.checkpoint("mine"))
            summary = client.metrics_summary()
            self.assertGreaterEqual(summary.pop("uptime_seconds"), 0)
            mean = sum(result.confidence for result in results) / 5
            self.assertAlmostEqual(summary.pop("average_confidence"), mean)
            self.assertEqual(
                summary,
                {
                    "agent": "me",
                    "events_processed": 5,
                    "by_type": {event["type"]: 1 for event, _, _ in FIVE},
                    "by_action": {action: 1 for _, _, action in FIVE},
                    "by_priority": {"high": 1, "normal": 2, "low": 2},
                    "by_verdict": {"execute": 5},
                    "checkpoints": 3,
                    "state_version": 1,
                    "environment": "calm",
                    "restarts": 0,
                    "crashes_in_row": 0,
                },
            )
            self.call(client.stop())
            self.assertEqual(client.metrics_summary(), client.metrics_summary())
            self.assertEqual(client.metrics_summary()["events_processed"], 5)

    def test_the_summary_does_not_grow_for_ever(self):
        from adaptive_runtime import _metrics

        self.addCleanup(setattr, _metrics, "NAMES_KEPT", _metrics.NAMES_KEPT)
        _metrics.NAMES_KEPT = 3
        for client in self.clients():
            for n in range(10):
                self.call(client.process({"type": f"t{n}"}))
            by_type = client.metrics_summary()["by_type"]
            self.assertEqual(by_type, {"t0": 1, "t1": 1, "t2": 1, "…": 7})

    def test_recover(self):
        for client in self.clients():
            self.call(client.patch({"n": 1}))
            self.call(client.checkpoint())
            self.call(client.patch({"n": 2}))
            recovered = self.call(client.recover())
            self.assertEqual(recovered, {"n": 2})
            recovered["mine"] = True
            self.assertEqual(client.state, {"n": 2})


class Order(unittest.IsolatedAsyncioTestCase):
    async def test_the_callers_line_comes_before_the_handlers(self):
        async with Runtime("a", backend=MemoryStore()) as runtime:
            said = []

            @runtime.bus.subscribe("anomaly_detected")
            async def on_anomaly(event):
                said.append(f"handler {event['severity']}")

            for event, _, _ in FIVE:
                result = await runtime.process(event)
                said.append(result.action)
            self.assertEqual(
                said[:3], ["scale_up_immediate", "flag_for_review", "handler 0.74"]
            )

    async def test_a_handler_that_asks_the_engines(self):
        async with Runtime("a", backend=MemoryStore()) as runtime:
            risks = []

            @runtime.bus.subscribe_all
            def handler(event):
                risks.append(runtime.context_engine.analyze(event).risk)

            pending = [runtime.process(event) for event, _, _ in FIVE]
            await asyncio.gather(*pending)
        self.assertEqual(risks, ["high", "medium", "medium", "low", "low"])


class Environments(WithBoth):
    def test_it_is_live(self):
        for client in self.clients():
            environment = client.environment
            self.assertEqual((environment.level, environment.score), ("calm", 0.0))
            self.assertTrue(environment.is_below("elevated"))
            self.store.set_environment("high", 0.7, {"cpu": 0.9})
            self.call(client.patch({}))
            self.assertEqual((environment.level, environment.score), ("high", 0.7))
            self.assertEqual(environment.signals, {"cpu": 0.9})
            self.assertFalse(environment.is_below("high"))
            self.assertEqual(repr(environment), "<environment high, 0.70>")
            sure = client.confidence_engine.calculate({}, "low")
            self.assertAlmostEqual(sure.threshold, 0.30)
            self.call(client.stop())
            client = self.begin(type(client))
            self.assertEqual(client.environment.level, "high")

    def test_waiting_for_calm(self):
        for client in self.clients():
            for level in ("calm", "wet", "", None):
                self.fails(ValueError, client.environment.wait_below, level)
            self.assertTrue(self.call(client.environment.wait_below("elevated")))
            self.store.set_environment("critical", 1.0)
            self.assertFalse(self.call(client.environment.wait_below("high", timeout=0)))
            self.assertFalse(self.call(client.environment.wait_below("high", timeout=0.01)))
            store = self.store
            changes = iter(("high", "critical", "elevated"))

            def change(changes=changes, store=store):
                for level in changes:
                    store.set_environment(level)

            thread = threading.Thread(target=change)
            thread.start()
            self.assertTrue(self.call(client.environment.wait_below("high")))
            thread.join()
            self.assertEqual(client.environment.level, "elevated")

    def test_a_stop_ends_the_waiting(self):
        for client in self.clients():
            self.store.set_environment("critical")
            threading.Thread(target=self.store.shut_down).start()
            self.assertFalse(self.call(client.environment.wait_below("high")))

    def test_handlers_of_changes(self):
        said = []
        self.addCleanup(setattr, _bus, "say", _bus.say)
        _bus.say = said.append
        for client in self.clients():
            seen = []

            @client.environment.on_change
            def handler(environment, seen=seen, client=client):
                seen.append(environment.level)
                client.context_engine.analyze(OVERLOAD)  # a call of its own is fine

            @client.environment.on_change
            def fails(environment):
                raise ValueError

            self.assertRaises(TypeError, client.environment.on_change, 5)
            for level in ("elevated", "elevated", "high"):
                self.store.set_environment(level)
                self.call(client.patch({}))
            self.call(client.bus.drain()) if isinstance(client, Runtime) else None
            self.assertEqual(seen, ["elevated", "high"])
            self.assertIn("fails failed on the environment's being high", said[-1])

    def test_handlers_are_called_while_events_are_waited_for(self):
        for client in self.clients():
            seen = []

            @client.environment.on_change
            def handler(environment, seen=seen):
                seen.append(environment.level)
                self.store.emit({"type": "a"})

            thread = threading.Thread(target=self.store.set_environment, args=("high",))
            thread.start()
            self.next_event(client)
            thread.join()
            self.assertEqual(seen, ["high"])

    def test_asynchronous_handlers(self):
        async def main():
            store, seen = MemoryStore(), []
            async with Runtime("a", backend=store) as runtime:

                @runtime.environment.on_change
                async def handler(environment):
                    await runtime.patch({"level": environment.level})
                    seen.append(environment.level)

                store.set_environment("high")
                await runtime.environment.wait_below("critical")
                await runtime.patch({})
            self.assertEqual((seen, store.state), (["high"], {"level": "high"}))

        self.loop.run_until_complete(main())


if __name__ == "__main__":
    unittest.main()
