#!/usr/bin/env python3
"""Reports what Python 2.4 cannot run in files that are to run on 2.4 and on every 3.x alike.

    floor_lint.py FILE...      one line per finding, status 1 when there is any
    floor_lint.py --self-test  checks the checker

It looks at syntax and at a few names. Library calls as a whole are the business of `vermin`, which in turn does not see
most of what is looked for here: run both.
"""

import ast
import io
import re
import sys
import tokenize

# Node type -> what to say. One line per construct that needs nothing but to be there.
PLAIN = {
    "IfExp": "conditional expression (2.5)",
    "With": "with statement (2.5)",
    "Set": "set literal (2.7)",
    "SetComp": "set comprehension (2.7)",
    "DictComp": "dict comprehension (2.7)",
    "YieldFrom": "yield from (3.3)",
    "Nonlocal": "nonlocal (3.0)",
    "JoinedStr": "f-string (3.6)",
    "NamedExpr": "assignment expression (3.8)",
    "AnnAssign": "variable annotation (3.6)",
    "AsyncFunctionDef": "async def (3.5)",
    "AsyncWith": "async with (3.5)",
    "AsyncFor": "async for (3.5)",
    "Await": "await (3.5)",
    "MatMult": "matrix multiplication (3.5)",
    "Match": "match statement (3.10)",
    "TryStar": "except* (3.11)",
    "TypeAlias": "type statement (3.12)",
}

# Attribute name -> why not. Names that are unlikely to mean anything else.
ATTRIBUTES = {
    "maxsize": "sys.maxsize (2.6)",
    "unpack_from": "struct.unpack_from (2.5)",
    "pack_into": "struct.pack_into (2.5)",
    "SEEK_SET": "os.SEEK_SET (2.5)",
    "SEEK_CUR": "os.SEEK_CUR (2.5)",
    "SEEK_END": "os.SEEK_END (2.5)",
    "setter": "property setter (2.6)",
    "deleter": "property deleter (2.6)",
    "notify_all": "Condition.notify_all (2.6); notifyAll is gone in 3.13, so look the name up",
    "is_alive": "Thread.is_alive (2.6)",
    "current_thread": "threading.current_thread (2.6)",
    "bit_length": "int.bit_length (2.7)",
    "total_seconds": "timedelta.total_seconds (2.7)",
    "send_signal": "Popen.send_signal (2.6); use os.kill",
    "check_output": "subprocess.check_output (2.7)",
}

FUTURES = ("nested_scopes", "generators", "division")


