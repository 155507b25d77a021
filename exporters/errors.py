"""Errors of an export.

ExportError
├── ConversionError   skl2onnx cannot convert a pipeline step
└── ParityError       the ONNX model's predictions differ from scikit-learn's
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporters.parity import ParityReport

_MAX_CAUSE = 200  # characters


class ExportError(Exception):
    """The pipeline cannot be exported as an ONNX model that is safe to serve."""


class ConversionError(ExportError):
    """skl2onnx cannot convert one step of the pipeline."""

    def __init__(self, step: str, cause: Exception) -> None:
        """`step` is the step's name with its class, `cause` the converter's error."""
        self.step = step
        detail = " ".join(str(cause).split()) or type(cause).__name__
        if len(detail) > _MAX_CAUSE:
            detail = f"{detail[:_MAX_CAUSE]}…"
        super().__init__(
            f"The pipeline step {step} cannot be converted to ONNX ({detail}). "
            "Replace that step by an estimator that skl2onnx supports, or register a converter for it."
        )


class ParityError(ExportError):
    """The ONNX model's predictions differ from scikit-learn's."""

    def __init__(self, report: "ParityReport") -> None:
        """`report` is the whole comparison; the message has its numbers."""
        self.report = report
        worst = report.worst
        super().__init__(
            f"ONNX and scikit-learn disagree on {report.mismatches:,} of {report.rows:,} rows; "
            f"probabilities differ by up to {report.largest_difference:.3g} where "
            f"{report.tolerance:.0e} is allowed. Worst is {worst.kind} row {worst.index}: "
            f"scikit-learn says {worst.expected}, ONNX says {worst.answered}. "
            "Do not serve this export; the parity report has the row's values."
        )
