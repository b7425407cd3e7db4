"""Alembic's entry point: run the migrations on the URL that `pipeline.ledger.db` hands over."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine

from pipeline.ledger import schema

engine = create_engine(context.config.attributes["url"])
with engine.begin() as connection:
    context.configure(connection=connection, target_metadata=schema.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