class Floor(ast.NodeVisitor):
    """One file's walk; `found` is a list of (line, text)."""

    def __init__(self, lines):
        self.lines = lines
        self.found = []
        self.functions = []     # innermost last: [has a yield, line of a return with a value]
        self.finally_depth = 0  # try statements with a finally around us, within this function

    def report(self, node, text):
        self.found.append((getattr(node, "lineno", node), text))

    def generic_visit(self, node):
        text = PLAIN.get(type(node).__name__)
        if text:
            # Operators have no line of their own.
            self.report(node if hasattr(node, "lineno") else getattr(self, "line", 1), text)
        if hasattr(node, "lineno"):
            self.line = node.lineno
        ast.NodeVisitor.generic_visit(self, node)

    def visit_Try(self, node):
        if node.handlers and node.finalbody:
            self.report(node, "try/except/finally in one statement (2.5); nest two")
        if node.finalbody:
            self.finally_depth += 1
            for child in node.body + node.handlers + node.orelse:
                self.visit(child)
            self.finally_depth -= 1
            for child in node.finalbody:
                self.visit(child)
        else:
            self.generic_visit(node)

    def visit_ExceptHandler(self, node):
        if node.name:
            self.report(node, "`except X as e` (2.6); use sys.exc_info()[1]")
        self.generic_visit(node)

    def visit_Raise(self, node):
        if node.cause is not None:
            self.report(node, "raise ... from (3.0)")
        self.generic_visit(node)

    def visit_ImportFrom(self, node):
        if node.level:
            self.report(node, "relative import (2.5)")
        if node.module == "__future__":
            for alias in node.names:
                if alias.name not in FUTURES:
                    self.report(node, "__future__.%s (2.5 or later)" % alias.name)

    def visit_ClassDef(self, node):
        if node.decorator_list:
            self.report(node, "class decorator (2.6)")
        if node.keywords:
            self.report(node, "keyword in a class statement (3.0)")
        if not node.bases and not node.keywords:
            if re.search(r"class\s+%s\s*\(" % node.name, "".join(self.lines[node.lineno - 1:node.lineno + 1])):
                self.report(node, "class X(): with empty parentheses (2.5)")
        if getattr(node, "type_params", None):
            self.report(node, "type parameters (3.12)")
        self.in_function(node, None)

    def visit_FunctionDef(self, node):
        args = node.args
        if args.kwonlyargs or getattr(args, "posonlyargs", None):
            self.report(node, "keyword-only or positional-only parameter (3.0)")
        every = args.args + args.kwonlyargs + [a for a in (args.vararg, args.kwarg) if a]
        if node.returns or [a for a in every if a.annotation]:
            self.report(node, "annotation (3.0)")
        for decorator in node.decorator_list:
            target = decorator.func if isinstance(decorator, ast.Call) else decorator
            while isinstance(target, ast.Attribute):
                target = target.value
            if not isinstance(target, ast.Name):
                self.report(decorator, "decorator that is not a dotted name (3.9)")
        self.in_function(node, [False, 0])

    def visit_Lambda(self, node):
        self.in_function(node, [False, 0])

    def in_function(self, node, state):
        depth, self.finally_depth = self.finally_depth, 0
        if state is not None:
            self.functions.append(state)
        ast.NodeVisitor.generic_visit(self, node)
        if state is not None:
            self.functions.pop()
            if state[0] and state[1]:
                self.report(state[1], "return with a value in a generator (3.3)")
        self.finally_depth = depth

    def visit_Return(self, node):
        if self.functions and node.value is not None:
            self.functions[-1][1] = node.lineno
        self.generic_visit(node)

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Yield):
            self.a_yield(node.value)
            if node.value.value is not None:
                self.visit(node.value.value)
        else:
            self.generic_visit(node)

    def visit_Yield(self, node):
        self.report(node, "yield used as an expression (2.5)")
        self.a_yield(node)
        self.generic_visit(node)

    def a_yield(self, node):
        if self.functions:
            self.functions[-1][0] = True
        if node.value is None:
            self.report(node, "bare yield (2.5)")
        if self.finally_depth:
            self.report(node, "yield inside try/finally (2.5)")

    def visit_Starred(self, node):
        self.report(node, "star expression (3.0)")
        self.generic_visit(node)

    def visit_Dict(self, node):
        if None in node.keys:
            self.report(node, "** in a dict literal (3.5)")
        self.generic_visit(node)

    def visit_Subscript(self, node):
        # `x[...]` is old; `...` anywhere else is not.
        inner = node.slice
        if type(inner).__name__ == "Index":  # until 3.8
            inner = inner.value
        parts = getattr(inner, "elts", [inner])
        for part in [node.value] + [p for p in parts if not is_ellipsis(p)]:
            self.visit(part)

    def visit_Constant(self, node):
        if node.value is Ellipsis:
            self.report(node, "... outside of a subscript (3.0)")

    def visit_Attribute(self, node):
        if node.attr in ATTRIBUTES:
            self.report(node, ATTRIBUTES[node.attr])
        owner = getattr(node.value, "id", getattr(node.value, "attr", ""))
        if node.attr in ("terminate", "kill") and "proc" in owner.lower():
            self.report(node, "Popen.%s (2.6); use os.kill" % node.attr)
        self.generic_visit(node)

    def visit_Call(self, node):
        stars = [i for i, a in enumerate(node.args) if isinstance(a, ast.Starred)]
        if stars and (len(stars) > 1 or stars[0] != len(node.args) - 1):
            self.report(node, "positional argument after *args (3.5)")
        if stars:
            star = node.args[stars[0]].value
            for keyword in node.keywords:
                after = (keyword.value.lineno, keyword.value.col_offset) > (star.lineno, star.col_offset)
                if keyword.arg and after:
                    self.report(node, "keyword argument after *args (2.6)")
        if len([k for k in node.keywords if k.arg is None]) > 1:
            self.report(node, "two ** in a call (3.5)")
        name = getattr(node.func, "id", "")
        if name == "print" and (len(node.args) != 1 or node.keywords):
            self.report(node, "print() with other than one argument prints a tuple (or nothing) on 2.x")
        if name in ("min", "max") and [k for k in node.keywords if k.arg in ("key", "default")]:
            self.report(node, "%s() with a key or default (2.5)" % name)
        attr = getattr(node.func, "attr", "")
        if attr in ("startswith", "endswith") and node.args and isinstance(node.args[0], ast.Tuple):
            self.report(node, "str.%s() with a tuple (2.5)" % attr)
        if attr in ("encode", "decode") and node.keywords:
            self.report(node, "%s() with keywords (2.7)" % attr)
        # The stars of a call are old; only their place is new.
        self.visit(node.func)
        for arg in node.args:
            self.visit(arg.value if isinstance(arg, ast.Starred) else arg)
        for keyword in node.keywords:
            self.visit(keyword.value)


