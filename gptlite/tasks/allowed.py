"""The first wall of the sandbox: which Python may run at all, by its syntax tree.

What is on the lists below passes, all else does not: one function that returns one
expression, of few kinds of nodes, with its parameters, some builtins and some methods.
There is no way from these to a file, a module or an attribute of Python's own.
"""

from __future__ import annotations

import ast
import warnings
from typing import Any

from gptlite.errors import DataError

LONGEST = 500  # characters of a function or an assert
LARGEST, TEXT, EXPONENT = 10_000, 100, 10  # of numbers, texts, exponents written out
DEEPEST = 40  # levels of a tree

BUILTINS = frozenset((
    "abs", "all", "any", "bool", "chr", "enumerate", "filter", "float", "int", "len",
    "list", "map", "max", "min", "ord", "range", "reversed", "round", "set", "sorted",
    "str", "sum", "tuple", "zip",
))  # fmt: skip
METHODS = frozenset((
    "capitalize", "count", "endswith", "find", "index", "isalpha", "isdigit", "islower",
    "isupper", "join", "lower", "lstrip", "replace", "rstrip", "split", "startswith",
    "strip", "swapcase", "title", "upper",
))  # fmt: skip
KEYWORDS = frozenset(["default", "key", "reverse"])  # of calls
NODES = (
    ast.Name, ast.Constant, ast.Attribute, ast.Subscript, ast.Slice, ast.Call,
    ast.keyword, ast.List, ast.Tuple, ast.Set, ast.BinOp, ast.UnaryOp, ast.BoolOp,
    ast.Compare, ast.IfExp, ast.ListComp, ast.SetComp, ast.GeneratorExp,
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.USub,
    ast.Not, ast.And, ast.Or, ast.cmpop, ast.Load,
)  # fmt: skip


def is_small(value: object) -> bool:
    """Whether a value may be written out in the source."""
    if isinstance(value, str):
        return len(value) <= TEXT
    if isinstance(value, int | float):
        return abs(value) <= LARGEST
    return value is None


def is_exponent(node: ast.expr) -> bool:
    """Whether it is written out as a small whole number."""
    return isinstance(node, ast.Constant) and node.value in range(EXPONENT + 1)


def objection(node: ast.AST, names: frozenset[str]) -> str:
    """What is not allowed about one node by itself; nothing is an empty text."""
    match node:
        case ast.Name(id=name) if name not in names:
            return f"the name {name}"
        case ast.Attribute(attr=name) if name not in METHODS:
            return f"the attribute {name}"
        case ast.keyword(arg=name) if name not in KEYWORDS:
            return f"the argument {name}"
        case ast.Constant(value=value) if not is_small(value):
            return "so large or strange a constant"
        case ast.BinOp(op=ast.Pow(), right=power) if not is_exponent(power):
            return f"a power that is not a number from 0 to {EXPONENT}"
    return "" if isinstance(node, NODES) else type(node).__name__


def bound(target: ast.expr) -> frozenset[str]:
    """The names that a loop inside an expression gives values to."""
    parts = target.elts if isinstance(target, ast.Tuple) else [target]
    names = {part.id for part in parts if isinstance(part, ast.Name)}
    if len(names) < len(parts) or any(name.startswith("__") for name in names):
        raise DataError("a loop over anything but plain names is not allowed")
    return frozenset(names)


def check(node: ast.AST, names: frozenset[str], room: int = DEEPEST) -> None:
    """Pass a tree, or say what in it is not allowed.

    names: those it may use here. A loop's names hold within the loop only: outside,
    `open` is the builtin again. room: how many levels it may have.
    """
    if not room:
        raise DataError(f"more than {DEEPEST} levels of brackets are not allowed")
    if why := objection(node, names):
        raise DataError(f"{why} is not allowed")
    if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp):
        for loop in node.generators:
            check(loop.iter, names, room - 1)
            names |= bound(loop.target)
            for condition in loop.ifs:
                check(condition, names, room - 1)
        check(node.elt, names, room - 1)
    else:
        for child in ast.iter_child_nodes(node):
            check(child, names, room - 1)


def parse(text: str, mode: str = "exec") -> Any:
    """The tree of a short text that Python can compile."""
    if len(text) > LONGEST:
        raise DataError(f"more than {LONGEST} characters are not allowed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "answer", mode)  # runs nothing; finds `def f(x, x)`
            return ast.parse(text, mode=mode)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"not Python: {error}") from error


def checked_function(source: str) -> tuple[str, str]:
    """The first wall: name and text of a function that may run; else a DataError.

    >>> checked_function('def f(s):\\n  "Shout."\\n  return s.upper()')
    ('f', 'def f(s):\\n    return s.upper()')
    >>> checked_function("def f(s): return s.__class__")
    Traceback (most recent call last):
    gptlite.errors.DataError: the attribute __class__ is not allowed
    """
    body = parse(source).body
    if len(body) != 1 or not isinstance(body[0], ast.FunctionDef):
        raise DataError("anything but one function is not allowed")
    function = body[0]
    lines = function.body[ast.get_docstring(function) is not None :]
    if len(lines) != 1 or not isinstance(lines[0], ast.Return) or not lines[0].value:
        raise DataError("anything but one line that returns a value is not allowed")
    name, parameters = function.name, [a.arg for a in function.args.args]
    if any(n.startswith("__") or n in BUILTINS for n in (name, *parameters)):
        raise DataError("a name of Python's own for a new thing is not allowed")
    check(lines[0].value, BUILTINS | set(parameters))
    text = f"def {name}({', '.join(parameters)}):\n    {ast.unparse(lines[0])}"
    function.body = lines
    if ast.unparse(function) != text:  # it has defaults, a decorator, *more
        raise DataError("anything but names between the brackets is not allowed")
    return name, text
