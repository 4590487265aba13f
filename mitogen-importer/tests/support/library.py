# Picks sources from the interpreter's own library: at most sys.argv[1] bytes, the same ones every time.
import os, sys, zlib

out = getattr(sys.stdout, 'buffer', sys.stdout)

def emit(data):
    out.write(str(len(data)).encode() + '\n'.encode() + data)

def sources():
    root = os.path.dirname(os.__file__)
    found = []
    for directory, directories, names in os.walk(root):
        directories[:] = [d for d in directories if d not in ('site-packages', '__pycache__', 'bad')]
        for name in names:
            if name.endswith('.py'):
                path = os.path.join(directory, name)
                key = zlib.crc32(os.path.relpath(path, root).encode()) & 0xffffffff
                found.append((key, path))
    left = int(sys.argv[1])
    for key, path in sorted(found):
        fp = open(path, 'rb')
        data = fp.read()
        fp.close()
        if len(data) > left:
            if left < 20000:
                break
            continue
        left -= len(data)
        yield path, data
