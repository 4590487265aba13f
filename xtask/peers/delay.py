"""A link that is far away: MILLISECONDS COMMAND... runs the command and gives each byte of its stdin and stdout that much later."""
import collections
import os
import subprocess
import sys
import threading
import time


def pump(source, sink, delay):
    queue = collections.deque()
    filled = threading.Condition()

    def read():
        while True:
            data = os.read(source, 262144)
            with filled:
                queue.append((time.monotonic() + delay, data))
                filled.notify()
            if not data:
                return

    threading.Thread(target=read, daemon=True).start()
    while True:
        with filled:
            while not queue:
                filled.wait()
            due, data = queue.popleft()
        time.sleep(max(0, due - time.monotonic()))
        if not data:
            os.close(sink)
            return
        while data:
            data = data[os.write(sink, data):]


def main(milliseconds, *command):
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    delay = float(milliseconds) / 1000
    threading.Thread(target=pump, args=(0, os.dup(child.stdin.fileno()), delay), daemon=True).start()
    child.stdin.close()
    back = threading.Thread(target=pump, args=(child.stdout.fileno(), 1, delay), daemon=True)
    back.start()
    back.join()
    sys.exit(child.wait())


if __name__ == '__main__':
    main(*sys.argv[1:])
