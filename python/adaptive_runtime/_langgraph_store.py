"""How `langgraph` lays its threads out in the key-value store, and whole threads of it."""

from __future__ import annotations

from . import _event_requests, _requests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._batches import BatchFlow
    from ._requests import Request

    Entries = list[dict[str, Any]]

NAMESPACE = "langgraph"
PAGE = 100
"""Entries read at a time."""
IN_ONE_PIECE = 500
"""Entries in one transaction, where a thread is copied or deleted."""


def entries(prefix: str) -> BatchFlow[Entries]:
    """All entries whose keys begin like this."""
    found: Entries = []
    after = None
    while True:
        request = _event_requests.kv_list(NAMESPACE, prefix, PAGE, after, False)
        page = (yield [request])[0]
        found += page["entries"]
        after = page["next"]
        if after is None:
            return found


def writes_of(checkpoint_key: str) -> BatchFlow[list[str]]:
    """The keys of the writes that wait at a checkpoint."""
    found = yield from entries(f"w{checkpoint_key[1:]}/")
    return [entry["key"] for entry in found]


def delete_thread(thread: str) -> BatchFlow[None]:
    """Deletes all of a thread."""
    doomed = []
    for kind in "cwb":  # without its checkpoints the rest is not seen any more
        doomed += yield from entries(key(kind, thread, ""))
    yield from in_pieces([_event_requests.kv_delete(NAMESPACE, e["key"]) for e in doomed])


def copy_thread(source: str, target: str) -> BatchFlow[None]:
    """Puts all of a thread under another name; its checkpoints last."""
    puts = []
    for kind in "bwc":
        prefix = key(kind, source, "")
        for entry in (yield from entries(prefix)):
            copy = key(kind, target, "") + entry["key"][len(prefix) :]
            puts.append(put(copy, entry["value"]))
    yield from in_pieces(puts)


def in_pieces(requests: list[Request]) -> BatchFlow[None]:
    """Writes, so many to a transaction."""
    for start in range(0, len(requests), IN_ONE_PIECE):
        yield [_requests.tx(requests[start : start + IN_ONE_PIECE])]


def put(key: str, value: Any) -> Request:
    """Keeps an entry."""
    return _event_requests.kv_put(NAMESPACE, key, value)


def key(*parts: str) -> str:
    """A key of these parts; with an empty last one, what all below it begin with."""
    return "/".join(map(escape, parts))


def escape(part: str) -> str:
    """A part of a key, without the separator in it."""
    return part.replace("%", "%25").replace("/", "%2F")


def unescape(part: str) -> str:
    """And back."""
    return part.replace("%2F", "/").replace("%25", "%")
