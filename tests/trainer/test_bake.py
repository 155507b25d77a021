"""The limits of a bake, on services that a test makes up."""

import math

import pytest

from trainer import bake
from trainer.bake import Limits, breach
from trainer.errors import ServiceError, TransitionError
from trainer.service_state import Counts

OLD, NEW = "7", "8"


class FakeService:
    """A service whose state a test sets. `fault` is raised instead."""

    def __init__(self, url="http://a"):
        self.url = url
        self.body = {"serving": {"model_version": OLD}, "shadow": None}
        self.counted = Counts(requests=1000, errors=900)
        self.fault = None

    def model(self):
        if self.fault:
            raise ServiceError(self.url, self.fault)
        return self.body

    def counts(self):
        return self.counted

    def serves(self, **counted):
        self.body = {**self.body, "serving": {"model_version": NEW}}
        added = {"requests": 100, "errors": 0, "answered": {NEW: 100}, **counted}
        self.counted = Counts(
            1000 + added["requests"], 900 + added["errors"], added["answered"],
            added.get("unanswered", {}), added.get("buckets", {}),
        )  # fmt: skip

    def shadow(self, rows, flips, beside=NEW, version=OLD):
        shadow = {
            "model_version": version,
            "compared_with": {"model_version": beside},
            "rows": rows,
            "flips": [{"rows": flips}],
        }
        self.body = {**self.body, "shadow": shadow}


class Clock:
    """A clock that only sleeping moves; `then` is called at each sleep."""

    def __init__(self, then=lambda _: None):
        self.now = 0.0
        self.then = then

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self.then(self.now)


@pytest.fixture
def service():
    return FakeService()


def watch(
    service, *, limits="", seconds=30.0, then=lambda _: None, champion=lambda: NEW, former=OLD
):
    clock = Clock(then)
    seen = bake.begin([service], clock(), former)
    return bake.watch(
        seen, NEW, Limits.parse(limits), seconds, champion=champion, clock=clock, sleep=clock.sleep
    ), clock.now


def after(service, **counted):
    """A bake during which the service serves the version from the first look on, and counts this."""
    return watch(service, then=lambda _: service.serves(**counted))


def test_a_version_that_does_well_stays(service):
    """For the whole time; errors from before the promotion are not its own."""
    result, took = after(service)
    assert (result.breach, result.rows, result.left) == (None, 100, False)
    assert took == 30


@pytest.mark.parametrize(
    ("counted", "reason"),
    [
        ({"errors": 2}, "2 of 100 requests failed (2.00%), beyond 1.00%"),
        ({"unanswered": {NEW: 1}}, "1 of 101 rows had no finite answer (0.99%), beyond 0.00%"),
        (
            {"buckets": {0.25: 98, 0.5: 100, math.inf: 100}},
            "http://a: 99 % of the requests took up to 0.5 s, beyond 0.25 s",
        ),
    ],
)
def test_a_limit_that_is_passed_ends_the_bake(service, counted, reason):
    """At the next look, not at the end."""
    result, took = after(service, **counted)
    assert result.breach == reason
    assert took < 30


@pytest.mark.parametrize(
    "counted",
    [
        {"errors": 1},
        {"requests": 10, "errors": 9},
        {"unanswered": {OLD: 5}},
        {"buckets": {0.25: 99, 0.5: 100, math.inf: 100}},
    ],
)
def test_within_the_limits(service, counted):
    """Few requests are chance, and rows of another version are not this one's."""
    assert after(service, **counted)[0].breach is None


def flips(before, after, **given):
    """The breach of a bake in which a shadow shows these rows and flips, at the first look and later."""
    service = FakeService()

    def compare(now):
        service.serves()
        service.shadow(*(before if now < 4 else after), **given)

    return watch(service, then=compare)[0].breach


