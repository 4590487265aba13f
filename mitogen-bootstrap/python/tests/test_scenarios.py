"""The scenarios of mitogen-router/tests/scenarios (its README tells their language), replayed: what the Rust router does, the agent's does, and the reverse."""
import re
import unittest

import harness  # noqa: F401
import scenarios
from mitogen import core
from mitogen.importer import Importer
from mitogen.tree import Branch, Router

T = core.to_text


def text(line):
    """What stands in quotes."""
    found = re.search(r'"(.*)"$', line)
    if not found:
        return b''
    return re.sub(br'\\(x([0-9a-f]{2})|.)', lambda m: m.group(2) and bytes(bytearray([int(m.group(2), 16)])) or m.group(1), found.group(1).encode('latin-1'))


def quote(data):
    out = ''
    for byte in bytearray(data):
        char = chr(byte)
        if char in '"\\':
            out += '\\' + char
        elif 32 <= byte < 127:
            out += char
        else:
            out += '\\x%02x' % byte
    return '"%s"' % out


def parse(line):
    words = line.split('"', 1)[0].split()
    src, _, auth = words[0].partition('/')
    msg = core.Message(src_id=int(src), auth_id=int(auth or src), dst_id=int(words[2]), handle=int(words[3]), data=text(line))
    if 'reply' in words:
        msg.reply_to = int(words[words.index('reply') + 1])
    if 'dead' in words:
        msg.reply_to = core.IS_DEAD
    if 'pickled' in words:
        msg.enc = core.ENC_PICKLE
    return msg


def show(msg):
    out = '%d' % msg.src_id
    if msg.auth_id != msg.src_id:
        out += '/%d' % msg.auth_id
    out += ' -> %d %d ' % (msg.dst_id, msg.handle)
    if msg.reply_to == core.IS_DEAD:
        out += 'dead '
    elif msg.reply_to:
        out += 'reply %d ' % msg.reply_to
    if msg.enc == core.ENC_PICKLE:
        out += 'pickled '
    return out + quote(msg.data)


class Link(Branch):
    def __init__(self, stage, remote_id):
        self.stage = stage
        self.grow(remote_id)

    def send(self, msg):
        if msg.handle != core.FORWARD_LOG:
            self.stage.lines.append('to %d: %s' % (self.remote_id, show(msg)))


class Stage(object):
    def __init__(self):
        self.lines = []
        self.links = {}
        self.limit = 1 << 20
        self.one_way = False
        self.router = None

    def begin(self):
        if not self.router:
            self.router = core.router = Router(self.us, self.parents, self.limit)
            self.router.parent = self.links[self.parents[0]] = Link(self, self.parents[0])
            self.router.parent.routes = set()
            self.router.grow(Importer({}, b''), self.one_way)

    def got(self, handle):
        def handler(msg):
            who = 'dead'
            if not msg.is_dead:
                who = msg.src_id
            self.lines.append('got %d: %s %s' % (handle, who, quote(msg.data)))
        return handler

    def play(self, line):
        verb, _, rest = line.partition(' ')
        words = rest.split()
        if verb == 'us':
            self.us = int(words[0])
            self.parents = [int(word) for word in words[2:]]
            return
        elif verb == 'limit':
            self.limit = int(rest)
            return
        elif verb == 'one-way':
            self.one_way = True
            return
        self.begin()
        router = self.router
        if verb == 'child':
            link = self.links[int(rest)] = Link(self, int(rest))
            router.adopt(link, T('c' + rest))
        elif verb == 'listen':
            only = None
            if 'only' in words:
                only = int(words[words.index('only') + 1])
            handle = int(words[0])
            router.add_handler(self.got(handle), handle, 'once' not in words, 'trusted' in words, only)
        elif verb in ('ask', 'send'):
            msg = core.Message(dst_id=int(words[0]), handle=int(words[1]), data=text(rest))
            if verb == 'ask':
                msg.reply_to = router.add_handler(lambda m: self.got(m.handle)(m), None, False, False, msg.dst_id)
            router.route(msg)
        elif verb == 'from':
            name, _, rest = rest.partition(': ')
            link = self.links[int(name)]
            msg = parse(rest)
            try:
                way = router.way(msg.dst_id, msg.src_id, msg.auth_id, link)
                if way:
                    way.send(msg)
                else:
                    router.handle_message(msg, link)
            except Exception:
                # What a link's reader does with an error.
                pass
        elif verb == 'lost':
            link = self.links[int(rest)]
            if link is router.parent:
                router.orphan()
            else:
                router.abandon(link)
        else:
            raise AssertionError('no such statement')


class Scenarios(unittest.TestCase):
    def test_every_scenario_ends_as_it_says(self):
        scenarios.replay(self, 'mitogen-router', 8, ('to', 'got'), Stage)


if __name__ == '__main__':
    unittest.main()
