"""Standard input, output and error: nothing, and two pipes whose lines become log records."""
import os
import sys
from mitogen.core import PY3

NEWLINE = '\n'.encode()
# A longer line becomes several records.
MAX_LINE = 65536


class Output(object):
    """What was written to a standard descriptor, on the I/O thread."""

    def __init__(self, router, name, fd):
        self.router = router
        self.name = name
        self.rest = NEWLINE[:0]
        self.fd, writer = os.pipe()
        os.dup2(writer, fd)
        os.close(writer)

    def receive(self):
        """Forwards what there is; returns false at the end."""
        data = os.read(self.fd, MAX_LINE)
        if not data:
            return self.finish()
        lines = (self.rest + data).split(NEWLINE)
        self.rest = lines.pop()
        if len(self.rest) > MAX_LINE:
            lines.append(self.rest)
            self.rest = NEWLINE[:0]
        for line in lines:
            self.router.log(self.name, 20, line)
        return True

    def finish(self):
        """Forwards a last line that was not ended."""
        if self.rest:
            self.router.log(self.name, 20, self.rest)


def redirect(router):
    """Takes over the three descriptors. Returns {descriptor: Output}."""
    if os.isatty(2):
        # The last one to close a terminal would send SIGHUP.
        os.dup(2)
    null = os.open('/dev/null', os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    outputs = {}
    for name, fd in ('stdout', 1), ('stderr', 2):
        output = Output(router, name, fd)
        outputs[output.fd] = output
        if PY3:
            stream = open(fd, 'w', 1, 'utf-8', 'backslashreplace', None, False)
        else:
            stream = os.fdopen(fd, 'w', 1)
        setattr(sys, name, stream)
    return outputs
