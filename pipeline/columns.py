"""Declared tables as the Dagster UI shows them: columns with their meaning, and a list of all tables. Edge."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from pipeline.lake.tables import Table


def column_schema(table: Table) -> dict[str, dg.TableSchema]:
    """Metadata of an asset: the page's "Columns" with type and comment of each."""
    columns = [
        dg.TableColumn(
            column.name,
            column.type,
            description=column.comment,
            constraints=dg.TableColumnConstraints(nullable=not column.required),
        )
        for column in table.columns
    ]
    return {"dagster/column_schema": dg.TableSchema(columns=columns)}


def list_of(tables: Iterable[Table]) -> str:
    """Markdown for a description: each table with its comment."""
    return "\n".join(f"- `{table.name}`: {table.comment}" for table in tables)
