"""The parts of `flow.rebuilding`: what the ledger knows, files read again, rows placed in batches, tables compared."""
