"""What a process imports and reads before sandboxes are forked from it."""

from __future__ import annotations

import gc

import pipeline.sandbox.__main__
import pipeline.sandbox.server  # noqa: F401
from pipeline.sandbox import engine

engine.load()
gc.collect()
gc.freeze()  # a collection in a child would touch, and so copy, every page
