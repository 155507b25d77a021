"""The pure modules of the operators' page: metrics, rates, what happened, and commands."""

import json
import shlex
import subprocess

import pytest
import typer

from predictor.operations.journal import _name_and_payload
from tests.page.node import Modules
from tests.predictor.live import Live
from tests.predictor.parts import version
from trainer.cli import app

pytestmark = pytest.mark.whole


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    return Modules(tmp_path_factory.mktemp("modules"))


async def test_a_sample_has_the_numbers_of_the_metrics(modules, tmp_path, models):
    """Of the service's own text: requests for predictions only, by code."""
    live = Live(tmp_path)
    await live.serve(7, models.logistic)
    for body in (models.benign, models.benign, {"wrong": 1}):
        await live.client.post("/predict", json=body)
    for path in ("/model", "/metrics", "/ops/overview", "/ready", "/nowhere", "/web/page.js"):
        await live.client.get(path)
    text = live.exposition.render().decode()
    (sample,) = modules.compute("ops/exposition.js", f"m.sampleOf({json.dumps(text)}, 5)")
    assert (sample["at"], sample["requests"], sample["refused"], sample["failed"]) == (5, 3, 1, 0)
    assert sample["seconds"][-1][1] == 3
    assert sample["began"] > 1e9
    await live.close()


def test_labels_may_have_any_characters(modules):
    """Quotes, line ends and names of properties; lines that are not metrics are left out."""
    text = '# HELP a b\na{x="1\\"2",__proto__="y\\n",z="}"} 3\na{x="} 4\na 5e3\na NaN\nb 1\n'
    read = f'[...m.readExposition({json.dumps(text)}, new Set(["a"]))]'
    (found,) = modules.compute(
        "ops/exposition.js",
        f"{read}.map(([name, all]) => [name, all.map((each) => [[...each.labels], each.value])])",
    )
    assert found == [
        ["a", [[[["x", '1"2'], ["__proto__", "y\n"], ["z", "}"]], 3], [[], 5000]]]
    ]  # fmt: skip


def test_while_the_registry_is_away_the_page_says_what_goes_on_serving(modules):
    state = {
        "serving": {"model_version": "7"}, "desired": {"model_version": "7"}, "last_failure": None, "loading": None,
        "registry": {"fault": "the registry did not answer", "last_answer_at": "2026-11-30T05:00:00Z"},
        "cache": {"fault": None},
    }  # fmt: skip
    given = f"{{ model: {json.dumps(state)}, overview: null }}, {{ ago: () => '1 min ago' }}"
    ((found,),) = modules.compute("ops/verdict.js", f"m.verdicts({given})")
    assert found["title"] == "The registry does not answer; it last did 1 min ago"
    assert found["text"] == "the registry did not answer. Version 7 keeps serving."


def test_if_no_version_serves_the_page_says_since_when_and_why(modules):
    state = {
        "serving": None, "desired": None, "last_failure": None, "loading": None, "cache": {"fault": None},
        "registry": {"fault": None, "last_answer_at": "x", "names_none_because": "the registry names no version"},
    }  # fmt: skip
    stop = {"at": "2026-11-30T05:00:00Z", "previous": {"model_version": "7"}, "reason": "withdrawn"}
    happened = f"{{ stopped: {json.dumps(stop)} }}"
    given = f"{{ model: {json.dumps(state)}, overview: null, happened: {happened} }}"
    ((found,),) = modules.compute(
        "ops/verdict.js", f"m.verdicts({given}, {{ ago: () => '2 min ago' }})"
    )
    assert found["kind"] == "fault"
    assert found["text"] == (
        "Version 7 stopped serving: withdrawn in the registry, 2 min ago. The registry names no version."
    )


def samples(*counters, began=(1, 1, 1, 1)):
    """An expression: samples ten seconds apart with these numbers of requests."""
    added = "".join(
        f"s.add({{ at: {number * 10_000}, began: {began[number]}, requests: {count}, failed: {count} / 4,"
        f" seconds: [[0.1, {count} / 2], [1, {count}], [Infinity, {count}]] }});"
        for number, count in enumerate(counters)
    )
    return f"(() => {{ const s = new m.Samples(); {added} return s; }})()"


def test_rates_shares_and_quantiles_are_those_between_samples(modules):
    given = samples(0, 40, 80)
    found = modules.compute(
        "ops/samples.js",
        f"{given}.now(m.perSecond)",
        f'{given}.now(m.share("failed"))',
        f'{given}.now(m.quantile("seconds", 0.5))',
        f'{given}.now(m.quantile("seconds", 0.75))',
        f"{given}.series(m.perSecond).map(({{ value }}) => value)",
    )
    assert found == [4, 0.25, 0.1, pytest.approx(0.55), [4, 4]]


