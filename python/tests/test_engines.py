"""The engines by themselves, against the tables they were written from."""

import json
import math
import os
import random
import unittest

from adaptive_runtime import ConfidenceEngine, ContextEngine, DecisionEngine, InvalidParams
from adaptive_runtime._confidence import HALF_LIFE_SECONDS, Cell
from adaptive_runtime._rules import BUILT_IN, Rule
from fake_adrt import ROOT

GOLDEN = os.path.join(ROOT, "tests", "golden", "engines.json")
RISKS = ("low", "medium", "high", "critical")
OVERLOAD = {"type": "service_overload", "cpu": 94, "memory": 88, "severity": 0.82}


class Contexts(unittest.TestCase):
    def setUp(self):
        self.engine = ContextEngine()

    def analyze(self, type="x", **signals):
        return self.engine.analyze({"type": type, **signals})

    def test_the_article(self):
        self.assertEqual(
            self.engine.analyze(OVERLOAD).model_dump(),
            {
                "risk": "high",
                "stability": "low",
                "context": "resource_pressure",
                "pressure_score": 0.35 * 0.82 + 0.20 * 0.94 + 0.20 * 0.88,
                "tags": ["risk:high", "event:service_overload", "cpu:high", "memory:high"],
            },
        )

    def test_the_weights(self):
        for signals, pressure in (
            ({}, 0),
            ({"severity": 1}, 0.35),
            ({"cpu": 100}, 0.20),
            ({"memory": 100}, 0.20),
            ({"error_rate": 1}, 0.15),
            ({"latency_ms": 5000}, 0.10),
            ({"latency_ms": 10**9}, 0.10),
            ({"severity": 1, "cpu": 100, "memory": 100, "error_rate": 1, "latency_ms": 5000}, 1),
            ({"severity": None, "cpu": 50}, 0.10),
        ):
            self.assertAlmostEqual(self.analyze(**signals).pressure_score, pressure, 15)

    def test_the_steps_of_risk(self):
        for severity, risk in (
            (0, "low"), (0.49999, "low"), (0.5, "medium"), (0.79999, "medium"), (0.8, "high"),
            (0.94999, "high"), (0.95, "critical"), (1, "critical"),
        ):  # fmt: skip
            self.assertEqual(self.analyze(severity=severity).risk, risk, severity)
        for cpu, memory, error_rate, latency, risk, stability in (
            (74, 100, 0, 0, "low", "stable"),  # .348
            (75, 100, 0, 0, "medium", "stable"),  # .350
            (100, 99, 0, 0, "medium", "stable"),
            (100, 100, 0, 0, "medium", "degraded"),
            (100, 100, 0.9, 3000, "medium", "degraded"),  # .595
            (100, 100, 1, 2500, "high", "degraded"),  # .600
            (100, 100, 1, 5000, "high", "low"),
        ):
            found = self.analyze(cpu=cpu, memory=memory, error_rate=error_rate, latency_ms=latency)
            self.assertEqual((found.risk, found.stability), (risk, stability), found)
        found = self.analyze(severity=0.79, cpu=100, memory=100, error_rate=1, latency_ms=5000)
        self.assertEqual((found.risk, found.stability), ("critical", "critical"))

    def test_a_hair_below_the_step(self):
        # .349 and not .350: each product counts, in this order.
        self.assertEqual(self.analyze(severity=0.74, error_rate=0.6).pressure_score, 0.349)
        self.assertLess(self.analyze(cpu=74.99999999, memory=100).pressure_score, 0.35)

    def test_the_names_of_contexts(self):
        for kind, context in (
            ("service_overload", "resource_pressure"),
            ("memory_leak", "resource_pressure"),
            ("anomaly_detected", "anomaly_signal"),
            ("timeout", "latency_issue"),
            ("auth_failure", "security_signal"),
            ("recovery_needed", "self_healing"),
            ("degraded_service", "service_degradation"),
            ("fire", "unknown_fire"),
            ("", "unknown_"),
        ):
            self.assertEqual(self.analyze(kind).context, context)
        own = ContextEngine(custom_context_map={"fire": "emergency", "timeout": "patience"})
        self.assertEqual(own.analyze({"type": "fire"}).context, "emergency")
        self.assertEqual(own.analyze({"type": "timeout"}).context, "patience")
        self.assertEqual(own.analyze({"type": "memory_leak"}).context, "resource_pressure")
        self.assertRaises(InvalidParams, ContextEngine, {"fire": 5})

    def test_the_tags(self):
        for signals, tags in (
            ({"cpu": 80, "memory": 80, "error_rate": 0.5, "latency_ms": 2000}, []),
            ({"cpu": 80.1}, ["cpu:high"]),
            ({"memory": 81}, ["memory:high"]),
            ({"error_rate": 0.51}, ["errors:elevated"]),
            ({"latency_ms": 2001}, ["latency:high"]),
        ):
            self.assertEqual(self.analyze(**signals).tags[2:], tags)

    def test_nothing_is_guessed(self):
        for name, most in (
            ("severity", 1), ("cpu", 100), ("memory", 100), ("error_rate", 1), ("latency_ms", None),
        ):  # fmt: skip
            bad = ["high", True, [], {}, -0.001, float("nan"), float("inf"), -float("inf"), 10**400]
            if most is not None:
                bad.append(most + 0.001)
            for value in bad:
                with self.assertRaises(InvalidParams) as caught:
                    self.analyze(**{name: value})
                self.assertIn(name, str(caught.exception))
                self.assertEqual(caught.exception.data, {"member": name})
        for event in ({}, {"type": 5}, {"type": None}, None, [], "x"):
            self.assertRaises(InvalidParams, self.engine.analyze, event)


