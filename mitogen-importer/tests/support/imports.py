# Runs behind library.py: for each source that `ast` takes, its path, its text and its imports.
import ast

def is_main(node):
    if not (isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq)):
        return False
    sides = [node.left, node.comparators[0]]
    named = [s for s in sides if isinstance(s, ast.Name) and s.id == '__name__']
    text = [s for s in sides if getattr(s, 'value', getattr(s, 's', None)) == '__main__']
    return bool(named and text)

def is_typing(node):
    return isinstance(node, ast.Name) and node.id == 'TYPE_CHECKING' or isinstance(node, ast.Attribute) and node.attr == 'TYPE_CHECKING'

FUNCTIONS = tuple(getattr(ast, n) for n in ('FunctionDef', 'AsyncFunctionDef') if hasattr(ast, n))
PERHAPS = tuple(getattr(ast, n) for n in ('If', 'Try', 'TryStar', 'TryExcept', 'TryFinally', 'For', 'AsyncFor', 'While', 'Match') if hasattr(ast, n))

def imports(tree):
    found = []
    stack = [(tree, 0, True)]
    while stack:
        node, runs, top = stack.pop()
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.append('%d 0 %s - %d' % (node.lineno, alias.name, runs))
        elif isinstance(node, ast.ImportFrom):
            found.append('%d %d %s %s %d' % (node.lineno, node.level or 0, node.module or '', ','.join([a.name for a in node.names]), runs))
        inner = runs
        if isinstance(node, FUNCTIONS):
            inner = max(runs, 2)
        elif isinstance(node, PERHAPS):
            inner = max(runs, 1)
        never = []
        if isinstance(node, ast.If) and (is_typing(node.test) or top and is_main(node.test)):
            never = node.body
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                continue
            stack.append((child, 3 if [n for n in never if n is child] else inner, isinstance(node, ast.Module)))
    return sorted(found)

count = 0
for path, data in sources():
    try:
        tree = ast.parse(data)
    except Exception:
        # A source that is broken on purpose.
        continue
    text = '\n'.join(imports(tree))
    if not isinstance(text, bytes):
        text = text.encode('utf-8')
    emit(path.encode('utf-8') if not isinstance(path, bytes) else path)
    emit(data)
    emit(text)
