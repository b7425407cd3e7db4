"""The ledger's tables. Rows per batch, attempt, holder and file; never per transaction.

Times are naive UTC. Nothing here reads or writes; the migrations build what is declared here, and a test compares them.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

VERSION = "3"
"""The last migration's. A ledger that says so is opened without asking Alembic."""

metadata = MetaData()

data_folder = Table(
    "data_folder",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("source", String, nullable=False),
    Column("account", String, nullable=False),
    # Made at the first stamp. One account may have two data folders, and a backup of one is none of the other.
    Column("folder_id", String, nullable=False),
    Column("stamped_at", DateTime, nullable=False),
    # Intents in the journal beside the archive that this ledger knows; more of them there: the ledger is older.
    Column("journal_seen", BigInteger, nullable=False, default=0),
)

source_files = Table(
    "source_files",
    metadata,
    Column("file_id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("sha256", String, nullable=False, index=True),
    Column("bytes", BigInteger, nullable=False),
    Column("records", BigInteger, nullable=False),
    Column("accepted", BigInteger, nullable=False),
    Column("repeats", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False),
    Column("archive_path", String, nullable=False),
    # What the file was read with, so that it can be read again; NULL: its columns are the canonical ones.
    Column("mapping", JSON),
    Column("facts", JSON, nullable=False),
    Column("warnings", JSON, nullable=False),
    Column("ingested_at", DateTime, nullable=False),
    Column("revision", BigInteger, nullable=False),
    CheckConstraint("accepted + rejected = records", name="conservation"),
)

manifest_head = Table(
    "manifest_head",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("published_revision", BigInteger, nullable=False),
    Column("publish_dispatched_until", DateTime),
)

manifest_files = Table(
    "manifest_files",
    metadata,
    Column("path", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("batch_key", String, index=True),
    Column("file_id", String),
    Column("version", Integer),
    Column("rows", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String, nullable=False),
    Column("added_revision", BigInteger, nullable=False),
    Column("added_at", DateTime, nullable=False),
    Column("removed_revision", BigInteger),
    Column("removed_at", DateTime),
    Index("manifest_live", "kind", "removed_revision"),
)

batches = Table(
    "batches",
    metadata,
    Column("batch_key", String, primary_key=True),
    Column("plan_seq", BigInteger, nullable=False, unique=True),
    Column("items_hash", String, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("parent_key", String, index=True),
    Column("root_key", String, nullable=False, index=True),
    Column("state", String, nullable=False, index=True),
    Column("state_since", DateTime, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("rows_moved", BigInteger, nullable=False, default=0),
    Column("first_id", String, nullable=False),
    Column("last_id", String, nullable=False),
    Column("planned_at", DateTime, nullable=False),
    Column("holders_confirmed_at", DateTime),
    # attempts: `attempts` counts those that were sent or may have been; `sequence` numbers every try.
    Column("attempts", Integer, nullable=False, default=0),
    Column("attempts_allowed", Integer, nullable=False),
    Column("sequence", Integer, nullable=False, default=0),
    Column("next_reason", String, nullable=False),
    Column("next_attempt_at", DateTime),
    Column("vendor_batch_id", String),
    Column("progress", BigInteger),
    Column("looked_at", DateTime),
    Column("collect_tries", Integer, nullable=False, default=0),
    Column("reason", String),
    Column("held_from", String),
    Column("landed_version", Integer),
    Column("landed_at", DateTime),
    Column("reported_version", Integer, nullable=False, default=0),
    Column("reported_sequence", Integer, nullable=False, default=0),
    Column("verified_version", Integer, nullable=False, default=0),
    # who works on it, and how many processes died at it in this state
    Column("kills", Integer, nullable=False, default=0),
    Column("claim_owner", String),
    Column("claim_fence", BigInteger, nullable=False, default=0),
    Column("claim_expires_at", DateTime),
    Column("dispatched_until", DateTime),
    UniqueConstraint("items_hash", "generation", name="one_batch_per_items"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("batch_key", String, ForeignKey("batches.batch_key"), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("state", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("credits", BigInteger, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("run_id", String),
    Column("server_clock", DateTime),
    Column("bucket_level", Float, nullable=False),
    Column("reserved_at", DateTime, nullable=False),
    Column("sending_at", DateTime),
    Column("unconfirmed_at", DateTime),
    Column("submitted_at", DateTime),
    Column("finished_at", DateTime),
    Column("vendor_batch_id", String, unique=True),
    Column("request_id", String),
    Column("error", String),
    # Each look of the sensor asks for the batches that ended last.
    Index("attempts_finished", "finished_at"),
)

documents = Table(
    "documents",
    metadata,
    # What is archived for a batch: its plan (sequence 0), and for each attempt the answers it was landed from.
    Column("batch_key", String, ForeignKey("batches.batch_key"), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("nth", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("path", String, nullable=False),
    Column("items", BigInteger, nullable=False),
    Column("archived_at", DateTime, nullable=False),
)

unknown_fields = Table(
    "unknown_fields",
    metadata,
    Column("path", String, primary_key=True),
    Column("batch_key", String, nullable=False),
    Column("first_seen_at", DateTime, nullable=False),
)

foreign_batches = Table(
    "foreign_batches",
    metadata,
    Column("vendor_batch_id", String, primary_key=True),
    Column("reason", String, nullable=False),
    Column("seen_at", DateTime, nullable=False),
)

credit_bucket = Table(
    "credit_bucket",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("level", Float, nullable=False),
    Column("updated_at", DateTime, nullable=False),
    # After a 429 nothing is sent before this; each further one in a row doubles the wait.
    Column("not_before", DateTime),
    Column("throttled", Integer, nullable=False, default=0),
)

# Who may send, on PostgreSQL; on SQLite a lock on a file says that. `fence` counts the senders.
sender_lease = Table(
    "sender_lease",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("owner", String),
    Column("fence", BigInteger, nullable=False),
    Column("expires_at", DateTime),
)

circuit = Table(
    "circuit",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("kind", String, nullable=False),
    Column("opened_at", DateTime, nullable=False),
    Column("status", Integer),
    Column("reason", String, nullable=False),
    Column("probe_after", DateTime, nullable=False),
    Column("probes", Integer, nullable=False, default=0),
)

holders = Table(
    "holders",
    metadata,
    Column("account_holder_id", String, primary_key=True),
    Column("type", String, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("first_seen_at", DateTime, nullable=False),
    Column("confirmed_at", DateTime),
    Column("detail", String),
    # The API's: the set that its categories come from; NULL: that of its type.
    Column("category_id", String),
)

kept_answers = Table(
    "kept_answers",
    metadata,
    # Archived answers that are of no batch: category sets, and recurring groups of several holders in one document.
    Column("path", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("items", BigInteger, nullable=False),
    Column("archived_at", DateTime, nullable=False),
)

category_lists = Table(
    "category_lists",
    metadata,
    # One row per answer that differs from all before it of the same set.
    Column("content_id", String, primary_key=True),
    Column("category_set", String, nullable=False, index=True),
    Column("incoming", JSON, nullable=False),
    Column("outgoing", JSON, nullable=False),
    Column("path", String, ForeignKey("kept_answers.path"), nullable=False),
)

category_days = Table(
    "category_days",
    metadata,
    Column("category_set", String, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("content_id", String, ForeignKey("category_lists.content_id"), nullable=False),
    Column("fetched_at", DateTime, nullable=False),
)

recurrence = Table(
    "recurrence",
    metadata,
    # One row per holder with an enriched transaction. `history_at`: when the newest of them was landed.
    Column("account_holder_id", String, primary_key=True),
    Column("bucket", Integer, nullable=False),
    Column("history_at", DateTime, nullable=False),
    # Set while the history is newer than what the API was asked about.
    Column("due_since", DateTime, index=True),
    Column("refreshed_at", DateTime),
    Column("path", String, ForeignKey("kept_answers.path")),
    Column("group_count", Integer, nullable=False, default=0),
    Column("failures", Integer, nullable=False, default=0),
    Column("error", String),
    Column("not_before", DateTime),
    Column("claim_expires_at", DateTime),
)

recurrence_seen = Table(
    "recurrence_seen",
    metadata,
    # The manifest's revision up to which landed files were searched for holders with a new history. After a refusal
    # that every holder would meet nobody is asked about before `not_before`.
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False, default=0),
    Column("not_before", DateTime),
)

webhook_inbox = Table(
    "webhook_inbox",
    metadata,
    # One row per event, however often it is delivered. A hint only: nothing here says what state a batch is in.
    Column("event_id", String, primary_key=True),
    Column("event_type", String, nullable=False),
    Column("vendor_batch_id", String),
    Column("status", String),
    Column("received_at", DateTime, nullable=False),
    Column("taken_at", DateTime),
    Column("outcome", String),
    Index("webhook_inbox_waiting", "taken_at", "received_at"),
)

registered_webhooks = Table(
    "registered_webhooks",
    metadata,
    # Which of the organization's webhooks (10 at most, shared with others) this data folder may switch on or delete.
    Column("webhook_id", String, primary_key=True),
    Column("url", String, nullable=False),
    Column("registered_at", DateTime, nullable=False),
    # What the last look at the API found: `switched off` or `gone`; NULL: nothing.
    Column("trouble", String),
)

operator_actions = Table(
    "operator_actions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", DateTime, nullable=False),
    Column("who", String, nullable=False),
    Column("action", String, nullable=False),
    Column("batch_key", String),
    Column("why", String, nullable=False),
)

alerts = Table(
    "alerts",
    metadata,
    # What a person was or is to be told. A row goes when its end was told, or when it ended before anybody was told.
    Column("key", String, primary_key=True),
    Column("first_at", DateTime, nullable=False),
    Column("told_at", DateTime),
    Column("cleared_at", DateTime),
    Column("text", String, nullable=False),
)

api_calls = Table(
    "api_calls",
    metadata,
    Column("day", Date, primary_key=True),
    Column("call", String, primary_key=True),
    Column("calls", BigInteger, nullable=False),
)

ALL_TABLES = tuple(metadata.sorted_tables)
