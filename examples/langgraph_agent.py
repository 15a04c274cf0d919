"""A LangGraph graph that is taken up at the node it died in.

    pip install langgraph
    adrt run -n writer -- python3 examples/langgraph_agent.py --topics 1
    adrt events emit writer '{"type": "topic", "topic": "tea", "thread": "t1"}'

Each topic goes through three nodes: research, draft, review. What a node has
returned is on the disk before the next one begins; with `--die-in draft` the
first incarnation is killed in the middle of that node, and the second one
does not research again.
"""

import argparse
import asyncio
import os
import signal
from typing import List, TypedDict

from langgraph.graph import END, START, StateGraph

from adaptive_runtime import Runtime
from adaptive_runtime.langgraph import AdrtSaver, run_graph

options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
options.add_argument("--topics", type=int, help="end for good after so many")
options.add_argument("--die-in", help="a node in which the first incarnation is killed")
options = options.parse_args()


class Article(TypedDict, total=False):
    topic: str
    facts: List[str]
    text: str
    approved: bool


def build(runtime):
    def begins(node):
        incarnation = runtime.start_info.incarnation
        print(f"incarnation {incarnation}: {node}", flush=True)
        if node == options.die_in and incarnation == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    async def research(article):
        begins("research")
        return {"facts": [f"{article['topic']} is old", f"{article['topic']} is liked"]}

    async def draft(article):
        begins("draft")
        return {"text": ", and ".join(article["facts"]) + "."}

    async def review(article):
        begins("review")
        return {"approved": len(article["text"]) < 280}

    builder = StateGraph(Article)
    for node in (research, draft, review):
        builder.add_node(node.__name__, node)
    builder.add_edge(START, "research")
    builder.add_edge("research", "draft")
    builder.add_edge("draft", "review")
    builder.add_edge("review", END)
    return builder.compile(checkpointer=AdrtSaver(runtime))


async def write(runtime):
    """Writes until all that was asked for is there; False when told to stop before."""
    graph = build(runtime)
    wanted = options.topics or float("inf")
    if len(runtime.state.get("articles", {})) >= wanted:
        return True  # it was killed between the last article and finish()
    async for event in runtime.events(types=["topic"]):
        async with event:
            topic = {"topic": event["topic"]}
            article = await run_graph(graph, event, event["thread"], topic)
            await runtime.patch({"articles": {event["topic"]: article["text"]}})
        print(article["text"], flush=True)
        if len(runtime.state.get("articles", {})) >= wanted:
            return True
    return False


async def main():
    async with Runtime() as runtime:
        if await write(runtime):
            await runtime.finish()


asyncio.run(main())
