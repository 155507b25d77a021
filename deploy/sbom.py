"""`python -m deploy.sbom`: a bill of materials (CycloneDX 1.6, JSON) of an image.

It lists the installed packages: Python packages with their licences and dependencies, from cyclonedx-bom, and
Debian packages, from dpkg's database. An installed environment has no hashes of wheels; requirements/*.txt has
them.

    python -m deploy.sbom --image ID --output FILE         an image in buildah's storage, as root
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
    """The packages in the file system at `root`, the root of `container`."""
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
        # cyclonedx-py runs an interpreter to get its package folders. The image's own would need the image's
        # libraries, so this script prints the folder.
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
    """The Python of the environment /venv in `root`, which may not be a Debian package."""
    settings = (root / "venv/pyvenv.cfg").read_text()
    version = re.search(r"^version = (\S+)$", settings, re.MULTILINE)
    if version is None:
        raise ValueError(f"{root}/venv/pyvenv.cfg has no version")
    return Component(
        name="CPython", version=version[1], type=ComponentType.PLATFORM,
        cpe=f"cpe:2.3:a:python:python:{version[1]}:*:*:*:*:*:*:*", bom_ref=f"CPython=={version[1]}",
    )  # fmt: skip


def debian_packages(root: Path) -> Iterator[Component]:
    """The packages that dpkg has installed in `root`; none without dpkg.

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
    """The file system of an image in buildah's storage."""
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
