"""Only versions that enough people have signed may serve: each test is an attack, or a change of mind.

A real MLflow server and real predictors. One predictor is shared: it serves a version that two of three
people have approved, and each test asks it for another one.
"""

import asyncio
import base64
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from mlflow import MlflowClient

from approvals.envelope import PublicKey, seal
from approvals.statement import APPROVAL_TAG, Statement, Subject
from demo.processes import free_port, running, spawn
from predictor.model.artifact import sha256
from tests.end_to_end.parts import Service, wait_until
from tests.faults.parts import ARTIFACTS, Exchange, Proxy, Registered, linear, mlmodel, reset
from tests.shared import Server

FILES = [{"MLmodel": mlmodel(), "model.onnx": linear(slope)} for slope in (0.5, 1.5)]


@dataclass(frozen=True)
class Person:
    """An approver, or someone who would like to be one."""

    name: str
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def public_key(self) -> PublicKey:
        public = self.key.public_key()
        return PublicKey(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    def sign(self, content: bytes) -> bytes:
        return self.key.sign(content)


ALICE, BOB, CAROL = (Person(name) for name in ("alice", "bob", "carol"))


@dataclass
class Ward:
    """A registered model, the people who approve its versions, and predictors that follow it."""

    registered: Registered
    client: MlflowClient
    proxy: Proxy
    folder: Path
    stack: ExitStack
    name: str = ""
    digests: dict[str, dict[str, str]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = self.registered.model()
        self.approvers(ALICE, BOB, CAROL)

    def approvers(self, *people: Person, required: int = 2, file: str = "approvers.toml") -> Path:
        """Write the file of approvers."""
        path, new = self.folder / file, self.folder / "new"
        lines = [f'{each.name} = "{each.public_key.text}"' for each in people]
        new.write_text("\n".join([f"required = {required}", "[approvers]", *lines]))
        return new.replace(path)

    def version(self, *people: Person, which: int = 1, **tags: str) -> str:
        """A new version that these people have approved; returns its number."""
        run_id, uri = self.registered.artifact(FILES[which])
        number = self.registered.version(self.name, uri, run_id, **tags)
        self.sources[number] = uri
        self.digests[number] = {path: sha256(content) for path, content in FILES[which].items()}
        self.approve(number, *people)
        return number

    def says(
        self, person: Person, number: str, *, decision: Any = "approve", model: str = "",
        expires: datetime | None = None, files: dict[str, str] | None = None,
    ) -> str:  # fmt: skip
        """An envelope."""
        subject = Subject(model or self.name, number, files or self.digests[number])
        statement = Statement(
            subject, decision, "seen", person.name, datetime.now(UTC), expires
        )  # fmt: skip
        return seal(statement.payload(), person)

    def approve(self, number: str, *people: Person) -> None:
        for person in people:
            self.tag(number, person.name, self.says(person, number))

    def withdraw(self, number: str, person: Person) -> None:
        self.tag(number, f"{person.name}.withdrawn", self.says(person, number, decision="withdraw"))

    def tag(self, number: str, key: str, envelope: str) -> None:
        self.client.set_model_version_tag(self.name, number, f"{APPROVAL_TAG}{key}", envelope)

    def tags(self, number: str) -> dict[str, str]:
        found = self.client.get_model_version(self.name, number).tags
        return {
            key.removeprefix(APPROVAL_TAG): text
            for key, text in found.items()
            if key.startswith(APPROVAL_TAG)
        }

    def untag(self, number: str, *keys: str) -> None:
        for key in keys:
            self.client.delete_model_version_tag(self.name, number, f"{APPROVAL_TAG}{key}")

    def promote(self, number: str) -> str:
        self.registered.stage(self.name, int(number), "Production")
        return number

    def demote(self, number: str) -> None:
        self.registered.stage(self.name, int(number), "Archived")

    def start(self, folder: str = "predictor", **settings: str) -> "Replica":
        port = free_port()
        env = {
            "MLFLOW_TRACKING_URI": self.proxy.url,
            "PREDICTOR_MODEL_URI": f"models:/{self.name}/Production",
            "PREDICTOR_POLL_SECONDS": "0.1",
            "PREDICTOR_PORT": str(port),
            "PREDICTOR_CACHE_DIR": str(self.folder / folder / "cache"),
            "PREDICTOR_APPROVERS_FILE": str(self.folder / "approvers.toml"),
            **settings,
        }
        log = self.folder / folder / "log"
        # The environment of SERVICE_PYTHON has no extras.
        child = spawn([sys.executable, "-m", "predictor"], f"http://127.0.0.1:{port}", log, env)
        return Replica(self.stack.enter_context(running(child)), self)


@dataclass
class Replica(Service):
    """A predictor that requires approvals."""

    ward: Ward

    def model(self) -> dict[str, Any]:
        return dict(self.http.get("/model").json())

    def standing(self, role: str = "desired") -> dict[str, Any]:
        return dict(self.model()["approvals"][role] or {})

    def refuses(self, number: str, reason: str = "") -> None:
        """The version is asked for, and refused for want of approvals; what served goes on."""
        before = self.serving()

        def refused() -> bool:
            failure = self.model()["last_failure"] or {}
            same = (failure.get("model_version"), failure.get("stage")) == (number, "approval")
            return same and reason in failure["reason"]

        self._until(refused, f"version {number} is refused because {reason}")
        self.polled()
        assert self.serving() == before
        assert not self.standing()["sufficient"]

    def stops(self) -> None:
        self.until_serving(None)
        assert self.http.get("/ready").status_code == 503
        stopped = [line for line in self.log_lines() if line["event"] == "stopped_serving"]
        assert stopped[-1]["reason"] == "unapproved"

    def workers_serve(self, count: int, version: str) -> None:
        """All workers serve this version, or `none`."""
        text = f'predictor_workers{{model_version="{version}"}} {count}.0'
        self._until(lambda: text in self.http.get("/metrics").text, f"all serve {version}")

    def logged(self, event: str, times: int) -> None:
        """An event is logged so often, by all workers together."""

        def seen() -> bool:
            return len([line for line in self.log_lines() if line["event"] == event]) >= times

        self._until(seen, f"{event} is logged {times} times")

    def polled(self, times: int = 3) -> None:
        """Return after some polls."""
        polls = self._polls()
        self._until(lambda: self._polls() >= polls + times, "the registry is polled")

    def metric(self, series: str) -> float:
        lines = self.http.get("/metrics").text.splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(series))

    def _polls(self) -> float:
        lines = self.http.get("/metrics").text.splitlines()
        found = (line for line in lines if line.startswith("predictor_registry_polls_total"))
        return sum(float(line.rpartition(" ")[2]) for line in found)

    def _until(self, true: Callable[[], bool], what: str) -> None:
        try:
            wait_until(true, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; /model says {self.model()}") from None


Make = Callable[[ExitStack], Ward]


@pytest.fixture(scope="module")
def make(mlflow_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes registered models, each with a proxy between its registry and its predictors, until a stack ends."""

    def ward(stack: ExitStack) -> Ward:
        proxy = stack.enter_context(Proxy(int(mlflow_server.url.rpartition(":")[2])))
        client = MlflowClient(mlflow_server.url)
        folder = tmp_path_factory.mktemp("ward")
        return Ward(Registered(mlflow_server.url), client, proxy, folder, stack)

    return ward


@pytest.fixture(scope="module")
def ward(make: Make) -> Iterator[Ward]:
    """The shared predictor's model; version 1 is approved."""
    with ExitStack() as stack:
        made = make(stack)
        made.promote(made.version(ALICE, BOB, which=0))
        yield made


@pytest.fixture(scope="module")
def shared(ward: Ward) -> Replica:
    """The shared predictor, which serves version 1."""
    replica = ward.start()
    replica.until_serving("1")
    return replica


@pytest.fixture(autouse=True)
def afterwards_version_1_serves(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test asked of the shared predictor, what served goes on."""
    yield
    if "shared" in request.fixturenames:
        ward, replica = request.getfixturevalue("ward"), request.getfixturevalue("shared")
        for each in ward.client.search_model_versions(f"name = '{ward.name}'"):
            if str(each.version) != "1" and each.current_stage == "Production":
                ward.demote(str(each.version))
        replica.until_serving("1")
        ward.proxy.behave()


def test_a_version_waits_until_enough_people_have_approved_it(ward: Ward, shared: Replica) -> None:
    """Nothing is fetched or repeated in the log while it waits; everybody sees how many have approved."""
    failures = 'predictor_load_failures_total{stage="approval"}'
    number, before, asked = ward.version(ALICE), shared.metric(failures), len(ward.proxy.asked)
    with shared.http.stream("GET", "/events") as events:
        ward.promote(number)
        seen = []
        for line in events.iter_lines():
            if line.startswith("data:") and '"approved_by":["alice"]' in line:
                seen.append(json.loads(line.removeprefix("data:")))
                if seen[-1]["desired"]["model_version"] == number:
                    break
    assert (seen[-1]["required"], seen[-1]["desired"]["sufficient"]) == (2, False)
    shared.refuses(number, "1 of 2 approvals (alice); 1 more needed, of bob, carol")
    assert shared.standing()["missing"] == ["bob", "carol"]
    shared.polled(5)
    assert shared.metric(failures) == before + 1
    lines = [line for line in shared.log_lines() if line.get("stage") == "approval"]
    assert len([line for line in lines if line["model_version"] == number]) == 1
    assert not any(path.startswith(ARTIFACTS) for path in ward.proxy.asked[asked:])
    assert shared.metric("predictor_approvals{") == 1
    assert shared.metric("predictor_approvals_required") == 2
    assert shared.http.get("/ready").json()["model_version"] == "1"
    ward.approve(number, CAROL)
    shared.until_serving(number)
    assert shared.standing("serving")["approved_by"] == ["alice", "carol"]
    assert shared.model()["last_failure"] is None
    ward.demote(number)


def edited(ward: Ward, number: str) -> str:
    """Bob's approval of another version, with the number of this one written over it."""
    envelope = json.loads(ward.says(BOB, "1"))
    payload = base64.b64decode(envelope["payload"]).replace(
        b'"version":"1"', f'"version":"{number}"'.encode()
    )
    return json.dumps({**envelope, "payload": base64.b64encode(payload).decode()})


FORGERIES: dict[str, tuple[Callable[[Ward, str], str], str]] = {
    "edited": (edited, "1 signed by no key of the approvers"),
    "of another version": (lambda ward, _: ward.says(BOB, "1"), "bob: approved only"),
    "of another model": (
        lambda ward, number: ward.says(BOB, number, model="other"),
        "bob: approved only other version",
    ),
    "the same person again": (lambda ward, number: ward.says(ALICE, number), "1 of 2 approvals"),
    "an unknown key": (
        lambda ward, number: ward.says(Person("bob"), number),
        "1 signed by no key of the approvers",
    ),
    "expired": (
        lambda ward, number: ward.says(
            BOB, number, expires=datetime.now(UTC) - timedelta(seconds=1)
        ),
        "bob: expired",
    ),
    "junk": (lambda _, __: "[" * 5000, "or not readable"),
    "half an envelope": (lambda ward, number: ward.says(BOB, number)[:-20], "or not readable"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_approval_does_not_count(ward: Ward, shared: Replica, forgery: str) -> None:
    """Alice has approved; the second approval is not one."""
    make, reason = FORGERIES[forgery]
    number = ward.version(ALICE)
    ward.tag(number, "forged", make(ward, number))
    shared.refuses(ward.promote(number), reason)


def test_more_tags_than_can_be_read_are_not_enough(ward: Ward, shared: Replica) -> None:
    """A withdrawal could be among them; without them, the version serves."""
    junk = {f"{APPROVAL_TAG}junk{place}": f"{{{place}" for place in range(199)}
    number = ward.version(ALICE, BOB, **junk)
    shared.refuses(ward.promote(number), "more than 200 approvals")
    ward.untag(number, "junk0")
    shared.until_serving(number)


@pytest.mark.whole
def test_files_other_than_those_that_were_approved_are_not_loaded(
    ward: Ward, shared: Replica
) -> None:
    """They were replaced in the artifact store; refused once in the log, until they are back."""
    number = ward.version(ALICE, BOB)
    ward.registered.put(ward.sources[number], {"model.onnx": linear(1.25, extra="x")})
    shared.refuses(ward.promote(number), "alice: approved other files of this version")
    ward.registered.put(ward.sources[number], {"MLmodel": mlmodel(), "model.onnx": linear(0.75)})
    shared.polled(10)
    lines = [line for line in shared.log_lines() if line["event"] == "load_failed"]
    assert len([line for line in lines if line["model_version"] == number]) == 1
    ward.registered.put(ward.sources[number], FILES[1])
    shared.until_serving(number)


@pytest.mark.whole
def test_approvals_that_change_during_a_load_are_counted_again(ward: Ward, shared: Replica) -> None:
    """Those of two versions are swapped while one of them is fetched: neither serves."""
    one, other = ward.version(ALICE, BOB), ward.version(ALICE, CAROL)
    with held(ward.proxy) as fetching:
        ward.promote(one)
        wait_until(fetching, "the files are fetched")
        tags = {each: ward.tags(each) for each in (one, other)}
        for to, of in ((one, other), (other, one)):
            ward.untag(to, *tags[to])
            for key, text in tags[of].items():
                ward.tag(to, key, text)
        shared.polled()
    shared.refuses(one, f"alice: approved only {ward.name} version {other}")
    ward.demote(one)
    shared.refuses(ward.promote(other), f"alice: approved only {ward.name} version {one}")


@contextmanager
def held(proxy: Proxy) -> Iterator[Callable[[], bool]]:
    """Answers about artifacts wait until the end of the block; yields whether there was a question."""
    asked = len(proxy.asked)
    released = False

    async def wait(exchange: Exchange) -> None:
        while not released:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        exchange.writer.write(await exchange.real_answer())

    proxy.misbehave(ARTIFACTS, wait)
    try:
        yield lambda: any(path.startswith(ARTIFACTS) for path in proxy.asked[asked:])
    finally:
        released = True
        proxy.behave()


@pytest.fixture
def own(make: Make) -> Iterator[Ward]:
    """A model of the test's own."""
    with ExitStack() as stack:
        yield make(stack)


@pytest.mark.whole
def test_a_withdrawal_stops_the_serving_version_and_cannot_be_undone_by_deleting_it(
    own: Ward,
) -> None:
    """Also at a restart; a new approval can."""
    own.promote(own.version(ALICE, BOB))
    replica = own.start()
    replica.until_serving("1")
    own.withdraw("1", BOB)
    replica.stops()
    replica.refuses("1", "bob: withdrawn")
    own.untag("1", "bob.withdrawn")
    replica.refuses("1", "bob: withdrawn")
    replica.child.stop()
    again = own.start()
    again.refuses("1", "bob: withdrawn")
    own.approve("1", BOB)
    again.until_serving("1")


@pytest.mark.whole
def test_a_deleted_approval_still_counts_for_the_serving_version(own: Ward) -> None:
    """Only its approver takes it back: also while the registry names another version, or none."""
    own.promote(own.version(ALICE, BOB))
    replica = own.start(PREDICTOR_WHEN_NONE="keep")
    replica.until_serving("1")
    own.untag("1", "alice", "bob")
    replica.polled()
    assert replica.serving() == "1"
    assert replica.standing("serving")["approved_by"] == ["alice", "bob"]
    own.demote("1")
    own.promote(own.version(ALICE))
    replica.refuses("2", "1 of 2")
    own.withdraw("1", ALICE)
    replica.stops()
    own.demote("2")
    replica.polled()
    assert replica.serving() is None


@pytest.mark.whole
def test_the_file_of_the_approvers_decides_within_seconds(own: Ward) -> None:
    """A removed key stops the version, also while the registry is down; a broken file changes nothing."""
    own.promote(own.version(ALICE, BOB))
    replica = own.start(PREDICTOR_WHEN_NONE="keep")
    replica.until_serving("1")
    (own.folder / "approvers.toml").write_text("required = 1\n[approvers")
    wait_until(
        lambda: any(line["event"] == "keys_not_read" for line in replica.log_lines()), "the log"
    )
    replica.polled()
    assert replica.serving() == "1"
    own.proxy.misbehave("/", reset)
    own.approvers(ALICE, CAROL)
    replica.stops()
    own.proxy.behave()
    replica.refuses("1", "1 signed by no key of the approvers")
    own.approvers(ALICE, BOB, CAROL)
    replica.until_serving("1")


def serve_for_seconds(own: Ward, replica: Replica) -> tuple[str, datetime]:
    """Let a replica serve a version until one of its two approvals expires; return its number and that time."""
    # Enough for the slowest machine to load it before.
    number, ends = own.version(ALICE), datetime.now(UTC) + timedelta(seconds=15)
    own.tag(number, "bob", own.says(BOB, number, expires=ends))
    own.promote(number)
    replica.until_serving(number)
    return number, ends


@pytest.mark.whole
def test_approvals_expire_while_the_registry_is_down(own: Ward) -> None:
    """By the clock of this machine, at the next poll."""
    own.promote(own.version(ALICE, BOB))
    replica = own.start()
    replica.until_serving("1")
    _, ends = serve_for_seconds(own, replica)
    expiry = replica.metric("predictor_approvals_expiry_timestamp_seconds")
    assert abs(expiry - ends.timestamp()) < 0.001
    own.proxy.misbehave("/", reset)
    replica.stops()
    assert datetime.now(UTC) >= ends
    assert "too few approvals" in replica.http.get("/ready").json()["detail"]
    replica.child.stop()
    again = own.start()
    again.polled()
    assert again.serving() is None


@pytest.mark.whole
def test_each_replica_follows_its_own_file(own: Ward) -> None:
    """Two replicas of one registry with different approvers."""
    own.approvers(ALICE, CAROL, file="other.toml")
    own.promote(own.version(ALICE, BOB))
    one = own.start("one")
    other = own.start("other", PREDICTOR_APPROVERS_FILE=str(own.folder / "other.toml"))
    one.until_serving("1")
    other.refuses("1", "1 of 2 approvals (alice)")
    assert other.http.get("/ready").status_code == 503


@pytest.mark.whole
def test_a_start_without_the_registry_counts_the_approvals_again(own: Ward) -> None:
    """Also approvals that were added while it served, after the earlier ones expired."""
    own.promote(own.version(ALICE, BOB))
    first = own.start()
    first.until_serving("1")
    number, ends = serve_for_seconds(own, first)
    own.approve(number, CAROL)

    def saved() -> bool:
        (file,) = (own.folder / "predictor/cache/verified").glob("*.json")
        cached = json.loads(file.read_text())
        return cached["version"] == number and own.tags(number)["carol"] in cached["tags"].values()

    wait_until(saved, "carol's is in the cache")
    wait_until(lambda: datetime.now(UTC) > ends, "bob's has expired")
    first.child.stop()
    own.proxy.misbehave("/", reset)
    restarted = own.start()
    restarted.until_serving(number)
    assert restarted.standing("serving")["approved_by"] == ["alice", "carol"]
    restarted.child.stop()
    own.approvers(ALICE, BOB)
    refused = own.start()
    wait_until(lambda: bool(refused.model()["last_failure"]), "it is refused")
    failure = refused.model()["last_failure"]
    assert (failure["stage"], failure["model_version"]) == ("approval", number)
    assert refused.serving() is None


@pytest.mark.whole
def test_a_restart_serves_the_approved_version_while_another_waits(own: Ward) -> None:
    """The registry names a version without approvals; the cache has one with them."""
    own.promote(own.version(ALICE, BOB))
    first = own.start()
    first.until_serving("1")
    own.promote(own.version(ALICE))
    first.refuses("2")
    first.child.stop()
    again = own.start()
    again.until_serving("1")
    own.withdraw("1", BOB)
    again.stops()


@pytest.mark.whole
def test_all_workers_of_a_service_agree(own: Ward) -> None:
    """On an approval, on a withdrawal, and after the withdrawal's tag is gone."""
    own.promote(own.version(ALICE))
    replica = own.start(PREDICTOR_WORKERS="3")
    replica.workers_serve(3, "none")
    own.approve("1", BOB)
    replica.workers_serve(3, "1")
    own.withdraw("1", BOB)
    wait_until(lambda: "withdrawn" in str(replica.standing()), "one has seen it")
    own.untag("1", "bob.withdrawn")
    replica.workers_serve(3, "none")
    time.sleep(1.5)  # until the others have read the withdrawal
    replica.workers_serve(3, "none")


@pytest.mark.whole
def test_all_workers_follow_a_file_of_approvers_that_changes(own: Ward) -> None:
    """A removed key, another number, a file that is no rule, one that is gone, and one that is back."""
    own.promote(own.version(ALICE, BOB))
    replica = own.start(PREDICTOR_WORKERS="2")
    replica.workers_serve(2, "1")
    own.approvers(ALICE, CAROL)
    replica.workers_serve(2, "none")
    file = own.approvers(ALICE, CAROL, required=1)
    replica.workers_serve(2, "1")

    # Each worker says it once for each fault, and keeps the rule that it had.
    file.write_text("required = 9")
    replica.logged("keys_not_read", 2)
    own.promote(own.version(BOB))
    replica.polled(6)
    replica.workers_serve(2, "1")
    own.promote(own.version(ALICE))
    replica.workers_serve(2, "3")
    file.unlink()
    replica.logged("keys_not_read", 4)
    own.promote(own.version(CAROL))
    replica.workers_serve(2, "4")

    own.approvers(ALICE, BOB, CAROL, required=2)
    replica.workers_serve(2, "none")
    own.approve("4", ALICE)
    replica.workers_serve(2, "4")


@pytest.mark.whole
def test_a_shadow_needs_approvals_too(own: Ward) -> None:
    """It waits for them, compares once it has them, and not after one is withdrawn."""
    own.promote(own.version(ALICE, BOB, which=0))
    other = own.version(ALICE)
    own.registered.stage(own.name, int(other), "Staging")
    replica = own.start(PREDICTOR_SHADOW_URI=f"models:/{own.name}/Staging")
    replica.until_serving("1")

    def shadow(state: str, reason: str) -> bool:
        told = replica.model()["shadow"]
        return told["state"] == state and reason in (told["reason"] or "")

    far = 120  # seconds: it only gets what others leave of the processor
    wait_until(lambda: shadow("waiting", "1 of 2 approvals (alice)"), "it waits", far)
    own.approve(other, BOB)
    wait_until(lambda: shadow("comparing", ""), "it compares", far)
    own.withdraw(other, BOB)
    wait_until(lambda: shadow("waiting", "1 of 2 approvals (alice)"), "it waits again", far)
    assert replica.serving() == "1"
