"""What is changed in a file, one change a mutant: mutmut's kinds, and two more.

mutmut itself runs mutants behind functions of its own, which torch.compile cannot trace and pickle
cannot find, and leaves methods with decorators alone: of it only the kinds are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import libcst as cst
from libcst.metadata import CodeRange, MetadataWrapper, ParentNodeProvider, PositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_arg_removal, operator_string


@dataclass(frozen=True)
class Mutant:
    """A file with one change."""

    file: str
    first_line: int
    """Of the statement that is changed."""
    last_line: int
    before: str
    after: str
    """The lines that are changed."""
    source: str
    number: int

    @property
    def name(self) -> str:
        """For people, and for going on where a run ended."""
        return f"{self.file}:{self.first_line}#{self.number}"


def mutants_of(file: str, source: str, lines: set[int]) -> Iterator[Mutant]:
    """All of a file's, whose change begins on one of those lines."""
    wrapper = MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True)
    positions: Any = wrapper.resolve(PositionProvider)
    parents: Any = wrapper.resolve(ParentNodeProvider)
    offsets = [0, *accumulate(map(len, source.splitlines(keepends=True)))]
    numbers: dict[int, int] = {}
    for node in _nodes(wrapper.module):
        for place, changed in _changes(node):
            where: CodeRange = positions[place]
            if where.start.line not in lines:
                continue
            start = offsets[where.start.line - 1] + where.start.column
            end = offsets[where.end.line - 1] + where.end.column
            code = source[:start] + wrapper.module.code_for_node(changed) + source[end:]
            statement = node
            while not isinstance(statement, (cst.BaseSmallStatement, cst.BaseCompoundStatement)):
                statement = parents[statement]
            first = positions[statement].start.line
            numbers[first] = numbers.get(first, 0) + 1
            here, rest = offsets[where.start.line - 1], len(source) - offsets[where.end.line]
            yield Mutant(
                file,
                first,
                where.end.line,
                source[here : len(source) - rest].strip(),
                code[here : len(code) - rest].strip(),
                code,
                numbers[first],
            )


def _nodes(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """All that run: neither annotations nor docstrings do."""
    if isinstance(node, cst.Annotation):
        return
    if isinstance(node, cst.Expr) and isinstance(node.value, cst.SimpleString):
        return
    yield node
    for child in node.children:
        yield from _nodes(child)


def _changes(node: cst.CSTNode) -> Iterator[tuple[cst.CSTNode, cst.CSTNode]]:
    """What is put in the place of what."""
    for kind, operator in mutation_operators:
        if isinstance(node, kind):
            changed = list(operator(node))
            if operator is operator_string:
                changed = changed[:1]  # another case of a text is noticed by whoever reads it
            if operator is operator_arg_removal:
                changed = [each for each in changed if not _shifts(node, each)]
            for each in changed:
                yield node, _without_parentheses(each)
    if isinstance(node, cst.Expr) and isinstance(node.value, cst.Call):
        yield node, cst.Expr(cst.Ellipsis())  # the call is left out
    if isinstance(node, cst.If):
        test = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        yield node.test, cst.UnaryOperation(cst.Not(), test)


def _shifts(call: Any, changed: Any) -> bool:
    """Whether an argument in the middle is left out, so that others take its place."""
    kept = len(changed.args)
    if kept == len(call.args):
        return False
    gone = next((k for k in range(kept) if call.args[k] is not changed.args[k]), kept)
    return gone < kept and call.args[gone].keyword is None


def _without_parentheses(node: Any) -> cst.CSTNode:
    """Those around it stay where they are."""
    changed: cst.CSTNode = node.with_changes(lpar=[], rpar=[]) if hasattr(node, "lpar") else node
    return changed
