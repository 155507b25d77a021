"""docs/logs.md says what the code logs: every event, its level and its fields, and who proves it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from demo.processes import ROOT
from docs.logs import coded, is_documented, rows
from predictor import errors

LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
LOGGERS = {"log", "logs.log"}
ALWAYS = {"request_id"}  # where there is a request
NOT_EVENTS = {"Exception in the fast lane", "Exception in a call"}
"""What we log in the name of a library."""
SPREAD = {"_version": {"model_name", "model_version"}, "_named": set(), "_only": {"model_name"}}
"""The fields that a function of `predictor/logs.py` makes, beside the one that its argument names."""
OUTCOMES = {kind.outcome for kind in errors.RegistryError.__subclasses__()}


@dataclass
class Logged:
    """What the code logs under one name."""

    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)


@cache
def logged() -> dict[str, Logged]:
    """Every event of the code below predictor/."""
    found: dict[str, Logged] = {}
    for path in (ROOT / "predictor").rglob("*.py"):
        tree = ast.parse(path.read_text())
        for call, level in _calls(tree, path):
            for name in _names(call.args[0]):
                one = found.setdefault(name, Logged())
                one.levels.add(level)
                one.fields |= _fields(call) - ALWAYS
    for name in NOT_EVENTS:
        del found[name]
    return found


def _calls(tree: ast.AST, path: Path) -> Iterator[tuple[ast.Call, str]]:
    """Each call that logs, with its level."""
    chosen = ""
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Assign | ast.Call)]
    for node in sorted(nodes, key=lambda node: (node.lineno, isinstance(node, ast.Call))):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "level":
            chosen = ast.unparse(node.value)  # log.warning if first else log.debug
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            logger, _, level = called.rpartition(".")
            if called == "level":
                first, then = chosen.split(" if first else ")
                yield node, f"{first.removeprefix('log.')}, then {then.removeprefix('log.')}"
            elif level in LEVELS and logger.split(".")[-1] in {"log", "_log", "logger"}:
                assert logger in LOGGERS or ast.literal_eval(node.args[0]) in NOT_EVENTS, (
                    f"{path.name}:{node.lineno} logs with {logger}; use one of {LOGGERS}"
                )
                yield node, level


def _names(said: ast.expr) -> list[str]:
    if isinstance(said, ast.JoinedStr):
        template = ast.unparse(said)
        assert template == "f'registry_{outcome}'", f"{template} could be any event"
        return [f"registry_{outcome}" for outcome in OUTCOMES]
    return [ast.literal_eval(said)]


def _fields(call: ast.Call) -> set[str]:
    fields = {keyword.arg for keyword in call.keywords if keyword.arg} - {"exc_info"}
    for keyword in call.keywords:
        if keyword.arg is None:
            assert isinstance(keyword.value, ast.Call)
            arguments = keyword.value.args
            fields |= SPREAD[ast.unparse(keyword.value.func)]
            fields |= {str(each.value) for each in arguments if isinstance(each, ast.Constant)}
    return fields


def test_every_event_is_in_the_table_and_nothing_else():
    """What an operator meets in the log they can look up; what they can look up there is."""
    table = {coded(row[0])[0] for row in rows("events")}
    code = logged().keys()
    assert not code - table, f"add a row to docs/logs.md for: {sorted(code - table)}"
    assert not table - code, f"docs/logs.md has rows for what nobody logs: {sorted(table - code)}"
    assert len(table) == len(rows("events"))


@pytest.mark.parametrize("row", rows("events"), ids=lambda row: coded(row[0])[0])
def test_the_row_of_an_event_is_right(row):
    """Level and fields are the code's; the test that it names exists, and mentions it."""
    (event,), level, fields, (proof,) = coded(row[0]), row[1], coded(row[3]), coded(row[5])
    code = logged()[event]
    assert {level} == code.levels, f"{event} is logged as {code.levels}"
    assert sorted(fields) == sorted(code.fields), f"{event} has the fields {sorted(code.fields)}"
    assert all([*row[:3], *row[4:]]), f"{event} has an empty cell"
    path, _, test = proof.partition("::")
    source = (ROOT / path).read_text()
    exists = f"def {test}(" in source
    assert exists, f"{proof}, which {event} names, does not exist"
    mentions = f'"{event}"' in source or f"`{event}`" in source
    assert mentions, f"{path} does not mention {event}"


def test_a_line_of_a_library_is_known_by_how_it_begins():
    """And any other is not."""
    assert is_documented("swapped")
    assert is_documented("Started server process [7]")
    assert not is_documented("another")
