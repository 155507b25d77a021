"""MLflow's webhooks, which notify services of changes in the registry.

MLflow fires none for a stage. The tag that records a transition is written after the move, so the
webhook for tags tells of that, too.
"""

from collections.abc import Iterator
from pathlib import Path

from mlflow.entities.webhook import Webhook, WebhookEvent, WebhookEventStr, WebhookTestResult
from mlflow.tracking import MlflowClient

from trainer.errors import RegistryError, TrainerError
from trainer.mlflow_server import mlflow_border

EVENTS: list[WebhookEventStr | WebhookEvent] = [
    "model_version.created",
    "model_version_tag.set",
    "model_version_tag.deleted",
    "model_version_alias.created",
    "model_version_alias.deleted",
]


class Webhooks:
    """The webhooks of one MLflow server, each known by its name. Every method raises RegistryError."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def all(self) -> list[Webhook]:
        """Every webhook."""
        with mlflow_border(self._client, "list the webhooks"):
            return list(self._pages())

    def put(self, name: str, url: str, secret: str) -> bool:
        """Create or update the webhook with this name: `url`, signed with `secret`; True if it is new."""
        found = self._named(name)
        with mlflow_border(self._client, f"set webhook {name}"):
            if not found:
                self._client.create_webhook(name, url, EVENTS, secret=secret)
                return True
            first, *more = found
            self._client.update_webhook(
                first.webhook_id, url=url, events=EVENTS, secret=secret, status="ACTIVE"
            )
            # MLflow allows several of one name; each would tell once more.
            for each in more:
                self._client.delete_webhook(each.webhook_id)
        return False

    def remove(self, name: str) -> bool:
        """Delete the webhook with this name; True if there was one."""
        found = self._named(name)
        with mlflow_border(self._client, f"delete webhook {name}"):
            for each in found:
                self._client.delete_webhook(each.webhook_id)
        return bool(found)

    def try_out(self, name: str) -> WebhookTestResult:
        """Have MLflow send a signed example. Raises RegistryError if there is no such webhook."""
        found = self._named(name)
        if not found:
            raise RegistryError(
                f"MLflow has no webhook named {name!r}; `python -m trainer webhook list` shows them"
            )
        with mlflow_border(self._client, f"try webhook {name}"):
            return self._client.test_webhook(found[0].webhook_id)

    def _named(self, name: str) -> list[Webhook]:
        return [each for each in self.all() if each.name == name]

    def _pages(self) -> Iterator[Webhook]:
        token: str | None = ""
        while token is not None:
            page = self._client.list_webhooks(page_token=token or None)
            yield from page
            token = page.token or None


def read_secret(path: Path) -> str:
    """The first line of a file; during a rotation, only the service uses the other lines.

    Raises TrainerError.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _no_secret(path, str(error)) from error
    secret = next((line.strip() for line in lines if line.strip()), "")
    if not secret:
        raise _no_secret(path, "it holds no secret")
    return secret


def _no_secret(path: Path, problem: str) -> TrainerError:
    return TrainerError(
        f"{path} gives no secret for the webhook: {problem}; write one on its first line, such as "
        "`openssl rand -hex 32` makes"
    )
