"""Settings that cannot be used are refused by name, before anything is read or sent."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipeline.errors import ConfigError
from pipeline.ledger.db import utc_now
from pipeline.local_api import sandbox_dir
from pipeline.sandbox.config import SandboxConfig
from pipeline.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ENRICH_BATCH_SIZE", "many", "ENRICH_BATCH_SIZE"),
        ("ENRICH_ACCOUNT", "../other", "an account name has letters"),
        ("ENRICH_ACCOUNT", "", "an account name has letters"),
        ("ENRICH_BASE_URL", "api.ntropy.com", "must start with http"),
        ("ENRICH_LEDGER_URL", "ledger.sqlite", "a database URL"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(monkeypatch, name, value, says):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=says) as raised:
        load_settings()
    assert str(raised.value).startswith(f"{name}: ")
    assert "Value error" not in str(raised.value)


FLOATS = [name for name, field in Settings.model_fields.items() if "float" in str(field.annotation)]


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e15", "1e20", "-1"])
def test_no_number_is_taken_that_makes_a_run_crash_or_wait_for_ever(monkeypatch, name, value):
    """A grace of 1e15 s has no date at its end; a time scale of 1e-12 makes one of every wait."""
    variable = f"ENRICH_{name.upper()}"
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=f"^{variable}: "):
        load_settings()


@pytest.mark.parametrize("variable", ["ENRICH_TIME_SCALE", "ENRICH_CREDITS_PER_SECOND"])
def test_nor_one_by_which_a_wait_is_divided_that_is_nearly_nothing(monkeypatch, variable):
    monkeypatch.setenv(variable, "1e-12")
    with pytest.raises(ConfigError, match=f"^{variable}: "):
        load_settings()


def test_the_longest_wait_on_the_slowest_clock_has_a_date_at_its_end(monkeypatch):
    monkeypatch.setenv("ENRICH_GRACE", "2592000")
    monkeypatch.setenv("ENRICH_TIME_SCALE", "0.01")
    settings = load_settings()
    assert utc_now() + timedelta(seconds=2 * settings.scaled(settings.grace)) > utc_now()


def test_a_database_url_is_not_shown_since_it_may_hold_a_password(monkeypatch):
    monkeypatch.setenv("ENRICH_LEDGER_URL", "user:swordfish@host/ledger")
    with pytest.raises(ConfigError) as raised:
        load_settings()
    assert "swordfish" not in str(raised.value)


def test_a_name_that_is_no_setting_is_refused_with_the_nearest_one(monkeypatch):
    monkeypatch.setenv("ENRICH_SPEND_CAP_DAYS", "100")
    with pytest.raises(ConfigError, match="ENRICH_SPEND_CAP_DAYS is no setting") as raised:
        load_settings()
    assert raised.value.hint == "Did you mean ENRICH_SPEND_CAP_DAY?"


def test_so_is_one_in_the_dotenv_file(tmp_path):
    (tmp_path / ".env").write_text("enrich_batch_size=7\nOTHER=1\n")
    assert load_settings().batch_size == 7
    (tmp_path / ".env").write_text("ENRICH_BATCHSIZE=7\n")
    with pytest.raises(ConfigError, match="ENRICH_BATCHSIZE is no setting"):
        load_settings()


def test_a_sandbox_of_ones_own_shows_what_the_one_that_starts_by_itself_does():
    assert SandboxConfig().state.resolve() == sandbox_dir(load_settings())
