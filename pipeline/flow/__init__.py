"""The steps of the pipeline, each joining files, ledger, lake and API. They know no Dagster; `assets/` call them."""
