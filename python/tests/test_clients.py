"""What both clients offer, on the memory backend."""

import asyncio
import concurrent.futures
import pickle
import unittest
import warnings

from adaptive_runtime import (
    AdrtError,
    Agent,
    InvalidParams,
    KeyReused,
    MigrationMissing,
    NotConnected,
    NotJson,
    PatchFailed,
    Runtime,
    SchemaTooNew,
    StoreFailed,
    TooLarge,
    UnknownCheckpoint,
    VersionConflict,
    _errors,
    _memory,
    _patience,
)
from adaptive_runtime._memory import MemoryStore
from both import WithBoth


class Calls(WithBoth):
    def test_changes(self):
        for client in self.clients():
            self.assertEqual(self.call(client.patch({"a": {"b": 1, "c": 2}})), 1)
            self.assertEqual(self.call(client.patch({"a": {"b": None}})), 2)
            self.assertEqual(client.state, {"a": {"c": 2}})
            self.call(client.patch({"a": {"x": None}}, format="shallow"))
            self.assertEqual(client.state, {"a": {"x": None}})
            self.call(client.patch([{"op": "add", "path": "/z", "value": 0}], format="json"))
            self.assertEqual(self.call(client.delete("/a/x")), 5)
            self.call(client.delete("z"))
            self.assertEqual(client.state, {"a": {}})
            self.call(client.replace({"new": True}))
            self.assertEqual((client.state, client.version), ({"new": True}, 7))
            self.assertEqual(client.state, self.store.state)

    def test_lists(self):
        for client in self.clients():
            self.assertEqual(self.call(client.append("log", {"n": 1})), 2)
            self.assertEqual(self.call(client.append("/log", 2)), 3)
            self.assertEqual(client.state, {"log": [{"n": 1}, 2]})
            self.call(client.patch({"a": {"b/c": []}, "n": 1}))
            self.call(client.append("/a/b~1c", 5))
            self.assertEqual(client.state["a"], {"b/c": [5]})
            self.fails(PatchFailed, client.append, "n", 1)
            self.fails(PatchFailed, client.append, "/nowhere/list", 1)
            self.fails(ValueError, client.append, "a/b", 1)
            self.fails(PatchFailed, client.delete, "/nothing")
            self.assertEqual(client.state, self.store.state)

    def test_keys_apply_once_even_after_a_restart(self):
        for client in self.clients():
            first = self.call(client.append("paid", 7, key="invoice-7"))
            self.call(client.patch({"n": 1}, key="k"))
            self.call(client.stop())
            later = self.begin(type(client))
            self.assertEqual(self.call(later.append("paid", 7, key="invoice-7")), first)
            self.assertEqual(self.call(later.patch({"n": 1}, key="k")), first + 1)
            error = self.fails(KeyReused, later.patch, {"n": 2}, key="k")
            self.assertIsInstance(error, InvalidParams)
            self.assertEqual(later.state, {"paid": [7], "n": 1})
            self.assertEqual(later.version, first + 1)

    def test_guards(self):
        for client in self.clients():
            self.call(client.patch({"n": 1}, if_version=0))
            error = self.fails(VersionConflict, client.patch, {"n": 2}, if_version=0)
            self.assertEqual((error.version, error.code, error.retryable), (1, 1101, False))
            self.fails(VersionConflict, client.replace, {}, if_version=5)
            self.fails(VersionConflict, client.delete, "n", if_version=5)
            self.assertEqual(client.state, {"n": 1})

    def test_checkpoints(self):
        for client in self.clients():
            self.call(client.patch({"n": 1}))
            point = self.call(client.checkpoint("before"))
            self.assertEqual((point.id, point.version, point.label), (1, 1, None))
            self.call(client.patch({"n": 2, "m": 3}))
            self.call(client.checkpoint())
            listed = self.call(client.checkpoints())
            self.assertEqual([entry.label for entry in listed], [None, "before"])
            self.assertEqual(listed[1].model_dump()["reason"], "request")
            self.assertEqual(len(self.call(client.checkpoints(1))), 1)
            self.assertEqual(self.call(client.restore(1)), 3)
            self.assertEqual(client.state, {"n": 1})
            self.fails(UnknownCheckpoint, client.restore, 77)
            self.fails(TypeError, client.restore, "before")

    def test_what_is_refused_here(self):
        for client in self.clients():
            self.assertIn('patch["a"][1]', str(self.fails(NotJson, client.patch, {"a": [1, {2}]})))
            self.fails(NotJson, client.patch, {"x": float("nan")})
            self.assertIn("state", str(self.fails(NotJson, client.replace, [1])))
            self.fails(NotJson, client.patch, 5)
            self.fails(ValueError, client.patch, {}, format="yaml")
            error = self.fails(TooLarge, client.patch, {"a": "x" * _memory.wire.MAX_FRAME})
            self.assertEqual(error.data["limit"], _memory.wire.MAX_FRAME)
            self.fails(ValueError, client.log, "x", level="loud")
            self.assertEqual(self.call(client.patch({"n": 1})), 1)

    def test_a_state_too_large(self):
        limit = _memory.states.MAX_STATE
        _memory.states.MAX_STATE = 1000
        try:
            for client in self.clients():
                self.call(client.patch({"a": "x" * 900}))
                error = self.fails(TooLarge, client.patch, {"b": "x" * 900})
                self.assertEqual((error.kind, error.data["limit"]), ("too_large", 1000))
                for _ in range(5):
                    self.call(client.patch({"a": "y" * 900}))
                self.assertEqual(client.state, {"a": "y" * 900})
        finally:
            _memory.states.MAX_STATE = limit

    def test_the_start_and_the_end(self):
        for client in self.clients(agent_id="me", checkpoint_every=5):
            info = client.start_info
            self.assertEqual((info.agent, info.incarnation, info.reason), ("me", 1, "first"))
            self.assertFalse(info.safe_mode)
            self.assertIsNone(info.checkpoint)
            self.assertEqual(info.model_dump()["agent"], "me")
            self.assertRaises(AttributeError, lambda info=info: info.nonsense)
            client.heartbeat("busy", done=1, total=2)
            client.log("hello", level="warning", a=1)
            self.call(client.finish({"sum": 3}))
            self.assertEqual((self.store.is_finished, self.store.finished), (True, {"sum": 3}))
            self.call(client.checkpoint("x"))
            self.call(client.stop())
            again = self.begin(type(client))
            self.assertEqual(again.start_info.reason, "resume")
            self.assertEqual(again.start_info.checkpoint.label, "x")

    def test_a_later_incarnation_shuts_out_an_earlier(self):
        for client in self.clients():
            self.begin(type(client))
            self.assertEqual(self.fails(AdrtError, client.patch, {}).kind, "stale_attempt")

    def test_a_disk_that_refuses_for_a_while(self):
        for client in self.clients():
            refusals = [1, 2]

            def refuse(refusals=refusals):
                if refusals:
                    refusals.pop()
                    raise StoreFailed("disk full", retryable=True)

            self.store.before_write = refuse
            self.assertEqual(self.call(client.patch({"n": 1})), 1)
            self.assertEqual(refusals, [])
            self.assertEqual(client.state, {"n": 1})
            self.assertEqual(len(self.store._keys), 1)

    def test_a_disk_that_refuses_for_good(self):
        for client in self.clients(store_timeout=0.15):
            asked = []

            def refuse(asked=asked):
                asked.append(1)
                raise StoreFailed("disk full", retryable=True, data={"why": "full"})

            self.store.before_write = refuse
            error = self.fails(StoreFailed, client.patch, {"n": 1})
            self.assertEqual((str(error), error.retryable, error.code), ("disk full", True, 1501))
            self.assertEqual(error.data["why"], "full")
            self.assertGreater(len(asked), 1)
            self.assertEqual(client.state, {})

    def test_damage_is_not_waited_out(self):
        for client in self.clients():
            asked = []

            def refuse(asked=asked):
                asked.append(1)
                raise StoreFailed("damaged")

            self.store.before_write = refuse
            self.fails(StoreFailed, client.patch, {"n": 1})
            self.assertEqual(len(asked), 1)

    def test_retry(self):
        for client in self.clients():
            policy = client.retry_policy if isinstance(client, Agent) else client.recovery_engine
            self.assertEqual(policy.delays(), [1.0, 2.0, None])
            policy.base_delay = 0.001
            tries = []

            def fails(tries=tries):
                tries.append(1)
                raise OSError("no network")

            self.fails(OSError, client.retry, fails)
            self.assertEqual(len(tries), 3)
            policy.max_retries = 2
            self.assertEqual(self.call(client.retry(fails, lambda: "cached")), "cached")
            self.assertEqual(len(tries), 5)
            self.fails(OSError, client.retry, fails, lambda: 1, retry_on=KeyError)
            self.assertEqual(len(tries), 6)
            self.assertEqual(self.call(client.retry(lambda: 5)), 5)
            policy.max_retries = 0
            self.fails(ValueError, client.retry, fails)


