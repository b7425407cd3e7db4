"""Dagster assets, one file per family. They are thin: what they do is written in `pipeline/`."""
