"""The sample that is shipped: made-up transactions of made-up people, with the script that makes them."""

from __future__ import annotations

from pathlib import Path

SAMPLE = Path(__file__).with_name("transactions.csv")
"""CSV in the canonical columns: 3,003 records, 3 of them to be rejected."""
