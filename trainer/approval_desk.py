"""ApprovalDesk: show what an approval is about, sign it, and show who has approved."""

from collections.abc import Mapping
from datetime import UTC, datetime

import typer

from approvals.approvers import CLOCK_TOLERANCE, Approvers
from approvals.standing import Standing
from approvals.statement import Decision, Statement, Subject
from trainer import tag_names, terminal
from trainer.approval import (
    check_files,
    envelopes,
    keys_of_person,
    next_moment,
    own_statements,
    read_signed,
    tag_of,
)
from trainer.errors import NotApprovedError
from trainer.history import one_line
from trainer.registry import RegisteredModel
from trainer.signing_keys import NamedSigner, approvers_line
from trainer.terminal import Output, Table, print_json, prose, time, word
from trainer.version_files import VersionFiles, read_files

_STATEMENTS = [
    prose("who"), word("decision"), time("when"), time("expires", rank=2),
    prose("why", rank=1, least=16),
]  # fmt: skip


class ApprovalDesk:
    """The approvals of one version. Every method raises TrainerError."""

    def __init__(
        self, registry: RegisteredModel, version: str, approvers: Approvers | None
    ) -> None:
        self._registry = registry
        self._found = registry.version(version)
        self._approvers = approvers

    @property
    def _title(self) -> str:
        return f"version {self._found.number} of {self._registry.model_name}"

    def checked_files(self) -> VersionFiles:
        """Download and hash the version's files. Raises NotApprovedError if its tags contradict them."""
        files = self._files()
        check_files(self._found.number, self._found.tags, files)
        return files

    def show(self, files: VersionFiles) -> None:
        """Print what an approval is about."""
        typer.echo(f"model    {self._registry.model_name}\nversion  {self._found.number}\nfiles")
        for path, digest in sorted(files.digests.items()):
            typer.echo(f"  {digest}  {terminal.printable(path)}")
        metrics = sorted(self._registry.metrics(self._found).items())
        named = [f"{name} {value:.6g}" for name, value in metrics]
        shown = [each for each in named if each.startswith("test_")] or named
        typer.echo(f"metrics  {terminal.printable(', '.join(shown)) or 'none'}")
        parity = self._found.tags.get(
            tag_names.PARITY, "no report: nobody has proven the ONNX graph"
        )
        typer.echo(f"parity   {parity}")

    def approve(
        self, signer: NamedSigner, files: VersionFiles, reason: str, expires: datetime | None
    ) -> None:
        """Sign that these files may serve, and keep that in a tag of the version."""
        at = self._sign("approve", signer, files.digests, reason, expires)
        typer.echo(f"{signer.name} approved {self._title}")
        if at > datetime.now(UTC) + CLOCK_TOLERANCE:
            typer.echo(
                f"WARNING: your last statement was signed at {at:%Y-%m-%d %H:%M} UTC by a clock that was "
                "ahead; this approval counts from then on",
                err=True,
            )
        self._show_rule(signer, files.digests)

    def withdraw(self, signer: NamedSigner, reason: str) -> None:
        """Sign that the signer's approvals count no more, and keep that in a tag of the version."""
        earlier = self._earlier(signer)
        # The files of an approval may be gone; a withdrawal is about the version.
        files = earlier[-1].subject.files if earlier else self._files().digests
        self._sign("withdraw", signer, files, reason, None)
        typer.echo(f"{signer.name} withdrew every approval of {self._title}")
        self._show_rule(signer, files)

    def show_approvals(self, output: Output) -> bool:
        """Print all statements about the version; return whether the rule holds, if it is known."""
        keys = self._approvers.keys if self._approvers else {}
        rows = []
        for each in read_signed(envelopes(self._found.tags), keys):
            said = each.statement
            who = ", ".join(each.signers) or f"{said.approver} (not checked)"
            rows.append((who, said.decision, said.at, said.expires, said.reason or None))
        table = Table(_STATEMENTS, rows)
        if output.as_json:
            return self._print_document(table)
        if rows:
            output.show(table)
        if self._approvers is None:
            typer.echo("--approvers FILE names the people whose signatures are checked", err=True)
            return True
        return self._holds(self._files().digests)

    def _print_document(self, table: Table) -> bool:
        found = self._standing(self._files().digests) if self._approvers else None
        document = {
            "statements": table.records(),
            "may_serve": found.sufficient if found else None,
            "expires": found.expires if found else None,
            "verdict": found.refusal if found else None,
        }
        print_json(document)
        return found is None or found.sufficient

    def _files(self) -> VersionFiles:
        return read_files(self._registry.client, self._registry.model_name, self._found.number)

    def _earlier(self, signer: NamedSigner) -> tuple[Statement, ...]:
        keys = keys_of_person(signer, self._approvers)
        model, version = self._registry.model_name, self._found.number
        return own_statements(self._found.tags, keys, model, version)

    def _sign(
        self, decision: Decision, signer: NamedSigner, files: Mapping[str, str], reason: str,
        expires: datetime | None,
    ) -> datetime:  # fmt: skip
        why = one_line(reason)
        if not why:
            raise NotApprovedError("nothing was signed: the reason is empty; give --reason TEXT")
        at = next_moment(datetime.now(UTC), self._earlier(signer))
        subject = Subject(self._registry.model_name, self._found.number, files)
        statement = Statement(subject, decision, why, signer.name, at, expires)
        self._registry.set_tag(self._found.number, *tag_of(statement, signer))
        return at

    def _show_rule(self, signer: NamedSigner, files: Mapping[str, str]) -> None:
        """Print whether the version has enough approvals now, if the file of approvers is known."""
        if self._approvers is None:
            return
        if not any(signer.public_key in own for own in self._approvers.keys.values()):
            line = approvers_line(signer.name, signer.public_key)
            typer.echo(f"WARNING: the file of approvers does not have this key: {line}", err=True)
        self._found = self._registry.version(self._found.number)
        self._holds(files)

    def _standing(self, files: Mapping[str, str]) -> Standing:
        assert self._approvers is not None  # noqa: S101  the callers know
        subject = Subject(self._registry.model_name, self._found.number, files)
        return self._approvers.standing(envelopes(self._found.tags), subject, datetime.now(UTC))

    def _holds(self, files: Mapping[str, str]) -> bool:
        found = self._standing(files)
        end = f", until {terminal.moment(found.expires)}" if found.expires else ""
        verdict = f"may serve{end}" if found.sufficient else "may not serve"
        typer.echo(f"{self._title} {verdict}: {terminal.printable(found.refusal)}")
        return found.sufficient
