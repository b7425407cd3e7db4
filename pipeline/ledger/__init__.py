"""The ledger: which batch is where, and which files make up the tables. Knows no HTTP and no Dagster."""
