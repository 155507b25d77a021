"""The console script: every command, with its help and completion, and what is said where an extra is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from demo.processes import ROOT, predictor_python
from predictor import __version__
from trainer.cli import app

MODULES = ["mlflow_hotswap", "trainer"]
SERVICE = {"serve", "keys", "healthcheck"}
# What makes an import of the packages fail as if they were not installed.
HIDE = "import sys\nsys.modules.update(dict.fromkeys({!r}))\n"


def script(
    *arguments: str, python: str = sys.executable, module: str = "mlflow_hotswap", **env: str
) -> subprocess.CompletedProcess[str]:
    inherited = {n: v for n, v in os.environ.items() if not n.startswith(("PREDICTOR_", "MLFLOW_"))}
    return subprocess.run(
        [python, "-m", module, *arguments],
        cwd=ROOT, env={**inherited, **env}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture
def hidden(tmp_path: Path):
    """An environment in which some packages cannot be imported."""

    def hide(*packages: str) -> dict[str, str]:
        (tmp_path / "sitecustomize.py").write_text(HIDE.format(packages))
        return {"PYTHONPATH": str(tmp_path)}

    return hide


def test_the_help_has_the_commands_of_the_service_and_of_the_trainer():
    """None is missing that `python -m trainer` has."""
    listed = script("--help").stdout.partition("Commands:")[2]
    names = {line.split()[0] for line in listed.splitlines() if line.strip()}
    trainer = {each.name or each.callback.__name__ for each in app.registered_commands}
    assert names == SERVICE | trainer | {"webhook", "predictions", "outcomes"}


@pytest.mark.parametrize("python", [sys.executable, None], ids=["with the extra", "without"])
def test_the_version(python):
    """The extra makes no difference."""
    done = script("--version", python=python or predictor_python())
    assert (done.returncode, done.stdout) == (0, f"mlflow-hotswap {__version__}\n")


@pytest.mark.whole
@pytest.mark.parametrize(("words", "found"), [("pro", "promote"), ("train --qui", "--quick")])
def test_completion(words, found):
    """Of commands, and of the options of a command that is imported late."""
    line = f"mlflow-hotswap {words}"
    done = script(
        _MLFLOW_HOTSWAP_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(line.count(" "))
    )
    assert done.stdout.split() == [found]


def test_help_without_the_extra_says_which_one_has_the_rest():
    """The commands of the service, and how to get the others."""
    done = script("--help", python=predictor_python())
    assert done.returncode == 0
    assert all(f"\n  {name} " in done.stdout for name in SERVICE)
    assert "pip install 'mlflow-hotswap[trainer]'" in done.stdout


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("command", ["train", "promote", "webhook", "nonsense"])
def test_a_command_without_its_extra_names_it(module, command):
    """One line, in the environment that has what serving needs and nothing more."""
    done = script(command, "--help", python=predictor_python(), module=module)
    assert_names_the_extra(done, "trainer")


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("rich", ["fleet", "--nats", "nats://127.0.0.1:1"]),
        pytest.param("rich", ["leaderboard"], marks=pytest.mark.whole),
        ("mlflow", ["status"]),
        pytest.param("mlflow", ["train", "--quick"], marks=pytest.mark.whole),
        ("sklearn", ["train", "--quick"]),
        pytest.param("matplotlib", ["train"], marks=pytest.mark.whole),
        pytest.param("skl2onnx", ["train"], marks=pytest.mark.whole),
        pytest.param("onnx", ["train"], marks=pytest.mark.whole),
        ("mlflow", ["webhook", "list"]),
    ],
)
def test_one_missing_package_of_the_extra_is_named(hidden, module, package, arguments):
    """Other packages need typer, too: it may be there without the others."""
    done = script(*arguments, module=module, **hidden(package))
    assert_names_the_extra(done, "trainer")
    assert f"{package} is not installed" in done.stderr


@pytest.mark.whole
def test_a_missing_module_of_ours_is_a_bug(hidden):
    """Its traceback is not hidden behind an advice that would not help."""
    command = ("fleet", "--nats", "nats://127.0.0.1:1")
    assert "Traceback" in script(*command, **hidden("trainer.terminal")).stderr


def test_serving_imports_neither_typer_nor_the_trainer():
    """The script starts as `python -m predictor` does."""
    code = (
        "import sys; sys.argv = ['mlflow-hotswap', 'serve', '--help'];"
        "from mlflow_hotswap.__main__ import main; main(); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert "predictor" in loaded
    assert not loaded & {"typer", "trainer", "exporters", "mlflow", "sklearn"}


def assert_names_the_extra(done: subprocess.CompletedProcess[str], extra: str) -> None:
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert f"pip install 'mlflow-hotswap[{extra}]'" in done.stderr


def test_keys_are_those_of_the_service_and_those_that_sign(tmp_path):
    """`keys NAME` makes an API key; `keys new` and `keys list` are the trainer's."""
    api = script("keys", "client-1")
    assert "client-1:" in api.stdout + api.stderr
    signing = script("keys", "list", TRAINER_KEYS_FOLDER=str(tmp_path))
    assert "`python -m trainer keys new NAME` makes one" in signing.stderr