class Confidences(unittest.TestCase):
    def setUp(self):
        self.now = 1_000.0
        self.engine = ConfidenceEngine(clock=lambda: self.now)

    def final(self, risk="high", context=None, event=OVERLOAD):
        return self.engine.calculate(event, risk, context).final

    def test_fresh(self):
        found = self.engine.calculate(OVERLOAD, "high")
        self.assertAlmostEqual(found.base, 0.651 / 0.75, 15)
        self.assertAlmostEqual(found.final, 0.78, 2)
        self.assertEqual((found.context_adjustment, found.decay_factor), (0.9, 1.0))
        self.assertAlmostEqual(found.history_weight, 1, 12)
        self.assertEqual(found.threshold, 0.60)
        self.assertEqual(float(found), found.final)

    def test_the_evidence_is_that_of_the_signals_there_are(self):
        for event, base in (
            ({}, 0.5),
            ({"severity": None}, 0.5),
            ({"severity": 0.3}, 0.3),
            ({"cpu": 40}, 0.4),
            ({"severity": 1, "cpu": 0}, 0.35 / 0.55),
            ({"latency_ms": 50_000}, 1.0),
        ):
            self.assertAlmostEqual(self.engine.calculate(event, "low").base, base, 15)

    def test_caution_threshold_and_bounds_by_risk(self):
        for risk, caution, threshold in (
            ("low", 1, 0.20), ("medium", 0.95, 0.45), ("high", 0.9, 0.6), ("critical", 0.8, 0.75),
        ):  # fmt: skip
            found = self.engine.calculate({"severity": 0.5}, risk)
            self.assertEqual((found.context_adjustment, found.threshold), (caution, threshold))
            self.assertAlmostEqual(found.final, 0.5 * caution, 12)
        self.assertAlmostEqual(self.final("low", event={"severity": 1}), 0.98, 12)
        self.assertAlmostEqual(self.final("low", event={"severity": 0}), 0.02, 12)

    def test_the_environment_raises_the_threshold(self):
        def threshold(risk, environment):
            return self.engine.calculate({}, risk, environment=environment).threshold

        self.assertAlmostEqual(threshold("low", "elevated"), 0.25)
        self.assertAlmostEqual(threshold("medium", "high"), 0.55)
        self.assertAlmostEqual(threshold("high", "critical"), 0.80)
        # The best evidence has .98 · .8 at this risk, which must be enough.
        self.assertAlmostEqual(threshold("critical", "critical"), 0.95 * 0.8)
        self.assertRaises(InvalidParams, threshold, "low", "stormy")

    def test_an_outcome_by_hand(self):
        found = self.engine.calculate(OVERLOAD, "high")
        self.engine.record_outcome(False, call_id=found.call_id)
        q = 0.651 / 0.75 * 0.9
        logit = math.log(q / (1 - q))
        a, b = 1 - 0.03 * q * logit, -0.1 * q
        expected = 1 / (1 + math.exp(-(a * logit + b)))
        after = self.engine.calculate(OVERLOAD, "high")
        self.assertAlmostEqual(after.final, expected, 12)
        self.assertAlmostEqual(after.history_weight, expected / q, 12)
        # Another risk has learnt nothing; a context without outcomes learns from all.
        self.assertAlmostEqual(self.final("low"), 0.651 / 0.75, 12)
        self.assertAlmostEqual(self.final("high", "resource_pressure"), expected, 12)

    def test_a_context_speaks_for_itself_after_five_outcomes(self):
        for n in range(5):
            self.assertEqual(self.final("high", "c"), self.final("high"), n)
            self.engine.record_outcome(
                True, call_id=self.engine.calculate(OVERLOAD, "high", "c").call_id
            )
            self.engine.record_outcome(False, call_id=self.engine.calculate({}, "high").call_id)
        self.assertGreater(self.final("high", "c"), self.final("high"))
        self.assertEqual(self.final("high", "other"), self.final("high"))

    def test_an_outcome_of_a_confidence(self):
        self.engine.record_outcome(success=True, confidence=0.78, context_risk="high")
        by_hand = Cell().learn(math.log(0.78 / 0.22), True, self.now)
        cell = self.engine.cells["*", "high"]
        self.assertAlmostEqual(cell.a, by_hand.a, 12)
        self.assertAlmostEqual(cell.b, by_hand.b, 12)
        for extreme in (0, 1, 0.0001):
            self.engine.record_outcome(True, extreme, "high")
        self.engine.record_outcome(True, self.engine.calculate(OVERLOAD, "high"), "high")

    def test_learning_converges_on_what_is_true(self):
        chance = random.Random(5)
        for _ in range(4000):
            call = self.engine.calculate(OVERLOAD, "high")
            self.engine.record_outcome(chance.random() < 0.3, call_id=call.call_id)
        self.assertAlmostEqual(self.final(), 0.3, 1)
        for _ in range(5000):
            self.engine.record_outcome(True, call_id=self.engine.calculate({}, "low").call_id)
        cell = self.engine.cells["*", "low"]
        self.assertTrue(0.1 <= cell.a <= 3.0)
        self.assertLessEqual(self.engine.calculate({}, "low").final, 0.98)

    def test_forgetting(self):
        self.engine.record_outcome(True, 0.6, "high")
        before = self.engine.cells["*", "high"]
        self.now += HALF_LIFE_SECONDS
        found = self.engine.calculate(OVERLOAD, "high")
        self.assertAlmostEqual(found.decay_factor, 0.5, 12)
        a, b, _ = before.aged(self.now)
        self.assertAlmostEqual(a - 1, (before.a - 1) / 2, 12)
        self.assertAlmostEqual(b, before.b / 2, 12)
        self.now += 1000 * HALF_LIFE_SECONDS
        self.assertAlmostEqual(self.final(), 0.651 / 0.75 * 0.9, 12)
        self.now = 0.0  # a clock that goes back makes nothing younger
        self.assertEqual(self.engine.calculate(OVERLOAD, "high").decay_factor, 1)

    def test_a_call_id_carries_all(self):
        call = self.engine.calculate({"severity": 0.5}, "low", "a.b c")
        self.assertEqual(call.call_id, "c1.low.3fe0000000000000.0000000000000001.a.b c")
        ConfidenceEngine().record_outcome(True, call_id=call.call_id)  # whoever gave it out

    def test_asking_changes_nothing(self):
        self.engine.record_outcome(True, 0.6, "high")
        first = self.final()
        for _ in range(100):
            self.final("high", "c")
        self.assertEqual(self.final(), first)

    def test_what_is_refused(self):
        for arguments in (
            {"success": 1, "confidence": 0.5, "context_risk": "low"},
            {"success": True},
            {"success": True, "confidence": 0.5},
            {"success": True, "confidence": 1.5, "context_risk": "low"},
            {"success": True, "confidence": 0.5, "context_risk": "lowest"},
            {"success": True, "call_id": "x"},
            {"success": True, "call_id": "c1.high.3fe0.0000000000000001."},
            {"success": True, "call_id": "c1.fatal.3fe0000000000000.0000000000000001."},
            {"success": True, "call_id": "c1.high.3ff0000000000000.0000000000000001."},
            {"success": True, "call_id": 5},
        ):
            self.assertRaises(InvalidParams, self.engine.record_outcome, **arguments)
        self.assertRaises(InvalidParams, self.engine.calculate, OVERLOAD, "fatal")
        self.assertRaises(InvalidParams, self.engine.calculate, {"cpu": "x"}, "low")
        self.assertRaises(InvalidParams, ConfidenceEngine, thresholds={"low": 2})


