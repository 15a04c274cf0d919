"""The engines in the real adrt, as the clients ask them, and the machine it tells of."""

import json
import os
import unittest

from fake_adrt import PATIENCE
from real_adrt import SEED, RealAdrt

FEW = ["--max-restarts", "3"]
"""An agent that fails its asserts is to end the test."""


class UnderAdrt(RealAdrt):
    """With the real adrt, whose engines are the same arithmetic in another language."""

    def test_it_reckons_as_the_engines_by_themselves_do(self):
        self.run_to_end(
            *self.script(
                f"""
                import random
                from adaptive_runtime import *
                chance = random.Random({SEED})
                types = ("service_overload", "memory_leak", "anomaly_detected", "timeout",
                         "auth_failure", "recovery_needed", "degraded_service", "fire", "é")
                most = {{"severity": 1, "cpu": 100, "memory": 100, "error_rate": 1, "latency_ms": 9000}}
                values = (lambda m: chance.random() * m, lambda m: 0, lambda m: m, lambda m: None,
                          lambda m: round(chance.random() * m, 2))
                rules = [(None, "high+", 0.5, "page_somebody", "serious"),
                         {{"context": "unknown_fire", "action": "run", "reason": "r", "gate": "never"}}]
                agent = Agent()
                contexts, decisions = ContextEngine(), DecisionEngine()
                confidences = ConfidenceEngine(clock=lambda: 0.0)
                def alike(one, other, *names):
                    for name in names:
                        a, b = getattr(one, name), getattr(other, name)
                        near = not isinstance(a, str) and abs(a - b) < 1e-4
                        assert a == b or near, (name, one, other)
                for n in range(300):
                    event = {{"type": chance.choice(types)}}
                    for name, limit in most.items():
                        if chance.random() < 0.7:
                            event[name] = chance.choice(values)(limit)
                    context = agent.context_engine.analyze(event)
                    assert context == contexts.analyze(event), (context, event)
                    given = chance.choice((None, context.context))
                    sure = agent.confidence_engine.calculate(event, context.risk, given)
                    same = confidences.calculate(event, context.risk, given)
                    alike(sure, same, "final", "base", "context_adjustment", "history_weight",
                          "threshold")
                    assert sure.decay_factor > 0.99
                    own = chance.choice((None, rules))
                    decided = agent.decision_engine.decide(
                        event, context.context, context.risk, sure, rules=own)
                    expected = decisions.decide(
                        event, context.context, context.risk, sure, rules=own)
                    alike(decided, expected, "action", "reason", "priority", "verdict")
                    alike(Decision(decided.metadata), Decision(expected.metadata),
                          "gate", "threshold", "confidence", "environment")
                    success = chance.random() < 0.6
                    if n % 3 == 0:
                        agent.confidence_engine.record_outcome(success, call_id=sure.call_id)
                        confidences.record_outcome(success, call_id=same.call_id)
                    elif n % 3 == 1:
                        told = round(sure.final, 6)
                        agent.confidence_engine.record_outcome(success, told, context.risk, given)
                        confidences.record_outcome(success, told, context.risk, given)
                agent.finish()
                """
            ),
            options=FEW,
        )

    def test_what_is_refused(self):
        self.run_to_end(
            *self.script(
                """
                from adaptive_runtime import *
                agent = Agent()
                def refused(call, *args, **options):
                    try: call(*args, **options)
                    except InvalidParams as error: return error
                    raise AssertionError(args)
                for name, value in (("cpu", "high"), ("severity", 1.1), ("memory", True),
                                    ("error_rate", -1), ("latency_ms", [])):
                    for call in (agent.context_engine.analyze, agent.process):
                        error = refused(call, {"type": "a", name: value})
                        assert error.data["member"] == name, error
                refused(agent.confidence_engine.calculate, {"cpu": 101}, "low")
                refused(agent.decision_engine.decide, {"type": "a"}, "c", "low", 1.5)
                assert len(agent.event_history()) == 0
                agent.confidence_engine.record_outcome(True, decision_id=12345)
                agent.patch({"heard": True})
                agent.finish()
                """
            ),
            options=FEW,
        )

    def test_processing(self):
        command = self.script(
            """
            import asyncio, os
            from adaptive_runtime import Runtime
            EVENTS = [
                {"type": "service_overload", "severity": 0.91, "cpu": 96, "memory": 92},
                {"type": "fire", "severity": 0.96},
            ]
            async def main():
                async with Runtime(checkpoint_every=2) as runtime:
                    first = runtime.start_info.incarnation == 1
                    results = [await runtime.process(e, key=str(n)) for n, e in enumerate(EVENTS)]
                    assert [r.action for r in results] == ["scale_up_immediate", "monitor_and_wait"]
                    assert [r.decision_id for r in results] == [1, 2], results
                    assert results[1].checkpoint_created, results
                    assert len(await runtime.event_history()) == 2 or not first
                    await runtime.emit({"type": "auth_failure", "severity": 0.55}, key="emitted")
                    async for event in runtime.events():
                        async with event:
                            result = await event.process()
                            assert (result.decision_id, result.action) == (
                                3, "trigger_security_audit"), result
                            again = await event.process()
                            assert again == result, (again, result)
                            if first:
                                os.kill(os.getpid(), 9)
                        break
                    summary = runtime.metrics_summary()
                    assert summary["restarts"] == 1 and summary["events_processed"] == 3, summary
                    await runtime.finish()
            asyncio.run(main())
            """
        )
        self.run_to_end(*command, options=FEW)
        self.assertEqual(len(json.loads(self.adrt("decisions", "list", "agent", "--json"))), 3)

    def test_what_was_learnt_stays(self):
        command = self.script(
            """
            import os
            from adaptive_runtime import Agent
            with Agent() as agent:
                event, engine = {"type": "timeout", "severity": 0.45}, agent.confidence_engine
                found = engine.calculate(event, "low", "latency_issue").final
                if agent.start_info.incarnation == 1:
                    assert abs(found - 0.45) < 1e-9, found
                    for _ in range(20):
                        result = agent.process(event)
                        engine.record_outcome(False, decision_id=result.decision_id)
                    agent.patch({"learnt": engine.calculate(event, "low", "latency_issue").final})
                    os.kill(os.getpid(), 9)
                assert found < 0.3, found
                assert abs(found - agent.state["learnt"]) < 1e-4, (found, agent.state)
                agent.finish()
            """
        )
        self.run_to_end(*command, options=FEW)

    def test_a_review_of_a_decision(self):
        process = self.start(
            *self.script(
                """
                from adaptive_runtime import Agent
                with Agent() as agent:
                    event = {"type": "auth_failure", "severity": 0.5, "cpu": 0, "memory": 0,
                             "error_rate": 0, "latency_ms": 0}
                    result = agent.process(event)
                    assert result.verdict == "review" and result.review_id, result
                    answer = agent.review("Do it?", decision=result)
                    assert answer.approved and answer.id == result.review_id, answer
                    agent.confidence_engine.record_outcome(True, decision_id=result.decision_id)
                    agent.finish()
                """
            )
        )
        self.wait_for(lambda: self.has("state/agent/db/adrt.db") and self.asked(), process)
        [review] = self.asked()
        self.adrt("reviews", "approve", "agent", str(review["id"]))
        _, err = process.communicate(timeout=PATIENCE)
        self.assertEqual((process.returncode, "refused" in err), (0, False), err)

    def asked(self):
        listed = json.loads(self.adrt("reviews", "list", "agent", "--json"))
        # Asked in the agent's words, once it asks.
        return [review for review in listed if review["prompt"] == "Do it?"]

    def test_the_environment(self):
        machine = os.path.join(self.dir, "machine", "proc")
        os.makedirs(machine)

        def uses_memory(percent):
            with open(os.path.join(machine, "new"), "w") as file:
                file.write(f"MemTotal: 100000 kB\nMemAvailable: {1000 * (100 - percent)} kB\n")
            os.rename(os.path.join(machine, "new"), os.path.join(machine, "meminfo"))

        for kind, source in (
            (
                "Agent",
                """
                from adaptive_runtime import Agent
                with Agent() as agent:
                    assert agent.environment.level == "calm"
                    seen = []
                    agent.environment.on_change(lambda e: seen.append(e.level))
                    usual = agent.confidence_engine.calculate({}, "low").threshold
                    open("up", "w").close()
                    while agent.environment.level != "critical":  # it rises step by step
                        agent.sleep(0.01)
                    agent.patch({})
                    assert seen[-1] == "critical", seen
                    assert agent.environment.signals["memory"] > 0.95
                    raised = agent.confidence_engine.calculate({}, "low").threshold
                    assert abs(raised - usual - 0.20) < 1e-9, raised
                    assert not agent.environment.wait_below("high", timeout=0.01)
                    agent.finish()
                """,
            ),
            (
                "Runtime",
                """
                import asyncio
                from adaptive_runtime import Runtime
                async def main():
                    async with Runtime() as runtime:
                        seen = asyncio.Event()
                        @runtime.environment.on_change
                        async def changed(environment):
                            if environment.level == "critical":
                                seen.set()
                        open("up", "w").close()
                        await seen.wait()
                        assert runtime.environment.level == "critical"
                        assert not await runtime.environment.wait_below("high", timeout=0.01)
                        await runtime.finish()
                asyncio.run(main())
                """,
            ),
        ):
            with self.subTest(kind):
                # At first there is nothing to see: what is seen first counts at once.
                if os.path.exists(os.path.join(machine, "meminfo")):
                    os.unlink(os.path.join(machine, "meminfo"))
                options = ["--sensors-root", os.path.dirname(machine), "--sensors-every", "10ms", *FEW]
                process = self.start(*self.script(source), name=kind, options=options)
                self.wait_for(lambda: self.has("up"), process)
                os.unlink(os.path.join(self.dir, "up"))
                uses_memory(97)
                told = process.communicate(timeout=PATIENCE)
                self.assertEqual(process.returncode, 0, told)


if __name__ == "__main__":
    unittest.main()
