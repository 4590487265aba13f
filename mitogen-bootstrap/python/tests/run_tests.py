#!/usr/bin/env python3
"""Runs the agent's tests under every interpreter: `run_tests.py [INTERPRETER...]`. Needs nothing but the standard library.

Without arguments the interpreters are those of `$PYENV_ROOT/versions` (by default `~/.pyenv/versions`) and whatever of `python2.7`, `python3.6` ... `python3.15`,
`pypy`, `pypy3` and `python3` is in PATH. Known versions that are missing are named, not passed over in silence.
"""
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
WANTED = ['2.7'] + ['3.%d' % minor for minor in range(6, 14)]
OPTIONAL = ['3.14', '3.15']


def interpreters():
    found = {}
    root = os.path.join(os.environ.get('PYENV_ROOT') or os.path.expanduser('~/.pyenv'), 'versions')
    names = [os.path.join(root, name, 'bin', 'python') for name in sorted(os.listdir(root))] if os.path.isdir(root) else []
    names += [shutil.which('python' + version) for version in WANTED + OPTIONAL] + [shutil.which(name) for name in ('pypy', 'pypy3', 'python3')]
    for path in names:
        if path and os.access(path, os.X_OK):
            code = 'import sys,platform; print(platform.python_implementation()[:1].lower().replace("c", "") + "%d.%d" % sys.version_info[:2])'
            run = subprocess.run([path, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            version = run.stdout.decode().strip()
            if run.returncode == 0 and re.match(r'p?\d+\.\d+$', version):
                found.setdefault(version, path)
    return found


def main(args):
    found = dict((path, path) for path in args) or interpreters()
    if not args:
        for version in WANTED:
            if version not in found:
                print('SKIPPED: no Python %s here' % version)
    failed = []
    env = dict((k, v) for k, v in os.environ.items() if not k.startswith('PYTHON'))
    env['PYTHONDONTWRITEBYTECODE'] = '1'
    for name, path in found.items():
        print('== %s (%s)' % (name, path))
        sys.stdout.flush()
        if subprocess.call([path, '-W', 'ignore', '-m', 'unittest', 'discover', '-s', HERE], env=env, cwd=HERE):
            failed.append(name)
    if failed or not found:
        print('FAILED: ' + (', '.join(failed) or 'no interpreter found'))
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