def is_ellipsis(node):
    return isinstance(node, ast.Constant) and node.value is Ellipsis


def tokens(text, found):
    """What the tree does not show: prefixes, digits, commas."""
    last = None
    depth = []  # per open bracket: was a star seen in it since the last comma
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind, string, start = token[0], token[1], token[2]
        if kind == tokenize.NUMBER:
            if re.match("0[oObB]", string):
                found.append((start[0], "0o or 0b number (2.6)"))
            elif "_" in string:
                found.append((start[0], "underscore in a number (3.6)"))
        elif kind == tokenize.STRING:
            prefix = re.match(r"\w*", string).group().lower()
            if "b" in prefix:
                found.append((start[0], "bytes literal (2.6)"))
        elif kind == tokenize.OP:
            if string in "([{":
                depth.append(False)
            elif string in ")]}":
                if depth and depth.pop() and last == ",":
                    found.append((start[0], "comma after *args or **kwargs (3.5)"))
            elif string in ("*", "**") and depth and last in ("(", ","):
                depth[-1] = True
        if kind not in (tokenize.NL, tokenize.COMMENT, tokenize.NEWLINE):
            last = string
    head = "\n".join(text.splitlines()[:2])
    for number, line in enumerate(text.splitlines()):
        if [c for c in line if ord(c) > 127] and not re.search("coding[:=]", head):
            found.append((number + 1, "not ASCII, and no coding line"))


def check(text):
    """The findings in one source text, sorted."""
    try:
        tree = ast.parse(text)
    except SyntaxError as e:
        return [(e.lineno or 0, "does not parse as Python 3: %s" % e.msg)]
    floor = Floor(text.splitlines(True))
    floor.visit(tree)
    tokens(text, floor.found)
    return sorted(set(floor.found))


# One snippet a line; a line break inside one is written \\n.
NEWER = r"""
a = 1 if b else 2
with a: pass
try: pass\nexcept X: pass\nfinally: pass
try: pass\nexcept X as e: pass
raise X from y
from . import x
from __future__ import with_statement
class A(): pass
@x\nclass A(B): pass
class A(metaclass=B): pass
a = {1, 2}
a = {x for x in y}
a = {x: 1 for x in y}
def f():\n  x = yield 1
def f():\n  yield
def f():\n  try:\n    yield 1\n  finally: pass
def f():\n  yield 1\n  return 2
def f(a, *, b): pass
def f(a: int): pass
@a[0]\ndef f(): pass
f(*a, b=1)
f(*a, 1)
f(*a,)
f(**a, **b)
a, *b = c
a = {**b}
a = ...
a = 0o17
a = 1_000
a = b'x'
a = f'{x}'
print(a, b)
max(a, key=b)
x.startswith(('a', 'b'))
sys.maxsize
proc.terminate()
a = 'h\u00e9'
print a
"""

OLDER = r"""
try:\n  try: pass\n  except (X, Y): e = sys.exc_info()[1]\nfinally: pass
class A(object): pass
class B: pass
a = b and c or d
a = x[..., 1]
f(1, b=2, *args, **kwargs)
def f(a, b=1, *args, **kwargs): yield a
@x.y(1)\ndef f(): return 1
a = [x for x in y], dict([(k, 1) for k in y]), (1,)
print(a)
lambda x: x * 2
f(a * b,)
os.kill(pid, 9)
from x import (a, b)
"""


def self_test():
    status = 0
    for table, wanted in ((NEWER, True), (OLDER, False)):
        for snippet in table.strip("\n").split("\n"):
            source = snippet.replace("\\n", "\n").replace("\\u00e9", chr(0xE9)) + "\n"
            found = check(source)
            if bool(found) != wanted:
                print("%s: %s %s" % ("false alarm" if found else "missed", snippet, found))
                status = 1
    return status


def main(argv):
    if argv == ["--self-test"]:
        return self_test()
    status = 0
    for path in argv:
        with io.open(path, encoding="utf-8") as f:
            for line, text in check(f.read()):
                print("%s:%d: %s" % (path, line, text))
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
