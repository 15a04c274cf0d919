"""A long job over a file, which may be killed at any moment: adrt run -- python3 examples/pipeline.py

Reads readings.csv (made up first, if it isn't there), checks each row, and
writes the good ones with a running mean to cleaned.csv. However often agent,
adrt or machine die, every row comes out once and in order. How:

- the place in both files is kept in the agent's state, in one patch a batch;
- the output reaches the disk before the patch that counts it does;
- a new incarnation cuts off what the last one wrote and didn't count.

The job is in no hurry: while the machine is under high pressure it waits for a
calmer moment before the next batch, up to --patience seconds.
"""

import argparse
import os
import sys

from adaptive_runtime import Agent

BATCH_ROWS = 500
START = {"read": 0, "written": 0, "rows": 0, "bad": 0, "sum": 0.0}


def main():
    options = arguments()
    make_up_input(options.input, options.rows)
    with Agent() as agent:
        job = dict(START, input=os.path.abspath(options.input))
        if agent.state.get("input") == job["input"]:
            job = agent.state.copy()
            print(f"going on at row {job['rows']} ({agent.start_info.reason})")
        run(agent, job, options)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--input", default="readings.csv")
    parser.add_argument("--output", default="cleaned.csv")
    parser.add_argument("--patience", type=float, default=60, help="seconds a batch may wait")
    parser.add_argument("--rows", type=int, default=20_000, help="of an input made up here")
    return parser.parse_args()


def make_up_input(path, rows):
    """Readings of a sensor that now and then says nonsense."""
    if os.path.exists(path):
        return
    draft = f"{path}.{os.getpid()}"
    with open(draft, "w") as file:
        for n in range(rows):
            file.write(f"{n},{'error' if n % 97 == 96 else 20 + n * 7 % 100 / 10}\n")
    os.rename(draft, path)  # whole or not at all


def run(agent, job, options):
    total = os.path.getsize(options.input)
    with open(options.input, "rb") as source, open(options.output, "ab") as output:
        if output.tell() < job["written"]:
            sys.exit(f"{options.output} has lost rows that were counted: put it back as it was")
        source.seek(job["read"])
        output.truncate(job["written"])  # what came after it will be written again
        while job["read"] < total:
            calm_down(agent, options.patience)
            lines = [line for _, line in zip(range(BATCH_ROWS), source)]
            output.write(b"".join(cleaned(line, job) for line in lines))
            output.flush()
            os.fsync(output.fileno())
            job["read"] += sum(map(len, lines))
            job["written"] = os.fstat(output.fileno()).st_size
            agent.patch(job)  # from here on this batch is done, for ever
            progress(agent, job, total)
            if agent.stopping:
                print("told to stop; the next run goes on here")
                return
    print(f"{job['rows']} rows, {job['bad']} of them bad")
    agent.finish({"rows": job["rows"], "bad": job["bad"]})


def calm_down(agent, patience):
    if not agent.environment.is_below("high"):
        print(f"{agent.environment.level} pressure on this machine: waiting", flush=True)
        agent.environment.wait_below("high", timeout=patience)


def cleaned(line, job):
    """The output for a row of input: nothing, for a bad one."""
    job["rows"] += 1
    number, value = line.decode().strip().split(",")
    try:
        job["sum"] += float(value)
    except ValueError:
        job["bad"] += 1
        return b""
    mean = job["sum"] / (job["rows"] - job["bad"])
    return f"{number},{value},{mean:.4f}\n".encode()


def progress(agent, job, total):
    agent.heartbeat(f"row {job['rows']}", done=job["read"], total=total)
    print(f"{100 * job['read'] // total:3} %  {job['rows']} rows", flush=True)


if __name__ == "__main__":
    main()
