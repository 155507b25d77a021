"""Clients that are generated from /openapi.json, as a frontend has them: they compile, and they call."""

import json
import os
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from demo.processes import ROOT
from tests.end_to_end.parts import register_again, starter
from tests.predictor.graphs import classifier, one_input_per_column
from tests.predictor.live import Live
from tests.required import program

pytestmark = pytest.mark.whole

HERE = Path(__file__).parent
TYPESCRIPT = HERE / "typescript"
MODULES = TYPESCRIPT / "node_modules"
VERSION = "2"
GENERATE = [Path("-m"), "openapi_python_client", "generate", "--meta", "none", "--overwrite"]
ODD = ["class", "1st", "mean radius (mm)", "a.b", "x", 'say "hi"']


def run(*command, folder):
    """What a program prints; it must end well, and within a minute."""
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def service(trained, tmp_path_factory):
    registry = register_again(trained.url)
    registry.stage(VERSION, "Production")
    with ExitStack() as stack:
        service = starter(stack, tmp_path_factory.mktemp("generated"))(registry)
        service.until_serving(VERSION)
        yield service


@pytest.fixture
def expected(service):
    """What each client must have found out."""
    record = service.example()
    answer = service.predict(record)
    beyond = service.predict({**record, "mean_radius": 99})
    return {
        "label": answer["prediction"], "chance": answer["probabilities"]["malignant"],
        "version": VERSION, "several": [answer["prediction"], beyond["prediction"]],
        "warned": ["mean_radius"], "status": 422, "field": "mean_radius", "ready": VERSION,
        "serving": VERSION, "again": 304,
    }  # fmt: skip


def is_it(told, expected):
    """Rows of a batch can differ from single ones in the last bits; nothing else can."""
    return {**told, "chance": pytest.approx(told["chance"], abs=1e-6)} == expected


def generate_python(python, document, folder):
    (folder / "settings.yaml").write_text("post_hooks: []\n")
    told = run(
        python, *GENERATE, "--config", "settings.yaml", "--output-path", "client", *document,
        folder=folder,
    )  # fmt: skip
    # The forms that MLflow takes are for its own clients; this generator cannot say them all.
    left_out = set(
        re.findall(
            r"^(?:WARNING parsing|Unable to \w+ schema) (.*?)(?: within.*)?$", told, re.MULTILINE
        )
    )
    assert left_out <= {"POST /invocations", "/components/schemas/Invocation"}, told
    run(python, "-m", "compileall", "-q", "client", folder=folder)


def test_a_python_client_calls_the_service(service, expected, clients_python, tmp_path):
    """Its types hold for who uses it (mypy, strictly), and a refusal is a Problem."""
    url = service.child.url
    generate_python(clients_python, ("--url", f"{url}/openapi.json"), tmp_path)
    script = tmp_path / "generated_client.py"
    script.write_text((HERE / script.name).read_text())
    run(
        sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file=",
        "--python-executable", clients_python, script.name,
        folder=tmp_path,
    )  # fmt: skip
    told = run(clients_python, script, url, json.dumps(service.example()), folder=tmp_path)
    assert is_it(json.loads(told), expected)
    documented = (tmp_path / "client/models/record.py").read_text()
    assert "In the training data: minimum" in " ".join(documented.split())


def test_a_typescript_client_calls_the_service(service, expected, tmp_path):
    """Compiled by `tsc --strict`, run by node; what does not fit the model does not compile."""
    node = program("node")
    if not MODULES.is_dir():
        missing = "npm's packages are not installed; `make test` installs them"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    for name in ("package.json", "tsconfig.json", "openapi-ts.config.mjs", "main.ts"):
        (tmp_path / name).write_text((TYPESCRIPT / name).read_text())
    (tmp_path / "node_modules").symlink_to(MODULES)
    url = service.child.url
    generator = "node_modules/@hey-api/openapi-ts/bin/index.cjs"
    run(node, generator, "-i", f"{url}/openapi.json", folder=tmp_path)
    run(node, "node_modules/typescript/bin/tsc", "-p", ".", folder=tmp_path)
    told = run(node, "out/main.js", url, json.dumps(service.example()), folder=tmp_path)
    assert is_it(json.loads(told), expected)
    functions = (tmp_path / "client/sdk.gen.ts").read_text()
    for name in (
        "predict",
        "predictBatch",
        "whatIf",
        "explain",
        "getModel",
        "getReadiness",
        "streamEvents",
    ):
        assert f"export const {name} =" in functions
    types = (tmp_path / "client/types.gen.ts").read_text()
    assert "In the training data: minimum" in types


@pytest.mark.parametrize(
    "model",
    [
        None,
        one_input_per_column(),
        classifier([1.0] * len(ODD), (3, 5), metadata={"feature_names": ODD}),
        classifier(
            metadata={"operating_point": {"class": "benign", "threshold": 0.044, "of": [1]}}
        ),
    ],
    ids=["none", "columns", "names", "operating point"],
)
async def test_a_client_can_be_generated_for_any_version(model, clients_python, tmp_path):
    """Labels that are numbers, columns of any type, names that no language has, an operating point; and none."""
    live = Live(tmp_path / "service")
    if model:
        await live.serve(1, model)
    document = tmp_path / "openapi.json"
    document.write_text((await live.client.get("/openapi.json")).text)
    generate_python(clients_python, ("--path", document), tmp_path)
    await live.reconciler.close()


def test_the_lock_file_says_no_address():
    """The installing user chooses the package index."""
    lock = (TYPESCRIPT / "package-lock.json").read_text()
    assert "http" not in lock
    assert '"integrity": "sha512-' in lock
    assert "typescript/node_modules" in (ROOT / ".gitignore").read_text()