class Schemas(WithBoth):
    def test_a_new_state_has_the_programs_schema(self):
        for client in self.clients(schema=3):
            self.assertEqual(client.state, {"_schema": 3})
            self.call(client.replace({"n": 1}))
            self.assertEqual(client.state, {"n": 1, "_schema": 3})

    def test_migrations_run_once_and_in_order(self):
        ran = []

        def second(state):
            ran.append(2)
            state["name"] = state.pop("nom")

        def third(state):
            ran.append(3)
            return {"user": {"name": state["name"]}}

        for client in self.clients():
            self.call(client.patch({"nom": "Ada"}))
            self.call(client.stop())
            for _ in range(2):
                client = self.begin(type(client), schema=3, migrations={2: second, 3: third})
                self.assertEqual(client.state, {"user": {"name": "Ada"}, "_schema": 3})
                self.call(client.stop())
            self.assertEqual(ran, [2, 3])
            ran.clear()
            # One version for all, and a way back before it.
            self.assertEqual(self.store.version, 2)
            self.assertEqual(self.store.checkpoints[0]["label"], "schema 1")
            error = self.fails(SchemaTooNew, self.begin, type(client), schema=1)
            self.assertEqual(error.data, {"schema": 3, "checkpoint": 1})
            self.assertIn("adrt checkpoints restore agent 1", str(error))
            error = self.fails(SchemaTooNew, self.begin, type(client), schema=2)
            self.assertIn("adrt checkpoints list agent", str(error))

    def test_a_migration_that_fails_changes_nothing(self):
        def breaks(state):
            state.clear()
            raise RuntimeError("oh")

        for client in self.clients():
            self.call(client.patch({"n": 1}))
            kind = type(client)
            self.fails(RuntimeError, self.begin, kind, schema=2, migrations={2: breaks})
            error = self.fails(MigrationMissing, self.begin, kind, schema=3, migrations={3: breaks})
            self.assertIn("no migration to 2", str(error))
            self.fails(ValueError, self.begin, kind, migrations={2: breaks})
            self.assertEqual((self.store.state, self.store.version), ({"n": 1}, 1))


