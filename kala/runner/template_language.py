"""The language of templates: the subset of Jinja's syntax that always terminates, and soon.

A template runs in Kala's own process, where a loop or a large number would hold the GIL and stop every thread. So the
syntax tree is checked against a list of allowed nodes before it is evaluated, and the evaluation has a budget.
"""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any
from urllib.parse import quote_from_bytes

import msgspec
from jinja2 import Environment, TemplateSyntaxError, nodes

from kala.core.errors import Invalid
from kala.core.foreign import presentable
from kala.core.limits import RENDERED, TEMPLATE, TEMPLATE_DEPTH, TEMPLATE_TOKENS

# The total number of characters that the steps of one rendering may process.
_BUDGET = 4 * RENDERED
_SHOWN = 80
_Fields = Mapping[str, object]


def parse(environment: Environment, text: str, fields: Sequence[str]) -> nodes.Template:
    """Return the syntax tree of a template over `fields`. Raise Invalid if it uses what is not allowed."""
    if len(text) > TEMPLATE:
        raise refusal(f"the template must be at most {TEMPLATE:,} characters long, not {len(text):,}")
    try:
        if next(islice(environment.lex(text), TEMPLATE_TOKENS, None), None):
            raise refusal(f"the template has more than {TEMPLATE_TOKENS:,} tokens; make it shorter")
        tree = environment.parse(text)
    except RecursionError:
        raise _too_deep() from None
    except (TemplateSyntaxError, ValueError) as error:  # ValueError: a number with thousands of digits
        reason = (error.message if isinstance(error, TemplateSyntaxError) else None) or str(error)
        raise refusal(f"invalid template: {presentable(reason, _SHOWN)}") from None
    _check(tree, fields)
    return tree


def evaluate(tree: nodes.Template, fields: _Fields) -> str:
    """Return the result of a checked template. Raise Invalid if a value does not fit its use."""
    try:
        text = _Rendering(fields).text(tree.body)
        size = len(text.encode())
    except (TypeError, ValueError, IndexError) as error:
        raise refusal(f"the template cannot be rendered: {presentable(str(error), _SHOWN)}") from None
    if "\0" in text:
        raise refusal("the result of the template contains a NUL character; remove it")
    if size > RENDERED:
        raise refusal(f"the result of the template must be at most {RENDERED:,} bytes long, not {size:,}")
    return text


def refusal(reason: str) -> Invalid:
    """Return the error for a template. It names the field that makes a text a template."""
    return Invalid(f"TemplateDelimiters: {reason}")


def _check(tree: nodes.Node, fields: Sequence[str]) -> None:
    """Raise Invalid for the first node that is not allowed, on any branch."""
    waiting = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > TEMPLATE_DEPTH:
            raise _too_deep()
        _check_node(node, fields)
        waiting += [(child, depth + 1) for child in node.iter_child_nodes()][::-1]


def _check_node(node: nodes.Node, fields: Sequence[str]) -> None:
    if isinstance(node, nodes.Name) and node.name not in fields:
        known = [name for name in fields if name.islower()]
        raise refusal(f"{presentable(node.name, _SHOWN)!r} is not a template field; use {_listed(known)}")
    if isinstance(node, nodes.Filter):
        _check_filter(node)
    elif isinstance(node, nodes.Getitem) and not _is_index(node.arg):
        raise _forbidden("a subscript other than a number")
    elif isinstance(node, nodes.Neg) and not (isinstance(node.node, nodes.Const) and _is_number(node.node.value)):
        raise _forbidden(_FORBIDDEN[nodes.UnaryExpr])
    elif type(node) not in _STRUCTURE and type(node) not in _VALUES:
        raise _forbidden(next((what for kind, what in _FORBIDDEN.items() if isinstance(node, kind)), "this statement"))


def _check_filter(node: nodes.Filter) -> None:
    name = presentable(node.name, _SHOWN)
    if node.name not in _FILTERS:
        raise _forbidden(f"the filter {name!r}")
    if node.kwargs or node.dyn_args or node.dyn_kwargs:
        raise refusal(f"the filter {name} takes only positional arguments; remove names and *")
    fewest, most = _FILTERS[node.name][1:]
    if not fewest <= len(node.args) <= most:
        wanted = fewest if fewest == most else f"{fewest} or {most}"
        raise refusal(f"the filter {name} takes {wanted} arguments, not {len(node.args)}")


def _is_index(node: nodes.Node) -> bool:
    number = node.node if isinstance(node, nodes.Neg) else node
    return isinstance(number, nodes.Const) and type(number.value) is int


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def _too_deep() -> Invalid:
    return refusal(f"the template is nested more than {TEMPLATE_DEPTH} levels deep; reduce the nesting")


def _forbidden(what: str) -> Invalid:
    return refusal(
        f"{what} cannot be used in a template; use fields, if, comparisons, and, or, not, in, ~"
        f" and the filters {_listed(sorted(_FILTERS))}"
    )


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


