"""Tables on an emulated terminal: what does not fit is left out, and numbers, times and versions are always whole."""

import io
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from datetime import UTC, datetime
from fcntl import ioctl

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from wcwidth import wcswidth

from demo.processes import ROOT
from trainer.terminal import Output, Table, decimals, number, printable, prose, time, word

WHEN = datetime(2026, 11, 29, 23, 25, 42, tzinfo=UTC)
MOMENT = "2026-11-29T23:25:42Z"
COLUMNS = [
    number("version"),
    prose("candidate", least=24),
    word("role", rank=1),
    prose("aliases", rank=5),
    number("test_roc_auc", "ROC-AUC", 2, decimals, "metrics"),
    prose("why", rank=4, least=16),
    time("when", rank=3),
]
ROW = ["12", "support_vector_machine", "rollback 1", None, 0.99603, "a reason " * 20, WHEN]
MARK = "\u200e"  # keeps a text from right to left by itself
HEBREW = "\u05e9\u05dc\u05d5\u05dd"
HOSTILE = {
    "escape sequences": "\x1b[2J\x1b]0;title\x07\x9b31mred\r\n\x08",
    "overriding directions": "\u202eevil\u2066\u200b",
    "very long": "x" * 5000,
    "Chinese": "乳腺癌模型" * 30,
    "Hebrew and digits": f"{HEBREW} 123 {HEBREW}",
    "combining": "e\u0301" * 40,
    "markup": "[bold red]x[/bold red] [link=http://x]",
}


def written(table, width, output=None, color="standard"):
    """What a terminal gets."""
    stream = io.StringIO()
    console = Console(
        file=stream, force_terminal=True, width=width, highlight=False, color_system=color
    )
    (output or Output()).show(table, console)
    return stream.getvalue()


def seen(table, width, output=None):
    """The lines that an emulator of a terminal shows."""
    screen = pyte.Screen(width, 60)
    # pyte stops at characters of no width; a real terminal draws nothing for them.
    text = written(table, width, output).replace(MARK, "").replace("\n", "\r\n")
    pyte.Stream(screen).feed(text)
    return [line.rstrip() for line in screen.display if line.strip()]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 150])
def test_a_table_fits_and_numbers_and_times_are_whole(width):
    heading, row, *rest = seen(Table(COLUMNS, [ROW]), width)
    assert heading.split()[:2] == ["version", "candidate"]
    assert row.startswith("     12  support_vector_machine")
    for name, cell in (("ROC-AUC", "0.9960"), ("when", MOMENT), ("role", "rollback 1")):
        assert (name in heading) == (cell in row)
    assert " ".join(rest).startswith("(--wide shows ")


def test_the_columns_leave_in_the_order_of_their_ranks():
    """Those of the highest rank first; a column without values is never shown, nor counted."""
    table, known = Table(COLUMNS, [ROW]), []
    for width in range(150, 30, -1):
        shown = tuple(seen(table, width)[0].split())
        if not known or known[-1] != shown:
            known.append(shown)
    everything = ("version", "candidate", "role", "ROC-AUC", "why", "when")
    assert known == [
        everything,
        tuple(each for each in everything if each != "why"),
        ("version", "candidate", "role", "ROC-AUC"),
        ("version", "candidate", "role"),
        ("version", "candidate"),
    ]
    last = " ".join(seen(table, 40)[2:])
    assert last == "(--wide shows 4 more columns: role, ROC-AUC, why, when)"


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("width", [24, 40, 80, 100])
def test_hostile_texts_move_neither_the_cursor_nor_a_column(hostile, width):
    names = [prose("name", least=12), number("value"), prose("why", least=8)]
    rows = [["plain", "1.5000", "x"], [hostile, "2.5000", hostile], ["after", "3.5000", "y"]]
    heading, *lines = seen(Table(names, rows), width)[:4]
    at = heading.index("value") + len("value")
    for line, (name, value, _) in zip(lines, rows, strict=True):
        before = line.partition(value)[0]
        assert wcswidth(before) + len(value) == at
        assert name == hostile or before.startswith(name)
    assert not {"\x9b", "\x07", "\x08", "\u202e", "\u200b"} & {*written(Table(names, rows), width)}


def test_a_text_from_right_to_left_stands_alone():
    """Else a terminal that reorders such texts would show the numbers beside it in another place."""
    line = written(
        Table([prose("name"), number("value")], [[HEBREW, "12"]]), 80, color=None
    ).splitlines()[1]
    assert line == f"{MARK}{HEBREW}{MARK}     12"


def test_wide_shows_everything_whole():
    text = written(Table(COLUMNS, [ROW]), 40, Output(wide=True))
    assert "a reason " * 19 in text
    assert MOMENT in text
    assert "aliases" in text
    assert "--wide" not in text


def test_without_a_terminal_every_column_is_whole(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    Output().show(Table(COLUMNS, [ROW]))
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == [
        "version", "candidate", "role", "aliases", "ROC-AUC", "why", "when",
    ]  # fmt: skip
    assert row.endswith(MOMENT)


def test_json_has_every_value_and_only_ascii(capsys):
    row = ["12", "\x9b31m \u202e", None, None, float("nan"), "x", WHEN]
    Output(as_json=True).show(Table(COLUMNS, [row]))
    text = capsys.readouterr().out
    assert text.isascii()
    assert json.loads(text) == [
        {
            "version": "12", "candidate": "\x9b31m \u202e", "role": None, "aliases": None,
            "metrics": {"test_roc_auc": None}, "why": "x", "when": "2026-11-29T23:25:42Z",
        }
    ]  # fmt: skip


def test_a_long_heading_over_short_numbers_is_shortened():
    heading, row, *_ = seen(
        Table([number("a_very_long_name_of_a_metric"), word("b")], [[1, "x"]]), 80
    )
    assert heading == "a_very_long_n…  b"
    assert row == "             1  x"


@settings(deadline=None, max_examples=200)
@given(st.integers(20, 120), st.lists(st.tuples(st.text(), st.integers(), st.text()), max_size=4))
def test_no_line_is_wider_than_the_terminal(width, rows):
    columns = [prose("name", least=8), number("n", rank=1), prose("why", rank=2)]
    lines = written(Table(columns, rows), width, color=None).splitlines()
    assert max(cell_len(line.replace(MARK, "")) for line in lines) <= width
    assert len(lines) >= 1 + len(rows)


def test_control_characters_are_replaced():
    assert printable("a\x1b[2J\x07\x9b\u202eb") == "a?[2J???b"


def test_the_width_is_that_of_the_real_terminal():
    """A process in a pseudo terminal of 60 columns."""
    ours, theirs = pty.openpty()
    ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    code = (
        "from tests.trainer.test_terminal import COLUMNS, ROW\n"
        "from trainer.terminal import Output, Table\n"
        "Output().show(Table(COLUMNS, [ROW]))\n"
    )
    variables = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    subprocess.run(
        [sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs,
        env=variables | {"TERM": "xterm"}, cwd=ROOT, check=True,
    )  # fmt: skip
    os.close(theirs)
    screen = pyte.Screen(60, 24)
    pyte.ByteStream(screen).feed(os.read(ours, 65536))
    os.close(ours)
    assert screen.display[0].split() == ["version", "candidate", "role", "ROC-AUC"]
