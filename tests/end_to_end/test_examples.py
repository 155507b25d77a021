"""The examples of README.md and docs/, pasted into a terminal beside a running demo."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from demo.processes import ROOT, answers, free_port, running, spawn
from tests.end_to_end.parts import wait_until
from tests.end_to_end.test_demo import demo, read_until
from tests.required import environment

pytestmark = pytest.mark.whole


@dataclass(frozen=True)
class Terminal:
    """A shell beside a demo. Addresses of the pages are those of the demo, and of free ports."""

    folder: Path
    ports: dict[str, int]

    def block(self, page: str, begins: str) -> str:
        """The one block of a page that begins so, as it is pasted here."""
        blocks = re.findall(
            r"^```\w*\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE
        )
        (text,) = [block for block in blocks if block.startswith(begins)]
        return self.pasted(text)

    def pasted(self, text: str) -> str:
        """A block with the ports and the Python of the tests."""
        for ours, port in self.ports.items():
            text = re.sub(rf"(127\.0\.0\.1:|_PORT=){ours}\b", rf"\g<1>{port}", text)
        return re.sub(r"(?<![/\w])(\.venv/bin/)?python\b(?!3)", sys.executable, text)

    def paste(self, page: str, begins: str) -> str:
        """What the block prints."""
        return self.run("bash", "-ec", self.block(page, begins))

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment(), check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout

    def environment(self) -> dict[str, str]:
        cache = {"PREDICTOR_CACHE_DIR": str(self.folder / "cache"), "PYTHONPATH": str(ROOT)}
        return {
            **os.environ,
            **cache,
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{self.ports['5000']}",
        }

    @contextmanager
    def service(self, page: str, begins: str) -> Iterator[None]:
        """The predictor that a block starts, until it serves; it is stopped afterwards."""
        with self.started(self.block(page, begins), "8001"):
            yield

    @contextmanager
    def started(self, text: str, port: str) -> Iterator[None]:
        """The same, for a block with the ports of the tests."""
        url = f"http://127.0.0.1:{self.ports[port]}"
        command = ["bash", "-ec", f"cd {self.folder}; {text}"]
        with running(spawn(command, url, self.folder / f"log-{port}", self.environment())):
            wait_until(lambda: answers(f"{url}/ready"), "the service of the example serves")
            yield


@pytest.fixture(scope="module")
def terminal(trained_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    folder = tmp_path_factory.mktemp("examples")
    ports = {name: free_port() for name in ("5000", "8000", "8001", "8002", "9000")}
    process = demo(shutil.copytree(trained_folder, folder / "demo"), ports["5000"], ports["8000"])
    with ExitStack() as stack:
        stack.callback(process.wait, 60)
        stack.callback(process.send_signal, signal.SIGINT)
        read_until(process, "tail -f")
        found = Terminal(folder, ports)
        found.paste(
            "docs/start.md", "curl -s http://127.0.0.1:8000/openapi.json | python3 -c 'import csv"
        )
        yield found


def test_the_quick_start(terminal: Terminal) -> None:
    """A prediction, a promotion, a prediction of the promoted version, and a rollback."""
    printed = terminal.paste("README.md", "curl -s http://127.0.0.1:8000/openapi.json")
    before, after = re.findall(r'"model_version":"(\d+)"', printed)
    assert before != after == "5"
    assert f"serving: version {before} of" in printed.splitlines()[-1]
    url = f"http://127.0.0.1:{terminal.ports['8000']}/ready"
    wait_until(lambda: f'"{before}"' in httpx.get(url).text, f"version {before} serves again")


@pytest.mark.timeout(600)  # with the start of the demo
def test_the_own_model_of_the_readme(terminal: Terminal) -> None:
    """Logged, promoted and served by what the page says."""
    terminal.run(sys.executable, "-c", terminal.block("README.md", "from exporters"))
    promote, serve = terminal.block("README.md", ".venv/bin/python -m trainer promote").splitlines()
    terminal.run("bash", "-ec", promote)
    with terminal.started(serve, "8001"):
        response = httpx.get(f"http://127.0.0.1:{terminal.ports['8001']}/model").json()
    assert response["serving"]["model_version"] == "1"


@pytest.mark.timeout(600)  # a dozen processes, one after the other
def test_every_block_of_the_page_about_your_own_model(terminal: Terminal) -> None:
    """In order, as they stand: two models of scikit-learn, one of LightGBM, a regressor, and the trainer."""
    page = (ROOT / "docs/your-own-model.md").read_text()
    printed = []
    with ExitStack() as stack:
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
            text = terminal.pasted(block)
            if language == "python":
                printed.append(terminal.run(sys.executable, "-c", text))
            elif found := re.search(r"PREDICTOR_PORT=(\d+)", block):
                stack.enter_context(terminal.started(text, found[1]))
            else:
                # The environment is activated and MLflow's address is set already.
                printed.append(
                    terminal.run("bash", "-ec", re.sub(r"(?m)^(source|export) .*\n", "", text))
                )
        printed.append(httpx.get(f"http://127.0.0.1:{terminal.ports['8001']}/model").text)
    text = "\n".join(printed)
    assert text.count("0 mismatches") == 3
    assert '"prediction":"versicolor"' in text
    assert text.count('"explanation":') == 2
    assert '"model_name":"petal-width","model_version":"1"' in text
    assert re.search(r'"serving":\{.*?"model_version":"2"', printed[-1])


@pytest.mark.timeout(900)  # two dozen processes, one after the other
def test_every_block_of_the_page_about_approval(terminal: Terminal) -> None:
    """In order: two key pairs, a rule, an approved promotion, a refused one, and a withdrawal."""
    page = (ROOT / "docs/approval.md").read_text().partition("## From two key pairs")[2]
    exports, printed = "", []
    with ExitStack() as stack:
        blocks = page.partition("\n## ")[0]
        for language, block in re.findall(
            r"^```(\w+)\n(.*?)^```", blocks, re.DOTALL | re.MULTILINE
        ):
            text = terminal.pasted(block)
            if language == "python":
                printed.append(terminal.run(sys.executable, "-c", text))
            elif block.startswith("export "):
                exports = text.replace("$PWD", str(terminal.folder))
            elif "-m predictor" in block:
                stack.enter_context(terminal.started(exports + text, "8001"))
            else:
                printed.append(terminal.run("bash", "-ec", exports + text))
    keys, _, _, approved, waits, agreed, withdrawn, evidence = printed
    assert re.search('^alice = "MCow', keys, re.MULTILINE)
    assert "version 1 of wine may serve" in approved
    assert "WARNING: the service does not load version 2: it has 1 of 2 approvals (alice)" in waits
    assert re.search(r'"serving":\{.*?"model_version":"1"', waits)
    assert '"stage":"approval"' in waits
    assert '"model_version":"2"' in agreed.splitlines()[-1]
    assert '"model_version":"1"' in withdrawn.splitlines()[-1]
    assert [line.split()[5] for line in evidence.splitlines()[1:4]] == ["verified"] * 3
    assert "audit-wine-" in evidence


@pytest.mark.parametrize(
    ("page", "begins", "printed"),
    [
        ("docs/start.md", "curl -s http://127.0.0.1:8000/openapi.json", '{"prediction":"benign","probability":0.99'),
        ("docs/predictions.md", "curl -s http://127.0.0.1:8000/predict", '{"prediction":"benign","probability":0.99'),
        ("docs/predictions.md", "echo", '{"predictions":[{"prediction":"benign"'),
        ("docs/explanations.md", "curl", '"explanation":{"output":"malignant","scale":"probability"'),
        ("docs/open-inference.md", "curl", '{"name":"label","datatype":"BYTES","shape":[1],"data":["benign"]}'),
        ("docs/mlflow-scoring.md", "curl", '{"predictions":["benign"]}'),
    ],
)  # fmt: skip
def test_a_request(terminal: Terminal, page: str, begins: str, printed: str) -> None:
    """Each protocol answers the demo's record as its page says."""
    assert printed in terminal.paste(page, begins)