class Decisions(unittest.TestCase):
    TABLE = (
        ("resource_pressure", "critical", 0, "scale_up_immediate", "critical_resource_pressure"),
        ("resource_pressure", "high", 0.80, "scale_up_immediate", "high_resource_pressure_certain"),
        ("resource_pressure", "high", 0.79, "restart_service", "high_resource_pressure"),
        ("resource_pressure", "high", 0.70, "restart_service", "high_resource_pressure"),
        ("resource_pressure", "high", 0.69, "throttle_requests", "resource_pressure_low_confidence"),
        ("resource_pressure", "medium", 0, "optimize_resources", "medium_resource_pressure"),
        ("resource_pressure", "low", 1, "monitor_and_wait", "no_matching_rule"),
        ("anomaly_signal", "critical", 0, "isolate_component", "critical_anomaly"),
        ("anomaly_signal", "high", 0.65, "rollback_deployment", "anomaly_with_confidence"),
        ("anomaly_signal", "high", 0.64, "increase_monitoring", "anomaly_low_confidence"),
        ("anomaly_signal", "medium", 1, "flag_for_review", "anomaly_detected"),
        ("anomaly_signal", "low", 0, "flag_for_review", "anomaly_detected"),
        ("latency_issue", "critical", 0, "optimize_query", "latency_degradation"),
        ("latency_issue", "high", 0, "optimize_query", "latency_degradation"),
        ("latency_issue", "medium", 0, "cache_warmup", "latency_signal"),
        ("security_signal", "low", 0, "trigger_security_audit", "security_event"),
        ("security_signal", "critical", 0, "trigger_security_audit", "security_event"),
        ("self_healing", "high", 0, "run_recovery", "recovery_requested"),
        ("service_degradation", "high", 0, "circuit_breaker_open", "service_degraded_high"),
        ("service_degradation", "critical", 0, "circuit_breaker_open", "service_degraded_high"),
        ("service_degradation", "medium", 0, "health_check", "service_degraded"),
        ("unknown_fire", "critical", 1, "monitor_and_wait", "no_matching_rule"),
    )
    GATES = {
        "never": {"monitor_and_wait", "increase_monitoring", "flag_for_review", "health_check",
                  "cache_warmup"},
        "risk": {"throttle_requests", "scale_up_immediate", "circuit_breaker_open",
                 "optimize_resources", "optimize_query"},
        "full": {"restart_service", "isolate_component", "rollback_deployment",
                 "trigger_security_audit", "run_recovery"},
    }  # fmt: skip

    def decide(self, context, risk, confidence, engine=None, **more):
        return (engine or DecisionEngine()).decide({"type": "x"}, context, risk, confidence, **more)

    def test_the_table(self):
        for context, risk, confidence, action, reason in self.TABLE:
            found = self.decide(context, risk, confidence)
            self.assertEqual((found.action, found.reason), (action, reason))
        for gate, actions in self.GATES.items():
            self.assertEqual({rule.action for rule in BUILT_IN if rule.gate == gate}, actions)

    def test_the_article(self):
        found = DecisionEngine().decide(OVERLOAD, "resource_pressure", "high", 0.78)
        self.assertEqual(
            (found.action, found.priority, found.verdict), ("restart_service", "high", "execute")
        )
        custom_rules = [("my_context", "high", 0.70, "my_action", "my_reason")]
        engine = DecisionEngine(custom_rules=custom_rules)
        self.assertEqual(self.decide("my_context", "high", 0.7, engine).action, "my_action")
        self.assertEqual(self.decide("my_context", "high", 0.69, engine).action, "monitor_and_wait")
        self.assertEqual(self.decide("my_context", "low", 0.7, engine).action, "monitor_and_wait")

    def test_priorities(self):
        for risk, priority in zip(RISKS, ("low", "normal", "high", "critical")):
            self.assertEqual(self.decide("c", risk, 0.5).priority, priority)

    def test_the_gates(self):
        for context, risk, confidence, environment, threshold, verdict in (
            # Who only watches needs no permission.
            ("anomaly_signal", "low", 0, "critical", 0, "execute"),
            # Relief is not held back because the machine needs it.
            ("resource_pressure", "medium", 0.45, "critical", 0.45, "execute"),
            ("resource_pressure", "medium", 0.44, "calm", 0.45, "review"),
            ("self_healing", "low", 0.20, "calm", 0.20, "execute"),
            ("self_healing", "low", 0.19, "calm", 0.20, "review"),
            ("self_healing", "low", 0.24, "elevated", 0.25, "review"),
            ("self_healing", "critical", 0.76, "critical", 0.95 * 0.8, "execute"),
        ):
            found = self.decide(context, risk, confidence, environment=environment)
            self.assertAlmostEqual(found.metadata["threshold"], threshold)
            self.assertEqual(found.verdict, verdict, found)
            self.assertEqual(found.metadata["environment"], environment)

    def test_rules_of_ones_own(self):
        engine = DecisionEngine(
            [
                (None, "high+", 0.5, "page_somebody", "it_is_serious"),
                {"context": "c", "action": "note", "reason": "any_risk", "gate": "never"},
                Rule(None, None, 0.99, "act", "quite_sure"),
            ]
        )
        for context, risk, confidence, action, gate in (
            ("x", "critical", 0.5, "page_somebody", "full"),
            ("x", "high", 0.5, "page_somebody", "full"),
            ("x", "high", 0.4, "monitor_and_wait", "never"),
            ("c", "medium", 0.0, "note", "never"),
            ("x", "low", 0.99, "act", "full"),
            ("self_healing", "low", 0.5, "run_recovery", "full"),
        ):
            found = self.decide(context, risk, confidence, engine)
            self.assertEqual((found.action, found.metadata["gate"]), (action, gate))
        first = self.decide("c", "low", 0, engine, rules=[("c", None, 0, "first", "asked")])
        self.assertEqual(first.action, "first")

    def test_rules_that_are_none(self):
        good = ("c", "high", 0.5, "a", "r")
        for rule in (
            good[:4], (*good, "never", 1), "rule", None, 5, (5, *good[1:]), ("", *good[1:]),
            ("c", "highest", 0.5, "a", "r"), ("c", "+", 0.5, "a", "r"), ("c", "high", 2, "a", "r"),
            ("c", "high", None, "a", "r"), ("c", "high", 0.5, None, "r"), ("c", 3, 0, "a", "r"),
            {"action": "a"}, {"reason": "r"}, {"action": "a", "reason": "r", "gate": "open"},
            {"action": "a", "reason": "r", "colour": "red"},
        ):  # fmt: skip
            with self.assertRaises(InvalidParams) as caught:
                DecisionEngine([good, rule])
            self.assertIn("custom_rules[1]", str(caught.exception))

    def test_what_is_refused(self):
        for arguments in (("c", "fatal", 0.5), ("c", "low", 1.5), ("c", "low", "x"), ("c", "low", None)):
            self.assertRaises(InvalidParams, self.decide, *arguments)
        self.assertRaises(InvalidParams, DecisionEngine().decide, {}, "c", "low", 0.5)
        self.assertRaises(InvalidParams, self.decide, "c", "low", 0.5, environment="wet")
        wet = {"type": "x", "cpu": "wet"}
        self.assertRaises(InvalidParams, DecisionEngine().decide, wet, "c", "low", 0.5)

    def test_a_confidence_as_it_comes_from_calculate(self):
        sure = ConfidenceEngine().calculate(OVERLOAD, "high")
        found = self.decide("resource_pressure", "high", sure)
        self.assertEqual(found.metadata["confidence"], sure.final)

    def test_results(self):
        found = self.decide("c", "low", 0.5)
        self.assertEqual(found, self.decide("c", "low", 0.5))
        self.assertIsNone(found.review_id)
        self.assertEqual(json.loads(json.dumps(found.model_dump()))["action"], "monitor_and_wait")
        self.assertIn("action='monitor_and_wait'", repr(found))


