"""What can go wrong between a fitted pipeline and an ONNX model that may be served.

ExportError
├── ConversionError   a pipeline step has no faithful ONNX form
└── ParityError       the ONNX model answers otherwise than scikit-learn
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporters.parity import ParityReport

LONGEST_CAUSE = 200


class ExportError(Exception):
    """The pipeline could not become an ONNX model that may be served."""


class ConversionError(ExportError):
    """skl2onnx cannot convert one step of the pipeline."""

    def __init__(self, step: str, cause: Exception) -> None:
        """Args: the step's name with its class, and what the converter said about it."""
        self.step = step
        said = " ".join(str(cause).split()) or type(cause).__name__
        if len(said) > LONGEST_CAUSE:
            said = f"{said[:LONGEST_CAUSE]}…"
        super().__init__(
            f"The pipeline step {step} cannot be converted to ONNX ({said}). "
            "Replace that step by an estimator that skl2onnx supports, or register a converter for it."
        )


class ParityError(ExportError):
    """The ONNX model and scikit-learn disagree on rows that they must agree on."""

    def __init__(self, report: "ParityReport") -> None:
        """Args: the whole comparison; its numbers are in the message."""
        self.report = report
        worst = report.worst
        super().__init__(
            f"ONNX and scikit-learn disagree on {report.mismatches:,} of {report.rows:,} rows; "
            f"probabilities differ by up to {report.largest_difference:.3g} where "
            f"{report.tolerance:.0e} is allowed. Worst is {worst.kind} row {worst.index}: "
            f"scikit-learn says {worst.expected}, ONNX says {worst.answered}. "
            "Do not serve this export; the parity report has the row's values."
        )
