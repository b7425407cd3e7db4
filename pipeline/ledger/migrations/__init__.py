"""Migrations of the ledger's tables, run by `pipeline.ledger.db`."""
