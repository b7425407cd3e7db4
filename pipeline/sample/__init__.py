"""The shipped sample: 3,003 invented bank records in the canonical columns, of which ingestion accepts 3,000.

Belongs here: the file and the program that makes it. Every person, company account and amount is invented; shop names
are those that real statements are full of.
"""

from __future__ import annotations

from pathlib import Path

SAMPLE = Path(__file__).with_name("transactions.csv")
"""The sample file. Remake it with `python -m pipeline.sample.generate`."""
