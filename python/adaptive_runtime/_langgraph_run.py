"""A graph run for an event: its input given once, its work taken up where it was.

Each checkpoint of the run carries the event's number in its metadata, so the
newest one of that number says how far the run came:

    none                          the input was never recorded: give it
    with tasks                    it died on the way: go on, without input
    without tasks                 it had come to its end: its result is there
    neither newest nor finished   a later event has taken the thread over: begin anew
"""

from __future__ import annotations

from ._event import Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from ._events import HeldEvent

    Asked = Generator[tuple[str, tuple[Any, ...], dict[str, Any]], Any, Any]

EVENT = "adrt_event"
"""The member of a checkpoint's metadata that tells which event it was made for."""


def run_graph(
    graph: Any,
    event: HeldEvent,
    thread_id: str,
    input: Any,
    *,
    config: dict[str, Any] | None = None,
    **options: Any,
) -> Any:
    """`graph.invoke(input)` on a thread, once for the event; to be awaited on a `Runtime`.

    Where a former attempt at this event has begun it, the graph goes on after
    the last node that is recorded; where it has ended it, its result is given
    again. A node that was under way is run anew: put what costs money into a
    step (named after its node) or into a node of its own. Change the agent's
    state after this, from the result, and not in the nodes, since a node that
    is recorded is not run again and its changes would be missing.

    `config` and further options (`interrupt_before=` …) are LangGraph's.
    """
    flow = _flow(graph, event, thread_id, input, config or {}, options)
    return _run(graph, flow) if isinstance(event, Event) else _run_async(graph, flow)


def _flow(
    graph: Any,
    event: HeldEvent,
    thread_id: str,
    input: Any,
    config: dict[str, Any],
    options: dict[str, Any],
) -> Asked:
    place = {**config.get("configurable", {}), "thread_id": thread_id}
    metadata = {**config.get("metadata", {}), EVENT: event.seq}
    config = {**config, "configurable": place, "metadata": metadata}
    # Each checkpoint is to be on the disk before the next node begins.
    options.setdefault("durability", "sync")
    if event.attempt == 1:
        return (yield "invoke", (input, config), options)
    thread = {"configurable": place}
    newest = yield "get_state", (thread,), {}
    ours = newest
    if (newest.metadata or {}).get(EVENT) != event.seq:
        history = yield "get_state_history", (thread,), {"filter": {EVENT: event.seq}, "limit": 1}
        ours = history[0] if history else None
    if ours is not None and not _unfinished(ours):
        return ours.values
    if ours is newest:
        input = None
    return (yield "invoke", (input, config), options)


def _unfinished(snapshot: Any) -> bool:
    # `next` names only the tasks that have written nothing: those that have,
    # and died before the checkpoint after them, are in `tasks` alone.
    return bool(snapshot.next or snapshot.tasks)


def _run(graph: Any, flow: Asked) -> Any:
    try:
        name, args, options = next(flow)
        while True:
            outcome = getattr(graph, name)(*args, **options)
            if name == "get_state_history":
                outcome = list(outcome)
            name, args, options = flow.send(outcome)
    except StopIteration as stop:
        return stop.value


async def _run_async(graph: Any, flow: Asked) -> Any:
    try:
        name, args, options = next(flow)
        while True:
            outcome = getattr(graph, "a" + name)(*args, **options)
            if name == "get_state_history":
                outcome = [snapshot async for snapshot in outcome]
            else:
                outcome = await outcome
            name, args, options = flow.send(outcome)
    except StopIteration as stop:
        return stop.value
