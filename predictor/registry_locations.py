"""Where a version's files really are: the registry may name a run, a logged model or another version.

runs:/RUN/path            the run's artifact address and the path below it, or the run's logged model
models:/m-ID              a logged model of MLflow 3
models:/NAME/NUMBER       another version, of which this one is a copy
"""

from urllib.parse import unquote, urlsplit

from predictor.errors import LoadError
from predictor.loading.artifact_files import checked
from predictor.model_uri import ModelUri
from predictor.model_version import ModelVersion
from predictor.registry import Registry, RunBody

_MOST_STEPS = 5  # a copy of a copy of a run's model takes three
_MOST_MODELS = 10  # of one run


async def locate(registry: Registry, version: ModelVersion) -> str:
    """The URI of a version's files: a store's, the artifact proxy's, or a local path.

    Raises RegistryError, and LoadError (stage `fetch`) for a source that leads nowhere.
    """
    uri = first = await registry.download_uri(version.name, version.version)
    for _ in range(_MOST_STEPS):
        scheme = uri.partition(":")[0].lower()
        if scheme == "runs":
            uri = await _of_run(registry, uri)
        elif scheme == "models":
            uri = await _of_model(registry, uri)
        else:
            return uri
    raise LoadError("fetch", f"{first} leads from one version to another without an end")


async def _of_run(registry: Registry, uri: str) -> str:
    run_id, _, path = _path(uri).partition("/")
    run = await registry.run(run_id) if run_id else None
    if run is None:
        raise LoadError("fetch", f"{uri}: there is no such run; register the version again")
    logged = await _logged_in(registry, run, path)
    if logged:
        return logged
    return _below(_known(uri, run.info.artifact_uri), path)


async def _logged_in(registry: Registry, run: RunBody, path: str) -> str | None:
    """MLflow 3 keeps a run's models beside its artifacts, and `runs:/RUN/NAME` names them, too."""
    name, _, rest = path.partition("/")
    for output in run.outputs.model_outputs[:_MOST_MODELS] if name else ():
        found = await registry.logged_model(output.model_id)
        if found is not None and found.name == name:
            return _below(found.artifact_uri, rest)
    return None


async def _of_model(registry: Registry, uri: str) -> str:
    path = _path(uri)
    model_id, _, rest = path.partition("/")
    if model_id.startswith("m-"):
        found = await registry.logged_model(model_id)
        if found is not None:
            return _below(_known(uri, found.artifact_uri), rest)
        if not rest:
            raise LoadError("fetch", f"{uri}: there is no such logged model")
    try:
        other = ModelUri.parse(f"models:/{path}")
    except ValueError:
        other = None
    if other is None or other.kind != "version":
        # A stage or an alias may move while the version stays the same.
        raise LoadError("fetch", f"{uri} names no version; register a copy of models:/NAME/NUMBER")
    return await registry.download_uri(other.name, other.pointer)


def _path(uri: str) -> str:
    try:
        parts = urlsplit(uri)
    except ValueError:
        parts = urlsplit("")
    if parts.netloc or parts.query or parts.fragment or not parts.path.strip("/"):
        raise LoadError("fetch", f"{uri} is not of the form {uri.partition(':')[0]}:/ID/path")
    return unquote(parts.path).strip("/")


def _known(uri: str, artifact_uri: str) -> str:
    if not artifact_uri or not artifact_uri.isprintable():
        raise LoadError("fetch", f"{uri}: the registry does not say where its files are")
    return artifact_uri


def _below(uri: str, path: str) -> str:
    return f"{uri.rstrip('/')}/{checked(path)}" if path else uri
