"""LangGraph on adrt: threads that survive, and a graph run once for each event.

    from adaptive_runtime.langgraph import AdrtSaver, run_graph

    graph = builder.compile(checkpointer=AdrtSaver(runtime))
    async for event in runtime.events():
        async with event:
            result = await run_graph(graph, event, event["user"], {"question": event["text"]})
            await runtime.patch({"answer": result["answer"]})

What the saver keeps is on the disk when LangGraph goes on, and before the ack
of the event, so a graph that dies is taken up at the node it died in. In the
key-value store, namespace `langgraph`, parts of keys escaped:

    c/<thread>/<ns>/<checkpoint>               the checkpoint, its metadata, its parent
    b/<thread>/<ns>/<channel>/<version>        the value of a channel
    w/<thread>/<ns>/<checkpoint>/<task>/<n>    a write that waits for its checkpoint's successor
"""

from __future__ import annotations

import binascii
import random

from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
)

from . import _event_requests, _requests
from . import _langgraph_store as _store
from ._batches import run, run_async
from ._langgraph_run import EVENT, run_graph

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from typing import Any

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata

    from ._batches import BatchFlow, Client

    Entries = list[dict[str, Any]]
    Tuples = list[CheckpointTuple]
    Packed = list[str]

__all__ = ["EVENT", "AdrtSaver", "run_graph"]

DELTA_COUNTERS = "counters_since_delta_snapshot"
"""In metadata: the channels whose value has to be put together from ancestors."""


