"""What a tool asks on its terminal, and which answer it gets; without a descriptor."""
import unittest

import harness  # noqa: F401
from mitogen import core
from mitogen.handshake import Handshake

T = core.to_text


def entry(value, prompt='', source='hidden', more=(), wait=False):
    return {'source': T(source), 'prompt': T(prompt), 'more': [T(text) for text in more], 'wait': wait, 'value': value}


def secret(text):
    return core.Secret(T(text))


class Questions(unittest.TestCase):
    def machine(self, *secrets):
        return Handshake({'wiring': 'prompt', 'secrets': list(secrets), 'logs_in': True})

    def ask(self, machine, text, echo=False):
        """The answer to a question that comes byte by byte, and then waits."""
        answers = []
        for at in range(len(text)):
            answers.append(machine.handle_terminal(text[at:at + 1].encode(), echo)[1])
        answers.append(machine.handle_quiet(echo))
        return [answer for answer in answers if answer is not None]

    def test_a_second_secret_for_the_same_question(self):
        m = self.machine(entry(secret('one'), 'N1'), entry(secret('two'), 'N1'))
        self.assertEqual(self.ask(m, 'N1:'), [b'one'])
        m.handle_terminal(b'\n', True)
        self.assertEqual(self.ask(m, 'N1:'), [b'two'])
        m.handle_terminal(b'\n', True)
        self.assertEqual(self.ask(m, 'N1:'), [])
        self.assertEqual((m.reason, m.sent), ('asked', [0, 1]))

    def test_a_question_that_may_grow_into_an_earlier_entry_s_is_waited_for(self):
        entries = [entry(secret('pin'), 'for admin', 'any'), entry(secret('pw'), 'Password'), entry(secret('any'))]
        for question, answer in (('Password for admin: ', b'pin'), ('Password: ', b'pw'), ('P: ', b'any')):
            self.assertEqual(self.ask(self.machine(*entries), question), [answer])

    def test_a_secret_is_fetched_for_the_whole_question_once(self):
        m = self.machine(entry(True))
        self.assertEqual(self.ask(m, 'Code: '), [])
        self.assertEqual(m.wanted, (0, 'Code:'))
        self.assertEqual(m.handle_secret(m.wanted, secret('123')), b'123')
        m.handle_terminal(b'\n', True)
        self.assertEqual(self.ask(m, 'Other: '), [])
        self.assertEqual(m.handle_secret(m.wanted, secret('456')), b'456')
        m.handle_terminal(b'\n', True)
        self.assertEqual(self.ask(m, 'Code: '), [])
        self.assertEqual((m.reason, m.refused, m.sent), ('asked', False, [0]))

    def test_the_second_question_is_the_second_entry_s_though_the_first_could_fetch_more(self):
        for second in (True, secret('two')):
            m = self.machine(entry(True), entry(second))
            self.ask(m, 'Password: ')
            self.assertEqual(m.handle_secret(m.wanted, secret('one')), b'one')
            m.handle_terminal(b'\n', True)
            answers = self.ask(m, 'Code: ')
            if second is True:
                self.assertEqual(m.wanted, (1, 'Code:'))
                answers = [m.handle_secret(m.wanted, secret('two'))]
            self.assertEqual((answers, m.sent), ([b'two'], [0, 1]))
            m.handle_terminal(b'\n', True)
            self.assertEqual(self.ask(m, 'Code: '), [])
            self.assertEqual(m.reason, 'asked')

    def test_two_are_fetched_for_questions_of_the_same_words(self):
        m = self.machine(entry(True, 'N1'), entry(True, 'N1'))
        for index, answer in enumerate((b'one', b'two')):
            self.assertEqual(self.ask(m, 'N1:'), [])
            self.assertEqual(m.wanted, (index, 'N1:'))
            self.assertEqual(m.handle_secret(m.wanted, secret(answer.decode())), answer)
            m.handle_terminal(b'\n', True)
        self.assertEqual(self.ask(m, 'N1:'), [])
        self.assertEqual((m.reason, m.refused, m.sent), ('asked', False, [0, 1]))

    def test_a_secret_that_is_not_to_be_had(self):
        m = self.machine(entry(True))
        self.ask(m, 'Code: ')
        self.assertEqual(m.handle_secret(m.wanted, None), None)
        self.assertEqual((m.reason, m.refused), ('asked', True))

    def test_a_question_that_has_gone_gets_no_secret(self):
        m = self.machine(entry(True))
        self.ask(m, 'Code: ')
        wanted = m.wanted
        m.handle_terminal(b'\ntimed out\nsh$ ', True)
        self.assertEqual(m.handle_secret(wanted, secret('123')), None)
        self.assertEqual((m.reason, m.sent), (None, []))
        # Asked anew it is fetched anew.
        m.handle_terminal(b'\n', True)
        self.ask(m, 'Code: ')
        self.assertEqual(m.handle_secret(m.wanted, secret('123')), b'123')

    def test_a_plain_answer_waits_for_the_end_and_is_shown(self):
        m = self.machine(entry(T('root'), 'login:', 'any', wait=True))
        self.assertEqual(m.handle_terminal(b'last login: monday', True), (False, None))
        m.handle_terminal(b'\n', True)
        self.assertEqual(self.ask(m, 'login: ', True), [b'root'])
        m.handle_terminal(b'root\n', True)
        self.assertTrue(('tty', b'login: root') in m.history.shown(), m.history.shown())

    def test_all_parts_of_a_pattern_count(self):
        m = self.machine(entry(secret('x'), 'Enter', more=['key']), entry(secret('y')))
        self.assertEqual(self.ask(m, 'Enter code:'), [b'y'])


if __name__ == '__main__':
    unittest.main()
