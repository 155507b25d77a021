"""`GET /model`: the serving and the desired version."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Protocol

import msgspec
from fastapi import APIRouter, Request, Response

from predictor import clock
from predictor.errors import INFERENCE, LOAD_STAGES
from predictor.events import ApprovalsChanged
from predictor.http.conditional import NO_CACHE, conditional_response, weak_etag
from predictor.model.servable import Servable
from predictor.model.signature import Port, Signature
from predictor.openapi.responses import CONDITIONAL, NOT_MODIFIED, describe_responses
from predictor.openapi.schemas import DateTime, Versioned, doc
from predictor.operations.journal import approvals as approvals_payload
from predictor.operations.journal import identity, iso
from predictor.reconcile.decision import RegistryStatus
from predictor.reconcile.reconciler import Reconciler
from predictor.settings import Settings

Role = Literal["prediction", "probabilities", "outputs"]


class RegisteredVersion(Versioned, frozen=True):
    """A version of a registered model."""

    run_id: Annotated[str, doc("The MLflow run that logged it; empty where there was none.")]


class ServingFeature(msgspec.Struct, frozen=True):
    """One feature of a record."""

    name: str
    type: Annotated[str, doc("Its JSON type.", enum=["number", "integer", "boolean", "string"])]
    dtype: Annotated[str, doc("The type in the graph, such as `float32`.")]
    required: Annotated[bool, doc("False if it may be missing.")]


class ServingOutput(msgspec.Struct, frozen=True):
    """One output of the graph."""

    name: str
    type: Annotated[str, doc("ONNX Runtime's type, such as `tensor(float)`.")]
    shape: Annotated[
        list[int | None],
        doc("Null for rows and other variable dimensions; empty for a scalar."),
    ]
    role: Annotated[
        Role | None,
        doc("The member of a prediction that contains it; null for none."),
    ]
    omitted_because: Annotated[str | None, doc("Why no prediction contains it.")]


class ServingSignature(msgspec.Struct, frozen=True):
    """Inputs and outputs of the version."""

    features: list[ServingFeature]
    ignored: Annotated[
        list[str],
        doc("Columns of MLflow's signature that clients may send and the service ignores."),
    ]
    class_labels: Annotated[
        list[str | int | bool],
        doc("In the order of the model's probabilities; empty for a regressor."),
    ]
    positive_class: Annotated[str | None, doc("The class that the model is meant to detect.")]
    outputs: list[ServingOutput]
    hints: Annotated[list[str], doc("What more metadata in the graph would improve.")]


class ServingOperatingPoint(msgspec.Struct, frozen=True, rename={"label": "class"}):
    """The threshold that each prediction compares with the probability of one class."""

    label: Annotated[str | int | bool, doc("The class.")]
    threshold: Annotated[float, doc("A probability; one that is equal counts as above.")]
    evidence: Annotated[
        dict[str, Any],
        doc("How the threshold was chosen and measured, as the version's artifact states it."),
    ]


class ServingVersion(RegisteredVersion, frozen=True):
    """The version that answers requests."""

    digest: Annotated[str, doc("Digest of the ONNX graph: `sha256:` and 64 hex digits.")]
    loaded_at: Annotated[DateTime, doc("When its load ended.")]
    load_seconds: Annotated[float, doc("Seconds to build and check it.")]
    metrics: Annotated[dict[str, float], doc("The run's metrics, by name.")]
    signature: ServingSignature
    operating_point: Annotated[
        ServingOperatingPoint | None, doc("Null if the version has no operating point.")
    ]


class FailedVersion(RegisteredVersion, frozen=True):
    """A version that could not be loaded and is tried again, or whose computation was stopped."""

    stage: Annotated[
        str,
        doc(
            "The step of the load that failed; `inference` for a serving version.",
            enum=[*LOAD_STAGES, INFERENCE],
        ),
    ]
    reason: Annotated[str, doc("The cause.")]
    attempts: Annotated[int, doc("How often it failed.")]
    failed_at: Annotated[DateTime, doc("When it last failed.")]
    retry_seconds: Annotated[
        float | None,
        doc("Seconds from then to the next try; null if only a change causes one."),
    ]


class CacheState(msgspec.Struct, frozen=True):
    """The cache folder, for a start without the registry."""

    fault: Annotated[str | None, doc("Why the serving version could not be saved.")]


class RegistryState(msgspec.Struct, frozen=True):
    """The last contact with MLflow's registry."""

    reachable: Annotated[bool, doc("Whether the last poll succeeded.")]
    last_answer_at: Annotated[DateTime | None, doc("When it last answered.")]
    last_answer_age_seconds: Annotated[float | None, doc("Seconds since then.")]
    fault: Annotated[str | None, doc("Why the last poll failed.")]
    names_none_because: Annotated[str | None, doc("Why its last response named no version.")]


