"""The HTTP contract: every route, every error, one shape."""

import asyncio
import json

import pytest

from predictor import clock
from predictor.operations.journal import iso
from tests.predictor.graphs import (
    GOOD,
    METADATA,
    NAMES,
    OURS,
    classifier,
    one_input_per_column,
    regressor,
)
from tests.predictor.live import Live
from tests.predictor.parts import version


@pytest.fixture
async def live(tmp_path):
    made = Live(tmp_path, max_body_bytes=2000)
    await made.serve(7, OURS)
    yield made
    await made.close()


@pytest.fixture
async def idle(tmp_path):
    """A service that has not polled its registry yet."""
    made = Live(tmp_path)
    yield made
    await made.close()


def is_problem(response, status, **headers):
    """The common form of an error."""
    body = response.json()
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert (body["type"], body["status"]) == ("about:blank", status)
    assert body["title"]
    assert body["detail"]
    assert set(body) <= {"type", "title", "status", "detail", "errors"}
    assert ("errors" in body) == (status == 422)
    for name, value in headers.items():
        assert response.headers[name.replace("_", "-")] == value
    return body


class TestPredict:
    async def test_one_record(self, live):
        """Prediction, its probability, every probability, and the version that computed them."""
        response = await live.client.post("/predict", json=GOOD)
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        body = response.json()
        assert list(body) == [
            "prediction", "probability", "probabilities", "model_name", "model_version",
        ]  # fmt: skip
        assert body["prediction"] == "malignant"
        assert body["probability"] == body["probabilities"]["malignant"]
        assert body["probabilities"] == pytest.approx({"malignant": 0.8807971, "benign": 0.1192029})
        assert (body["model_name"], body["model_version"]) == ("m", "7")

    async def test_several_records(self, live):
        """In their order, the version once."""
        rows = [GOOD, {**GOOD, "mean_radius": -1.0}]
        response = await live.client.post("/predict/batch", json={"instances": rows})
        body = response.json()
        assert list(body) == ["predictions", "model_name", "model_version"]
        assert [p["prediction"] for p in body["predictions"]] == ["malignant", "benign"]
        assert set(body["predictions"][0]) == {"prediction", "probability", "probabilities"}

    async def test_a_regressor_has_no_probability(self, live):
        """Both fields are absent, not null."""
        await live.serve(8, regressor())
        response = await live.client.post("/predict", json={"feature_0": 1, "feature_1": 2})
        assert response.json() == {"prediction": 3.0, "model_name": "m", "model_version": "8"}
        rows = {"instances": [{"feature_0": 1, "feature_1": 2}]}
        response = await live.client.post("/predict/batch", json=rows)
        assert response.json()["predictions"] == [{"prediction": 3.0}]

    async def test_other_types(self, live):
        """Strings, integers and booleans by name."""
        await live.serve(8, one_input_per_column())
        record = {"age": 40, "smoker": True, "dose": 0.5, "code": "A"}
        response = await live.client.post("/predict", json=record)
        assert response.json()["prediction"] == 141.5

    async def test_the_answer_follows_the_registry(self, live):
        """After a promotion, rollback or demotion, the next response has the change."""
        await live.serve(8, classifier((-1.0, 0.0), metadata={**METADATA, "recorded_examples": []}))
        body = (await live.client.post("/predict", json=GOOD)).json()
        assert (body["prediction"], body["model_version"]) == ("benign", "8")
        await live.say(version(7))
        body = (await live.client.post("/predict", json=GOOD)).json()
        assert (body["prediction"], body["model_version"]) == ("malignant", "7")
        await live.say(None)
        is_problem(await live.client.post("/predict", json=GOOD), 503, retry_after="1")

    async def test_requests_at_once_are_coalesced(self, live):
        """Fewer calls than requests, and each response is for its own record."""
        values = [i / 10 - 2 for i in range(40)]
        responses = await asyncio.gather(
            *(live.client.post("/predict", json={**GOOD, "mean_radius": v}) for v in values)
        )
        for value, response in zip(values, responses, strict=True):
            alone = await live.client.post("/predict", json={**GOOD, "mean_radius": value})
            assert response.json()["prediction"] == alone.json()["prediction"]
            assert response.json()["probability"] == pytest.approx(
                alone.json()["probability"], abs=1e-6
            )
        await asyncio.sleep(0)  # what was answered is counted after
        samples = live.samples()
        assert samples[("predictor_batch_rows_sum",)] == 80
        assert samples[("predictor_batch_rows_count",)] < 80

    async def test_a_client_that_disconnects_does_not_affect_others(self, live):
        """The others are answered."""
        tasks = [asyncio.create_task(live.client.post("/predict", json=GOOD)) for _ in range(9)]
        await asyncio.sleep(0)
        tasks[4].cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [getattr(r, "status_code", None) for r in done].count(200) == 8


