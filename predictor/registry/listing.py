"""List the versions of a model for people: at most some sixty, of however many the registry has."""

import asyncio
from collections.abc import Sequence

import msgspec

from predictor.errors import RegistryInvalidResponse, RegistryUnreachable
from predictor.model_version import Listed, Listing
from predictor.registry.versions import OneVersion, RegistryClient, Tag, Text, VersionBody

_MODEL = "/registered-models/get"
_SEARCH = "/model-versions/search"
_NEWEST = (50, 10)  # the second, where the tags of fifty versions are too many or too large
_MAX_NAMED = 10
_SECONDS = 10.0  # for all requests together


class _Found(msgspec.Struct):
    model_versions: list[VersionBody] = []
    next_page_token: str | None = None


class _Alias(msgspec.Struct):
    alias: Text
    version: str


class _Model(msgspec.Struct):
    latest_versions: list[VersionBody] | None = None
    aliases: list[_Alias] = []
    tags: list[Tag] = []


class _OneModel(msgspec.Struct):
    registered_model: _Model


async def list_versions(
    registry: RegistryClient, named: Sequence[str], *, seconds: float = _SECONDS
) -> Listing:
    """The newest versions, and older ones that have a stage or an alias or are `named`. Raises RegistryError.

    Empty if there is no such model. It sends at most 13 requests, one after the other.
    """
    try:
        async with asyncio.timeout(seconds):
            return await _list(registry, named)
    except TimeoutError as error:
        raise RegistryUnreachable(_SEARCH, f"no whole answer in {seconds:g} s") from error


async def _list(registry: RegistryClient, named: Sequence[str]) -> Listing:
    model = await registry.read(_MODEL, _OneModel, name=registry.uri.name)
    if model is None:
        return Listing((), {}, {}, more=False)
    about = model.registered_model
    newest, more = await _newest(registry)
    found = {each.version: each for each in (*(about.latest_versions or ()), *newest)}
    aliases = {each.alias: each.version for each in about.aliases}
    missing = [each for each in dict.fromkeys((*named, *aliases.values())) if each not in found]
    for number in missing[:_MAX_NAMED]:
        query = {"name": registry.uri.name, "version": number}
        if one := await registry.read("/model-versions/get", OneVersion, **query):
            found[number] = one.model_version
    listed = [
        Listed(registry.version_of(_SEARCH, each), each.current_stage) for each in found.values()
    ]
    listed.sort(key=lambda each: each.version.number, reverse=True)
    return Listing(listed, aliases, {tag.key: tag.value for tag in about.tags}, more)


async def _newest(registry: RegistryClient) -> tuple[list[VersionBody], bool]:
    """The newest versions, and whether there are more."""
    quote = '"' if "'" in registry.uri.name else "'"
    query = {"filter": f"name = {quote}{registry.uri.name}{quote}", **registry.newest_first}
    most, fewer = _NEWEST
    try:
        found = await registry.read(_SEARCH, _Found, max_results=str(most), **query)
    except RegistryInvalidResponse:
        found = await registry.read(_SEARCH, _Found, max_results=str(fewer), **query)
    return (found.model_versions, bool(found.next_page_token)) if found else ([], False)
