"""The importer by itself: what it serves, what it asks for, who waits. What user code wants comes in bundles."""
import linecache
import pkgutil
import sys
import threading
import time
import traceback
import unittest
import zlib

import harness  # noqa: F401
from mitogen import core, modules
from mitogen.core import to_text
from mitogen.importer import TAIL, Importer

GONE = (None, None, None)


def bundle(asked, entries, last=True):
    """A part of an answer; entries are (name, children, path, source or reason)."""
    head = []
    body = b''
    for name, children, path, content in entries:
        if path is None:
            head.append((to_text(name), None, None, 0, content))
        else:
            head.append((to_text(name), children, to_text(path), len(content), None))
            body += content
    data = (to_text(asked), last, zlib.compress(core.dumps(head, 2)), zlib.compress(body))
    if core.PY3:
        # As the controller writes byte strings: opcode T.
        raw = b'\x80\x02('
        for value in data:
            if isinstance(value, bytes):
                raw += b'T' + len(value).to_bytes(4, 'little') + value
            elif isinstance(value, bool):
                raw += value and b'\x88' or b'\x89'
            else:
                raw += b'X' + len(value.encode()).to_bytes(4, 'little') + value.encode()
        return raw + b't.'
    return core.dumps(data, 2)


class Serving(unittest.TestCase):
    def setUp(self):
        self.importer = Importer({}, b'')
        router, core.router = core.router, None
        self.addCleanup(setattr, core, 'router', router)
        modules.install(self.importer)
        self.finder = self.importer.finder
        self.asked = []
        self.answers = {}
        self.importer.request = self.request
        sys.meta_path.append(self.importer)
        if not core.PY3:
            sys.path.append(TAIL)
            sys.path_hooks.append(self.importer.hook)

    def tearDown(self):
        sys.meta_path.remove(self.importer)
        sys.path_hooks.remove(self.finder.hook)
        if not core.PY3:
            sys.path.remove(TAIL)
            sys.path_hooks.remove(self.importer.hook)
        sys.path_importer_cache.clear()
        for name in list(sys.modules):
            if name.startswith('zz'):
                del sys.modules[name]

    def request(self, name):
        self.asked.append(name)
        entries = self.answers.get(name)
        if entries is None:
            self.importer.handle_answer(name, *GONE)
        else:
            self.finder.collect(bundle(name, entries))

    def test_module_with_its_file_source_and_traceback(self):
        self.answers['zzmod'] = [('zzmod', None, '/x/zzmod.py', b'def f():\n    raise ValueError("why")\n')]
        import zzmod
        self.assertEqual(zzmod.__file__, 'master:/x/zzmod.py')
        self.assertTrue('raise ValueError' in zzmod.__loader__.get_source('zzmod'))
        linecache.clearcache()
        try:
            zzmod.f()
        except ValueError:
            text = traceback.format_exc()
        self.assertTrue('raise ValueError("why")' in text and 'master:/x/zzmod.py' in text, text)

    def test_package_knows_its_children(self):
        self.answers['zzpkg'] = [('zzpkg', ['inner/', 'sub'], '/x/zzpkg/__init__.py', b'import os\nfrom zzpkg import sub\n')]
        self.answers['zzpkg.sub'] = [('zzpkg.sub', None, '/x/zzpkg/sub.py', b'import sys\nx = 1\n')]
        import zzpkg
        self.assertEqual(zzpkg.sub.x, 1)
        self.assertEqual(list(zzpkg.__path__), ['master:/x/zzpkg'])
        self.assertRaises(ImportError, __import__, 'zzpkg.other')
        self.assertEqual(self.asked, ['zzpkg', 'zzpkg.sub'])
        listed = [(item[1], item[2]) for item in pkgutil.iter_modules(zzpkg.__path__, 'zzpkg.')]
        self.assertEqual(listed, [('zzpkg.inner', True), ('zzpkg.sub', False)])

    def test_a_member_is_asked_for_with_the_packages_around_it(self):
        outer = 'zzo', ['deep/'], '/x/zzo/__init__.py', b'x = 1\n'
        deep = 'zzo.deep', ['down'], '/x/zzo/deep/__init__.py', b'from zzo import x\n'
        down = 'zzo.deep.down', None, '/x/zzo/deep/down.py', b'from zzo.deep import x\n'
        self.answers.update({'zzo': [outer], 'zzo.deep': [deep], 'zzo.deep.down': [outer, deep, down]})
        import zzo.deep.down
        self.assertEqual(zzo.deep.down.x, 1)
        expected = ['zzo', 'zzo.deep', 'zzo.deep.down']
        # Python 2 does not tell what it is about.
        self.assertEqual(self.asked, core.PY3 and expected[2:] or expected)

    def test_packages_that_do_not_come_with_their_member_are_asked_for(self):
        self.answers['zzv'] = [('zzv', ['there'], '/x/zzv/__init__.py', b'')]
        self.assertRaises(ImportError, __import__, 'zzv.gone.more')
        self.assertRaises(ImportError, __import__, 'zzw.gone')
        expected = ['zzv', 'zzw']
        if core.PY3:
            expected = ['zzv.gone.more', 'zzv', 'zzw.gone', 'zzw']
        self.assertEqual(self.asked, expected)

    def test_what_came_along_is_not_asked_for(self):
        self.answers['zza'] = [('zza', None, '/x/zza.py', b'import zzb, zzc\n'), ('zzb', None, '/x/zzb.py', b'x = 2\n'), ('zzc', None, None, None)]
        self.assertRaises(ImportError, __import__, 'zza')
        import zzb
        self.assertEqual(zzb.x, 2)
        self.assertEqual(self.asked, ['zza'])

    def importing(self, *names):
        """Imports modules, each on a thread of its own; the threads and what they say: (name, 'x of the module' or None)."""
        results = []

        def work(name):
            try:
                results.append((name, __import__(name).x))
            except ImportError:
                results.append((name, None))
        return self.threads(work, names), results

    def finding(self, *names):
        """The same with the finder alone, without Python's locks: (name, whether it is there)."""
        results = []
        return self.threads(lambda name: results.append((name, self.finder.find(name))), names), results

    def threads(self, work, names):
        threads = [threading.Thread(target=work, args=(name,)) for name in names]
        for thread in threads:
            thread.daemon = True
            thread.start()
        return threads

    def until(self, condition):
        for _ in range(harness.PATIENCE * 1000):
            if condition():
                return
            time.sleep(.001)
        self.fail('it does not happen')

    def join(self, threads):
        for thread in threads:
            thread.join(harness.PATIENCE)
            self.assertFalse(thread.is_alive())
        self.assertEqual((self.finder.hopes, self.finder.partial), ([], {}))

    def module(self, name, text='x = 1\n'):
        return name, None, '/x/%s.py' % name, text.encode()

    def test_a_part_counts_at_once(self):
        self.finder.collect(bundle('zzp', [self.module('zzp', 'import zzq\nx = 2\n'), self.module('zzq')], False))
        import zzp
        self.assertEqual((zzp.x, zzp.zzq.x, self.asked), (2, 1, []))

    def test_what_may_still_come_is_waited_for_and_not_asked_for(self):
        self.finder.collect(bundle('zzp', [self.module('zzp')], False))
        threads, results = self.finding('zzp', 'zzq', 'zzr', 'zzs', 'zzt')
        self.until(lambda: results == [('zzp', True)] and len(self.finder.hopes) == 4)
        self.finder.collect(bundle('zzp', [self.module('zzq')], False))
        self.until(lambda: results[1:] == [('zzq', True)])
        # One that there is not, and one that comes with another bundle, in turns.
        self.finder.collect(bundle('zzo', [self.module('zzo'), ('zzs', None, None, None)], False))
        self.until(lambda: len(results) == 3)
        self.finder.collect(bundle('zzp', []))
        self.assertEqual(self.asked, [])
        self.answers['zzr'] = [self.module('zzr')]
        self.finder.collect(bundle('zzo', [self.module('zzt')]))
        self.join(threads)
        self.assertEqual(sorted(results), [('zzp', True), ('zzq', True), ('zzr', True), ('zzs', False), ('zzt', True)])
        # Only now, when nothing is on its way.
        self.assertEqual(self.asked, ['zzr'])

    def test_who_is_woken_twice_at_once_is_woken_once(self):
        self.finder.collect(bundle('zzp', [self.module('zzp')], False))
        threads, results = self.finding('zzq')
        self.until(lambda: self.finder.hopes)
        stir, is_settled = self.finder.stir, self.finder.is_settled

        def interrupted(*hope):
            # As if another thread did the same between the look and the deed.
            self.finder.is_settled = is_settled
            if is_settled(*hope):
                stir()
                return True
        self.finder.is_settled = interrupted
        self.finder.collect(bundle('zzp', [self.module('zzq')]))
        self.join(threads)
        self.assertEqual((results, self.asked), ([('zzq', True)], []))

    def test_a_package_goes_ahead_of_the_member_that_was_asked_for(self):
        if not core.PY3:
            return
        asked = threading.Event()
        self.importer.request = lambda name: (self.asked.append(name), asked.set())
        threads, results = self.importing('zzo.down')
        self.assertTrue(asked.wait(harness.PATIENCE))
        self.finder.collect(bundle('zzo.down', [('zzo', ['down', 'more'], '/x/zzo/__init__.py', b'x = 1\nimport zzo.more\n')], False))
        self.until(lambda: hasattr(sys.modules.get('zzo'), 'x'))
        self.finder.collect(bundle('zzo.down', [('zzo.more', None, '/x/zzo/more.py', b'')], False))
        self.until(lambda: 'zzo.more' in sys.modules)
        self.finder.collect(bundle('zzo.down', [('zzo.down', None, '/x/zzo/down.py', b'')]))
        self.join(threads)
        self.assertEqual((results, self.asked), ([('zzo.down', 1)], ['zzo.down']))

    def test_a_cycle_across_parts_and_threads_ends(self):
        self.finder.collect(bundle('zza', [self.module('zza', 'import zzb\nx = 1\n')], False))
        threads, results = self.importing('zza', 'zzb', 'zza')
        self.until(lambda: self.finder.hopes)
        self.finder.collect(bundle('zza', [self.module('zzb', 'import zza\nx = 2\n')]))
        self.join(threads)
        self.assertEqual((sorted(results), self.asked), ([('zza', 1), ('zza', 1), ('zzb', 2)], []))

    def test_a_link_that_is_lost_in_the_middle_wakes_who_waits(self):
        for end in self.importer.close, self.importer.give_up, lambda: self.assertRaises(Exception, self.finder.collect, b'junk'):
            self.finder.collect(bundle('zzp', [self.module('zzn')], False))
            threads, results = self.importing('zzr', 'zzs')
            self.until(lambda: self.finder.hopes)
            end()
            self.join(threads)
            self.assertEqual(sorted(results), [('zzr', None), ('zzs', None)])
            self.importer.request = self.request
            for name in 'zzr', 'zzs':
                self.importer.cache.pop(name, None)
                self.importer.waiting.pop(name, None)

    def test_the_end_of_an_answer_in_the_old_form_wakes_who_waits(self):
        asked = threading.Event()
        self.importer.request = lambda name: (self.asked.append(name), asked.set())
        threads, results = self.importing('zzo.down')
        self.assertTrue(asked.wait(harness.PATIENCE))
        for name in 'zzo.down', 'zzo':
            self.importer.handle_answer(name, *GONE)
        self.join(threads)
        self.assertEqual(results, [('zzo.down', None)])

    def test_a_reason_is_told(self):
        self.answers['zzfast'] = [('zzfast', None, None, to_text('it is an extension module'))]
        try:
            __import__('zzfast')
        except ImportError:
            self.assertTrue('extension module' in str(sys.exc_info()[1]))
        else:
            self.fail('it was imported')

    def test_negative_answers_are_remembered(self):
        for _ in range(3):
            self.assertRaises(ImportError, __import__, 'zznone')
        self.assertEqual(self.asked, ['zznone'])

    def test_what_nobody_can_have_is_not_asked_for(self):
        names = ['zz' * 5000000, 'zz' + chr(233) * 2000]
        if core.PY3:
            names.append('zz' + chr(0xd800))
        for name in names:
            for _ in range(2):
                self.assertRaises((ImportError, ValueError), __import__, name)
        self.assertEqual(self.asked, [])

    def test_what_is_installed_is_never_asked_for(self):
        sys.modules.pop('colorsys', None)
        import colorsys
        self.assertTrue(colorsys)
        self.assertRaises(ImportError, __import__, 'json.zznone')
        self.assertEqual(self.asked, [])

    def test_a_module_that_fails_leaves_nothing_behind(self):
        self.answers['zzbad'] = [('zzbad', None, '/x/zzbad.py', b'1/0\n')]
        self.assertRaises(ZeroDivisionError, __import__, 'zzbad')
        self.assertFalse('zzbad' in sys.modules)

    def test_waiting_threads_share_one_request(self):
        asked = threading.Event()
        self.importer.request = lambda name: (self.asked.append(name), asked.set())
        results = []
        threads = [threading.Thread(target=lambda: results.append(self.importer.fetch('zzslow'))) for _ in range(5)]
        for thread in threads:
            thread.start()
        self.assertTrue(asked.wait(harness.PATIENCE))
        self.importer.handle_answer('zzslow', None, 'p', 's')
        for thread in threads:
            thread.join(harness.PATIENCE)
        self.assertEqual((results, self.asked), ([(None, 'p', 's')] * 5, ['zzslow']))

    def test_closing_wakes_who_waits(self):
        asked = threading.Event()
        self.importer.request = lambda name: asked.set()
        results = []
        thread = threading.Thread(target=lambda: results.append(self.importer.fetch('zzslow')))
        thread.start()
        self.assertTrue(asked.wait(harness.PATIENCE))
        self.importer.close()
        thread.join(harness.PATIENCE)
        self.assertEqual(results, [GONE])

    def test_a_broken_bundle_wakes_who_waits(self):
        asked = threading.Event()
        self.importer.request = lambda name: asked.set()
        results = []
        thread = threading.Thread(target=lambda: results.append(self.importer.fetch('zzslow')))
        thread.start()
        self.assertTrue(asked.wait(harness.PATIENCE))
        self.assertRaises(Exception, self.finder.collect, b'junk')
        thread.join(harness.PATIENCE)
        self.assertEqual(results, [GONE])

    def test_no_lock_of_all_imports_is_held_by_who_waits(self):
        if not core.PY3:
            return
        import _imp
        asked = threading.Event()
        self.importer.request = lambda name: asked.set()
        thread = threading.Thread(target=lambda: self.assertRaises(ImportError, __import__, 'zzslow'))
        thread.start()
        self.assertTrue(asked.wait(harness.PATIENCE))
        taken = []
        other = threading.Thread(target=lambda: (_imp.acquire_lock(), taken.append(1), _imp.release_lock()))
        other.start()
        other.join(harness.PATIENCE)
        self.importer.handle_answer('zzslow', *GONE)
        thread.join(harness.PATIENCE)
        self.assertEqual(taken, [1])

    def test_the_io_thread_never_waits(self):
        from mitogen.importer import get_ident
        self.importer.io_thread = get_ident()
        self.assertRaises(ImportError, __import__, 'zzio')
        self.assertEqual(self.asked, [])


if __name__ == '__main__':
    unittest.main()
