"""The article that adrt grew out of: its program and its snippets, word for word.

`monitor.py` and the snippets are as they stand there, but for the indentation
that the page has lost. Run in three places: alone in memory, with a stand-in
for adrt, and with the real one, above and below the program.
"""

import json
import subprocess
import sys
import unittest

from adaptive_runtime._memory import MemoryStore
from fake_adrt import PATIENCE, FakeAdrt, clean_environment
from real_adrt import RealAdrt

MONITOR = '''
import asyncio
from adaptive_runtime import Runtime
async def monitor():
    runtime = Runtime(
        agent_id="prod-monitor",
        checkpoint_every=5 # 每5个事件创建一次 checkpoint
    )
    # 订阅关键事件
    @runtime.bus.subscribe("anomaly_detected")
    async def on_anomaly(event):
        print(f" ⚠ 异常处理触发 — severity={event['severity']}")
    await runtime.start()
    # 模拟真实生产事件序列
    events = [
        {"type": "service_overload", "severity": 0.91, "cpu": 96, "memory": 92},
        {"type": "anomaly_detected", "severity": 0.74, "error_rate": 0.6},
        {"type": "auth_failure", "severity": 0.55},
        {"type": "timeout", "severity": 0.45, "latency_ms": 4200},
        {"type": "recovery_needed", "severity": 0.30},
    ]
    for event in events:
        result = await runtime.process(event)
        print(f" [{result.priority.upper()}] {event['type']:25s} → {result.action}")
    # Runtime 会跨会话记住所有事件
    history = await runtime.event_history(limit=5)
    print(f"\\n 最近 {len(history)} 个事件已被记住")
    await runtime.stop()
asyncio.run(monitor())
'''

PRINTED = """\
 [HIGH] service_overload          → scale_up_immediate
 [NORMAL] anomaly_detected          → flag_for_review
 ⚠ 异常处理触发 — severity=0.74
 [NORMAL] auth_failure              → trigger_security_audit
 [LOW] timeout                   → cache_warmup
 [LOW] recovery_needed           → run_recovery

 最近 5 个事件已被记住
"""

SNIPPETS = '''
import asyncio

async def main():
    event = {"type": "service_overload", "severity": 0.82, "cpu": 94, "memory": 88}
    tries = []
    def fn():
        tries.append(1)
        raise OSError
    async def fallback_fn():
        return "fell back"

    # 1
    from adaptive_runtime import Runtime
    runtime = Runtime(agent_id="my-agent")
    await runtime.start()
    await runtime.state_engine.save_state({"health": "ok", "version": "1.2"})
    state = await runtime.state_engine.load_state()
    await runtime.state_engine.patch_state({"last_event": "health_check"})
    assert state == {"health": "ok", "version": "1.2"}, state
    assert runtime.state_engine.current == {**state, "last_event": "health_check"}

    # 2
    ctx = runtime.context_engine.analyze({
        "type": "service_overload",
        "cpu": 94,
        "memory": 88,
        "severity": 0.82,
    })
    assert (ctx.risk, ctx.stability, round(ctx.pressure_score, 2)) == ("high", "low", 0.65), ctx

    # 3
    conf = runtime.confidence_engine.calculate(event, context_risk="high")
    runtime.confidence_engine.record_outcome(
        success=True, confidence=0.78, context_risk="high"
    )
    assert round(conf.final, 2) == 0.78, conf
    assert runtime.confidence_engine.calculate(event, "high").final > conf.final

    # 4
    decision = runtime.decision_engine.decide(event, "resource_pressure", "high", 0.78)
    assert (decision.action, decision.priority) == ("restart_service", "high"), decision
    from adaptive_runtime import DecisionEngine
    custom_rules = [("my_context", "high", 0.70, "my_action", "my_reason")]
    engine = DecisionEngine(custom_rules=custom_rules)
    assert engine.decide(event, "my_context", "high", 0.78).action == "my_action"

    # 5
    recovery_engine = runtime.recovery_engine
    recovery_engine.base_delay = 0.001
    await runtime.recovery_engine.create_checkpoint(state) # 创建恢复点
    state = await runtime.recovery_engine.restore_latest() # 崩溃后恢复
    result = await recovery_engine.retry(fn, fallback=fallback_fn) # 退避重试
    assert state == {"health": "ok", "version": "1.2", "last_event": "health_check"}, state
    assert (result, len(tries)) == ("fell back", 3), (result, tries)

    # What it names besides.
    assert await runtime.recover() == state
    assert runtime.metrics_summary()["checkpoints"] == 1
    await runtime.bus.publish(event)
    assert ctx.model_dump()["context"] == "resource_pressure"
    await runtime.state_engine.reset_state()
    assert await runtime.state_engine.load_state() == {}
    await runtime.stop()
    print("all of it")

asyncio.run(main())
'''


class Alone(unittest.TestCase):
    def run_it(self, source):
        done = subprocess.run(
            [sys.executable, "-c", source],
            env=clean_environment(ADRT="off", PYTHONIOENCODING="utf-8"),
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertEqual(done.stderr.count(b"RuntimeWarning"), 1, done.stderr)
        return done.stdout.decode()

    def test_the_program(self):
        self.assertEqual(self.run_it(MONITOR), PRINTED)

    def test_the_snippets(self):
        self.assertEqual(self.run_it(SNIPPETS), "all of it\n")


class WithAStandIn(unittest.TestCase):
    def test_the_program_and_what_it_remembers(self):
        store = MemoryStore()
        for times in (1, 2):
            with FakeAdrt(MONITOR, store, environment={"PYTHONIOENCODING": "utf-8"}) as agent:
                agent.run()
                self.assertEqual((agent.code, agent.errors), (0, ""), agent.told())
                self.assertEqual(agent.stdout, PRINTED)
            self.assertEqual(len(store.inbox.entries), 5 * times)
            self.assertEqual(len(store.checkpoints), times)

    def test_the_snippets(self):
        with FakeAdrt(SNIPPETS) as agent:
            agent.run()
            self.assertEqual((agent.code, agent.stdout), (0, "all of it\n"), agent.told())


class UnderAdrt(RealAdrt):
    def test_the_program(self):
        command = self.script(MONITOR, "monitor.py")
        for times in (1, 2):
            out, err = self.run_to_end(*command, name="prod-monitor")
            self.assertEqual(out, PRINTED, err)
            self.assertNotIn("Traceback", err)
            listed = json.loads(self.adrt("events", "list", "prod-monitor", "--json"))
            self.assertEqual(len(listed), 5 * times)
            checkpoints = json.loads(self.adrt("checkpoints", "list", "prod-monitor", "--json"))
            self.assertGreaterEqual(len(checkpoints), times)

    def test_the_program_alone(self):
        command = self.script(MONITOR, "monitor.py")
        for times in (1, 2):
            out, err = self.run_alone(*command)
            self.assertEqual((out, err), (PRINTED, ""))
            listed = json.loads(self.adrt("events", "list", "prod-monitor", "--json"))
            self.assertEqual(len(listed), 5 * times)

    def test_the_snippets(self):
        command = self.script(SNIPPETS, "snippets.py")
        out, _ = self.run_to_end(*command, name="snippets")
        self.assertEqual(out, "all of it\n")
        self.assertEqual(self.run_alone(*command), ("all of it\n", ""))


if __name__ == "__main__":
    unittest.main()
