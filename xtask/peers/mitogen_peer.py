#!/usr/bin/env python3
"""Upstream Mitogen as a subject: SCENARIO COUNT PYTHON, prints {"samples": [...]}. Public API only."""

import concurrent.futures
import os
import time

import mitogen.master
import mitogen.select

import floor


class Controller(object):
    """A broker and a router; a context's first call is part of connecting it."""

    def __init__(self, python):
        self.python = python
        self.broker = mitogen.master.Broker()
        self.router = mitogen.master.Router(self.broker)

    def connect(self):
        context = self.router.local(python_path=self.python)
        context.call(os.getpid)
        return context

    def connect_many(self, count):
        # Many at once is done with threads: the API blocks.
        with concurrent.futures.ThreadPoolExecutor(min(count, 32)) as pool:
            return [f.result() for f in [pool.submit(self.connect) for _ in range(count)]]

    def close(self):
        self.broker.shutdown()
        self.broker.join()


def with_controller(work):
    def run(count, python):
        controller = Controller(python)
        try:
            return work(controller, count)
        finally:
            controller.close()
    return run


@with_controller
def latency(controller, count):
    return calls(controller.connect(), count)


def hops(depth):
    @with_controller
    def measure(controller, count):
        context = controller.connect()
        for _ in range(1, depth):
            context = controller.router.local(python_path=controller.python, via=context)
        return calls(context, count)
    return measure


def calls(context, count):
    samples = []
    for i in range(count + 50):
        start = time.perf_counter()
        context.call(os.getpid)
        if i >= 50:
            samples.append((time.perf_counter() - start) * 1e6)
    return samples


@with_controller
def pipelined(controller, count):
    context = controller.connect()
    for _ in range(50):
        context.call(os.getpid)
    start = time.perf_counter()
    receivers = [context.call_async(os.getpid) for _ in range(count)]
    for receiver in receivers:
        receiver.get().unpickle()
    return [count / (time.perf_counter() - start)]


@with_controller
def scatter(controller, count):
    contexts = controller.connect_many(count)
    start = time.perf_counter()
    select = mitogen.select.Select(oneshot=True)
    for context in contexts:
        for _ in range(200):
            select.add(context.call_async(os.getpid))
    for msg in select:
        msg.unpickle()
    return [count * 200 / (time.perf_counter() - start)]


def many(count, python):
    start = time.perf_counter()
    controller = Controller(python)
    controller.connect_many(count)
    controller.close()
    return [(time.perf_counter() - start) * 1e3]


@with_controller
def connect(controller, count):
    controller.connect()    # the first one of a controller also warms the controller
    samples = []
    for _ in range(count):
        start = time.perf_counter()
        context = controller.connect()
        samples.append((time.perf_counter() - start) * 1e3)
        context.shutdown(wait=True)
    return samples


@with_controller
def connect_many(controller, count):
    start = time.perf_counter()
    controller.connect_many(count)
    return [(time.perf_counter() - start) * 1e3]


def memory(field):
    @with_controller
    def measure(controller, count):
        contexts = [controller.connect() for _ in range(count)]
        pids = [context.call(os.getpid) for context in contexts]
        time.sleep(0.5)
        return [floor.resident(pid, field) for pid in pids]
    return measure


def shutdown(count, python):
    controller = Controller(python)
    controller.connect_many(count)
    start = time.perf_counter()
    controller.close()
    return [(time.perf_counter() - start) * 1e3]


if __name__ == "__main__":
    floor.main({
        "latency": latency,
        "pipelined": pipelined,
        "connect": connect,
        "connect-many": connect_many,
        "hops-2": hops(2),
        "hops-4": hops(4),
        "scatter": scatter,
        "many": many,
        "rss": memory("Rss"),
        "pss": memory("Pss"),
        "shutdown": shutdown,
    })
