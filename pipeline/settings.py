"""Every knob of the product: default, unit and reason.

Read from `ENRICH_*` environment variables and from a `.env` file in the working folder; the environment wins.
Durations that concern the API are given in its own seconds and divided by `speed` where they are used
(`Settings.scaled`), so that a sandbox that runs sixty times faster is also waited for sixty times shorter.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.errors import ConfigError

API_URLS = {"us": "https://api.ntropy.com", "eu": "https://api.eu.ntropy.com"}
"""Base URLs by region (Ntropy's OpenAPI document and SDK 5.7.0, ALL_REGIONS)."""

MAX_BATCH_ITEMS = 24_960
"""Most items in one `POST /v3/batches` (Ntropy's OpenAPI document)."""

MOST_TOKENS = 2
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{8,128}")
"""No character that a header, JSON or a comma separated list would have to escape; 128 is the API's most."""

SANDBOX = "sandbox"

OWN_SANDBOX_SPEED = 60.0
"""A sandbox that the product starts by itself answers in seconds where the real API takes minutes."""


Wait = Annotated[float, Field(ge=0, le=2_592_000)]
"""Seconds, 30 days at most: 1e15 is past the last date that the ledger can hold."""

Timeout = Annotated[float, Field(gt=0, le=3_600)]
"""Seconds, an hour at most: on a clock a hundred times slower poll(2) still takes it as milliseconds."""

Days = Annotated[float, Field(ge=0.001, le=36_500)]
"""86 s at least, for a week in compressed time: longer than a check takes to read the files that it has listed."""

Hours = Annotated[float, Field(ge=0.02, le=876_000)]
"""72 s at least: a session that has just resolved the link needs a moment (`lake.publish`)."""


class Settings(BaseSettings):
    """The settings of one data folder. Immutable; made once at the edge and handed down."""

    # Without hide_input_in_errors a traceback would show the value that was refused, which may be a secret.
    model_config = SettingsConfigDict(
        env_prefix="ENRICH_",
        env_file=".env",
        extra="ignore",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    # -- the account --------------------------------------------------------------------------------------------
    api_key: SecretStr | None = Field(None, description="Key of the API. None: the sandbox is used.")
    region: Literal["us", "eu"] = Field("us", description="Region whose base URL is used when none is given.")
    base_url: str | None = Field(None, description="Base URL of the API, without /v3. Wins over region.")
    account: str = Field("default", description="Name of the account; stamped on the data folder with the source.")
    data_dir: Path | None = Field(None, description="Ledger, lake and warehouse of one account. None: data/<source>.")
    inbox: Path = Field(Path("inbox"), description="Where files are dropped for the sensors to pick up.")
    ledger_url: str | None = Field(
        None, repr=False, description="SQLAlchemy URL of the ledger, with a password maybe. None: SQLite in data_dir."
    )

    # -- cutting batches ----------------------------------------------------------------------------------------
    batch_size: int = Field(5_000, ge=1, le=MAX_BATCH_ITEMS, description="Items per batch: results stay near 10 MB.")
    batch_size_bulk: int = Field(MAX_BATCH_ITEMS, ge=1, le=MAX_BATCH_ITEMS, description="The same for a backlog.")
    bulk_threshold: int = Field(50_000, ge=1, description="More rows waiting than this: cut bulk-sized batches.")
    batch_max_age: Wait = Field(900, description="Seconds after which a small remainder is cut as well.")

    # -- limits of the API (planned for the smaller of the documented figures) ----------------------------------
    max_in_flight: int = Field(10, ge=1, description="Batches processing at once per key (documented: 10).")
    credits_capacity: int = Field(50_000, ge=1, description="Size of the credit bucket (documented: 50,000).")
    credits_per_second: float = Field(500, ge=0.001, le=1e6, description="Refill of the bucket (documented: 500/s).")
    rate_limit_share: float = Field(0.5, gt=0, le=1, description="Share of the documented calls/s that is used.")

    # -- time-outs and cadences, seconds ------------------------------------------------------------------------
    connect_timeout: Timeout = Field(10, description="Connecting to the API.")
    read_timeout: Timeout = Field(60, description="Silence on a connection; results of big batches take long.")
    post_timeout: Timeout = Field(300, description="One whole batch POST, body and answer together.")
    poll_interval: Wait = Field(15, gt=0, description="Between two looks at the open batches.")
    poll_interval_webhooks: Wait = Field(120, gt=0, description="The same while each batch's end comes by webhook.")
    overdue_after: Wait = Field(
        21_600, gt=0, description="A batch under way for longer is overdue (6 h): you are told."
    )
    claim_seconds: Wait = Field(60, gt=0, description="How long a step owns a batch without a heartbeat.")
    dispatch_seconds: Wait = Field(120, gt=0, description="How long a requested run may take to start.")

    # -- besides enrichment -------------------------------------------------------------------------------------
    recurrence: Literal["auto", "never"] = Field(
        "auto", description="never: what recurs is not asked for. It is one call for each holder with new rows."
    )

    # -- failures -----------------------------------------------------------------------------------------------
    grace: Wait = Field(1_800, description="Longest late arrival plus list lag of a batch (30 min).")
    resend: Literal["auto", "never"] = Field("auto", description="never: hold instead of sending again.")
    max_attempts: int = Field(3, ge=1, description="Times a batch that ends in error is sent before it is halved.")
    probe_budget: float = Field(
        4,
        ge=0,
        le=1_000,
        description="Most credits for finding items that make a batch fail, in multiples of its size.",
    )
    item_attempts: int = Field(3, ge=1, description="Times an item that gets an error of its own is sent in all.")
    outage_after: int = Field(3, ge=1, description="Batches in error in a row, none completed: sending stops.")
    backoff_base: Wait = Field(60, description="First back-off after an error batch; doubles, with jitter.")
    backoff_max: Wait = Field(3_600, description="Longest back-off.")
    probe_seconds: Wait = Field(300, description="How long an open circuit waits before one batch may try.")
    spend_cap_run: int | None = Field(None, ge=0, description="Most credits one run may spend.")
    spend_cap_day: int | None = Field(None, ge=0, description="Most credits a UTC day may cost.")
    spend_cap_month: int | None = Field(None, ge=0, description="Most credits a UTC month may cost.")

    # -- telling a person --------------------------------------------------------------------------------------
    alert_url: SecretStr | None = Field(None, description="Each alert is POSTed there as JSON. None: only logged.")

    # -- what is kept -------------------------------------------------------------------------------------------
    keep_replaced_days: Days = Field(
        7, description="Replaced Parquet files stay that long: a session that is open on them reads on."
    )
    keep_warehouse_hours: Hours = Field(
        12, description="Replaced versions of the warehouse stay that long, and the files that they read."
    )
    keep_partitions_days: Days = Field(
        90, description="Then a landed batch is no partition in the UI any more; 100,000 of them make it slow."
    )
    keep_runs_days: Days = Field(30, description="Finished runs and their events in the UI.")

    # -- webhooks -----------------------------------------------------------------------------------------------
    webhook_token: SecretStr | None = Field(
        None,
        description="Token that each delivery brings; while it is changed two, comma separated, the new one first.",
    )
    webhook_insecure: bool = Field(False, description="Take deliveries without a token: anybody can send hints.")
    webhook_max_body: int = Field(1_048_576, ge=1_024, description="Bytes of a delivery; one for a batch has some 300.")
    webhook_answer_seconds: float = Field(
        5, gt=0, le=9, description="Seconds to take a delivery or say 503; the sender gives up after 10."
    )
    webhook_keep: float = Field(
        604_800, ge=86_400, le=31_536_000, description="Seconds an event is remembered (7 d); it is repeated for 24 h."
    )
    # Undocumented, so nothing has a default: either all four are set or none. The raw body is what is signed.
    webhook_hmac_secret: SecretStr | None = Field(None, description="Secret of a signature to check besides the token.")
    webhook_hmac_header: str | None = Field(None, description="Header that has the signature.")
    webhook_hmac_algorithm: Literal["sha1", "sha256", "sha512"] | None = Field(None, description="Its hash.")
    webhook_hmac_encoding: Literal["hex", "base64"] | None = Field(None, description="How it is written.")

    # -- logs ---------------------------------------------------------------------------------------------------
    log_format: Literal["text", "json"] = Field("text", description="Log lines of the receiver: json, one a line.")

    # -- the sandbox --------------------------------------------------------------------------------------------
    time_scale: float | None = Field(
        None, ge=0.01, le=1e6, description="How much faster the sandbox runs. None: 60, or 1 if real."
    )

    @field_validator("base_url")
    @classmethod
    def _no_trailing_slash(cls, value: str | None) -> str | None:
        if not value:
            return None
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            msg = f"base_url must start with http:// or https://, not {value!r}"
            raise ValueError(msg)
        return value.rstrip("/").removesuffix("/v3")

    @field_validator("account")
    @classmethod
    def _account_names_a_folder(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
            msg = f"an account name has letters, digits, '.', '_' and '-' only, as a folder's: {value!r}"
            raise ValueError(msg)
        return value

    @field_validator("ledger_url")
    @classmethod
    def _is_a_database_url(cls, value: str | None) -> str | None:
        if value and not re.match(r"[a-z0-9]+(\+[a-z0-9]+)?://", value):
            # Not quoted: it may hold a password.
            msg = "a database URL such as sqlite:////var/lib/enrich/ledger.sqlite is wanted"
            raise ValueError(msg)
        return value or None

    @field_validator("alert_url")
    @classmethod
    def _is_a_receiver(cls, value: SecretStr | None) -> SecretStr | None:
        text = value.get_secret_value().strip() if value else ""
        parts = urlsplit(text)
        if text and (parts.scheme not in {"http", "https"} or not parts.hostname):
            # Not quoted: such addresses are often the secret themselves.
            msg = "an address that begins with http:// or https:// is wanted"
            raise ValueError(msg)
        return SecretStr(text) if text else None

    @field_validator("api_key")
    @classmethod
    def _empty_key_is_none(cls, value: SecretStr | None) -> SecretStr | None:
        return value if value and value.get_secret_value().strip() else None

    @property
    def wants_own_sandbox(self) -> bool:
        """True when neither a key nor a base URL is set: the product then starts its own sandbox."""
        return self.api_key is None and self.base_url is None

    @property
    def url(self) -> str:
        """The API's base URL, without /v3."""
        return self.base_url or API_URLS[self.region]

    @property
    def source(self) -> str:
        """`sandbox` for a loopback address, otherwise the host: what `transactions.source` says."""
        if self.wants_own_sandbox:
            return SANDBOX
        host = urlsplit(self.url).hostname or ""
        return SANDBOX if host in {"127.0.0.1", "localhost", "::1"} else host

    @property
    def key(self) -> str:
        """The API key. The sandbox takes any; a real host without one is refused here, before anything is sent."""
        if self.api_key is not None:
            return self.api_key.get_secret_value()
        if self.source == SANDBOX:
            return "sandbox-key"
        raise ConfigError("no API key is set", hint="Set ENRICH_API_KEY, or unset ENRICH_BASE_URL to use the sandbox.")

    @property
    def webhook_tokens(self) -> tuple[str, ...]:
        """The tokens that are taken, the one to register first; empty when none is set.

        Raises ConfigError, without a token in it, for more than two or for one that cannot be used.
        """
        text = self.webhook_token.get_secret_value() if self.webhook_token else ""
        tokens = tuple(token for part in text.split(",") if (token := part.strip()))
        if len(tokens) > MOST_TOKENS or not all(_TOKEN.fullmatch(token) for token in tokens):
            raise ConfigError(
                "ENRICH_WEBHOOK_TOKEN is not one token, or two with a comma between them",
                hint="A token has 8 to 128 letters, digits and any of -._~+/=; `openssl rand -hex 32` makes one.",
            )
        return tokens

    @property
    def ledger(self) -> str:
        """SQLAlchemy URL of the ledger."""
        return self.ledger_url or f"sqlite:///{self.home / 'ledger' / 'ledger.sqlite'}"

    @property
    def home(self) -> Path:
        """The data folder, absolute: views in the warehouse hold absolute paths."""
        if self.data_dir is not None:
            return self.data_dir.expanduser().resolve()
        # A folder of its own for each account, so that a first real key never meets the sandbox's answers.
        account = "" if self.account == "default" else f"-{self.account}"
        return Path("data", f"{self.source}{account}").resolve()

    @property
    def speed(self) -> float:
        """How much faster than the real API's the clock of the API in use runs: 1 for a real one, always."""
        if self.source != SANDBOX:
            if self.time_scale not in {None, 1}:
                raise ConfigError("a real API keeps real time", hint="Unset ENRICH_TIME_SCALE; it is for the sandbox.")
            return 1
        return self.time_scale or (OWN_SANDBOX_SPEED if self.wants_own_sandbox else 1)

    @property
    def inbox_dir(self) -> Path:
        """The inbox, absolute."""
        return self.inbox.expanduser().resolve()

    def scaled(self, seconds: float) -> float:
        """Real seconds on the sandbox's clock."""
        return seconds / self.speed


BESIDES = frozenset({"ENRICH_CRASH_AT", "ENRICH_NO_SKIPS", "ENRICH_ALL_CRASHES", "ENRICH_RELIABILITY"})
"""Variables that begin like a setting and are none: they are for the project's own tests."""


def load_settings(**given: Any) -> Settings:
    """The settings, with those of `given` that are not None winning over the environment.

    Raises ConfigError that names the setting for a value that cannot be used, and for a name that is no setting: a
    spending cap with a typo in its name would cap nothing.
    """
    _refuse_unknown({*os.environ, *dotenv_values(".env")})
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        raise ConfigError(f"ENRICH_{name}: {first['msg'].removeprefix('Value error, ')}") from error


def _refuse_unknown(names: set[str]) -> None:
    known = {f"ENRICH_{name.upper()}" for name in Settings.model_fields}
    unknown = sorted(
        name for name in names if name.upper().startswith("ENRICH_") and name.upper() not in known | BESIDES
    )
    if unknown:
        close = difflib.get_close_matches(unknown[0].upper(), known, n=1)
        hint = f"Did you mean {close[0]}?" if close else "All settings are in pipeline/settings.py."
        raise ConfigError(f"{unknown[0]} is no setting", hint=hint)
