"""Our webhook at the API: registered once, kept as it should be, switched on again when the API has switched it off.

The API disables a webhook after too many failed deliveries and says so to nobody; until somebody looks, the poll does
the webhook's work. Other webhooks of the organization are never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from pipeline.api.client import ApiClient
from pipeline.api.errors import ApiError, NotFound
from pipeline.api.models import Webhook
from pipeline.errors import ConfigError
from pipeline.flow.workspace import Workspace
from pipeline.ledger import inbox

MOST_URL = 1_024
"""Characters of a webhook's URL (docs.ntropy.com/documentation/api/webhooks/post-webhook)."""
MOST_WEBHOOKS = 10
"""Webhooks of an organization (docs.ntropy.com/documentation/api/webhooks/post-webhook)."""
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Registration:
    """The webhook's id, what was done about it, and ids of doubles that were deleted."""

    webhook_id: str
    did: Literal["created", "changed", "unchanged"]
    deleted: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Kept:
    """Ids of our webhooks that were switched on again, and of those that the API does not have any more."""

    switched_on: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)


def register(ws: Workspace, client: ApiClient, url: str, events: Sequence[str] = inbox.BATCH_EVENTS) -> Registration:
    """See to it that exactly one webhook has this URL, with these events and our (first) token, and is enabled.

    Safe to repeat, and to run twice at once: of doubles the oldest stays, whoever looks. Raises ConfigError for a URL
    that cannot be used or when there is no token, ApiError when the API refuses; the next call goes on from there.
    """
    token = _check(ws, url)
    did: Literal["created", "changed", "unchanged"] = "unchanged"
    ours = _with_url(client, url)
    if not ours:
        ours, did = _create(client, url, events, token), "created"
    kept, *doubles = ours
    for double in doubles:
        with suppress(NotFound):  # another process deletes the same ones
            client.webhooks.delete(double.id)
    if not _as_wanted(kept, events, token):
        client.webhooks.patch(kept.id, enabled=True, events=events, token=token)
        did = "changed" if did == "unchanged" else did
    inbox.note_registered(ws.ledger, kept.id, url)
    return Registration(kept.id, did, [double.id for double in doubles])


def ensure_enabled(ws: Workspace, client: ApiClient) -> Kept:
    """Switch on again what the API has switched off, of the webhooks registered from this data folder.

    One list call, and none where nothing is registered. What was missed meanwhile may not be sent again (not stated):
    the poll finds it. What was found is noted for the alerts until the next look. Raises ApiError.
    """
    kept = Kept()
    mine = inbox.registered(ws.ledger)
    there = {hook.id: hook for hook in client.webhooks.all()} if mine else {}
    for webhook_id in mine:
        hook = there.get(webhook_id)
        if hook is None:
            kept.gone.append(webhook_id)
        elif not hook.enabled:
            try:
                client.webhooks.patch(webhook_id, enabled=True)
            except NotFound:
                kept.gone.append(webhook_id)
            else:
                kept.switched_on.append(webhook_id)
    if mine:
        inbox.note_troubles(
            ws.ledger, dict.fromkeys(kept.switched_on, inbox.OFF) | dict.fromkeys(kept.gone, inbox.GONE)
        )
    return kept


def delete(ws: Workspace, client: ApiClient, webhook_id: str) -> bool:
    """Delete a webhook of the organization; returns whether the API had it."""
    if webhook_id in {"", ".", ".."}:  # no path can name one of these
        return False
    there = True
    try:
        client.webhooks.delete(webhook_id)
    except NotFound:
        there = False
    inbox.forget_registered(ws.ledger, webhook_id)
    return there


def _check(ws: Workspace, url: str) -> str | None:
    """The token to register. Refused here: what the API would take and nobody could receive safely."""
    scheme, host, *_ = (*_plain(url), None)
    if scheme not in _PORTS or not host or "@" in url or not url.isprintable() or len(url) > MOST_URL:
        raise ConfigError(
            f"the webhook's URL must be http:// or https://, with a host and no user name, in {MOST_URL} characters"
        )
    tokens = ws.settings.webhook_tokens
    if not tokens and not ws.settings.webhook_insecure:
        raise ConfigError(
            "no webhook token is set, so the receiver could not tell the API from others",
            hint="Set ENRICH_WEBHOOK_TOKEN, or ENRICH_WEBHOOK_INSECURE=1.",
        )
    return tokens[0] if tokens else None


def _create(client: ApiClient, url: str, events: Sequence[str], token: str | None) -> list[Webhook]:
    """Create it and look: another process may have done so too, and an answer that got lost may have done it."""
    lost: ApiError | None = None
    try:
        created = [client.webhooks.create(url, events, token=token)]
    except ApiError as error:
        if error.fate == "permanent":
            _tell_full(client, error)
            raise
        created, lost = [], error
    there = _with_url(client, url) or created
    if not there and lost:
        raise lost
    return there


def _tell_full(client: ApiClient, error: ApiError) -> None:
    """Raise ConfigError where there are as many as the API keeps, which its answer may not say clearly."""
    if len(client.webhooks.all()) >= MOST_WEBHOOKS:
        raise ConfigError(
            f"there are {MOST_WEBHOOKS} webhooks already, and an organization may have no more",
            hint="`enrich webhooks list` shows them, `enrich webhooks delete ID` makes room.",
        ) from error


def _with_url(client: ApiClient, url: str) -> list[Webhook]:
    """Webhooks with this URL, oldest first: an order that every process sees alike."""
    found = [hook for hook in client.webhooks.all() if _plain(hook.url) == _plain(url)]
    return sorted(found, key=lambda hook: (hook.created_at, hook.id))


def _plain(url: str) -> tuple[str | int | None, ...]:
    """What two spellings of one address have in common: case of the host, default port, the empty path."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:  # somebody else's, and no URL at all
        return (url,)
    return parts.scheme, parts.hostname, port, parts.path or "/", parts.query


def _as_wanted(hook: Webhook, events: Sequence[str], token: str | None) -> bool:
    """A token that the API does not show counts as another one: then each `register` sends it again."""
    return hook.enabled and set(hook.events) == set(events) and (token is None or hook.token == token)
