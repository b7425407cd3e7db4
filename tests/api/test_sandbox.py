"""The client against the project's own sandbox, over its real HTTP interface."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec
import polars as pl
import pytest

from pipeline.api import errors
from pipeline.api.client import ApiClient
from pipeline.api.encode import encode_batch
from pipeline.api.results import decode_item, read_results
from pipeline.sandbox.config import SandboxConfig
from pipeline.sandbox.process import SandboxProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCALE = 25
COUNT = 250
KEY = "a-key"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    config = SandboxConfig(time_scale=SCALE, api_key=(KEY,))
    with SandboxProcess(tmp_path_factory.mktemp("sandbox"), config) as running:
        yield running.url


@pytest.fixture
def api(sandbox: str) -> Iterator[ApiClient]:
    with ApiClient(base_url=sandbox, api_key=KEY, time_scale=SCALE) as client:
        yield client


def items(count: int = COUNT, **changes: object) -> pl.DataFrame:
    row = {
        "description": "SQ *STARBUCKS SEATTLE",
        "date": date(2024, 1, 2),
        "amount": Decimal("4.55"),
        "entry_type": "outgoing",
        "currency": "USD",
        "country": "US",
        "account_holder_id": "h-1",
    } | changes
    rows = [row | {"transaction_id": f"t-{number}"} for number in range(count)]
    return pl.DataFrame(rows, schema_overrides={"amount": pl.Decimal(18, 4)})


def test_a_batch_from_end_to_end(api: ApiClient, tmp_path: Path) -> None:
    assert api.create_account_holder("h-1", "consumer", "A Name").type == "consumer"
    with pytest.raises(errors.BadValue) as caught:
        api.create_account_holder("h-1", "business")
    assert caught.value.already_exists
    assert api.get_account_holder("h-1").type == "consumer"
    assert [holder.id for holder in api.iter_account_holders()] == ["h-1"]

    batch = api.submit_batch(encode_batch(items()), release=lambda: None)
    assert batch.total == COUNT
    assert batch.created_at.tzinfo is UTC
    assert api.server_time is not None
    assert abs((api.server_time - datetime.now(UTC)).total_seconds()) < 600
    with pytest.raises(errors.NotReady):
        api.download_results(batch.id, tmp_path / "early.json")

    deadline = time.monotonic() + 60
    while not api.get_batch(batch.id).is_done and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [each.id for each in api.iter_batches(status="completed", page_size=1)] == [batch.id]

    to = tmp_path / "results.json"
    download = api.download_results(batch.id, to)
    assert download.bytes == to.stat().st_size
    document = read_results(to)
    assert (document.id, document.total, len(document.items)) == (batch.id, COUNT, COUNT)
    decoded = [decode_item(raw) for raw in document.items]
    assert [each.id for each in decoded] == [f"t-{number}" for number in range(COUNT)]
    assert [each for each in decoded if each.problems or each.extra or each.item is None] == []

    single = decode_item(api.get_transaction("t-0"))
    assert single == decoded[0]
    assert {"incoming", "outgoing"} <= msgspec.json.decode(api.get_categories("consumer")).keys()


def test_refusals(sandbox: str, api: ApiClient) -> None:
    with pytest.raises(errors.Invalid) as caught:
        api.submit_batch(encode_batch(items(3, currency="XXX")), release=lambda: None)
    assert [loc[:3] for loc, _ in caught.value.locations] == [("body", "data", index) for index in range(3)]
    assert "STARBUCKS" not in str(caught.value)
    with pytest.raises(errors.NotFound) as missing:
        api.get_batch("no-such-batch")
    assert missing.value.request_id
    with ApiClient(base_url=sandbox, api_key="another") as stranger, pytest.raises(errors.NotAuthorized):
        stranger.get_batch("x")


def test_a_withheld_batch_does_not_exist(api: ApiClient) -> None:
    before = [batch.id for batch in api.iter_batches()]

    def refuse() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        api.submit_batch(encode_batch(items()), release=refuse)
    assert [batch.id for batch in api.iter_batches()] == before