def test_without_requests_there_is_no_share_and_no_quantile(modules):
    given = samples(5, 5)
    assert modules.compute(
        "ops/samples.js",
        f"{given}.now(m.perSecond)",
        f'{given}.now(m.share("failed"))',
        f'{given}.now(m.quantile("seconds", 0.99))',
        "new m.Samples().now(m.perSecond)",
        "new m.Samples().series(m.perSecond)",
    ) == [0, None, None, None, []]


@pytest.mark.parametrize("given", [samples(90, 5, 15), samples(5, 90, 100, began=(1, 2, 2))])
def test_nothing_is_measured_across_a_restart(modules, given):
    """Whether the counters are lower, or higher and of another process."""
    assert modules.compute(
        "ops/samples.js", f"{given}.series(m.perSecond).map((each) => each.value)"
    ) == [[1]]


def test_samples_are_kept_for_a_quarter_of_an_hour(modules):
    adds = "for (let i = 0; i < 5000; i += 1) s.add({ at: i * 5000, began: 1, requests: i });"
    (found,) = modules.compute(
        "ops/samples.js",
        f"(() => {{ const s = new m.Samples(); {adds} return s.series(m.perSecond).length; }})()",
    )
    assert 170 < found < 190


@pytest.mark.parametrize(
    ("ago", "text"),
    [(0, "just now"), (1, "just now"), (-3, "in 3 sec"), (90, "1 min ago"), (7300, "2 hr ago"), (900_000, "10 days ago")],
)  # fmt: skip
def test_moments_are_words(modules, ago, text):
    now = 1_790_000_000_000
    expression = f"m.relative(new Date({now - 1000 * ago}).toISOString(), {now})"
    assert modules.compute("ops/moments.js", expression) == [text]


async def test_events_of_the_service_become_lines(modules, tmp_path):
    """Each kind has its words, the latest first; one that is sent again is one line, and so are those of workers."""
    live = Live(tmp_path)
    await live.serve(7, None)
    live.source.broken["8"] = "no such file"
    await live.say(version(8))
    await live.say(None)
    live.source.down = True
    await live.say(None)
    told = [_name_and_payload(event) for event in live.events]
    adds = "".join(
        f"h.add({json.dumps(name)}, {json.dumps({**payload, 'at': f'2026-11-29T10:00:0{second}Z', 'worker': worker})});"
        for worker in (0, 1, 1)
        for second, (name, payload) in enumerate(each for each in told if each)
    )
    (lines,) = modules.compute(
        "ops/happened.js",
        f"(() => {{ const h = new m.Happened(); h.add('state', {{}}); {adds} return h.lines(); }})()",
    )
    assert [each["text"] for each in lines] == [
        "The registry does not answer",
        "Version 7 stopped serving: withdrawn in the registry",
        "The registry names no version",
        "Version 8 could not be loaded (fetch)",
        "The registry asks for version 8",
        "Version 7 serves: promoted",
        "The registry asks for version 7",
    ]
    assert all(sorted(each["workers"]) == [0, 1] for each in lines)
    await live.close()


URIS = {
    "models:/m/Production": ("promote 8 --to Production --model=m", "demote 7 --model=m", "rollback --model=m"),
    "models:/m/staging": ("promote 8 --to Staging --model=m", "demote 7 --model=m", None),
    "models:/m@best": (
        "promote 8 --to Production --model=m --pointer alias --alias=best",
        "demote 7 --model=m --pointer alias --alias=best",
        "rollback --model=m --pointer alias --alias=best",
    ),
    "models:/m@staging": (
        "promote 8 --to Staging --model=m --pointer alias", "demote 7 --model=m --pointer alias", None,
    ),
    "models:/m/7": (None, None, None),
    "models:/m/Archived": (None, None, None),
}  # fmt: skip


def command_of(modules, uri, **context):
    """The command of each action."""
    given = {"chosen": "8", "named": "7", "workspace": None, **context}
    (found,) = modules.compute("ops/commands.js", f"m.commands({uri!r}, {json.dumps(given)})")
    return {each["action"]: each["command"] for each in found}


@pytest.mark.parametrize("uri", URIS)
def test_commands_are_right_for_the_stage_or_the_alias(modules, uri):
    """And for a fixed version there are none."""
    found = command_of(modules, uri)
    expected = [each and f"mlflow-hotswap {each}" for each in URIS[uri]]
    assert [found.get(action) for action in ("promote", "demote", "rollBack")] == expected
    if found.get("preview"):
        assert found["preview"] == f"{found['promote']} --dry-run"


