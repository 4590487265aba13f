"""Upstream Mitogen in the scenario `import`: MODULE PYTHON HOPS; a line of JSON for a cold and a warm import."""
import json
import sys
import time

import mitogen.core
import mitogen.master
import mitogen.utils


def work(name):
    __import__(name)
    return 1


def nothing():
    return 1


def main(name, python, hops):
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
            start = time.time()
            leaf.call(work, name)
            seconds = time.time() - start
            after = router.get_stats()
            took = dict((key, after[key] - before[key]) for key in after)
            print(json.dumps({'state': state, 'seconds': round(seconds, 4), 'requests': took.get('get_module_count'),
                              'modules': took.get('good_load_module_count'), 'bytes': took.get('good_load_module_size')}))
            first.shutdown(wait=True)
    finally:
        broker.shutdown()
        broker.join()


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
