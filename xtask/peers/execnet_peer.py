#!/usr/bin/env python3
"""execnet as a subject: SCENARIO COUNT PYTHON, prints {"samples": [...]}. Public API only.

It has no function calls. A call here is a message echoed over an open channel, which is less than a call: no lookup, no
pickle, no exception.
"""

import concurrent.futures
import time

import execnet

import floor

ECHO = "while True:\n    channel.send(channel.receive())"
PID = "import os; channel.send(os.getpid())"


def gateway(group, python):
    gw = group.makegateway("popen//python=%s" % python)
    return gw, gw.remote_exec(PID).receive()


def with_group(work):
    def run(count, python):
        group = execnet.Group()
        try:
            return work(group, count, python)
        finally:
            group.terminate(timeout=10)
    return run


@with_group
def latency(group, count, python):
    gw, _ = gateway(group, python)
    channel = gw.remote_exec(ECHO)
    samples = []
    for i in range(count + 50):
        start = time.perf_counter()
        channel.send(i)
        channel.receive()
        if i >= 50:
            samples.append((time.perf_counter() - start) * 1e6)
    return samples


@with_group
def pipelined(group, count, python):
    gw, _ = gateway(group, python)
    channel = gw.remote_exec(ECHO)
    channel.send(0)
    channel.receive()
    samples = []
    for _ in range(floor.BATCHES):
        start = time.perf_counter()
        for i in range(count):
            channel.send(i)
        for i in range(count):
            channel.receive()
        samples.append(count / (time.perf_counter() - start))
    return samples


@with_group
def connect(group, count, python):
    gateway(group, python)
    samples = []
    for _ in range(count):
        start = time.perf_counter()
        gw, _ = gateway(group, python)
        samples.append((time.perf_counter() - start) * 1e3)
        gw.exit()
    return samples


def connect_all(group, count, python):
    with concurrent.futures.ThreadPoolExecutor(min(count, 32)) as pool:
        return [f.result() for f in [pool.submit(gateway, group, python) for _ in range(count)]]


@with_group
def connect_many(group, count, python):
    start = time.perf_counter()
    connect_all(group, count, python)
    return [(time.perf_counter() - start) * 1e3]


def memory(field):
    @with_group
    def measure(group, count, python):
        pids = [gateway(group, python)[1] for _ in range(count)]
        time.sleep(0.5)
        return [floor.resident(pid, field) for pid in pids]
    return measure


def shutdown(count, python):
    group = execnet.Group()
    connect_all(group, count, python)
    start = time.perf_counter()
    group.terminate(timeout=10)
    return [(time.perf_counter() - start) * 1e3]


SEND = """
data = b"x" * 131072
for _ in range(channel.receive()):
    channel.send(data)
"""


@with_group
def stream(group, count, python):
    gw, _ = gateway(group, python)
    channel = gw.remote_exec(SEND)
    start = time.perf_counter()
    channel.send(count * 8)
    for _ in range(count * 8):
        channel.receive()
    return [count * 1048576 / 1e6 / (time.perf_counter() - start)]


if __name__ == "__main__":
    floor.main({
        "latency": latency,
        "pipelined": pipelined,
        "connect": connect,
        "connect-many": connect_many,
        "rss": memory("Rss"),
        "pss": memory("Pss"),
        "shutdown": shutdown,
        "stream": stream,
        "stream-unsigned": stream,
    })
