#!/usr/bin/env python3
"""Upstream Mitogen as a subject: SCENARIO COUNT PYTHON, prints {"samples": [...]}. Public API only."""

import concurrent.futures
import os
import shutil
import tempfile
import time

import mitogen.core
import mitogen.master
import mitogen.select
import mitogen.service

import files_child
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
    samples = []
    for _ in range(floor.BATCHES):
        start = time.perf_counter()
        receivers = [context.call_async(os.getpid) for _ in range(count)]
        for receiver in receivers:
            receiver.get().unpickle()
        samples.append(count / (time.perf_counter() - start))
    return samples


@with_controller
def scatter(controller, count):
    contexts = controller.connect_many(count)
    samples = []
    for _ in range(floor.BATCHES):
        start = time.perf_counter()
        select = mitogen.select.Select(oneshot=True)
        for context in contexts:
            for _ in range(200):
                select.add(context.call_async(os.getpid))
        for msg in select:
            msg.unpickle()
        samples.append(count * 200 / (time.perf_counter() - start))
    return samples


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


def in_memory():
    """A directory where no disk is measured, if there is such a place."""
    return tempfile.mkdtemp(prefix="mitogen-bench-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)


def serve(controller, directory):
    service = mitogen.service.FileService(controller.router)
    service.register_prefix(directory)
    return mitogen.service.Pool(controller.router, services=[service], size=2)


def files(depth):
    @with_controller
    def measure(controller, count):
        directory = in_memory()
        pool = serve(controller, directory)
        try:
            block = bytes(bytearray((i * 2654435761 >> 13) & 255 for i in range(1 << 20)))
            with open(directory + "/from", "wb") as out:
                for _ in range(count):
                    out.write(block)
            with open(directory + "/warm", "wb") as out:
                out.write(block)
            context = controller.connect()
            for _ in range(1, depth):
                context = controller.router.local(python_path=controller.python, via=context)
            context.call(files_child.fetch, directory + "/warm", directory + "/warm2")
            start = time.perf_counter()
            context.call(files_child.fetch, directory + "/from", directory + "/to")
            return [count * 1048576 / 1e6 / (time.perf_counter() - start)]
        finally:
            pool.stop()
            shutil.rmtree(directory)
    return measure


@with_controller
def small_files(controller, count):
    directory = in_memory()
    pool = serve(controller, directory)
    try:
        os.mkdir(directory + "/a")
        os.mkdir(directory + "/b")
        for number in range(count):
            with open("%s/a/%d" % (directory, number), "wb") as out:
                out.write(b"x" * 4096)
        context = controller.connect()
        context.call(files_child.fetch, directory + "/a/0", directory + "/b/0")
        return [count / context.call(files_child.fetch_many, directory + "/a", directory + "/b", count)]
    finally:
        pool.stop()
        shutil.rmtree(directory)


@with_controller
def stream(controller, count):
    context = controller.connect()
    receiver = mitogen.core.Receiver(controller.router)
    context.call(files_child.send, receiver.to_sender(), 8)
    for _ in range(8):
        receiver.get().unpickle()
    start = time.perf_counter()
    context.call_async(files_child.send, receiver.to_sender(), count * 8)
    for _ in range(count * 8):
        receiver.get().unpickle()
    return [count * 1048576 / 1e6 / (time.perf_counter() - start)]


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
        "files-1": files(1),
        "files-1-unsigned": files(1),
        "files-2": files(2),
        "files-2-unsigned": files(2),
        "files-4": files(4),
        "files-4-unsigned": files(4),
        "files-small": small_files,
        "stream": stream,
        "stream-unsigned": stream,
    })
