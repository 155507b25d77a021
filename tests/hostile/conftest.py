"""One predictor for all attacks, with another client beside it that must notice none of them."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.end_to_end.parts import register_again, starter
from tests.hostile.parts import MAX_GROWTH_BYTES, Bystander, Target
from tests.shared import Server

VERSION = "2"


@pytest.fixture(scope="package")
def target(trained: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A predictor that waits for slow clients for moments only."""
    registry = register_again(trained.url)
    registry.stage(VERSION, "Production")
    with ExitStack() as stack:
        start = starter(stack, tmp_path_factory.mktemp("hostile"))
        service = start(registry, PREDICTOR_HEADER_SECONDS="1", PREDICTOR_BODY_SECONDS="1.5")
        service.until_serving(VERSION)
        target = Target(
            service, registry.reference(VERSION), VERSION, service.example(), header_seconds=1
        )
        yield target
        log = service.child.log.read_text()
    assert "Traceback" not in log
    assert "internal_error" not in log


@pytest.fixture(scope="package")
def bystander(target: Target) -> Iterator[Bystander]:
    """The other client; it asks for as long as there are attacks."""
    bystander = Bystander(target)
    yield bystander
    bystander.stop()


@pytest.fixture(scope="package")
def memory_before(target: Target) -> Iterator[int]:
    """Resident bytes of the predictor after its first answers."""
    for _ in range(200):
        target.serves_as_before()
    before = target.resident_bytes()
    yield before
    after = target.resident_bytes()
    print(f"\nresident memory: {before >> 20} MiB before the attacks, {after >> 20} MiB after them")


@pytest.fixture(autouse=True)
def others_do_not_notice(request: pytest.FixtureRequest) -> Iterator[None]:
    """Behind each attack on the shared predictor: it answers others, rightly, and has not grown."""
    if "target" not in request.fixturenames:
        yield
        return
    target: Target = request.getfixturevalue("target")
    bystander: Bystander = request.getfixturevalue("bystander")
    before: int = request.getfixturevalue("memory_before")
    yield
    bystander.until_answered_again()
    target.serves_as_before()
    grown = target.resident_bytes() - before
    assert grown < MAX_GROWTH_BYTES, f"resident memory grew by {grown >> 20} MiB"
