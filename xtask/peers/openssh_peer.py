#!/usr/bin/env python3
"""OpenSSH's own ways to send files, as a subject: SCENARIO COUNT PYTHON, prints {"samples": [...]}. The host is the testbed's (MITOGEN_TESTBED)."""

import os
import shutil
import subprocess
import sys
import tempfile
import time

import floor

# A login a file: more of them show nothing more.
MOST = 20


def config():
    testbed = os.environ.get("MITOGEN_TESTBED")
    if not testbed:
        sys.exit(3)
    return ["-F", os.path.join(testbed, "ssh_config")]


HOST = "root"


def place():
    """A directory where no disk is measured, if there is such a place; anybody may write there."""
    path = tempfile.mkdtemp(prefix="mitogen-bench-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    os.chmod(path, 0o777)
    return path


def cat(options, host, source, target):
    start = time.perf_counter()
    with open(source, "rb") as data:
        subprocess.check_call(["ssh"] + options + [host, "cat > '%s'" % target], stdin=data)
    return time.perf_counter() - start


def bulk(count, python):
    """One large file through `ssh host 'cat > file'`, without the time of the login; MB/s."""
    options = config()
    directory = place()
    try:
        block = bytes(bytearray((i * 2654435761 >> 13) & 255 for i in range(1 << 20)))
        with open(directory + "/from", "wb") as out:
            for _ in range(count):
                out.write(block)
        open(directory + "/empty", "wb").close()
        login = min(cat(options, HOST, directory + "/empty", directory + "/to0") for _ in range(3))
        return [count * 1048576 / 1e6 / (cat(options, HOST, directory + "/from", directory + "/to") - login)]
    finally:
        shutil.rmtree(directory)


def small(count, python):
    """Files of 4 KiB, an `scp` each; files per second."""
    options = config()
    directory = place()
    try:
        with open(directory + "/from", "wb") as out:
            out.write(b"x" * 4096)
        count = min(count, MOST)
        start = time.perf_counter()
        for number in range(count):
            subprocess.check_call(["scp", "-q"] + options + [directory + "/from", "%s:%s/%d" % (HOST, directory, number)])
        return [count / (time.perf_counter() - start)]
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    floor.main({"files-ssh": bulk, "files-ssh-small": small})