@unittest.skipUnless(os.path.exists(GOLDEN), "the vectors are not there")
class Golden(unittest.TestCase):
    """The vectors of the engines in adrt; how they are made is told in `tests/engines/golden.rs`."""

    @classmethod
    def setUpClass(cls):
        with open(GOLDEN, encoding="utf-8") as file:
            cls.vectors = json.load(file)

    def each(self, part):
        self.assertGreater(len(self.vectors[part]), 0)
        for vector in self.vectors[part]:
            with self.subTest(vector):
                yield vector

    def same(self, found, expected, rounded=()):
        for name, value in expected.items():
            if name in rounded:
                self.assertLessEqual(abs(found[name] - value), 2e-12 * max(abs(value), 1.0), name)
            else:
                self.assertEqual(found[name], value, name)

    def test_analyze(self):
        for vector in self.each("analyze"):
            found = ContextEngine().analyze(vector["event"]).model_dump()
            self.assertEqual(found, vector["result"])

    def test_calculate(self):
        for vector in self.each("calculate"):
            learnt = vector["calibration"]
            engine = ConfidenceEngine(
                clock=lambda learnt=learnt: learnt["age_ms_since_last"] / 1000 if learnt else 0.0
            )
            if learnt is not None:
                cell = Cell(learnt["a"], learnt["b"], learnt["outcomes"], 0.0)
                engine.cells["*", vector["risk"]] = cell
            found = engine.calculate(vector["event"], vector["risk"]).model_dump()
            self.same(found, vector["result"], ("final", "history_weight", "decay_factor"))

    def test_learn(self):
        for vector in self.each("learn"):
            now, cell = 0.0, Cell()
            for outcome in vector["sequence"]:
                now += outcome["elapsed_ms"] / 1000
                q = outcome["q"]
                cell = cell.learn(math.log(q / (1 - q)), outcome["success"], now)
            self.same({"a": cell.a, "b": cell.b}, vector["result"], ("a", "b"))

    def test_decide(self):
        for vector in self.each("decide"):
            found = DecisionEngine().decide(
                {"type": "x"},
                vector["context"],
                vector["risk"],
                vector["confidence"],
                rules=vector.get("rules"),
                environment=vector["environment"],
            ).model_dump()
            self.same({**found, **found["metadata"]}, vector["result"])

    def test_refused(self):
        for vector in self.each("refused"):
            with self.assertRaises(InvalidParams) as caught:
                ContextEngine().analyze(vector["event"])
            self.assertEqual(caught.exception.data, {"member": vector["member"]})


if __name__ == "__main__":
    unittest.main()
