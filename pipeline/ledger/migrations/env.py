"""Alembic's entry point: run the migrations on the URL that `pipeline.ledger.db` hands over."""

from __future__ import annotations

from alembic import context

from pipeline.ledger import schema
from pipeline.ledger.db import make_engine, version_table

# The ledger's own engine and one transaction: a process that was killed between two tables left a ledger that no later
# start could open ("table batches already exists").
engine = make_engine(context.config.attributes["url"])
with engine.begin() as connection:
    context.configure(
        connection=connection,
        target_metadata=schema.metadata,
        render_as_batch=True,
        transactional_ddl=True,
        version_table=version_table(engine),
    )
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
