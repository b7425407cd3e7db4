"""What assets and sensors are given: the opened data folder and a client of the API.

Edge: may import Dagster. The settings come from the environment; tests and the command line hand over others.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import dagster as dg

from pipeline.api.client import ANSWER_TIMEOUT, ApiClient
from pipeline.flow.workspace import Workspace, open_workspace
from pipeline.ledger import api_calls
from pipeline.ledger.db import LedgerError
from pipeline.local_api import api_url
from pipeline.settings import Settings, load_settings


class EnrichResource:
    """Opens the data folder of one account. A plain object: a key must never show up in a resource's configuration."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings

    def settings(self) -> Settings:
        """The settings in force. Raises ConfigError that names the setting for one that cannot be used."""
        return self._settings or load_settings()

    @contextmanager
    def workspace(self) -> Iterator[Workspace]:
        """The data folder with its ledger; closed at the end."""
        ws = open_workspace(self.settings())
        try:
            yield ws
        finally:
            ws.ledger.close()

    @contextmanager
    def client(self, ws: Workspace, *, patient: bool = True) -> Iterator[ApiClient]:
        """A client of the API, or of the sandbox when neither key nor address is set.

        Not `patient`: for a sensor, whose tick dies at 60 s and comes again; it waits for an answer for seconds only.
        """
        s = ws.settings
        with ApiClient(
            base_url=api_url(s),
            api_key=s.key,
            connect_timeout=s.connect_timeout,
            read_timeout=s.read_timeout if patient else min(s.read_timeout, 10),
            answer_timeout=ANSWER_TIMEOUT if patient else 10,
            retries=5 if patient else 1,
            post_timeout=s.post_timeout,
            rate_share=s.rate_limit_share,
            time_scale=s.speed,
        ) as client:
            try:
                yield client
            finally:
                with suppress(LedgerError):  # a count: no reason to fail what was done, nor to hide why it failed
                    api_calls.add(ws.ledger, client.calls)


Enrich = dg.ResourceParam[EnrichResource]
"""How assets and sensors ask for it."""
