"""Calls for webhooks: list, create, change, delete. `ApiClient.webhooks` is one of these.

Belongs here: the calls as documented (docs.ntropy.com/documentation/api/webhooks). Which webhook is ours and how it
should be is in `pipeline.flow.webhooks`; deliveries arrive in `pipeline.webhooks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import msgspec

from pipeline.api.calls import REPEAT_GET, REPEAT_HOLDER
from pipeline.api.models import Webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.api.calls import Caller
    from pipeline.api.errors import ApiError

MOST_PER_ORGANIZATION = 10
"""Webhooks that one organization may have; whose they are does not matter."""


class WebhookCalls:
    """10 calls/s for all of them together; errors are classes of `pipeline.api.errors`, and none quotes a token."""

    def __init__(self, caller: Caller, pages: Callable[..., Iterator[Webhook]]) -> None:
        self._caller = caller
        self._pages = pages

    def all(self) -> list[Webhook]:
        """Every webhook of the organization, others' as well."""
        # No `limit`: the OpenAPI document gives this list no parameters; a cursor is followed where there is one.
        return list(self._pages("webhooks", "/v3/webhooks", Webhook, {}, None))

    def get(self, id: str) -> Webhook:  # noqa: A002 - the API's word
        """One webhook; `NotFound` when there is none."""
        return self._caller.get("webhooks", "/v3/webhooks/{id}", Webhook, id=id)

    def create(self, url: str, events: Sequence[str], *, token: str | None = None) -> Webhook:
        """Create a webhook. `url` up to 1,024 characters, `token` up to 128; `token` comes with every delivery.

        Repeated only where nothing was done, or a gateway says so: there is no key against doubles, so the caller
        looks at the list afterwards.
        """
        body: dict[str, Any] = {"url": url, "events": list(events)}
        return self._send("POST", "/v3/webhooks", body, token=token, repeat_after=REPEAT_HOLDER)

    def patch(
        self,
        id: str,  # noqa: A002
        *,
        enabled: bool,
        events: Sequence[str] | None = None,
        token: str | None = None,
    ) -> Webhook:
        """Change a webhook; what is None stays as it is.

        `enabled` is always sent: by the documents it "defaults to false", so that leaving it out might switch it off.
        """
        body: dict[str, Any] = {"enabled": enabled} | ({} if events is None else {"events": list(events)})
        return self._send("PATCH", "/v3/webhooks/{id}", body, token=token, id=id, repeat_after=REPEAT_GET)

    def delete(self, id: str) -> None:  # noqa: A002
        """Delete a webhook; `NotFound` when there is none, which may be the answer to a repeat that had worked."""
        self._caller.call(
            "webhooks", "DELETE", "/v3/webhooks/{id}", id=id, success=httpx.codes.NO_CONTENT, consume=lambda *_: None
        )

    def _send(
        self,
        method: str,
        route: str,
        body: dict[str, Any],
        *,
        token: str | None,
        repeat_after: tuple[type[ApiError], ...],
        id: str | None = None,  # noqa: A002
    ) -> Webhook:
        return self._caller.call(
            "webhooks",
            method,
            route,
            id=id,
            content=msgspec.json.encode(body | ({"token": token} if token else {})),
            consume=self._caller.reader(Webhook),
            repeat_after=repeat_after,
            secret=token,
        )
