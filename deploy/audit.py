"""`python -m deploy.audit`: look for known vulnerabilities in the pinned packages of the images.

pip-audit looks each package up at PyPI, and at OSV if PyPI does not know it. The exit code is 1 if there is a
known vulnerability, 3 if some package could not be looked up (no service was reachable, or none knows it),
and 0 only if every package was looked up and has no known vulnerability.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
DEPLOYED = tuple(
    f"requirements/{name}.txt" for name in ("predictor", "extras", "trainer", "trainer-extras")
)
SERVICES = ("pypi", "osv")
VULNERABLE, NOT_AUDITED = 1, 3

Report = Mapping[str, Mapping[str, Any]]


def main() -> int:
    """Audit every deployed requirements file; return the exit code."""
    codes = [_audit(file) for file in DEPLOYED]
    if NOT_AUDITED in codes:
        print(
            "\nNOT AUDITED: some of the packages above could not be looked up.\n"
            "Run `make audit` where PyPI's or OSV's advisories can be reached.",
            file=sys.stderr,
        )
    return VULNERABLE if VULNERABLE in codes else max(codes)


def _audit(file: str) -> int:
    report: Report = {}
    for service in SERVICES:
        report = join(report, ask(file, service))
        if report and not unknown(report):
            break
    found, left = vulnerable(report), unknown(report)
    print(f"{file}: {len(report) - len(left)} of {len(report)} packages looked up", end="; ")
    print(f"{len(found)} known vulnerabilities")
    for line in found:
        print(f"  {line}")
    return outcome(report)


def outcome(report: Report) -> int:
    """The exit code for one file: a known vulnerability comes before an unknown package."""
    if vulnerable(report):
        return VULNERABLE
    return NOT_AUDITED if unknown(report) or not report else 0


def ask(file: str, service: str) -> Report:
    """pip-audit's result for each package of a file, by name; empty if it failed."""
    command = [
        sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--format=json",
        "--progress-spinner=off", "--vulnerability-service", service, "--requirement", file,
    ]  # fmt: skip
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(ended.stdout)["dependencies"]
    except ValueError:
        reason = ended.stderr.strip().splitlines()[-1:] or ["no output"]
        print(f"{file}: {service} gave no result: {reason[0][:300]}", file=sys.stderr)
        return {}
    return {package["name"]: package for package in packages}


def join(first: Report, second: Report) -> Report:
    """Merge two reports. A result counts more than a package that could not be looked up."""
    known = {name: package for name, package in first.items() if "vulns" in package}
    return {**first, **second, **known}


def unknown(report: Report) -> list[str]:
    """The packages that could not be looked up."""
    return [name for name, package in report.items() if "vulns" not in package]


def vulnerable(report: Report) -> list[str]:
    """A line for each known vulnerability."""
    return [
        f"{name} {package['version']}: {known['id']}; fixed in {_versions(known['fix_versions'])}"
        for name, package in report.items()
        for known in package.get("vulns", ())
    ]


def _versions(versions: Iterable[str]) -> str:
    return ", ".join(versions) or "no version yet"


if __name__ == "__main__":
    sys.exit(main())
