"""Values by key, outside the state: for what is large, or belongs to a library.

Bytes, or anything JSON has. Within an event's block what is put and deleted
goes with the event's ack, and is seen by the block before.
"""

from __future__ import annotations

from . import _event_requests
from ._gather import ABSENT, current

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._agent_events import AgentEvents
    from ._gather import Gathering
    from ._link import Flow, Link
    from ._runtime_events import RuntimeEvents

NAMESPACE = "default"


class Kv:
    """The store of `Agent`."""

    def __init__(self, agent: AgentEvents) -> None:
        self._agent = agent

    def get(self, key: str, default: Any = None, *, ns: str = NAMESPACE) -> Any:
        """The value, or `default`."""
        return self._agent._run(get(self._agent._link, ns, key, default))

    def put(self, key: str, value: Any, *, ns: str = NAMESPACE) -> None:
        """Keeps a value: bytes, or what JSON has."""
        self._agent._run(put(self._agent._link, ns, key, value))

    def delete(self, key: str, *, ns: str = NAMESPACE) -> None:
        """Forgets a value, if there is one."""
        self._agent._run(delete(self._agent._link, ns, key))

    def list(
        self,
        prefix: str = "",
        *,
        ns: str = NAMESPACE,
        limit: int | None = None,
        after: str | None = None,
        reverse: bool = False,
    ) -> list[tuple[str, Any]]:
        """Keys with their values, in the order of the keys, after `after`."""
        listed: list[tuple[str, Any]] = self._agent._run(
            entries(self._agent._link, ns, prefix, limit, after, reverse)
        )
        return listed


class AsyncKv:
    """The store of `Runtime`."""

    def __init__(self, runtime: RuntimeEvents) -> None:
        self._runtime = runtime

    async def get(self, key: str, default: Any = None, *, ns: str = NAMESPACE) -> Any:
        """The value, or `default`."""
        return await self._run(get(self._runtime._link, ns, key, default))

    async def put(self, key: str, value: Any, *, ns: str = NAMESPACE) -> None:
        """Keeps a value: bytes, or what JSON has."""
        await self._run(put(self._runtime._link, ns, key, value))

    async def delete(self, key: str, *, ns: str = NAMESPACE) -> None:
        """Forgets a value, if there is one."""
        await self._run(delete(self._runtime._link, ns, key))

    async def list(
        self,
        prefix: str = "",
        *,
        ns: str = NAMESPACE,
        limit: int | None = None,
        after: str | None = None,
        reverse: bool = False,
    ) -> list[tuple[str, Any]]:
        """Keys with their values, in the order of the keys, after `after`."""
        flow = entries(self._runtime._link, ns, prefix, limit, after, reverse)
        listed: list[tuple[str, Any]] = await self._run(flow)
        return listed

    async def _run(self, flow: Flow) -> Any:
        return await self._runtime._driver.run(flow)


def get(link: Link, ns: str, key: str, default: Any) -> Flow:
    """Reads a value, as the block one is in sees it."""
    gathering = current(link)
    if gathering is not None and (ns, key) in gathering.entries:
        value = gathering.entries[ns, key]
        return default if value is ABSENT else value
    answer = yield _event_requests.kv_get(ns, key)
    return _event_requests.kv_value(answer) if answer["found"] else default


def put(link: Link, ns: str, key: str, value: Any) -> Flow:
    """Writes a value, now or with the ack."""
    request = _event_requests.kv_put(ns, key, value)
    gathering = current(link)
    if gathering is None:
        yield request
    else:
        gathering.put(request, ns, key, bytes(value) if isinstance(value, _BYTES) else value)


def delete(link: Link, ns: str, key: str) -> Flow:
    """Deletes a value, now or with the ack."""
    request = _event_requests.kv_delete(ns, key)
    gathering = current(link)
    if gathering is None:
        yield request
    else:
        gathering.put(request, ns, key, ABSENT)


def entries(
    link: Link, ns: str, prefix: str, limit: int | None, after: str | None, reverse: bool
) -> Flow:
    """Reads keys and values, page by page."""
    own = _own(current(link), ns, prefix, after, reverse)
    # Of adrt's entries as many may be hidden by the block's as there are of these.
    wanted = None if limit is None else limit + len(own)
    found: dict[str, Any] = {}
    while wanted is None or len(found) < wanted:
        left = None if wanted is None else wanted - len(found)
        page = yield _event_requests.kv_list(ns, prefix, left, after, reverse)
        for entry in page["entries"]:
            found[entry["key"]] = _event_requests.kv_value(entry)
        after = page["next"]
        if after is None:
            break
    if own:
        found.update(own)
        ordered = sorted(found.items(), key=_key, reverse=reverse)
        found = {key: value for key, value in ordered if value is not ABSENT}
    return list(found.items())[:limit]


def _own(
    gathering: Gathering | None, ns: str, prefix: str, after: str | None, reverse: bool
) -> dict[str, Any]:
    """The block's own writes among those asked for."""
    if gathering is None:
        return {}
    return {
        key: value
        for (space, key), value in gathering.entries.items()
        if space == ns
        and key.startswith(prefix)
        and (after is None or (key < after if reverse else key > after))
    }


def _key(entry: tuple[str, Any]) -> str:
    return entry[0]


_BYTES = (bytes, bytearray, memoryview)