def test_stock_clients(terminal: Terminal) -> None:
    """Scripts for Triton's client, over REST and over gRPC."""
    rest = terminal.block("docs/open-inference.md", "import json")
    assert "[b'benign'] [[9.998" in terminal.run(environment("clients"), "-c", rest)
    with terminal.service("docs/grpc.md", "MLFLOW_TRACKING_URI=http://127.0.0.1:5000"):
        grpc = terminal.block("docs/grpc.md", "import numpy")
        assert "[b'malignant' b'malignant']" in terminal.run(environment("clients"), "-c", grpc)


def test_keys(terminal: Terminal) -> None:
    """A service with the keys that the commands make answers requests that carry one of them."""
    with terminal.service("docs/security.md", "umask"):
        printed = terminal.paste("docs/security.md", "curl -s http://127.0.0.1:8001/predict")
    assert printed.startswith('{"prediction":"benign"')
    assert "predictor_model_version{" in printed


def test_webhooks(terminal: Terminal) -> None:
    """MLflow reaches a service that has the secret."""
    with terminal.service("docs/webhooks.md", "export MLFLOW_TRACKING_URI=http://127.0.0.1:5000 "):
        command = "export MLFLOW_TRACKING_URI=http://127.0.0.1:5000\npython -m trainer webhook"
        printed = terminal.paste("docs/webhooks.md", command)
    assert "an example was taken" in printed