class ApprovedVersion(RegisteredVersion, frozen=True):
    """Who has approved a version."""

    approved_by: Annotated[list[str], doc("The approvers whose approval counts.")]
    rejected: Annotated[list[str], doc("Approvals that do not count, and why.")]
    missing: Annotated[
        list[str], doc("The approvers who could still approve; empty if enough people have.")
    ]
    sufficient: Annotated[bool, doc("Whether enough people have approved.")]
    expires_at: Annotated[
        DateTime | None, doc("When the approvals cease to be enough; null for never.")
    ]


class Approvals(msgspec.Struct, frozen=True):
    """Approvals of versions by people, where the service requires them."""

    required: Annotated[int, doc("How many people must approve a version.")]
    desired: ApprovedVersion | None
    serving: ApprovedVersion | None


class ComparedVersion(msgspec.Struct, frozen=True):
    """The serving version that the shadow is compared with."""

    model_version: str
    digest: Annotated[str, doc("Digest of its ONNX graph: `sha256:` and 64 hex digits.")]


class ShadowFlip(msgspec.Struct, frozen=True):
    """Rows to which the shadow gave another class than the serving version."""

    serving: Annotated[str, doc("The class of the serving version.")]
    shadow: Annotated[str, doc("The class of the shadow.")]
    rows: int


class ShadowDifference(msgspec.Struct, frozen=True):
    """Quantiles of the absolute difference, within 11 percent."""

    p50: float
    p90: float
    p99: float
    max: Annotated[float, doc("The largest, exactly.")]


class ShadowSeconds(msgspec.Struct, frozen=True):
    """Quantiles of the seconds of one computation, within 11 percent."""

    p50: float
    p99: float


class ShadowComparison(msgspec.Struct, frozen=True):
    """A second version that computes the same rows, and how its answers differ.

    The numbers are those of this pair of versions, of all processes of this service.
    """

    uri: Annotated[str, doc("The URI that the shadow follows.")]
    model_version: Annotated[str | None, doc("The shadow's version, if it has one.")]
    digest: Annotated[str | None, doc("Digest of its ONNX graph: `sha256:` and 64 hex digits.")]
    run_id: Annotated[str | None, doc("The MLflow run that logged it.")]
    state: Annotated[
        Literal["comparing", "waiting", "failed"],
        doc("Whether rows are compared; `failed`: not, because of a fault."),
    ]
    reason: Annotated[str | None, doc("Why none are compared.")]
    compared_with: Annotated[
        ComparedVersion | None, doc("The serving version; null unless rows are compared.")
    ]
    rows: Annotated[int, doc("Rows that both versions have answered.")]
    flips: Annotated[list[ShadowFlip], doc("The most frequent first.")]
    not_finite: Annotated[int, doc("Rows for which the shadow's answer was NaN or infinite.")]
    failed_rows: Annotated[int, doc("Rows that the shadow could not compute.")]
    skipped_rows: Annotated[
        int, doc("Rows that the shadow did not get: it was busy, or not there.")
    ]
    difference: Annotated[
        ShadowDifference | None,
        doc("Of the probabilities of the positive class, or of a regressor's values."),
    ]
    serving_seconds: Annotated[ShadowSeconds | None, doc("Of the serving version.")]
    shadow_seconds: Annotated[ShadowSeconds | None, doc("Of the shadow, for the same rows.")]


class Model(msgspec.Struct, frozen=True):
    """The serving and the desired version."""

    model_uri: Annotated[
        str, doc("The URI that the service follows, such as `models:/NAME/Production`.")
    ]
    workspace: Annotated[str | None, doc("Its MLflow workspace, if one is set.")]
    serving: Annotated[ServingVersion | None, doc("The version that answers requests, if any.")]
    desired: Annotated[RegisteredVersion | None, doc("The version that the registry names.")]
    aspired: Annotated[
        RegisteredVersion | None,
        doc("Use `desired`: this is removed in the next release.", deprecated=True),
    ]
    loading: Annotated[RegisteredVersion | None, doc("The version that is being loaded.")]
    last_failure: Annotated[
        FailedVersion | None, doc("The failure of the desired version, if it could not be loaded.")
    ]
    cache: CacheState
    registry: RegistryState
    approvals: Annotated[
        Approvals | None, doc("Null if versions need no approval (PREDICTOR_APPROVERS_FILE).")
    ]
    shadow: Annotated[
        ShadowComparison | None, doc("Null without a second version (PREDICTOR_SHADOW_URI).")
    ]


