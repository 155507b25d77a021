"""Start MLflow, train, promote, serve, and stay up until Ctrl-C: `python -m demo`."""

import argparse
import contextlib
import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn
from urllib.request import urlopen

from rich.console import Console

from demo import approval
from demo.processes import (
    ROOT,
    Child,
    Guard,
    StartError,
    port_in_use,
    running,
    start_mlflow,
    start_predictor,
)

MODEL = "breast-cancer"
# SIGINT, too: a shell that starts the demo in the background sets it to ignored.
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

console = Console(highlight=False, soft_wrap=True)


def main() -> int:
    """Run the demo; return the exit code."""
    options = _options()
    if _is_in_foreground():
        threading.Thread(target=_watch_parent, name="watch-parent", daemon=True).start()
    for stop_signal in _stop_signals():
        signal.signal(stop_signal, _interrupt)
    try:
        _require_free_ports(options.mlflow_port, options.predictor_port)
        with ExitStack() as stack:
            _run(options, stack)
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):  # the terminal may be gone
            console.print("\nStopped the predictor and the MLflow server.")
        return 0
    except (StartError, subprocess.CalledProcessError) as error:
        console.print(f"[red]The demo ended:[/] {error}", markup=True)
        return 1


def _run(options: argparse.Namespace, stack: ExitStack) -> NoReturn:
    _step(
        f"Starting an MLflow server on port {options.mlflow_port}, with SQLite in {_relative_path(options.folder)}"
    )
    guard = Guard()
    with signals_held():
        server = start_mlflow(options.folder, options.mlflow_port)
        guard.watch(server.process.pid)
    mlflow = stack.enter_context(running(server))
    os.environ["MLFLOW_TRACKING_URI"] = mlflow.url
    keys = options.folder / "approval"
    if options.approval:
        _step(
            f"Making the keys of {' and '.join(approval.PEOPLE)}, who both must approve a version"
        )
        approval.prepare(keys)
    _train_and_promote(guard)
    _step(f"Starting the predictor on port {options.predictor_port}")
    secret = options.folder / "webhook_secret"
    if not secret.exists():
        secret.touch(0o600)
        secret.write_text(secrets.token_hex(32))
    settings = {
        "MLFLOW_TRACKING_URI": mlflow.url,
        "PREDICTOR_WEBHOOK_SECRET_FILE": str(secret),
    }
    with signals_held():
        service = start_predictor(options.folder, options.predictor_port, settings)
        guard.watch(service.process.pid)
    path = "/health" if options.approval else "/ready"
    predictor = stack.enter_context(running(service, path))
    _set_webhook(f"{predictor.url}/webhooks/mlflow", secret)
    if options.approval:
        _show_approval(guard, keys, predictor.url)
    _print_next_steps(mlflow, predictor, keys if options.approval else None)
    _wait(mlflow, predictor)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--mlflow-port", type=int, default=5000)
    parser.add_argument("--predictor-port", type=int, default=8000)
    parser.add_argument("--approval", action="store_true", help="two people must approve a version")
    parser.add_argument("--folder", type=Path, default=ROOT / ".demo")
    return parser.parse_args()


def _require_free_ports(*ports: int) -> None:
    for port in ports:
        if port_in_use(port):
            raise StartError(
                f"port {port} is in use; choose others with `make demo MLFLOW_PORT=5001 PREDICTOR_PORT=8001`"
            )


def _train_and_promote(guard: Guard) -> None:
    """Ensure that a version is in Production."""
    # The import of MLflow takes a second; import it after the first output.
    from trainer.beginning import is_empty, ranked
    from trainer.pointer import StagePointer
    from trainer.registry import RegisteredModel, connect

    registry = RegisteredModel(connect(), MODEL)
    if is_empty(registry):
        _step(
            "Training candidates of each kind, quickly; each becomes a run and a registered version"
        )
        _trainer(guard, "train", "--quick")
    best, *_ = ranked(registry)
    champion = StagePointer(registry).state().champion
    if champion is None:
        _step(f"Promoting version {best}, the best of them in cross-validation")
        _trainer(
            guard, "promote", best, "--to", "Production", "--reason", "best in cross-validation"
        )
    else:
        _step(f"Version {champion} is in Production already; nothing to train or promote")


def _next_promotion() -> list[str] | None:
    """The command that promotes another version, the best that the policy allows; None if there is no other."""
    from trainer.beginning import ranked
    from trainer.lifecycle import Lifecycle
    from trainer.mlflow_server import connect
    from trainer.pointer import StagePointer
    from trainer.promotion import Policy
    from trainer.registry import RegisteredModel

    registry = RegisteredModel(connect(), MODEL)
    pointer = StagePointer(registry)
    lifecycle, champion = Lifecycle(registry, pointer, "demo"), pointer.state().champion
    plans = [lifecycle.plan(each, Policy()) for each in ranked(registry) if each != champion]
    plans = [each for each in plans if each.decision is not None]  # no copy of the champion
    if not plans:
        return None
    plan = next((each for each in plans if each.allowed), plans[0])
    force = [] if plan.allowed else ["--force"]
    return [
        "promote", plan.version, "--to", "Production", *force, "--reason", "to watch the swap"
    ]  # fmt: skip