class TestErrors:
    @pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
    @pytest.mark.parametrize(
        "body", [b"", b"{", b"\xff", b"\xef\xbb\xbf{}", b"[" * 1999, '{"é": 1}'.encode("utf-16")]
    )
    async def test_a_body_that_is_not_json_gets_400(self, live, path, body):
        """Whatever else it is."""
        is_problem(await live.client.post(path, content=body), 400)

    @pytest.mark.parametrize(
        ("record", "fields"),
        [
            ({}, NAMES),
            ({**GOOD, "mean_radius": None}, ["mean_radius"]),
            ({**GOOD, "mean_radius": 1e39}, ["mean_radius"]),
            ({**GOOD, "id": 1}, ["id"]),
            ([GOOD], [""]),
        ],
    )
    async def test_a_wrong_record_is_422_by_name(self, live, record, fields):
        """Every fault with its field and a message, alone and in a batch."""
        body = is_problem(await live.client.post("/predict", json=record), 422)
        assert [e["field"] for e in body["errors"]] == fields
        assert all(e["message"] for e in body["errors"])
        rows = {"instances": [GOOD, GOOD, record]}
        body = is_problem(await live.client.post("/predict/batch", json=rows), 422)
        at = "instances[2]"
        assert [e["field"] for e in body["errors"]] == [f"{at}.{f}" if f else at for f in fields]

    async def test_a_name_that_is_not_text_gets_422(self, live):
        """Half a surrogate pair gets a normal error."""
        response = await live.client.post("/predict", content=rb'{"\ud800": 1}')
        fields = [e["field"] for e in is_problem(response, 422)["errors"]]
        assert fields == [*NAMES, "\\ud800"]

    async def test_no_finite_answer_is_422(self, live):
        """Never NaN, null or 500; in a batch the row is named."""
        await live.serve(8, regressor(op="Log"))
        record = {"feature_0": -1, "feature_1": 0}
        is_problem(await live.client.post("/predict", json=record), 422)
        rows = {"instances": [{"feature_0": 1, "feature_1": 0}, record]}
        body = is_problem(await live.client.post("/predict/batch", json=rows), 422)
        assert body["errors"][0]["field"] == "instances[1]"

    @pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
    async def test_a_large_body_is_413(self, live, path):
        """Before the body is read if its length is known, otherwise while it is read."""

        async def endless():
            for _ in range(1000):
                yield b" " * 100

        is_problem(await live.client.post(path, content=b" " * 2001), 413)
        is_problem(await live.client.post(path, content=endless()), 413)
        assert (await live.client.post(path, content=b" " * 2000)).status_code == 400

    async def test_a_wrong_length_is_not_believed(self, live):
        """A small Content-Length does not allow a large body, with any server."""
        headers = {"content-length": "2"}
        response = await live.client.post("/predict", content=b" " * 2001, headers=headers)
        is_problem(response, 413)

    @pytest.mark.parametrize(
        "kind",
        [
            "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
            "application/xml", "application/jsonp", "application/json; charset=latin-1",
            "application/json; charset=utf-16", "json", "application/msgpack",
        ],
    )  # fmt: skip
    async def test_another_type_is_415(self, live, kind):
        """The detail says what to send."""
        headers = {"content-type": kind}
        response = await live.client.post("/predict", content=json.dumps(GOOD), headers=headers)
        assert "application/json" in is_problem(response, 415)["detail"]

    @pytest.mark.parametrize(
        "kind",
        [
            None, "application/json", "Application/JSON", "application/json; charset=utf-8",
            'application/json;charset="UTF-8"', "application/json; charset=utf8",
            "application/json; profile=x", "application/vnd.hospital+json",
        ],
    )  # fmt: skip
    async def test_every_json_media_type_is_accepted(self, live, kind):
        """Also none at all."""
        headers = {} if kind is None else {"content-type": kind}
        response = await live.client.post("/predict", content=json.dumps(GOOD), headers=headers)
        assert response.status_code == 200

    @pytest.mark.parametrize(("encoding", "code"), [("gzip", 415), ("br", 415), ("identity", 200)])
    async def test_an_encoded_body_is_415(self, live, encoding, code):
        """A small body cannot unfold into a large one."""
        headers = {"content-encoding": encoding}
        response = await live.client.post("/predict", json=GOOD, headers=headers)
        assert response.status_code == code

    @pytest.mark.parametrize("path", ["/nothing", "/predict/", "/predict/x", "/%00", "/é"])
    async def test_an_unknown_path_is_404(self, live, path):
        """It says where to look."""
        response = await live.client.get(path, follow_redirects=False)
        assert "/docs" in is_problem(response, 404)["detail"]

    @pytest.mark.parametrize(
        ("method", "path", "allow"),
        [
            ("GET", "/predict", "POST"), ("PUT", "/predict/batch", "POST"),
            ("POST", "/health", "GET, HEAD"), ("DELETE", "/model", "GET, HEAD"),
            ("PATCH", "/metrics", "GET, HEAD"),
            ("PROPFIND", "/ready", "GET, HEAD"),
        ],
    )  # fmt: skip
    async def test_another_method_is_405(self, live, method, path, allow):
        """It names the supported one."""
        is_problem(await live.client.request(method, path), 405, allow=allow)

    async def test_nothing_serves_is_503_with_the_reason(self, idle):
        """Each route that needs a version says why there is none, and when to try again."""
        for method, path in (("POST", "/predict"), ("POST", "/predict/batch"), ("GET", "/ready")):
            response = await idle.client.request(method, path, content=b"{}")
            body = is_problem(response, 503, retry_after="1")
            assert "not been polled yet" in body["detail"]
        await idle.say(None)
        assert "promote one" in (await idle.client.get("/ready")).json()["detail"]
        await idle.serve(1, b"garbage")
        detail = (await idle.client.get("/ready")).json()["detail"]
        assert "m version 1 could not be loaded (session)" in detail

    async def test_a_bug_is_500_in_the_same_form(self, live):
        """Without its details, which are in the log."""

        class Broken:
            model_version = version(7)

            def __getattr__(self, name):
                raise ZeroDivisionError("secret")

        live.reconciler._serving = Broken()
        response = await live.client.post("/predict", json=GOOD)
        assert "secret" not in str(is_problem(response, 500))
        assert live.samples()["predictor_requests_total", "500", "/predict"] == 1


