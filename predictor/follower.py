"""Follow one URI of the registry: the source, the approvals and the reconciler, made from the settings.

The service follows PREDICTOR_MODEL_URI; the process of the shadow follows PREDICTOR_SHADOW_URI by the same parts.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from predictor.events import Observe
from predictor.model.builder import Builder
from predictor.model.loader import load
from predictor.model.runs import WatchedRuns
from predictor.model.servable import Servable
from predictor.model_version import ModelUri
from predictor.reconcile.reconciler import Reconciler
from predictor.reconcile.source import NO_APPROVALS, Source
from predictor.registry.artifacts import ArtifactStores
from predictor.registry.cache import Cache
from predictor.registry.client import artifact_server, tracking_server
from predictor.registry.freshness import max_age
from predictor.registry.source import RegistrySource
from predictor.registry.versions import RegistryClient
from predictor.settings import Settings
from predictor.traces.tracer import TRACES_OFF, Tracer


@dataclass(frozen=True)
class Follower:
    """The parts that keep one servable equal to what the registry names. Nothing is started.

    `approvals` is None without a file of approvers; it observes events, too.
    """

    source: Source
    approvals: Any
    reconciler: Reconciler


def follow(
    settings: Settings,
    observe: Observe,
    *,
    source: Source | None = None,
    load: Callable[..., Servable] = load,
    tracer: Tracer = TRACES_OFF,
) -> Follower:
    """The parts that follow `settings.model_uri`. Tests replace the registry by a `source`. Raises SettingsError."""
    source = source or _registry(settings)
    approvals = _approvals(settings, source, observe)
    load = partial(
        load,
        during=tracer.span,
        runs=WatchedRuns(settings.inference_seconds),
        ignore_unknown=settings.extra_fields == "ignore",
    )
    builder = Builder(
        source.fetch,
        load,
        settings.load_seconds,
        refusal=(approvals or NO_APPROVALS).refusal,
        tracer=tracer,
    )
    reconciler = Reconciler(
        source,
        builder,
        observe,
        when_none=settings.when_none,
        retry_seconds=settings.poll_seconds,
        approvals=approvals or NO_APPROVALS,
        tracer=tracer,
    )
    return Follower(source, approvals, reconciler)


def _registry(settings: Settings) -> RegistrySource:
    """The source of versions: MLflow's registry, the artifact stores, and the cache on disk."""
    uri = ModelUri.parse(settings.model_uri)
    tracking = tracking_server(settings)
    others = {each: artifact_server(str(each), settings) for each in settings.other_hosts}
    stores = ArtifactStores(tracking, others, settings.s3_options)
    oldest = max_age(settings.poll_seconds)
    registry = RegistryClient(tracking, uri, max_age_seconds=oldest)
    if settings.unity_catalog:
        from predictor.registry.databricks import unity_catalog

        registry = unity_catalog.UnityCatalog(tracking, uri, max_age_seconds=oldest)
        stores = replace(stores, schemes={unity_catalog.SCHEME: unity_catalog.open_files})
    return RegistrySource(registry, stores, _cache(settings), settings.max_model_bytes)


def _cache(settings: Settings) -> Cache:
    workspace = f"\n{settings.workspace}" if settings.workspace else ""
    scope = f"{settings.tracking_uri}\n{settings.model_uri}{workspace}"
    return Cache(settings.cache_dir, scope)


def _approvals(settings: Settings, source: Any, observe: Observe) -> Any:
    if settings.approvers_file is None:
        return None
    # cryptography is an extra, and slow to import.
    from predictor.approval.check import SignedApprovals
    from predictor.approval.files import ApproversFile, Withdrawals

    withdrawals = Withdrawals(_cache(settings).withdrawals_file)
    return SignedApprovals(ApproversFile(settings.approvers_file), withdrawals, source, observe)