def _set_webhook(url: str, secret: Path) -> None:
    """Like `python -m trainer webhook set`, without a second import of MLflow."""
    from trainer.mlflow_server import connect
    from trainer.webhook_command import NAME
    from trainer.webhooks import Webhooks, read_secret

    _step("Setting MLflow's webhook, so that a promotion is noticed at once")
    Webhooks(connect()).put(NAME, url, read_secret(secret))


def _show_approval(guard: Guard, keys: Path, url: str) -> None:
    """Show that the service refuses the promoted version, then let both people approve it."""
    reason = approval.refused(url)
    if reason is None:
        _step("The version in Production is approved already")
        return
    _step("The service refuses the promoted version:")
    console.print(f"  {reason}")
    _step("Both approve it")
    with urlopen(f"{url}/model") as response:
        version = json.load(response)["desired"]["model_version"]
    for arguments in approval.approve_commands(keys, version):
        _trainer(guard, *arguments)
    approval.wait_until_serving(url)


def _trainer(guard: Guard, *arguments: str) -> None:
    console.print(f"[dim]$ python -m trainer {shlex.join(arguments)}[/]")
    command = [sys.executable, "-m", "trainer", *arguments]
    # In a separate process group, so that the guard can stop it.
    with signals_held():
        process = subprocess.Popen(command, cwd=ROOT, process_group=0)
        guard.watch(process.pid)
    with process:
        try:
            code = process.wait()
        except BaseException:
            process.kill()
            raise
    if code:
        raise subprocess.CalledProcessError(code, command)


def _print_next_steps(mlflow: Child, predictor: Child, keys: Path | None) -> None:
    """Print addresses and commands; `keys` is the folder of the people who must approve a version."""
    with urlopen(f"{predictor.url}/openapi.json") as response:
        record: dict[str, Any] = json.load(response)["components"]["schemas"]["Record"]["example"]
    console.print(f"""
[bold green]Serving.[/] Ctrl-C stops everything.

  web page         {predictor.url}/
  for operators    {predictor.url}/ops
  API docs         {predictor.url}/docs
  model            {predictor.url}/model
  metrics          {predictor.url}/metrics
  events           {predictor.url}/events
  MLflow           {mlflow.url}/#/models/{MODEL}

[bold]A prediction[/], to paste into a second terminal:
""")
    # `print`, because a line to paste must not be wrapped or coloured.
    print(
        f"curl -s {predictor.url}/predict -H 'Content-Type: application/json' -d '{json.dumps(record)}'"
    )
    console.print(f"""
[bold]Then watch a promotion[/] change the answers, in this folder:

  {_exports()}""")
    commands = [["leaderboard"]]
    if promote := _next_promotion():
        if keys is not None:
            commands += approval.approve_commands(keys, promote[1])
        commands += [promote, ["rollback"]]
    for command in commands:
        print(f"  {_relative_path(Path(sys.executable))} -m trainer {shlex.join(command)}")
    console.print(f"  tail -f {_relative_path(predictor.log)}\n")


def _exports() -> str:
    """The line that gives a second terminal the demo's settings."""
    names = ("MLFLOW_TRACKING_URI", "TRAINER_KEYS_FOLDER", "PREDICTOR_APPROVERS_FILE")
    return f"export {' '.join(f'{name}={shlex.quote(os.environ[name])}' for name in names if name in os.environ)}"


def _relative_path(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def _wait(*children: Child) -> NoReturn:
    while True:
        for child in children:
            if (code := child.process.poll()) is not None:
                raise StartError(
                    f"the process at {child.url} ended with code {code}; see {child.log}"
                )
        time.sleep(0.5)


def _step(text: str) -> None:
    console.print(f"[bold cyan]==>[/] {text}")


def _stop_signals() -> list[signal.Signals]:
    """The signals that end the demo: not SIGHUP if it was ignored at the start, as under nohup."""
    return [
        each
        for each in _STOP_SIGNALS
        if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN
    ]


def _interrupt(*_: object) -> NoReturn:
    # A closing terminal sends several signals; only the first may interrupt.
    for stop_signal in _STOP_SIGNALS:
        signal.signal(stop_signal, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Let signals that end the demo wait until a process is started and watched: else nobody would stop it."""
    arrived: list[int] = []
    handlers = {
        each: signal.signal(each, lambda number, _: arrived.append(number))
        for each in _stop_signals()
    }
    try:
        yield
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
    if arrived:
        signal.raise_signal(arrived[0])


def _is_in_foreground() -> bool:
    """Whether the demo should end with its parent: not under nohup, in the background, or detached."""
    ignored = [signal.getsignal(each) == signal.SIG_IGN for each in (signal.SIGHUP, signal.SIGINT)]
    return not any(ignored) and os.getsid(0) != os.getpid()


def _watch_parent() -> None:
    """Send this process SIGTERM when its parent has ended, or is `make` and ends.

    The terminal signals the whole process group, but a signal may also be for make alone. Then make waits for the
    demo, and does not pass the signal on, except SIGTERM. It has the signal's default handler meanwhile.
    """
    parent = os.getppid()
    handled = _handled_by_make(parent)
    while os.getppid() == parent and _handled_by_make(parent) == handled:
        time.sleep(0.5)
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


def _handled_by_make(pid: int) -> int:
    """The stop signals that a process handles, as bits; 0 if it is not make, has ended, or this is not Linux."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    stops = sum(1 << each - 1 for each in _STOP_SIGNALS)
    return int(fields["SigCgt"], 16) & stops if fields["Name"] in {"make", "gmake"} else 0


if __name__ == "__main__":
    sys.exit(main())