class _Rendering:
    """One evaluation of a template. The length of each value is charged to the budget."""

    def __init__(self, fields: _Fields) -> None:
        self.fields = fields
        self._left = _BUDGET

    def text(self, body: Sequence[nodes.Node]) -> str:
        return "".join(self._pieces(body))

    def _pieces(self, body: Sequence[nodes.Node]) -> Iterator[str]:
        for node in body:
            if isinstance(node, nodes.If):
                yield from self._pieces(self._branch(node))
            else:
                assert isinstance(node, nodes.Output)
                yield from (str(self.value(one)) for one in node.nodes)

    def _branch(self, node: nodes.If) -> Sequence[nodes.Node]:
        taken = next((one.body for one in (node, *node.elif_) if self.value(one.test)), None)
        return node.else_ if taken is None else taken

    def value(self, node: nodes.Node) -> Any:
        value = _VALUES[type(node)](self, node)
        self.spend(len(value) if isinstance(value, str | list | tuple) else 1)
        return value

    def spend(self, size: int) -> None:
        """Charge the budget for a value; before it is made if it can be far longer than its parts."""
        self._left -= size
        if self._left < 0:
            raise refusal(f"the template processes more than {_BUDGET:,} characters; make it shorter")

    def comparison(self, node: nodes.Compare) -> bool:
        left = self.value(node.expr)
        for operand in node.ops:
            right = self.value(operand.expr)
            if not _COMPARISONS[operand.op](left, right):
                return False
            left = right
        return True

    def choice(self, node: nodes.CondExpr) -> Any:
        taken = node.expr1 if self.value(node.test) else node.expr2
        return "" if taken is None else self.value(taken)

    def filtered(self, node: nodes.Filter) -> Any:
        assert node.node
        apply = _FILTERS[node.name][0]
        arguments = [self.value(argument) for argument in node.args]
        try:
            value = self.value(node.node)
        except IndexError:
            if node.name != "default":
                raise
            value = None
        return apply(self, value, *arguments)


def _default(_: _Rendering, value: Any, instead: Any, for_false: Any = False) -> Any:
    return instead if value is None or (for_false and not value) else value


def _join(rendering: _Rendering, items: Any, separator: Any = "") -> str:
    if not isinstance(items, list | tuple):
        raise TypeError("join requires a list")
    words, between = [str(item) for item in items], str(separator)
    rendering.spend(len(between) * len(words))
    return between.join(words)


def _replace(rendering: _Rendering, value: Any, old: Any, new: Any) -> str:
    text, before, after = str(value), str(old), str(new)
    rendering.spend(text.count(before) * len(after))
    return text.replace(before, after)


# Filters, with their minimum and maximum number of arguments.
_FILTERS: dict[str, tuple[Callable[..., Any], int, int]] = {
    "default": (_default, 1, 2),
    "join": (_join, 0, 1),
    "length": (lambda _, value: len(value), 0, 0),
    "lower": (lambda _, value: str(value).lower(), 0, 0),
    "quote": (lambda _, value: shlex.quote(str(value)), 0, 0),
    "replace": (_replace, 2, 2),
    "tojson": (lambda _, value: msgspec.json.encode(value).decode(), 0, 0),
    "trim": (lambda _, value: str(value).strip(), 0, 0),
    "upper": (lambda _, value: str(value).upper(), 0, 0),
    "urlencode": (lambda _, value: quote_from_bytes(str(value).encode(), safe="/"), 0, 0),
}
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda left, right: left == right,
    "ne": lambda left, right: left != right,
    "lt": lambda left, right: left < right,
    "lteq": lambda left, right: left <= right,
    "gt": lambda left, right: left > right,
    "gteq": lambda left, right: left >= right,
    "in": lambda left, right: left in right,
    "notin": lambda left, right: left not in right,
}
# The allowed nodes, and how to evaluate them. New nodes of later versions of Jinja are refused.
_STRUCTURE = {nodes.Template, nodes.Output, nodes.If, nodes.Operand}
_VALUES: dict[type[nodes.Node], Callable[[_Rendering, Any], Any]] = {
    nodes.TemplateData: lambda _, node: node.data,
    nodes.Const: lambda _, node: node.value,
    nodes.Name: lambda rendering, node: rendering.fields[node.name],
    nodes.Concat: lambda rendering, node: "".join(str(rendering.value(one)) for one in node.nodes),
    nodes.List: lambda rendering, node: [rendering.value(one) for one in node.items],
    nodes.Tuple: lambda rendering, node: tuple(rendering.value(one) for one in node.items),
    nodes.And: lambda rendering, node: rendering.value(node.left) and rendering.value(node.right),
    nodes.Or: lambda rendering, node: rendering.value(node.left) or rendering.value(node.right),
    nodes.Not: lambda rendering, node: not rendering.value(node.node),
    nodes.Neg: lambda rendering, node: -rendering.value(node.node),
    nodes.Getitem: lambda rendering, node: rendering.value(node.node)[rendering.value(node.arg)],
    nodes.Compare: _Rendering.comparison,
    nodes.CondExpr: _Rendering.choice,
    nodes.Filter: _Rendering.filtered,
}
# Names for what is not allowed, by the first class that matches.
_FORBIDDEN: dict[type[nodes.Node], str] = {
    nodes.For: "a loop (for)",
    nodes.Call: "a call",
    nodes.Getattr: "an attribute or method",
    nodes.Assign: "an assignment (set)",
    nodes.AssignBlock: "an assignment (set)",
    nodes.NSRef: "an assignment (set)",
    nodes.With: "an assignment (with)",
    nodes.Macro: "a macro",
    nodes.CallBlock: "a macro",
    nodes.FilterBlock: "a filter block",
    nodes.Block: "a block",
    nodes.Extends: "another template (extends)",
    nodes.Include: "another template (include)",
    nodes.Import: "another template (import)",
    nodes.FromImport: "another template (import)",
    nodes.Test: "a test (is)",
    nodes.Slice: "a slice",
    nodes.Dict: "a dictionary",
    nodes.BinExpr: "arithmetic",
    nodes.UnaryExpr: "arithmetic",
}
