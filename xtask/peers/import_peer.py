"""Upstream Mitogen in the scenario `import`: SCENARIO MODULE PYTHON...; a line of JSON for a cold and each warm import.

Scenarios: `hops-1`; `hops-3`; `floor`, which imports the module here, from its sources, without Mitogen.
"""
import json
import sys
import time
from importlib import machinery


def work(name):
    __import__(name)
    return 1


def nothing():
    return 1


def floor(name):
    # The library's sources are compiled each time; what belongs to Python is not.
    class Fresh(machinery.SourceFileLoader):
        def get_code(self, fullname):
            return self.source_to_code(self.get_data(self.path), self.path)

    def hook(path):
        if 'site-packages' not in path:
            raise ImportError(path)
        compiled = machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES
        return machinery.FileFinder(path, compiled, (Fresh, machinery.SOURCE_SUFFIXES))

    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.clear()
    start, cpu = time.time(), time.process_time()
    __import__(name)
    print(json.dumps({'state': 'floor', 'seconds': time.time() - start, 'child_cpu': time.process_time() - cpu}))


def main(hops, name, python):
    import mitogen.master
    # What the controller has not imported itself upstream does not send ahead.
    __import__(name)
    broker = mitogen.master.Broker()
    router = mitogen.master.Router(broker)
    try:
        for state in 'cold', 'warm', 'warm':
            first = leaf = router.local(python_path=python)
            for _ in range(hops - 1):
                leaf = router.local(via=leaf, python_path=python)
            leaf.call(nothing)
            before = router.get_stats()
            cpu = leaf.call(time.process_time)
            start = time.time()
            leaf.call(work, name)
            seconds = time.time() - start
            after = router.get_stats()
            cpu = leaf.call(time.process_time) - cpu
            took = dict((key, after[key] - before[key]) for key in after)
            print(json.dumps({'state': state, 'seconds': seconds, 'child_cpu': cpu, 'requests': took['get_module_count'],
                              'modules': took['good_load_module_count'], 'bytes': took['good_load_module_size']}))
            first.shutdown(wait=True)
    finally:
        broker.shutdown()
        broker.join()


if __name__ == '__main__':
    if sys.argv[1] == 'floor':
        floor(sys.argv[2])
    else:
        main(int(sys.argv[1].split('-')[1]), sys.argv[2], sys.argv[3:])