class DescribesApprovals(Protocol):
    """The part of `predictor.approval` that `GET /model` reads; that room is optional."""

    def describe(self) -> ApprovalsChanged:
        """The approvals of the desired and of the serving version, now."""


class DescribesShadow(Protocol):
    """The part of `predictor.shadow` that `GET /model` reads; that room is optional."""

    def describe(self) -> Mapping[str, Any]:
        """The members of ShadowComparison, now."""


def routes(describe: Callable[[], Model]) -> APIRouter:
    """The route of `GET /model`."""
    router = APIRouter(tags=["operations"])

    @router.get(
        "/model",
        operation_id="get_model",
        summary="The serving and the desired version",
        openapi_extra=CONDITIONAL,
        responses=describe_responses(Model, description="The serving and the desired version.")
        | NOT_MODIFIED,
    )
    async def model(request: Request) -> Response:
        """The serving and the desired version, the last failed load, and the age of the registry's last response."""
        body = describe()
        etag = weak_etag(msgspec.json.encode(_without_times(body)))
        content = msgspec.json.encode(body)
        return conditional_response(request, etag, content, "application/json", NO_CACHE)

    return router


def _without_times(model: Model) -> Model:
    """Without the times that change with each poll, so that the ETag only changes with the rest."""
    registry = msgspec.structs.replace(
        model.registry, last_answer_at=None, last_answer_age_seconds=None
    )
    return msgspec.structs.replace(model, registry=registry)


def describe(
    reconciler: Reconciler,
    settings: Settings,
    approvals: DescribesApprovals | None,
    shadow: DescribesShadow | None,
) -> Model:
    """The body of `GET /model`."""
    status, loading, failure = reconciler.registry_status, reconciler.loading, reconciler.failure
    desired = RegisteredVersion(**identity(status.aspired)) if status.aspired else None
    return Model(
        model_uri=settings.model_uri,
        workspace=settings.workspace or None,
        serving=_serving(reconciler.serving) if reconciler.serving else None,
        desired=desired,
        aspired=desired,
        loading=RegisteredVersion(**identity(loading)) if loading else None,
        last_failure=FailedVersion(
            **identity(failure.version),
            stage=failure.stage,
            reason=failure.reason,
            attempts=failure.attempts,
            failed_at=iso(clock.wall(failure.failed_at)),
            retry_seconds=failure.retry_seconds,
        )
        if failure
        else None,
        cache=CacheState(reconciler.cache_fault),
        registry=_registry(status),
        approvals=msgspec.convert(approvals_payload(approvals.describe()), Approvals)
        if approvals
        else None,
        shadow=msgspec.convert(shadow.describe(), ShadowComparison) if shadow else None,
    )


def _registry(status: RegistryStatus) -> RegistryState:
    answered_at = status.answered_at
    return RegistryState(
        reachable=status.fault is None and answered_at is not None,
        last_answer_at=iso(clock.wall(answered_at)) if answered_at else None,
        last_answer_age_seconds=round(clock.now() - answered_at, 3) if answered_at else None,
        fault=status.fault,
        names_none_because=status.no_version_reason or None,
    )


def _serving(servable: Servable) -> ServingVersion:
    signature, point = servable.signature, servable.operating_point
    return ServingVersion(
        **identity(servable.model_version),
        digest=f"sha256:{servable.artifact.onnx_sha256}",
        loaded_at=iso(clock.wall(servable.loaded_at)),
        load_seconds=round(servable.load_seconds, 4),
        metrics=dict(servable.artifact.metrics),
        signature=ServingSignature(
            features=[
                ServingFeature(f.name, f.type, f.dtype, f.required) for f in signature.features
            ],
            ignored=[*signature.ignored],
            class_labels=[*signature.class_labels],
            positive_class=signature.positive_class,
            outputs=[_output(signature, port) for port in signature.results],
            hints=[*signature.hints],
        ),
        operating_point=ServingOperatingPoint(point.label, point.threshold, dict(point.evidence))
        if point
        else None,
    )


def _output(signature: Signature, port: Port) -> ServingOutput:
    """One output of the graph, with its place in responses, or the reason why it is omitted."""
    read = signature.outputs
    roles: dict[str | None, Role] = {
        read.label: "prediction",
        read.probabilities: "probabilities",
        read.value: "prediction",
        **{extra.name: "outputs" for extra in read.extra},
    }
    return ServingOutput(
        name=port.name,
        type=port.type,
        shape=[*port.shape],
        role=roles.get(port.name),
        omitted_because=dict(read.omitted).get(port.name),
    )
