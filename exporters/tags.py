"""The tags that an export gives to a registered version.

What people and the promotion policy read has a plain name; the rest begins with DETAIL, so that it stands
together in MLflow's page.
"""

PARITY = "parity"
ONNX_SHA256 = "onnx_sha256"
DATASET_DIGEST = "dataset_digest"
TASK = "task"

DETAIL = "hotswap."
PARITY_ROWS = DETAIL + "parity_rows"
PARITY_LARGEST_DIFFERENCE = DETAIL + "parity_largest_difference"
PARITY_MISMATCHES = DETAIL + "parity_mismatches"
CONVERTED_FROM = DETAIL + "converted_from"
