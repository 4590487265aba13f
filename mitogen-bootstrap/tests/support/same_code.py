# Reads pairs of records (original, minified) and complains unless both are the same code, line for
# line, but for statements that are only a string.
import ast

def read():
    inp = getattr(sys.stdin, 'buffer', sys.stdin)
    while 1:
        length = inp.readline()
        if not length:
            return
        yield inp.read(int(length))

STRINGS = tuple(getattr(ast, n) for n in ('Str', 'Bytes') if hasattr(ast, n)) if sys.version_info < (3, 8) else ()

def is_string(node):
    if not isinstance(node, ast.Expr):
        return False
    value = node.value
    return isinstance(value, STRINGS) or isinstance(getattr(value, 'value', None), (str, bytes)) and \
        type(value).__name__ == 'Constant'

def canonical(source):
    tree = ast.parse(source)
    compile(source, 'x', 'exec')
    lines = []
    for node in ast.walk(tree):
        for field in ('body', 'orelse', 'finalbody'):
            body = getattr(node, field, None)
            if isinstance(body, list) and body:
                kept = [statement for statement in body if not is_string(statement)]
                setattr(node, field, kept or (node is not tree and [ast.Pass()] or []))
        lines.append((type(node).__name__, getattr(node, 'lineno', 0)))
    return ast.dump(tree), sorted(l for l in lines if l[0] not in ('Pass', 'Expr', 'Str', 'Bytes', 'Constant'))

pairs = read()
count = 0
for original in pairs:
    minified = next(pairs)
    try:
        expected = canonical(original)
    except (SyntaxError, ValueError):
        continue
    if expected != canonical(minified):
        sys.stderr.write('differs: %r\n' % original[:200])
        sys.exit(1)
    count += 1
sys.stderr.write('Python %s: %d sources keep their code\n' % (sys.version.split()[0], count))
