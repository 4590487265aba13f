"""Routing rules of a context with children, without a descriptor."""
import unittest
import zlib

import harness  # noqa: F401
from mitogen import core
from mitogen.importer import Importer
from mitogen.tree import ADD_ROUTE, DEL_ROUTE, DETACHING, FORWARD_MODULE, GRANT, MANY, Branch, Router

T = core.to_text


class FakeLink(Branch):
    def __init__(self):
        self.sent = []

    def send(self, msg):
        self.sent.append(msg)

    def texts(self):
        """What was sent, without log records, and forgotten now."""
        out = [(m.dst_id, m.handle, m.data) for m in self.sent if m.handle != core.FORWARD_LOG]
        del self.sent[:]
        return out


class Case(unittest.TestCase):
    """We are 5, below 2, below 0. Our children are 9, with 90 behind it, and 8."""

    def setUp(self):
        self.router = router = core.router = Router(5, [2, 0], 1000)
        self.parent = router.parent = FakeLink()
        self.parent.remote_id = 2
        self.parent.routes = set()
        self.importer = Importer({}, b'')
        router.grow(self.importer)
        self.nine, self.eight = FakeLink(), FakeLink()
        for link, context_id in (self.nine, 9), (self.eight, 8):
            link.grow(context_id)
            router.adopt(link, T('c%d' % context_id))
        self.arrive(self.parent, 2, GRANT, b'90:95:9')
        self.arrive(self.nine, 9, ADD_ROUTE, b'90:deep')
        self.parent.texts()
        self.logged = []
        self.got = []

    def arrive(self, link, src, handle, data=b'', dst=5, **kw):
        msg = core.Message(**dict(dict(dst_id=dst, src_id=src, auth_id=src, handle=handle, data=data), **kw))
        way = self.router.way(msg.dst_id, msg.src_id, msg.auth_id, link)
        if way:
            way.send(msg)
        else:
            self.router.handle_message(msg, link)
        return msg

    def logs(self):
        return [m.data for m in self.parent.sent if m.handle == core.FORWARD_LOG]


class Forwarding(Case):
    def test_frames_go_on_as_they_are(self):
        for link, src, dst, out in ((self.parent, 0, 9, self.nine), (self.parent, 7, 90, self.nine), (self.nine, 90, 8, self.eight),
                                    (self.nine, 9, 0, self.parent), (self.eight, 8, 77, self.parent)):
            msg = self.arrive(link, src, 1000, b'x', dst)
            self.assertEqual(out.sent, [msg])
            self.assertTrue(self.router.way(dst, src, src, link) is out)
            del out.sent[:]

    def test_a_fast_way_exists_only_for_what_is_in_order(self):
        way = self.router.way
        for dst, src, auth, link in ((5, 0, 0, self.parent), (5, 9, 9, self.nine), (8, 0, 0, self.nine), (8, 9, 0, self.nine), (8, 0, 9, self.nine),
                                     (8, 8, 8, self.nine), (9, 8, 8, self.parent), (77, 0, 0, self.parent), (8, 5, 5, self.nine)):
            self.assertEqual(way(dst, src, auth, link), None)

    def test_forged_authors_are_refused_and_logged_once(self):
        self.router.add_handler(self.got.append, 1005)
        for _ in range(3):
            self.arrive(self.nine, 0, 1005, reply_to=1)
            self.arrive(self.nine, 9, 1005, auth_id=0, reply_to=1)
            self.arrive(self.nine, 8, 1005, reply_to=1)
            self.arrive(self.nine, 0, 1005, dst=8)
            self.arrive(self.nine, 5, 1005, dst=5)
        self.assertEqual((self.got, self.nine.sent, self.eight.sent, len(self.logs())), ([], [], [], 1))
        # It is still heard when it speaks the truth.
        self.arrive(self.nine, 9, 1005)
        self.assertEqual(len(self.got), 1)

    def test_a_child_may_not_call_us(self):
        self.router.add_handler(self.got.append, core.CALL_FUNCTION, True, True)
        self.arrive(self.nine, 9, core.CALL_FUNCTION, reply_to=1005)
        self.assertEqual(self.nine.texts(), [(9, 1005, b'refused by policy')])

    def test_unknown_destinations(self):
        self.arrive(self.parent, 0, 1005, b'', 77, reply_to=1006)
        self.assertEqual(self.parent.texts(), [(0, 1006, b'no route to 77, my ID is 5')])
        self.arrive(self.parent, 0, 1005, b'', 77)
        self.arrive(self.parent, 0, 1005, b'', 77, reply_to=core.IS_DEAD)
        self.assertEqual(self.parent.texts(), [])

    def test_only_up_and_down_if_so_configured(self):
        self.router.unidirectional = True
        self.arrive(self.nine, 9, 1005, b'', 8, reply_to=1006)
        self.assertEqual(self.eight.sent, [])
        self.assertEqual(self.nine.texts(), [(9, 1006, b'routing mode prevents forward of message from context 9 to context 8 via context 5')])
        self.arrive(self.nine, 9, 1005, b'', 0)
        self.arrive(self.parent, 0, 1005, b'', 9)
        self.assertEqual((len(self.parent.sent), len(self.nine.sent)), (1, 1))


