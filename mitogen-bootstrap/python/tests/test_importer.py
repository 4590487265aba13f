"""The importer by itself: what it serves, what it asks for, who waits."""
import linecache
import sys
import threading
import traceback
import unittest

import harness  # noqa: F401
from mitogen.importer import Importer

GONE = (None, None, None)


class Serving(unittest.TestCase):
    def setUp(self):
        self.importer = Importer({}, b'')
        self.asked = []
        self.answers = {}
        self.importer.request = self.request
        sys.meta_path.append(self.importer)

    def tearDown(self):
        sys.meta_path.remove(self.importer)
        for name in list(sys.modules):
            if name.startswith('zz'):
                del sys.modules[name]

    def request(self, name):
        self.asked.append(name)
        self.importer.handle_answer(name, *self.answers.get(name, GONE))

    def test_module_with_its_file_source_and_traceback(self):
        self.answers['zzmod'] = None, 'master:/x/zzmod.py', b'def f():\n    raise ValueError("why")\n'
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
        self.answers['zzpkg'] = ['sub'], 'master:/x/zzpkg/__init__.py', b'import os\nfrom zzpkg import sub\n'
        self.answers['zzpkg.sub'] = None, 'master:/x/zzpkg/sub.py', b'import sys\nx = 1\n'
        import zzpkg
        self.assertEqual(zzpkg.sub.x, 1)
        self.assertEqual(list(zzpkg.__path__), [])
        self.assertRaises(ImportError, __import__, 'zzpkg.other')
        self.assertEqual(self.asked, ['zzpkg', 'zzpkg.sub'])

    def test_negative_answers_are_remembered(self):
        for _ in range(3):
            self.assertRaises(ImportError, __import__, 'zznone')
        self.assertEqual(self.asked, ['zznone'])

    def test_what_is_installed_is_never_asked_for(self):
        sys.modules.pop('colorsys', None)
        import colorsys
        self.assertTrue(colorsys)
        self.assertRaises(ImportError, __import__, 'json.zznone')
        self.assertEqual(self.asked, [])

    def test_a_module_that_fails_leaves_nothing_behind(self):
        self.answers['zzbad'] = None, 'master:zzbad.py', b'1/0\n'
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

    def test_the_io_thread_never_waits(self):
        from mitogen.importer import get_ident
        self.importer.io_thread = get_ident()
        self.assertRaises(ImportError, __import__, 'zzio')
        self.assertEqual(self.asked, [])


if __name__ == '__main__':
    unittest.main()