def listed(number, stage=None, **more):
    return {
        "model_version": str(number), "stage": stage, "aliases": [], "parity": "passed", "dataset_digest": "d1",
        "moved": None, **more,
    }  # fmt: skip


SERVING = listed(7, "Production")
DEMOTED = {"to": "Archived", "when": "2026-11-29T10:00:00Z"}
LISTS = {
    "the newest": ([listed(9), listed(8), SERVING], "9", []),
    "unproven ones are passed over": ([listed(9, parity=None), listed(8), SERVING], "8", ["no proof that ONNX predicts the same"]),
    "other data": ([listed(9, dataset_digest="d2"), listed(8), SERVING], "8", ["measured on other data than version 7"]),
    "demoted": ([listed(9, moved=DEMOTED), listed(8), SERVING], "8", ["was demoted"]),
    "what failed here": ([listed(10), listed(6), SERVING], "6", ["could not be loaded"]),
    "none is good": ([listed(9, parity="failed"), SERVING], "9", ["no proof that ONNX predicts the same"]),
}  # fmt: skip


@pytest.mark.parametrize("case", LISTS)
def test_the_version_that_a_person_would_promote_is_chosen(modules, case):
    """The newest that nothing in its tags speaks against."""
    found, chosen, against = LISTS[case]
    (first, *_), got, target = choices(modules, found)
    assert (first["against"], got, target) == (against, chosen, None)


def choices(modules, versions, uri="models:/m/Production", *, more=False, named="7"):
    model = {
        "model_uri": uri, "serving": {"model_version": "7"}, "desired": named and {"model_version": named},
        "last_failure": {"model_version": "10", "stage": "session"},
    }  # fmt: skip
    told = {"model": model, "overview": {"registered": {"versions": versions, "more": more}}}
    (found,) = modules.compute("ops/choices.js", f"m.choices({json.dumps(told)})")
    return found["candidates"], found["chosen"], found.get("target", "unknown")


def test_a_rollback_goes_to_the_next_version_in_production(modules):
    """By an alias, and if the registry has more versions than it listed, it is not known."""
    found = [listed(9), SERVING, listed(6), listed(5, "Production"), listed(3, "Production")]
    candidates, chosen, target = choices(modules, found)
    assert (chosen, target) == ("9", "5")
    assert [each["number"] for each in candidates if each["against"]] == ["5"]
    assert choices(modules, found[:3])[2] is None
    assert choices(modules, found[:3], more=True)[2] == "unknown"
    assert choices(modules, found, "models:/m@production")[2] == "unknown"


def test_a_rollback_goes_back_from_what_the_registry_names(modules):
    """Also if that could not be loaded, and the version below it still serves; from nothing it goes nowhere."""
    found = [listed(11), listed(10, "Production"), SERVING, listed(5, "Production")]
    candidates, chosen, target = choices(modules, found, named="10")
    assert (chosen, target) == ("11", "7")
    assert [each["number"] for each in candidates] == ["11", "7", "5"]
    assert choices(modules, found, named=None)[2] == "unknown"
    left = command_of(modules, "models:/m/Production", named=None)
    assert left.keys() == {"status", "preview", "promote"}


@pytest.mark.parametrize("uri", [uri for uri, each in URIS.items() if each[0]])
def test_the_trainer_reads_each_command(modules, uri):
    """With all its options and the reason; nothing is run."""
    group = typer.main.get_command(app)
    reason = "it's worse --who eve"
    for action, command in command_of(modules, uri, reason=reason).items():
        context = group.make_context("mlflow-hotswap", shlex.split(command)[1:])
        name, found, rest = group.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        read = found.make_context(name, rest, parent=context).params
        assert read["model"] == "m"
        assert read.get("reason") == (
            reason if action in {"rollBack", "demote", "promote"} else None
        )
        assert (read["pointer"], read["alias"]) == (
            ("alias", "best" if "best" in uri else "production") if "@" in uri else ("stage", "production")
        )  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["a b", "it's", "$(touch x)", "`id`", "-rf", 'say "hi"', "\u202egnorw", "a\nb", "zażółć", "\\"],
)
def test_a_name_is_one_word_of_the_shell(modules, name):
    """What cannot be seen, or shows text in another order, is written so that it can be seen."""
    found = command_of(modules, f"models:/{name}@best")["status"] if "\n" not in name else None
    quoted = (
        found
        or "mlflow-hotswap status "
        + modules.compute("ops/commands.js", f"m.quoted({json.dumps('--model=' + name)})")[0]
    )
    assert quoted.isprintable()
    script = f'set -- {quoted.removeprefix("mlflow-hotswap status ")}; printf %s "$1"'
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        check=True,
        timeout=20,
        env={"LC_ALL": "C.UTF-8"},
    )
    assert done.stdout.decode() == f"--model={name}"
