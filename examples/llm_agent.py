"""Answers questions with a model that costs money, and pays for each answer once.

    adrt run -n llm -- python3 examples/llm_agent.py --questions 2
    adrt events emit llm '{"type": "question", "text": "Why is the sky blue?"}'
    adrt events emit llm '{"type": "question", "text": "And at night?"}'

Kill it whenever you like. A question that was being answered comes again; if
its answer was paid for by then, it is not asked for again, since the call is
a step. The answers, and the fact that the question is done, reach the disk
together.
"""

import argparse
import hashlib
import os
import signal

from adaptive_runtime import Agent, step

options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
options.add_argument("--questions", type=int, help="end for good after so many")
options.add_argument("--bill", default="bill.txt", help="where the model notes its calls")
options.add_argument("--dies", action="store_true", help="once per question, right after paying")
options = options.parse_args()


def ask_model(question):
    """Stands for the call that costs money; a real one would take the key along."""
    with open(options.bill, "a") as bill:
        bill.write(f"{step.idempotency_key} {question}\n")
    words = ("certainly", "hardly", "it depends", "nobody knows")
    return words[hashlib.sha256(question.encode()).digest()[0] % len(words)]


def answered(agent):
    return len(agent.state.get("answers", []))


def work(agent, wanted):
    """Answers until there are so many; none, where only finish() was missing."""
    if answered(agent) >= wanted:
        return
    for event in agent.events(types=["question"]):
        with event:
            answer = event.step("answer", ask_model, event["text"])
            if options.dies and event.attempt == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            agent.append("/answers", {"question": event["text"], "answer": answer})
        print(f"{event['text']} {answer}", flush=True)
        if answered(agent) >= wanted:
            return


with Agent() as agent:
    wanted = options.questions or float("inf")
    work(agent, wanted)
    if answered(agent) >= wanted:
        agent.finish({"answers": answered(agent)})