def test_flips_beside_the_former_champion():
    """Only if the shadow is the former champion, compared with the promoted version."""
    assert flips((0, 0), (100, 5)) is None
    assert flips((0, 0), (100, 6)) == "6 of 100 rows changed sides (6.00%), beyond 5.00%"
    assert flips((0, 0), (100, 6), beside=OLD) is None
    assert flips((0, 0), (100, 6), version="5") is None


def test_flips_of_an_earlier_bake_do_not_count():
    """Two versions that meet again continue their numbers, also those of the bake that ended in a rollback."""
    assert flips((100, 50), (200, 52)) is None
    assert flips((100, 50), (200, 60)) == "10 of 100 rows changed sides (10.00%), beyond 5.00%"


def test_flips_are_not_watched_without_a_shadow_of_the_former_champion(service):
    """As the command says at the beginning."""
    service.serves()
    service.shadow(0, 0)
    assert watch(service, then=lambda _: service.shadow(100, 50), former=None)[0].breach is None


def test_failures_after_a_restart_of_the_service_count(service):
    """It counts from 0 again: the many failures before the promotion hide none of its own."""

    def restarted(now):
        service.serves()
        service.counted = Counts(100 + 200 * now, 40 * now, {NEW: 100 * now}, {}, {math.inf: now})

    assert "requests failed" in watch(service, then=restarted)[0].breach

    service = FakeService()

    def grows(now):
        service.serves()
        service.counted = Counts(900 + 100 * now, 0, {NEW: 100 * now})

    result = watch(service, then=grows)[0]
    assert (result.breach, result.rows) == (None, 3000)


def test_a_version_that_is_not_loaded_is_a_breach(service):
    """With the reason of the service, once it has lasted."""
    failure = {"model_version": NEW, "stage": "digest", "reason": "the files were changed"}
    service.body = {**service.body, "last_failure": failure}
    result, took = watch(service, seconds=600.0)
    assert "version 8 failed to load (digest): the files were changed" in result.breach
    assert 60 < took < 70


def test_a_service_that_goes_silent_is_a_breach(service):
    """Also where the bake is shorter than the allowed silence; a short pause is none."""

    def pause(now):
        service.serves()
        service.fault = "it cannot be reached" if 4 < now < 20 else None

    assert watch(service, then=pause)[0].breach is None

    def silent(now):
        service.serves()
        service.fault = "it cannot be reached" if now > 20 else None

    assert "it cannot be reached" in watch(service, then=silent)[0].breach


def test_another_promotion_ends_the_bake(service):
    """Without a rollback of what somebody else wanted."""
    service.serves(errors=50)
    result, _ = watch(service, champion=lambda: "9")
    assert result.left
    assert result.breach is None


def test_the_rows_of_all_services_count():
    """A share is one of all services together."""
    services = [FakeService("http://a"), FakeService("http://b")]
    seen = bake.begin(services, 0)
    services[0].serves(errors=2)
    services[1].serves()
    for each in seen:
        each.look(NEW, 0)
    assert breach(seen, NEW, Limits(), 0) is None  # 2 of 200
    services[1].serves(errors=1)
    seen[1].look(NEW, 0)
    assert "3 of 200 requests failed" in breach(seen, NEW, Limits(), 0)


@pytest.mark.parametrize("text", ["", "30", "m", "1d", "-1m", "1.5h", "0s"])
def test_an_invalid_time(text):
    """The error has the forms."""
    with pytest.raises(TransitionError, match="90s, 30m, 2h"):
        bake.parse_seconds(text)


def test_times_and_limits():
    """As they are written."""
    assert [bake.parse_seconds(each) for each in ("90s", "30m", "2h")] == [90, 1800, 7200]
    assert Limits.parse("errors=0.2, latency=1") == Limits(errors=0.2, latency=1)
    for wrong in ("errors", "errors=x", "speed=1", "flips=-1", "flips=nan"):
        with pytest.raises(TransitionError, match="--bake-limits"):
            Limits.parse(wrong)