class Routes(Case):
    def test_births_are_announced_upwards(self):
        self.arrive(self.nine, 9, ADD_ROUTE, b'91:deeper')
        self.assertEqual(self.parent.texts(), [(2, ADD_ROUTE, b'91:deeper')])
        self.assertTrue(self.router.links[91] is self.nine)
        self.assertEqual(self.router.context_by_id(91).name, 'deeper')

    def test_a_name_may_be_missing_or_hold_anything(self):
        for text, want in ((b'91', ''), (b'92:', ''), (b'93:a:b', 'a:b')):
            self.arrive(self.nine, 9, ADD_ROUTE, text)
            self.assertEqual(self.router.context_by_id(int(text[:2])).name or '', want)

    def test_routes_that_are_not_the_claimants(self):
        before = dict(self.router.links)
        for link, src, text in ((self.nine, 90, b'91:x'), (self.nine, 9, b'8:x'), (self.nine, 9, b'5:x'), (self.nine, 9, b'2:x'), (self.nine, 9, b'0:x'),
                                (self.nine, 9, b'-1:x'), (self.nine, 9, b'junk'), (self.nine, 9, b''), (self.parent, 2, b'91:x'), (self.parent, 0, b'91:x'),
                                (self.eight, 8, b'90:x')):
            self.arrive(link, src, ADD_ROUTE, text)
        self.assertEqual((self.router.links, self.parent.texts()), (before, []))

    def test_there_is_an_end_to_claims(self):
        self.arrive(self.parent, 2, GRANT, b'1000:90000:9')
        for n in range(MANY + 50):
            self.arrive(self.nine, 9, ADD_ROUTE, str(1000 + n).encode())
        self.assertEqual(len(self.nine.routes), MANY)

    def test_loss_is_told_to_the_parent_and_to_whoever_wrote_there(self):
        self.arrive(self.eight, 8, 1005, b'', 90)
        self.nine.texts()
        self.arrive(self.nine, 9, DEL_ROUTE, b'90')
        self.assertEqual((self.parent.texts(), self.eight.texts(), self.nine.texts()), ([(2, DEL_ROUTE, b'90')], [(8, DEL_ROUTE, b'90')], []))
        self.assertTrue(90 not in self.router.links)
        self.arrive(self.nine, 9, DEL_ROUTE, b'90')
        self.assertEqual((self.parent.texts(), self.eight.texts()), ([], []))

    def test_a_lost_link_takes_all_behind_it(self):
        self.arrive(self.eight, 8, 1005, b'', 90)
        self.router.abandon(self.nine)
        self.assertEqual(self.parent.texts(), [(2, DEL_ROUTE, b'9'), (2, DEL_ROUTE, b'90')])
        self.assertEqual(self.eight.texts(), [(8, DEL_ROUTE, b'90')])
        self.assertEqual(self.router.links, {8: self.eight})
        self.router.abandon(self.nine)
        self.assertEqual(self.parent.texts(), [])

    def test_loss_told_by_the_parent_goes_down_only(self):
        self.arrive(self.eight, 8, 1005, b'', 77)
        self.parent.texts()
        self.arrive(self.parent, 2, DEL_ROUTE, b'77')
        self.assertEqual((self.parent.texts(), self.eight.texts(), self.nine.texts()), ([], [(8, DEL_ROUTE, b'77')], []))

    def test_others_routes_cannot_be_withdrawn(self):
        before = dict(self.router.links)
        for link, src, text in ((self.eight, 8, b'90'), (self.eight, 8, b'9'), (self.nine, 9, b'9'), (self.nine, 90, b'90'), (self.parent, 2, b'9'),
                                (self.parent, 0, b'77'), (self.nine, 9, b'junk'), (self.nine, 9, b'')):
            self.arrive(link, src, DEL_ROUTE, text)
        self.assertEqual((self.router.links, self.parent.texts()), (before, []))

    def test_who_waits_for_a_lost_context_is_told(self):
        self.router.add_handler(self.got.append, None, False, False, 90)
        stays = self.router.add_handler(self.got.append, None, False, False, 8)
        self.router.abandon(self.nine)
        self.assertEqual([(m.reply_to, m.data) for m in self.got], [(core.IS_DEAD, b'the respondent Context has disconnected')])
        self.assertTrue(stays in self.router.handlers)

    def test_too_many_destinations_count_as_all(self):
        for n in range(MANY + 1):
            self.router.note(self.eight, 1000 + n)
        self.arrive(self.parent, 2, DEL_ROUTE, b'77')
        self.assertEqual(self.eight.texts(), [(8, DEL_ROUTE, b'77')])


