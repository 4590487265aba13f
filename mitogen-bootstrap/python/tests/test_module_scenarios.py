"""The scenarios of mitogen-importer/tests/scenarios (its README tells their language), replayed: what the Rust forwarder does, the agent's library does, and the reverse."""
import sys
import unittest

import harness  # noqa: F401
import scenarios
from mitogen import core
from mitogen.importer import Importer
from mitogen.library import Library
from mitogen.modules import LOAD_BUNDLE, Part
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
        elif handle == LOAD_BUNDLE and data in self.parts:
            self.lines.append('to %d: %s' % (link.remote_id, self.parts[data]))
        elif handle == LOAD_BUNDLE:
            name, last, entries = Part(data).head()
            assert (last, entries) == (True, [])
            self.lines.append('end %d: %s' % (link.remote_id, name))
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
            for at in range(count - 1):
                # All that is told of stands in the last part.
                self.part(words[1], ['x%d' % at], at + 1, count)
            self.part(words[1], words[3:], count, count)
        elif words[0] == 'part':
            at, count = words[2].rstrip(':').split('/')
            self.part(words[1], words[3:], int(at), int(count))
        elif words[0] == 'lost':
            library.forget(self.links.pop(int(words[1])))
        elif words[0] == 'orphan':
            self.parent = None
            library.orphan()
        else:
            raise AssertionError('no such statement')


    def part(self, asked, names, at, count):
        entries = []
        for name in names:
            if name[0] == '-':
                entries.append((name[1:], None, None, None))
            else:
                entries.append((name, None, '/x/%s.py' % name, ('# %s\n' % name).encode()))
        payload = bundle(asked, entries, at == count)
        self.parts[payload] = '%s %d/%d' % (asked, at, count)
        self.library.handle_bundle(core.Message(src_id=0, dst_id=1, data=payload))


class Scenarios(unittest.TestCase):
    def setUp(self):
        router, core.router = core.router, None
        self.addCleanup(setattr, core, 'router', router)
        self.addCleanup(sys.path_hooks.__setitem__, slice(None), sys.path_hooks[:])

    def test_every_scenario_ends_as_it_says(self):
        scenarios.replay(self, 'mitogen-importer', 4, ('up', 'to', 'end', 'deny'), Stage)

    def test_nobody_below_waits_for_the_rest_of_what_cannot_be_read(self):
        stage = Stage()
        for line in 'ask 5 shop', 'part shop 1/2: shop':
            stage.play(line)
        stage.lines = []
        self.assertRaises(Exception, stage.library.handle_bundle, core.Message(src_id=0, dst_id=1, data='junk'.encode()))
        self.assertEqual(stage.lines, ['end 5: shop'])
        self.assertEqual(stage.library.finder.partial, {})


if __name__ == '__main__':
    unittest.main()
