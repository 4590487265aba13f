#!/usr/bin/env python3
"""The floor under any controller of Python children: SCENARIO COUNT PYTHON, prints {"samples": [...]}.

A latency is that of two Pythons which say a short message back and forth over a socket pair; a connection is at least a
start of the interpreter (a first stage that leaves no trace takes two); memory is that of an interpreter that does nothing.
"""

import json
import os
import socket
import subprocess
import sys
import time

ECHO = """
import socket, sys
s = socket.socket(fileno=int(sys.argv[1]))
while True:
    data = s.recv(4096)
    if not data:
        break
    s.sendall(data)
"""

# As often as ours.
BATCHES = 3

IDLE = "import sys; sys.stdout.write('up\\n'); sys.stdout.flush(); sys.stdin.read()"


def latency(count, python):
    ours, theirs = socket.socketpair()
    child = subprocess.Popen([python, "-SEc", ECHO, str(theirs.fileno())], pass_fds=[theirs.fileno()])
    theirs.close()
    message = b"x" * 64
    samples = []
    for i in range(count + 50):
        start = time.perf_counter()
        ours.sendall(message)
        ours.recv(4096)
        if i >= 50:
            samples.append((time.perf_counter() - start) * 1e6)
    ours.close()
    child.wait()
    return samples


def connect(count, python):
    samples = []
    for _ in range(count):
        start = time.perf_counter()
        subprocess.check_call([python, "-c", "pass"])
        samples.append((time.perf_counter() - start) * 1e3)
    return samples


def connect_many(count, python):
    start = time.perf_counter()
    children = [subprocess.Popen([python, "-c", "pass"]) for _ in range(count)]
    for child in children:
        child.wait()
    return [(time.perf_counter() - start) * 1e3]


def memory(field):
    def measure(count, python):
        samples = []
        for _ in range(count):
            child = subprocess.Popen([python, "-c", IDLE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            child.stdout.readline()
            samples.append(resident(child.pid, field))
            child.communicate()
        return samples
    return measure


def resident(pid, field):
    """KiB of a process, by its name in smaps_rollup."""
    with open("/proc/%d/smaps_rollup" % pid) as f:
        for line in f:
            if line.startswith(field + ":"):
                return int(line.split()[1])
    raise ValueError("no %s for %d" % (field, pid))


SCENARIOS = {
    "latency": latency,
    "connect": connect,
    "connect-many": connect_many,
    "rss": memory("Rss"),
    "pss": memory("Pss"),
}


def main(scenarios):
    scenario, count, python = sys.argv[1:4]
    if scenario not in scenarios:
        sys.exit(3)
    samples = scenarios[scenario](int(count), python)
    print(json.dumps({"samples": samples}))
    sys.stdout.flush()


if __name__ == "__main__":
    main(SCENARIOS)
