"""One request has one response, whichever way it comes in: by ASGI, by a connection, or by the fast lane.

So each other test of the API needs one way only.
"""

import json
import math
import re
import struct
from dataclasses import replace
from itertools import chain

import httpx
import pytest

from predictor.keys import line_of
from tests.predictor.graphs import GOOD, OURS
from tests.predictor.live import Live
from tests.predictor.protocols.predict.test_warnings import FAR, KNOWING
from tests.predictor.sockets import OneWrite, listening

BODY = json.dumps(GOOD).encode()
JSON = {"content-type": "application/json"}
# The server's own, the id that is new each time, and how the connection goes on.
OWN = {"date", "x-content-type-options", "x-request-id", "connection"}
INFER = {"inputs": [{"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 1.5]}]}

RECORDS = [
    GOOD, FAR, {}, [GOOD], {**GOOD, "mean_radius": None}, {**GOOD, "mean_radius": 1e39}, {**GOOD, "id": 1},
    {**GOOD, "mean_radius": True}, {**GOOD, "mean_radius": "1"}, {**GOOD, "mean_radius": -1.0}, 7, None,
]  # fmt: skip
NOT_JSON = [
    b"",
    b"{",
    b"\xff",
    b"\xef\xbb\xbf{}",
    b"[" * 1999,
    '{"é": 1}'.encode("utf-16"),
    b" " * 2001,
]
TYPES = [
    "", "application/json", "Application/JSON", "application/json; charset=utf-8", "application/vnd.x+json",
    'application/json;charset="UTF-8"', "application/json; charset=latin-1", "text/plain", "json", "text/csv",
]  # fmt: skip
PATHS = [
    "/health", "/ready", "/model", "/openapi.json", "/docs", "/", "/web/page.js", "/nothing", "/predict/",
    "/predict/x", "/%00", "/v2", "/v2/health/live", "/v2/models/m", "/v2/models/other", "/ping", "/version",
]  # fmt: skip
METHODS = [
    ("GET", "/predict"), ("PUT", "/predict/batch"), ("POST", "/health"), ("PROPFIND", "/ready"),
    ("DELETE", "/invocations"), ("PATCH", "/v2/models/m/infer"),
]  # fmt: skip


def requests():
    """Each as method, path, header fields and body."""
    for record in RECORDS:
        yield "POST", "/predict", JSON, json.dumps(record).encode()
        batch = {"instances": [GOOD, record]}
        for path in ("/predict/batch", "/predict/batch?warnings=true"):
            yield "POST", path, JSON, json.dumps(batch).encode()
    for path in (
        "/predict",
        "/predict/batch",
        "/predict/what-if",
        "/predict/explain",
        "/invocations",
    ):
        for body in NOT_JSON:
            yield "POST", path, JSON, body
    yield "POST", "/predict", JSON, rb'{"\ud800": 1}'
    yield "POST", "/predict", JSON, BODY.replace(b"{", b'{"mean_radius": 1, ')
    yield from inferences()
    for kind in TYPES:
        yield "POST", "/predict", {"content-type": kind}, BODY
    for name in ("gzip", "br", "identity"):
        yield "POST", "/predict", {**JSON, "content-encoding": name}, BODY
    yield "POST", "/predict?x=1", JSON, BODY
    for path in PATHS:
        yield "GET", path, {}, b""
    for method, path in METHODS:
        yield method, path, {}, b""


def inferences():
    """Each protocol in each of its forms, with one row and with several, right and wrong."""
    names, row = list(GOOD), list(GOOD.values())
    for rows in ([row], [row, row, row], [[*row, 1.0]], [["x", *row[1:]]], []):
        records = [dict(zip(names, each, strict=False)) for each in rows]
        for body in (
            {"dataframe_records": records},
            {"dataframe_split": {"columns": names, "data": rows}},
            {"dataframe_split": {"columns": names[::-1], "data": rows}},
            {"inputs": rows},
            {"instances": records, "params": {}},
        ):
            yield "POST", "/invocations", JSON, json.dumps(body).encode()
        lines = [names, *rows]
        text = "".join(",".join(map(str, line)) + "\n" for line in lines).encode()
        yield "POST", "/invocations", {"content-type": "text/csv"}, text
        tensor = {"name": "X", "shape": [len(rows), 2], "datatype": "FP32", "data": [*chain(*rows)]}
        for path in ("/v2/models/m", "/v2/models/m/versions/7", "/v2/models/m/versions/8"):
            yield "POST", f"{path}/infer", JSON, json.dumps({"inputs": [tensor]}).encode()
        yield (
            "POST",
            "/v2/models/m/infer",
            JSON,
            json.dumps({"id": "a", "inputs": [tensor]}).encode(),
        )
    for values in ([1.0, 1.5], [1.0, math.nan], [1.0, 1.5] * 2):
        raw = struct.pack(f"<{len(values)}f", *values)
        for parameters in ({}, {"binary_data_output": True}):
            tensor = {"name": "X", "shape": [1, 2], "datatype": "FP32"}
            tensor["parameters"] = {"binary_data_size": len(raw)}
            head = json.dumps({"inputs": [tensor], "parameters": parameters}).encode()
            fields = {"inference-header-content-length": str(len(head))}
            yield "POST", "/v2/models/m/infer", fields, head + raw


def keyed():
    """With keys: good ones, wrong ones, none and two."""
    for headers in (
        {}, {"authorization": "Bearer k3y"}, {"x-api-key": "k3y"}, {"authorization": "bearer  k3y "},
        {"authorization": "Bearer k3"}, {"authorization": "Basic k3y"}, {"authorization": "k3y"},
        {"x-api-key": ""}, {"x-api-key": "k3y", "authorization": "Bearer other"},
        {"x-api-key": "other", "authorization": "Bearer k3y"}, {"cookie": "key=k3y"},
    ):  # fmt: skip
        for body in (BODY, b"{"):
            yield "POST", "/predict", {**JSON, **headers}, body


async def responses(client, listed):
    """What comes back for each request: twice, since the fast lane remembers heads."""
    found = []
    for method, path, headers, body in listed:
        for _ in range(2):
            response = await client.request(method, path, headers=headers, content=body)
            request = method, path, headers, body
            found.append((request, response.status_code, *ageless(path, response)))
    return found


def ageless(path, response):
    """The fields and the body, without what is older each time."""
    fields = {k: v for k, v in response.headers.items() if k not in OWN}
    if path != "/model":
        return fields, response.content
    del fields["content-length"]
    return fields, re.sub(rb'"last_answer_age_seconds":[0-9.]+', b"", response.content)


async def by_every_way(live, listed):
    """The responses by ASGI, by a connection and by the fast lane; and the paths that came by ASGI."""
    asgi = await responses(live.client, listed)
    found, seen = [asgi], []
    for service in (replace(live.service, lane=None), live.service):
        async with (
            listening(live.app, service) as address,
            httpx.AsyncClient(transport=OneWrite(address), base_url="http://service") as client,
        ):
            found.append(await responses(client, listed))
            seen.append(address.asked)
    return found, seen


@pytest.mark.parametrize("serves", [True, False], ids=["serving", "none"])
async def test_the_api(tmp_path, serves):
    """Every kind of request and of fault, with a version that serves and without."""
    live = Live(tmp_path, max_body_bytes=2000)
    if serves:
        await live.serve(7, KNOWING)
    listed = list(requests())
    (asgi, stock, fast), (all_paths, slow_paths) = await by_every_way(live, listed)
    for one, other, third in zip(asgi, stock, fast, strict=True):
        assert one == other == third
    assert len(all_paths) == 2 * len(listed)
    assert all_paths.count("/predict") > slow_paths.count("/predict") > 0
    await live.reconciler.close()


async def test_pages_of_other_origins(tmp_path):
    """An origin that is allowed and one that is not, with and without a cookie."""
    live = Live(tmp_path, cors_origins="https://app.example,https://b.example")
    await live.serve(7, OURS)
    listed = [
        ("POST", path, {**JSON, **fields, **origin}, body)
        for path in ("/predict", "/invocations")
        for fields in ({}, {"cookie": "a=b"})
        for origin in ({}, {"origin": "https://app.example"}, {"origin": "null"})
        for body in (BODY, b'{"dataframe_records": [%b]}' % BODY, b"{")
    ]
    (asgi, stock, fast), (all_paths, slow_paths) = await by_every_way(live, listed)
    for one, other, third in zip(asgi, stock, fast, strict=True):
        assert one == other == third
    assert len(all_paths) == 2 * len(listed)
    assert slow_paths == []
    await live.reconciler.close()


async def test_keys(tmp_path):
    """A request is authorised by every way, or by none."""
    keys = tmp_path / "keys"
    keys.write_text(line_of("ward-1", "k3y"))
    live = Live(tmp_path, api_keys_file=keys)
    await live.serve(7, OURS)
    (asgi, stock, fast), (all_paths, slow_paths) = await by_every_way(live, list(keyed()))
    for one, other, third in zip(asgi, stock, fast, strict=True):
        assert one == other == third
    assert {status for _, status, *_ in asgi} == {200, 400, 401}
    assert len(all_paths) > len(slow_paths)
    await live.reconciler.close()
