"""Errors of an export.

ExportError
├── ConversionError     no converter for a step of the model, or it fails
├── MissingExtraError   a library that the conversion needs is not installed
└── ParityError         the ONNX model's predictions differ from the library's
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporters.parity import ParityReport

_MAX_CAUSE = 200  # characters


class ExportError(Exception):
    """The model cannot be exported as an ONNX model that is safe to serve."""


class RefusedStep(NotImplementedError):
    """A step that would be converted wrongly; the message says why, and what to do."""


class ConversionError(ExportError):
    """One step of the model has no converter to ONNX, or the converter fails."""

    def __init__(self, step: str, cause: Exception) -> None:
        """`step` is the step's name with its class, `cause` the converter's error."""
        self.step = step
        detail = " ".join(str(cause).split()) or type(cause).__name__
        if "Unable to find a shape calculator" in detail:
            detail = "skl2onnx has no converter for it"
        if "at most 1 input(s)" in detail:
            detail = (
                "it takes one table of numbers, and gets columns of several types: put the step that encodes them "
                "before it, as in make_pipeline(ColumnTransformer(…), LogisticRegression())"
            )
        if isinstance(cause, RefusedStep):
            super().__init__(f"The step {step} cannot be converted to ONNX: {detail}.")
            return
        if len(detail) > _MAX_CAUSE:
            detail = f"{detail[:_MAX_CAUSE]}…"
        super().__init__(
            f"The step {step} cannot be converted to ONNX ({detail}). Replace it by an estimator that "
            "skl2onnx supports (docs/estimators.md lists them), compute what it computes before the "
            "model, as columns of the table, or register a converter for it with "
            "skl2onnx.update_registered_converter."
        )


class MissingExtraError(ExportError):
    """A library that the conversion needs is not installed."""

    def __init__(self, library: str, package: str, extra: str) -> None:
        """`library` is the model's, `package` what is missing, `extra` what installs it."""
        super().__init__(
            f"A model of {library} needs the package {package}, which is not installed: "
            f"pip install 'mlflow-hotswap[{extra}]'"
        )


class ParityError(ExportError):
    """The ONNX model's predictions differ from the library's."""

    def __init__(self, report: "ParityReport", advice: str = "") -> None:
        """`report` is the whole comparison; the message has its numbers, then `advice`."""
        self.report = report
        worst = report.worst
        super().__init__(
            f"ONNX Runtime and the library disagree on {report.mismatches:,} of {report.rows:,} rows; "
            f"{report.measure} differ by up to {report.largest_difference:.3g} where "
            f"{report.tolerance:.0e} is allowed. Worst is row {worst.index} of the kind {worst.kind!r}: "
            f"the library says {worst.expected}, ONNX Runtime says {worst.answered}. "
            f"Nothing was registered. {advice}".rstrip()
        )