class Asynchronous(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.store = MemoryStore()
        self.runtime = Runtime("a", backend=self.store)
        await self.runtime.start()
        self.addAsyncCleanup(self.runtime.stop)

    async def test_the_state_engine(self):
        engine = self.runtime.state_engine
        await engine.save_state({"health": "ok", "deep": {"a": 1, "b": 2}})
        await engine.patch_state({"last_event": None, "deep": {"a": 3}})
        loaded = await engine.load_state()
        self.assertEqual(loaded, {"health": "ok", "deep": {"a": 3}, "last_event": None})
        loaded["mine"] = True
        self.assertNotIn("mine", engine.current)
        await engine.reset_state()
        self.assertEqual(engine.current, {})

    async def test_the_recovery_engine(self):
        engine = self.runtime.recovery_engine
        point = await engine.create_checkpoint({"n": 1})
        self.assertEqual((point.id, point.version, self.store.version), (1, 1, 1))
        await self.runtime.patch({"n": 2})
        self.assertEqual(await engine.restore_latest(), {"n": 2})
        self.assertEqual(await self.runtime.recover(), {"n": 2})
        self.assertEqual(await engine.restore(point.id), {"n": 1})
        self.assertEqual((await engine.create_checkpoint(label="x")).id, 2)

        async def answer():
            return 42

        self.assertEqual(await engine.retry(answer), 42)
        self.assertEqual(await self.runtime.retry(answer), 42)

    async def test_what_is_not_awaited_keeps_its_order(self):
        first = self.runtime.patch_nowait({"n": 1})
        self.assertEqual(self.store.version, 0)  # nothing has left yet
        await self.runtime.patch({"n": 2})
        self.assertEqual((await first, self.runtime.state), (1, {"n": 2}))
        await asyncio.gather(*(self.runtime.patch({"n": n}) for n in range(100)))
        self.assertEqual(self.store.state, {"n": 99})

    async def test_reads_wait_for_writes(self):
        for n in range(10):
            self.runtime.patch_nowait({"n": n})
        self.assertEqual(await self.runtime.state_engine.load_state(), {"n": 9})
        self.runtime.patch_nowait({"n": 10})
        await self.runtime.stop()
        self.assertEqual(self.store.state, {"n": 10})

    async def test_lists_begun_by_several_at_once(self):
        await asyncio.gather(*(self.runtime.append("log", n) for n in range(20)))
        self.assertEqual(self.runtime.state, {"log": list(range(20))})

    async def test_a_cancelled_wait_changes_nothing(self):
        task = asyncio.ensure_future(self.runtime.patch({"n": 1}))
        await asyncio.sleep(0)
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.assertEqual(await self.runtime.state_engine.load_state(), {"n": 1})

    async def test_before_the_start_and_after_the_end(self):
        with self.assertRaisesRegex(NotConnected, "start"):
            await Runtime(backend="memory").patch({})
        await self.runtime.stop()
        await self.runtime.stop()
        with self.assertRaises(NotConnected):
            _ = self.runtime.state


class Backends(unittest.TestCase):
    def test_memory_warns_once(self):
        _memory._warned = False
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(2):
                with Agent(backend="memory") as agent:
                    agent.patch({"n": 1})
        self.assertEqual(len(caught), 1)
        self.assertIn("in memory", str(caught[0].message))
        self.assertEqual(caught[0].filename, __file__)

    def test_another_backend(self):
        self.assertRaises(ValueError, Agent, backend="postgres")


class Errors(unittest.TestCase):
    def test_every_kind_has_its_class(self):
        for kind, cls in _errors._CLASSES.items():
            error = _errors.from_wire(
                {"code": 1, "message": "m", "data": {"kind": kind, "retryable": True}}
            )
            self.assertIs(type(error), cls)
            self.assertEqual((error.kind, error.retryable, error.code), (kind, True, 1))
        unknown = _errors.from_wire({"code": 9, "message": "m", "data": {"kind": "new_kind"}})
        self.assertIs(type(unknown), AdrtError)
        self.assertEqual((unknown.kind, unknown.retryable), ("new_kind", False))
        self.assertEqual(_errors.from_wire({"code": 9}).kind, "error")

    def test_errors_travel(self):
        error = VersionConflict("m", data={"version": 5}, code=1101)
        for copied in (pickle.loads(pickle.dumps(error)), _sent_by_pool(error)):
            self.assertEqual((type(copied), copied.version, copied.code), (VersionConflict, 5, 1101))

    def test_patience_ends(self):
        patience = _patience.Patience(0)
        full = StoreFailed("full", retryable=True)
        self.assertIsNone(patience.delay(full))
        self.assertIsNone(_patience.Patience(9).delay(ValueError()))
        self.assertEqual(_patience.Patience(9).delay(full), _patience.Patience.FIRST_SECONDS)


def _raise(error):
    raise error


def _sent_by_pool(error):
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        return pool.submit(_raise, error).exception()


if __name__ == "__main__":
    unittest.main()
