"""The names of the tags that the trainer writes.

A version has at most five tags for people and for the promotion policy. The rest begins with DETAIL, so
that it stands together in MLflow's page. An export's own tags are in `exporters.tags`.
"""

from approvals.statement import APPROVAL_TAG
from exporters.tags import DATASET_DIGEST, DETAIL, ONNX_SHA256, PARITY, TASK

__all__ = ["DATASET_DIGEST", "DETAIL", "ONNX_SHA256", "PARITY", "TASK"]

CANDIDATE = "candidate"

SEED = DETAIL + "seed"
REGISTRATION = DETAIL + "registration"
COPIED_FROM = DETAIL + "copied_from"
TRANSITION = DETAIL + "transition."
# When MLflow says that it moved a version to a stage: the time of the transition as in its key, and milliseconds.
STAGE_CHANGED = DETAIL + "stage_changed"
# Registries have transitions with the older name, too.
TRANSITIONS = (TRANSITION, "transition.")

# Tags that are about the version that has them, and about no copy of it.
ABOUT_ONE_VERSION = (*TRANSITIONS, STAGE_CHANGED, APPROVAL_TAG)

# Tags of the registered model: one for each metric that decides a promotion.
GATE = "gate."
# And one for each change of them.
GATES_CHANGED = DETAIL + "gates."
