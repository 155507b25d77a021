"""Reads objects through KServe's own models: run by the clients' own Python, JSON from stdin to stdout.

What the models do not know is missing from the printed objects.
"""

import json
import sys
from types import SimpleNamespace

import kserve.models
import kubernetes.client
from kserve.api_client import ApiClient

KUBERNETES = kubernetes.client.ApiClient()


class Reader(ApiClient):
    """KServe's reader, with Kubernetes' own for the parts that are Kubernetes' objects."""

    def _ApiClient__deserialize(self, data, kind):  # noqa: N802
        own = not isinstance(kind, str) or kind in self.NATIVE_TYPES_MAPPING
        if own or kind.startswith(("list[", "dict(")) or hasattr(kserve.models, kind):
            return super()._ApiClient__deserialize(data, kind)
        # Kubernetes' package has a shorter name for it.
        kind = kind.replace("K8sIoApiAppsV1DeploymentStrategy", "V1DeploymentStrategy")
        return KUBERNETES._ApiClient__deserialize(data, kind)


def written(value):
    """The object as JSON has it, without the fields that are not set."""
    if isinstance(value, list):
        return [written(each) for each in value]
    if isinstance(value, dict):
        return {name: written(each) for name, each in value.items()}
    if not hasattr(value, "openapi_types"):
        return value
    fields = {name: getattr(value, own) for own, name in value.attribute_map.items()}
    return {name: written(each) for name, each in fields.items() if each not in (None, "")}


reader, objects = Reader(), []
for each in json.load(sys.stdin):
    version = "V" + each["apiVersion"].rpartition("/v")[2]
    text = SimpleNamespace(data=json.dumps(each))
    objects.append(written(reader.deserialize(text, version + each["kind"])))
print(json.dumps(objects))
