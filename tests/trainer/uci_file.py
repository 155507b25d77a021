"""The real rows written out in UCI's own format, as a person would find them."""

from sklearn.datasets import load_breast_cancer


def uci_lines():
    """569 lines: an id, M or B, 30 numbers."""
    bunch = load_breast_cancer()
    return [
        ",".join([str(842302 + row), "MB"[target], *(f"{value:g}" for value in values)])
        for row, (values, target) in enumerate(zip(bunch.data, bunch.target, strict=True))
    ]


def write_uci_file(folder, lines=None):
    """Write `lines`, or all, to a file in `folder`; return its path."""
    path = folder / "wdbc.data"
    path.write_text("\n".join(uci_lines() if lines is None else lines) + "\n")
    return path
