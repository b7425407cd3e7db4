"""The receiver of webhook deliveries: checks them and puts them in the ledger's inbox.

A delivery is a hint that a batch is worth a look. Nothing here changes a batch, calls the API or knows Dagster.
"""
