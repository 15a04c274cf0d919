"""A session for the OpenAI Agents SDK, kept by adrt.

    from adaptive_runtime.openai_agents import AdrtSession

    async for event in runtime.events():
        async with event:
            session = AdrtSession(runtime, event["user"])
            result = await Runner.run(assistant, event["text"], session=session)
            await runtime.patch({"answer": result.final_output})

Within an event's block what a turn adds to the conversation goes with the
event's ack: a turn that dies halfway has never been, and is taken anew from
the conversation as it was.
"""

from __future__ import annotations

from ._agent_events import AgentEvents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Union

    from ._runtime_events import RuntimeEvents

    Client = Union[AgentEvents, RuntimeEvents]

NAMESPACE = "openai_agents"


class AdrtSession:
    """A conversation: the SDK's `Session` protocol over the key-value store."""

    session_settings: Any = None

    def __init__(self, client: Client, session_id: str) -> None:
        self.session_id = session_id
        self._client = client
        self._prefix = session_id.replace("%", "%25").replace("/", "%2F") + "/"

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """The conversation, oldest first; with `limit` only the last so many."""
        newest_first = await self._list(limit)
        return [item for _, item in reversed(newest_first)]

    async def add_items(self, items: Sequence[Any]) -> None:
        """Goes on with it."""
        last = await self._list(1)
        number = int(last[0][0][len(self._prefix) :]) + 1 if last else 0
        for offset, item in enumerate(items):
            await self._do("put", f"{self._prefix}{number + offset:012}", _plain(item))

    async def pop_item(self) -> Any:
        """Takes the last item back, and returns it; None if there is none."""
        for key, item in await self._list(1):
            await self._do("delete", key)
            return item
        return None

    async def clear_session(self) -> None:
        """Forgets it all."""
        for key, _ in await self._list(None):
            await self._do("delete", key)

    async def _list(self, limit: int | None) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = await self._do(
            "list", self._prefix, limit=limit, reverse=True
        )
        return found

    async def _do(self, name: str, *args: Any, **options: Any) -> Any:
        outcome = getattr(self._client.kv, name)(*args, ns=NAMESPACE, **options)
        return outcome if isinstance(self._client, AgentEvents) else await outcome


def _plain(item: Any) -> Any:
    """An item as JSON has it; the SDK's own are dicts already."""
    dump = getattr(item, "model_dump", None)
    return dump(mode="json", exclude_unset=True) if callable(dump) else item
