"""`python -m deploy.sbom`: a bill of materials (CycloneDX 1.6, JSON) of an image.

It lists what is installed, not what was asked for: the Python packages as cyclonedx-bom finds them in
the image's environment, with their licences and what depends on what, and Debian's packages as dpkg
recorded them. Hashes of wheels are not in an installed environment; requirements/*.txt has them.

    python -m deploy.sbom --image ID --output FILE         an image of buildah's, as root
    python -m deploy.sbom --root FOLDER --output FILE      any image, unpacked (docker export … | tar -x)
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.parser import HeaderParser
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

INSTALLED = "install ok installed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the bill; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.sbom")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--image", help="of buildah's storage")
    source.add_argument("--root", type=Path, help="an image's file system")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    if options.root:
        bom = bill(options.root, Component(name=options.root.name, type=ComponentType.CONTAINER))
    else:
        with mounted(options.image) as root:
            bom = bill(root, _container(options.image))
    options.output.write_text(JsonV1Dot6(bom).output_as_string(indent=2) + "\n")
    print(f"{options.output}: {len(bom.components)} packages")
    return 0


def bill(root: Path, container: Component) -> Bom:
    """What is installed in the file system at `root`, which is that of `container`."""
    bom = python_packages(root)
    bom.metadata.component = container
    bom.components.add(python(root))
    bom.components.update(debian_packages(root))
    bom.register_dependency(container, bom.components)
    return bom


def python_packages(root: Path) -> Bom:
    """The packages of the environment /venv in `root`."""
    (packages,) = root.glob("venv/lib/python3*/site-packages")
    with tempfile.TemporaryDirectory() as folder:
        # cyclonedx-py asks an interpreter where it looks for packages. The image's own would need the
        # image's libraries; this one looks only there.
        interpreter = Path(folder) / "python"
        interpreter.write_text(f"#!/bin/sh\necho '{json.dumps([str(packages)])}'\n")
        interpreter.chmod(0o755)
        command = [
            sys.executable,
            "-m",
            "cyclonedx_py",
            "environment",
            "--no-validate",
            str(interpreter),
        ]
        made = subprocess.run(command, capture_output=True, text=True, check=True)
    return Bom.from_json(json.loads(made.stdout))  # type: ignore[attr-defined]


def python(root: Path) -> Component:
    """The Python of the environment /venv in `root`, which need not be a package of Debian's."""
    settings = (root / "venv/pyvenv.cfg").read_text()
    version = re.search(r"^version = (\S+)$", settings, re.MULTILINE)
    if version is None:
        raise ValueError(f"{root}/venv/pyvenv.cfg says no version")
    return Component(
        name="CPython", version=version[1], type=ComponentType.PLATFORM,
        cpe=f"cpe:2.3:a:python:python:{version[1]}:*:*:*:*:*:*:*", bom_ref=f"CPython=={version[1]}",
    )  # fmt: skip


def debian_packages(root: Path) -> Iterator[Component]:
    """The packages that dpkg says are installed in `root`; none where there is no dpkg.

    Its database is that of https://www.debian.org/doc/debian-policy/ch-controlfields.html, their
    identifiers those of https://github.com/package-url/purl-spec (type deb).
    """
    database = root / "var/lib/dpkg/status"
    if not database.exists():
        return
    for paragraph in database.read_text().split("\n\n"):
        package = HeaderParser().parsestr(paragraph)
        if package["Status"] != INSTALLED:
            continue
        name, version = package["Package"], package["Version"]
        purl = PackageURL("deb", "debian", name, version, {"arch": package["Architecture"]})
        yield Component(
            name=name, version=version, type=ComponentType.LIBRARY, purl=purl,
            bom_ref=purl.to_string(), description=package["Description"].splitlines()[0],
        )  # fmt: skip


@contextmanager
def mounted(image: str) -> Iterator[Path]:
    """The file system of an image of buildah's."""
    container = _buildah("from", image)
    try:
        yield Path(_buildah("mount", container))
    finally:
        _buildah("rm", container)


def _container(image: str) -> Component:
    described = json.loads(_buildah("inspect", "--type", "image", image))
    labels = described["Docker"]["config"]["Labels"]
    return Component(
        name=labels["org.opencontainers.image.title"],
        version=labels["org.opencontainers.image.version"],
        description=labels["org.opencontainers.image.description"],
        type=ComponentType.CONTAINER,
        bom_ref=f"sha256:{described['FromImageID']}",
    )


def _buildah(*arguments: str) -> str:
    command = ["buildah", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