class AdrtSaver(BaseCheckpointSaver[str]):
    """A checkpointer over an `Agent` or a `Runtime`, for `invoke` and `ainvoke` alike."""

    def __init__(self, client: Client, *, serde: Any = None) -> None:
        super().__init__(serde=serde)
        self._client = client

    # ---------------------------------------------------------- reading

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return run(self._client, self._get(config))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await run_async(self._client, self._get(config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        yield from run(self._client, self._list(config, filter, before, limit))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        for found in await run_async(self._client, self._list(config, filter, before, limit)):
            yield found

    # ---------------------------------------------------------- writing

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return run(self._client, self._put(config, checkpoint, metadata, new_versions))

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await run_async(self._client, self._put(config, checkpoint, metadata, new_versions))

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        run(self._client, self._put_writes(config, writes, task_id, task_path))

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        await run_async(self._client, self._put_writes(config, writes, task_id, task_path))

    def delete_thread(self, thread_id: str) -> None:
        run(self._client, _store.delete_thread(thread_id))

    async def adelete_thread(self, thread_id: str) -> None:
        await run_async(self._client, _store.delete_thread(thread_id))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        run(self._client, _store.copy_thread(source_thread_id, target_thread_id))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        await run_async(self._client, _store.copy_thread(source_thread_id, target_thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        run(self._client, self._delete_for_runs(run_ids))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        await run_async(self._client, self._delete_for_runs(run_ids))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        run(self._client, self._prune(thread_ids, strategy))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        await run_async(self._client, self._prune(thread_ids, strategy))

    def get_next_version(self, current: str | int | None, channel: None) -> str:
        """Rises, and differs between two that go on from the same checkpoint."""
        number = current if isinstance(current, int) else int((current or "0").split(".")[0])
        return f"{number + 1:032}.{random.random():016}"

    # ---------------------------------------------------------- the flows

    def _get(self, config: RunnableConfig) -> BatchFlow[CheckpointTuple | None]:
        thread, ns, wanted = _place(config)
        if wanted:
            key = _store.key("c", thread, ns, wanted)
            answer = (yield [_event_requests.kv_get(_store.NAMESPACE, key)])[0]
            found = [{"key": key, "value": answer["value"]}] if answer["found"] else []
        else:
            prefix = _store.key("c", thread, ns, "")
            page = yield [_event_requests.kv_list(_store.NAMESPACE, prefix, 1, None, True)]
            found = page[0]["entries"]
        if not found:
            return None
        return (yield from self._whole(found[0]))

    def _whole(self, entry: dict[str, Any]) -> BatchFlow[CheckpointTuple]:
        """A checkpoint with the values of its channels and the writes that wait for it."""
        kind, thread, ns, id = map(_store.unescape, entry["key"].split("/"))
        packed = entry["value"]
        checkpoint: Any = self._load(packed["checkpoint"])
        versions = checkpoint["channel_versions"]
        keys = [_store.key("b", thread, ns, name, str(version)) for name, version in versions.items()]
        answers = (yield [_event_requests.kv_get(_store.NAMESPACE, key) for key in keys]) if keys else []
        values = {
            name: self._load(answer["value"])
            for name, answer in zip(versions, answers)
            if answer["found"]
        }
        checkpoint["channel_values"] = values
        writes = yield from _store.entries(_store.key("w", thread, ns, id, ""))
        return CheckpointTuple(
            config=_config(thread, ns, id),
            checkpoint=checkpoint,
            metadata=self._load(packed["metadata"]),
            parent_config=_config(thread, ns, packed["parent"]) if packed["parent"] else None,
            pending_writes=[
                (write["task"], write["channel"], self._load(write["value"]))
                for write in sorted((entry["value"] for entry in writes), key=_order)
            ],
        )

    def _list(
        self,
        config: RunnableConfig | None,
        filter: dict[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> BatchFlow[Tuples]:
        prefix, wanted = "c/", None
        if config is not None:
            configurable = config["configurable"]
            prefix = _store.key("c", configurable["thread_id"], "")
            if configurable.get("checkpoint_ns") is not None:
                prefix = _store.key("c", configurable["thread_id"], configurable["checkpoint_ns"], "")
            wanted = get_checkpoint_id(config)
        bound = get_checkpoint_id(before) if before else None
        after: str | None = None
        found: Entries = []
        while limit is None or len(found) < limit:
            request = _event_requests.kv_list(_store.NAMESPACE, prefix, _store.PAGE, after, True)
            page = (yield [request])[0]
            for entry in page["entries"]:
                id = _store.unescape(entry["key"].rpartition("/")[2])
                if (wanted and id != wanted) or (bound and id >= bound):
                    continue
                if filter and not _fits(filter, self._load(entry["value"]["metadata"])):
                    continue
                found.append(entry)
            after = page["next"]
            if after is None:
                break
        whole = []
        for entry in found[:limit]:
            whole.append((yield from self._whole(entry)))
        return whole

    def _put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> BatchFlow[RunnableConfig]:
        thread, ns, parent = _place(config)
        bare: dict[str, Any] = dict(checkpoint)
        values = bare.pop("channel_values")
        puts = [
            _store.put(_store.key("b", thread, ns, name, str(version)), self._dump(values[name]))
            for name, version in new_versions.items()
            if name in values  # one that has no value has no entry
        ]
        packed = {
            "checkpoint": self._dump(bare),
            "metadata": self._dump(get_checkpoint_metadata(config, metadata)),
            "parent": parent,
        }
        puts.append(_store.put(_store.key("c", thread, ns, checkpoint["id"]), packed))
        yield [_requests.tx(puts)]
        return _config(thread, ns, checkpoint["id"])

    def _put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str,
    ) -> BatchFlow[None]:
        thread, ns, id = _place(config)
        prefix = _store.key("w", thread, ns, id or "", task_id, "")
        there = {entry["key"] for entry in (yield from _store.entries(prefix))}
        puts = []
        for index, (channel, value) in enumerate(writes):
            number = WRITES_IDX_MAP.get(channel, index)
            key = f"{prefix}{number}"
            if number >= 0 and key in there:
                continue  # a task's first writes count
            packed = {"task": task_id, "path": task_path, "n": number, "channel": channel}
            puts.append(_store.put(key, {**packed, "value": self._dump(value)}))
        if puts:
            yield [_requests.tx(puts)]

    def _delete_for_runs(self, run_ids: Sequence[str]) -> BatchFlow[None]:
        doomed = []
        for entry in (yield from _store.entries("c/")):
            if self._load(entry["value"]["metadata"]).get("run_id") in run_ids:
                doomed.append(entry["key"])
                doomed += yield from _store.writes_of(entry["key"])
        yield from _store.in_pieces([_event_requests.kv_delete(_store.NAMESPACE, key) for key in doomed])

    def _prune(self, thread_ids: Sequence[str], strategy: str) -> BatchFlow[None]:
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f'the strategy is "keep_latest" or "delete", not {strategy!r}')
        for thread in thread_ids:
            if strategy == "delete":
                yield from _store.delete_thread(thread)
                continue
            spaces: dict[str, dict[str, Any]] = {}
            for entry in (yield from _store.entries(_store.key("c", thread, ""))):
                spaces.setdefault(entry["key"].rpartition("/")[0], {})[entry["key"]] = entry
            for entries in spaces.values():
                yield from self._prune_space(entries)

    def _prune_space(self, entries: dict[str, Any]) -> BatchFlow[None]:
        """Leaves the newest checkpoint, and what its delta channels are made from."""
        space = next(iter(entries)).rpartition("/")[0]
        blobs_of = f"b{space[1:]}/"
        blobs = {entry["key"] for entry in (yield from _store.entries(blobs_of))}
        newest = max(entries)
        metadata = self._load(entries[newest]["value"]["metadata"])
        wanting = set(metadata.get(DELTA_COUNTERS) or ())
        key: str | None = newest
        kept, used = set(), set()
        while key in entries:
            kept.add(key)
            packed = entries[key]["value"]
            versions = self._load(packed["checkpoint"])["channel_versions"]
            here = {name: f"{blobs_of}{_store.key(name, str(v))}" for name, v in versions.items()}
            used |= blobs & set(here.values())
            wanting = {name for name in wanting if here.get(name) not in blobs}
            if not wanting or not packed["parent"]:
                break
            key = f"{space}/{_store.escape(packed['parent'])}"
        doomed = [key for key in entries if key not in kept]
        for key in list(doomed):
            doomed += yield from _store.writes_of(key)
        doomed += blobs - used
        yield from _store.in_pieces([_event_requests.kv_delete(_store.NAMESPACE, key) for key in doomed])

    def _dump(self, value: Any) -> Packed:
        kind, data = self.serde.dumps_typed(value)
        return [kind, binascii.b2a_base64(data, newline=False).decode()]

    def _load(self, packed: Packed) -> Any:
        return self.serde.loads_typed((packed[0], binascii.a2b_base64(packed[1])))


def _place(config: RunnableConfig) -> tuple[str, str, str | None]:
    """Thread, namespace, and checkpoint if one is named."""
    configurable = config["configurable"]
    thread, ns = configurable["thread_id"], configurable.get("checkpoint_ns") or ""
    return str(thread), ns, get_checkpoint_id(config)


def _config(thread: str, ns: str, id: str) -> RunnableConfig:
    place = {"thread_id": thread, "checkpoint_ns": ns, "checkpoint_id": id}
    return {"configurable": place}


def _fits(wanted: dict[str, Any], metadata: dict[str, Any]) -> bool:
    return all(metadata.get(name) == value for name, value in wanted.items())


def _order(write: dict[str, Any]) -> tuple[str, str, int]:
    """That in which LangGraph applies the writes of a step (its `writes_sort_key`)."""
    return write["path"], write["task"], write["n"]
