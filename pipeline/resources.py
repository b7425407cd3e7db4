"""What assets and sensors are given: the opened data folder and a client of the API.

Edge: may import Dagster. The settings come from the environment; tests and the command line hand over others.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from pipeline.api.client import ApiClient
from pipeline.flow.workspace import Workspace, open_workspace
from pipeline.local_api import api_url
from pipeline.settings import Settings


class EnrichResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # the type argument is what it provides: itself
    """Opens the data folder of one account. `overrides` win over the environment's settings."""

    overrides: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies the default

    def settings(self) -> Settings:
        """The settings in force."""
        return Settings(**self.overrides)

    @contextmanager
    def workspace(self) -> Iterator[Workspace]:
        """The data folder with its ledger; closed at the end."""
        ws = open_workspace(self.settings())
        try:
            yield ws
        finally:
            ws.ledger.close()

    @contextmanager
    def client(self, ws: Workspace) -> Iterator[ApiClient]:
        """A client of the API, or of the sandbox when neither key nor address is set."""
        s = ws.settings
        with ApiClient(
            base_url=api_url(s),
            api_key=s.key,
            connect_timeout=s.connect_timeout,
            read_timeout=s.read_timeout,
            post_timeout=s.post_timeout,
            rate_share=s.rate_limit_share,
            time_scale=s.speed,
        ) as client:
            yield client
