"""The scenarios of mitogen-importer/tests/scenarios (its README tells their language), replayed: what the Rust forwarder does, the agent's library does, and the reverse."""
import sys
import unittest

import harness  # noqa: F401
import scenarios
from mitogen import core
from mitogen.importer import Importer
from mitogen.library import Library
from mitogen.modules import LOAD_BUNDLE
from test_importer import bundle


class Link(object):
    def __init__(self, remote_id):
        self.remote_id = remote_id
        self.modules = set()


class Stage(object):
    """A context between others, as far as modules are concerned."""

    def __init__(self):
        self.lines = []
        self.parent = Link(0)
        self.links = {}
        # Payloads -> what a scenario calls them.
        self.parts = {}
        self.library = Library(self, Importer({}, b''))

    # What the library asks of a router.

    def tell(self, link, handle, data, enc=core.ENC_PLAIN):
        if handle == core.GET_MODULE:
            self.lines.append('up ' + data.decode())
        elif handle == LOAD_BUNDLE:
            self.lines.append('to %d: %s' % (link.remote_id, self.parts[data]))
        else:
            name, _, path, _, _ = core.loads(data)
            assert path is None
            self.lines.append('deny %d: %s' % (link.remote_id, name))

    def peer(self, msg):
        return self.links.setdefault(msg.src_id, Link(msg.src_id))

    # What happens.

    def play(self, line):
        words = line.split()
        library = self.library
        if words[0] == 'ask':
            library.handle_get_module(core.Message(src_id=int(words[1]), dst_id=1, data=words[2].encode()))
        elif words[0] == 'own':
            if words[1] not in library.importer.cache:
                library.request(words[1])
        elif words[0] == 'bundle':
            count = int(words[2].rstrip(':'))
            entries = []
            for name in words[3:]:
                if name[0] == '-':
                    entries.append((name[1:], None, None, None))
                else:
                    entries.append((name, None, '/x/%s.py' % name, ('# %s\n' % name).encode()))
            for at in range(count):
                # All that is in it stands in the last part.
                last = at + 1 == count
                payload = bundle(words[1], last and entries or [('x%d' % at, None, '/x/x%d.py' % at, b'# x\n')], last)
                self.parts[payload] = '%s %d/%d' % (words[1], at + 1, count)
                library.handle_bundle(core.Message(src_id=0, dst_id=1, data=payload))
        elif words[0] == 'lost':
            library.forget(self.links.pop(int(words[1])))
        elif words[0] == 'orphan':
            self.parent = None
            library.orphan()
        else:
            raise AssertionError('no such statement')


class Scenarios(unittest.TestCase):
    def setUp(self):
        router, core.router = core.router, None
        self.addCleanup(setattr, core, 'router', router)
        self.addCleanup(sys.path_hooks.__setitem__, slice(None), sys.path_hooks[:])

    def test_every_scenario_ends_as_it_says(self):
        scenarios.replay(self, 'mitogen-importer', 3, ('up', 'to', 'deny'), Stage)


if __name__ == '__main__':
    unittest.main()