class Modules(Case):
    def load(self, name, text=b'x = 1\n', related=()):
        answer = T(name), None, T('/src.py'), core.Blob(zlib.compress(text)), related
        if text is None:
            answer = T(name), None, None, None, ()
        data = core.dumps(answer, 2)
        self.arrive(self.parent, 2, core.LOAD_MODULE, data, enc=core.ENC_PICKLE)
        return data

    def test_one_question_for_all(self):
        self.arrive(self.nine, 9, core.GET_MODULE, b'm')
        self.arrive(self.eight, 8, core.GET_MODULE, b'm')
        self.arrive(self.eight, 8, core.GET_MODULE, b'm')
        self.assertEqual(self.parent.texts(), [(2, core.GET_MODULE, b'm')])
        data = self.load('m')
        for link in self.nine, self.eight:
            self.assertEqual(link.texts(), [(link.remote_id, core.LOAD_MODULE, data)])
        self.arrive(self.nine, 9, core.GET_MODULE, b'm')
        self.assertEqual((self.parent.texts(), self.nine.texts()), ([], []))

    def test_answers_that_are_there(self):
        self.importer.cache['m'] = None, 'master:/m.py', b'x = 1\n\n'
        self.importer.cache['none'] = None, None, None
        for name in b'm', b'none':
            self.arrive(self.nine, 9, core.GET_MODULE, name)
        found, missing = [core.loads(data) for _, _, data in self.nine.texts()]
        self.assertEqual((found[:3], zlib.decompress(found[3]), found[4]), ((T('m'), None, T('/m.py')), b'x = 1\n', ()))
        self.assertEqual(missing, (T('none'), None, None, None, ()))
        self.assertEqual(self.parent.texts(), [])

    def test_related_modules_go_first(self):
        first = self.load('a')
        second = self.load('b', related=[T('a'), T('absent')])
        self.arrive(self.nine, 9, core.GET_MODULE, b'b')
        self.assertEqual([data for _, _, data in self.nine.texts()], [first, second])

    def test_our_own_importer_shares(self):
        self.importer.waiting['m'] = lock = harness.wire and __import__('mitogen.importer').importer.allocate_lock()
        lock.acquire()
        self.importer.request('m')
        self.importer.request('m')
        self.arrive(self.nine, 9, core.GET_MODULE, b'm')
        self.assertEqual(self.parent.texts(), [(2, core.GET_MODULE, b'm')])
        self.load('m')
        self.assertEqual((self.importer.cache['m'][1:], len(self.nine.texts())), (('master:/src.py', b'x = 1\n\n'), 1))

    def test_what_passed_is_there_when_we_want_it(self):
        self.arrive(self.nine, 9, core.GET_MODULE, b'm')
        self.load('m')
        self.assertTrue('m' not in self.importer.cache)
        self.importer.request('m')
        self.assertTrue('m' in self.importer.cache)

    def test_the_lost_wait_no_more(self):
        self.arrive(self.nine, 9, core.GET_MODULE, b'm')
        self.router.abandon(self.nine)
        self.load('m')
        self.assertEqual(self.nine.texts(), [])

    def test_only_a_childs_own_questions_count(self):
        self.arrive(self.nine, 90, core.GET_MODULE, b'm')
        self.arrive(self.parent, 2, core.GET_MODULE, b'm')
        self.assertEqual(self.parent.texts(), [])

    def test_a_child_cannot_push_modules(self):
        self.arrive(self.nine, 9, core.LOAD_MODULE, b'junk', reply_to=1005)
        self.assertEqual(self.nine.texts(), [(9, 1005, b'refused by policy')])

    def test_pushed_modules_go_down_the_way(self):
        data = self.load('m')
        self.arrive(self.parent, 2, FORWARD_MODULE, b'90\0m')
        self.assertEqual(self.nine.texts(), [(9, core.LOAD_MODULE, data), (9, FORWARD_MODULE, b'90\0m')])
        self.arrive(self.parent, 2, FORWARD_MODULE, b'90\0m')
        self.assertEqual(self.nine.texts(), [])


if __name__ == '__main__':
    unittest.main()
