"""Routing rules, without a descriptor."""
import unittest

import harness  # noqa: F401
from mitogen import core
from mitogen.router import Router


class FakeLink(object):
    def __init__(self):
        self.sent = []

    def send(self, msg):
        self.sent.append(msg)


class Rules(unittest.TestCase):
    def setUp(self):
        self.router = core.router = Router(5, [2, 0], 1000)
        self.parent = self.router.parent = FakeLink()
        self.child = self.router.links[9] = FakeLink()
        self.got = []

    def arrive(self, link=None, **kw):
        msg = core.Message(**dict(dict(dst_id=5, src_id=0, auth_id=0), **kw))
        self.router.handle_message(msg, link or self.parent)
        return msg

    def outcome(self, link):
        return [(m.dst_id, m.handle, m.reply_to, m.data) for m in link.sent]

    def logged(self):
        return [m.data for m in self.parent.sent if m.handle == core.FORWARD_LOG]

    def test_delivery_to_a_handler(self):
        self.router.add_handler(self.got.append, 101)
        msg = self.arrive(handle=101)
        self.assertEqual(self.got, [msg])

    def test_unknown_handle_is_answered_only_when_an_answer_is_wanted(self):
        self.arrive(handle=77)
        self.arrive(handle=77, reply_to=core.IS_DEAD)
        self.assertEqual(self.parent.sent, [])
        self.arrive(handle=77, reply_to=1003)
        self.assertEqual(self.outcome(self.parent), [(0, 1003, core.IS_DEAD, b'invalid handle')])

    def test_policy_looks_at_auth_id(self):
        self.router.add_handler(self.got.append, 101, True, True)
        self.arrive(handle=101, src_id=7, auth_id=7, reply_to=1003)
        self.assertEqual(self.outcome(self.parent), [(7, 1003, core.IS_DEAD, b'refused by policy')])
        for auth in (0, 2, 5):
            self.arrive(handle=101, src_id=auth, auth_id=auth)
        self.assertEqual(len(self.got), 3)

    def test_respondent(self):
        handle = self.router.add_handler(self.got.append, None, False, False, 9)
        self.assertTrue(handle >= 1000)
        self.arrive(handle=handle, reply_to=1003)
        self.assertEqual(self.outcome(self.parent)[0][3], b'reply from unexpected context')
        self.arrive(handle=handle, reply_to=core.IS_DEAD)
        self.assertEqual(len(self.got), 1)
        self.assertEqual(self.router.handlers, {})

    def test_a_frame_whose_author_lives_elsewhere_is_dropped(self):
        self.router.add_handler(self.got.append, 101)
        self.arrive(self.child, handle=101, reply_to=1003)
        self.arrive(self.child, handle=101, src_id=0, auth_id=9, reply_to=1003)
        self.arrive(self.parent, handle=101, src_id=9, auth_id=9, reply_to=1003)
        self.assertEqual((self.got, self.child.sent, len(self.logged())), ([], [], 3))

    def test_forwarding_changes_nothing(self):
        msg = self.arrive(dst_id=9, src_id=7, auth_id=2, handle=3, reply_to=4, data=b'x', enc=core.ENC_BYTES)
        self.assertEqual(self.child.sent, [msg])
        self.assertEqual((msg.src_id, msg.auth_id, msg.enc), (7, 2, core.ENC_BYTES))

    def test_unknown_destinations_go_up_unless_they_came_from_there(self):
        msg = self.arrive(self.child, dst_id=44, src_id=9, auth_id=9)
        self.assertEqual(self.parent.sent, [msg])
        self.arrive(dst_id=44, reply_to=8)
        self.assertEqual(self.outcome(self.parent)[1:], [(0, 8, core.IS_DEAD, b'no route to 44, my ID is 5')])

    def test_our_own_messages_are_signed_with_our_id(self):
        self.router.route(core.Message(dst_id=0, handle=1))
        self.assertEqual([(m.src_id, m.auth_id) for m in self.parent.sent], [(5, 5)])

    def test_too_large_messages_die_where_somebody_notices(self):
        self.router.route(core.Message(dst_id=9, handle=1, reply_to=0, data=b'x' * 1001))
        self.assertEqual(self.outcome(self.child), [(9, 1, core.IS_DEAD, b'message too large (max 1000 bytes)')])
        handle = self.router.add_handler(self.got.append)
        self.router.route(core.Message(dst_id=9, handle=1, reply_to=handle, data=b'x' * 1001))
        self.assertEqual(self.got[0].reply_to, core.IS_DEAD)

    def test_contexts_are_unique(self):
        a = core.loads(core.dumps(self.router.context_by_id(3, core.to_text('n')), 2))
        self.assertTrue(a is self.router.context_by_id(3))
        self.assertEqual(a.name, 'n')

    def test_senders_travel(self):
        sender = core.loads(core.dumps(core.Sender(self.router.context_by_id(9), 1005), 2))
        sender.send(3)
        sender.close()
        self.assertEqual([(m.handle, m.reply_to >> 31) for m in self.child.sent], [(1005, 1), (1005, 0)])
        self.assertTrue(self.child.sent[1].is_dead)

    def test_bad_contexts_and_senders_are_refused(self):
        for name, args in (('context', (-1, None)), ('context', (1, core.to_text('x') * 100)), ('sender', (1, 0))):
            fn = getattr(core, '_unpickle_' + name)
            self.assertRaises(core.StreamError, fn, *args)


if __name__ == '__main__':
    unittest.main()