class TestOperations:
    async def test_health_is_about_the_process(self, idle):
        """200, whether a version serves or not."""
        response = await idle.client.get("/health")
        assert (response.status_code, response.json()) == (200, {"status": "ok"})

    async def test_ready_names_the_version(self, live):
        """200 while a version serves, with the time since when."""
        response = await live.client.get("/ready")
        since = iso(clock.wall(live.reconciler.serving.loaded_at))
        named = {"model_name": "m", "model_version": "7", "serving_since": since}
        assert response.json() == {"status": "ok", **named}

    async def test_ready_has_the_time_of_the_promotion_if_a_tag_has_it(self, live):
        """Also if the tag was written after the swap."""
        when = "2026-11-23T12:01:02.123456+00:00"
        tags = {
            "hotswap.transition.20261123T120102123456Z": f'{{"to": "Production", "when": "{when}"}}',
            "hotswap.stage_changed": "20261123T120102123456Z 1795000000000",
        }
        await live.say(version(7, updated=1_795_000_000_000, **tags))
        found = (await live.client.get("/ready")).json()
        assert found["promoted_at"] == "2026-11-23T12:01:02.123+00:00"

    async def test_ready_has_no_time_of_a_promotion_after_which_the_stage_was_changed(self, live):
        """Somebody has moved the version away and back in MLflow: tags and version are the same."""
        tags = {
            "hotswap.transition.1": '{"to": "Production", "when": "2026-11-23T12:00:00Z"}',
            "hotswap.stage_changed": "20261123T120000000000Z 1795000000000",
        }
        await live.say(version(7, updated=1_795_000_000_000, **tags))
        assert "promoted_at" in (await live.client.get("/ready")).json()
        await live.say(version(7, updated=1_795_000_000_001, **tags))
        assert "promoted_at" not in (await live.client.get("/ready")).json()

    async def test_model_describes_everything(self, live):
        """The serving and the desired version, the last failure, and the age of the last response."""
        await live.serve(8, b"garbage")
        live.source.down = True
        await live.reconciler.reconcile()
        body = (await live.client.get("/model")).json()
        serving = body["serving"]
        assert body["model_uri"] == "models:/m/Production"
        assert (serving["model_version"], serving["run_id"]) == ("7", "run7")
        digest = live.reconciler.serving.artifact.onnx_sha256
        assert serving["digest"] == f"sha256:{digest}"
        assert serving["signature"] == {
            "features": [
                {"name": n, "type": "number", "dtype": "float32", "required": True} for n in NAMES
            ],
            "ignored": [],
            "class_labels": ["malignant", "benign"],
            "positive_class": "malignant",
            "outputs": [
                {
                    "name": name,
                    "type": f"tensor({kind})",
                    "shape": shape,
                    "role": role,
                    "omitted_because": None,
                }
                for name, kind, shape, role in (
                    ("label", "string", [None], "prediction"),
                    ("probabilities", "float", [None, 2], "probabilities"),
                )
            ],
            "hints": [],
        }
        assert body["desired"]["model_version"] == "8"
        assert body["aspired"] == body["desired"]  # deprecated, one release
        assert body["last_failure"]["stage"] == "session"
        assert body["last_failure"]["attempts"] == 1
        assert body["loading"] is None
        assert body["registry"]["reachable"] is False
        assert "connection refused" in body["registry"]["fault"]
        assert body["registry"]["last_answer_age_seconds"] >= 0

    async def test_model_before_anything_is_known(self, idle):
        """200 with nulls, not an error."""
        body = (await idle.client.get("/model")).json()
        assert {
            k: body[k] for k in ("serving", "desired", "loading", "last_failure")
        } == dict.fromkeys(("serving", "desired", "loading", "last_failure"))
        assert body["registry"] == {
            "reachable": False, "last_answer_at": None, "last_answer_age_seconds": None,
            "fault": None, "names_none_because": None,
        }  # fmt: skip

    async def test_metrics_are_prometheus_text(self, live):
        """With the gauge of the version."""
        response = await live.client.get("/metrics")
        assert response.headers["content-type"].startswith("text/plain")
        assert 'predictor_model_version{model_name="m"} 7.0' in response.text

    async def test_pages(self, live):
        """The demo page and the documentation are there."""
        for path in ("/", "/docs"):
            response = await live.client.get(path)
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/html")


class TestInstrument:
    async def test_requests_are_counted_by_route_and_code(self, live):
        """For every outcome."""
        for _ in range(3):
            await live.client.post("/predict", json=GOOD)
        await live.client.post("/predict", json={})
        await live.client.get("/predict")
        samples = live.samples()
        counted = {k[1:]: v for k, v in samples.items() if k[0] == "predictor_requests_total"}
        assert counted["200", "/predict"] == 3
        assert counted["422", "/predict"] == 1
        assert counted["405", "/predict"] == 1
        assert samples["predictor_request_duration_seconds_count", "/predict"] == 5

    async def test_unknown_paths_are_counted_together(self, live):
        """A scanner cannot create a series for each path that it tries."""
        for i in range(30):
            await live.client.get(f"/guess/{i}")
            await live.client.request("PROPFIND", "/predict")
        samples = live.samples()
        endpoints = {k[2] for k in samples if k[0] == "predictor_requests_total" and samples[k]}
        assert endpoints == {"other", "/predict"}
        assert live.samples()["predictor_requests_total", "404", "other"] == 30
