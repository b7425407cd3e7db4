"""Ingestion: bank files to canonical rows and rejected rows.

Belongs here: formats, mappings, the API's rules for a single transaction, ids. It knows no ledger,
no API and no Dagster.
"""
