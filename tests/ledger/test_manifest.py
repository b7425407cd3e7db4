"""Compare-and-swap of the manifest."""

from __future__ import annotations

import pytest

from pipeline.errors import ConflictError
from pipeline.ledger import manifest
from pipeline.ledger.manifest import NewFile


def add(ledger, *names, kind="waiting", remove=(), **guard):
    with ledger.write() as conn:
        files = [NewFile(kind, name, 1, 1, "sha") for name in names]
        return manifest.commit(conn, add=files, remove=remove, now=ledger.now(), **guard)


def live(ledger, *kinds):
    with ledger.read() as conn:
        return [row.path for row in manifest.live(conn, *kinds)]


def test_a_swap_removes_and_adds_in_one_revision(ledger):
    assert add(ledger, "a", "b") == 1
    assert add(ledger, "c", kind="plan", remove=["a"]) == 2
    assert live(ledger) == ["b", "c"]
    assert live(ledger, "plan") == ["c"]


def test_a_file_is_removed_once(ledger):
    add(ledger, "a")
    add(ledger, "c", remove=["a"])
    with pytest.raises(ConflictError, match="a is no longer live"):
        add(ledger, "d", remove=["a"])
    assert live(ledger) == ["c"]


def test_work_that_rests_on_an_older_revision_is_refused(ledger):
    read = add(ledger, "a", kind="raw_transactions")
    add(ledger, "p", kind="plan")
    add(ledger, "b", kind="raw_transactions", read_revision=read, unchanged=("raw_transactions",))
    with pytest.raises(ConflictError, match="changed since revision 1"):
        add(ledger, "c", kind="raw_transactions", read_revision=read, unchanged=("raw_transactions",))


def test_an_older_publication_never_replaces_a_newer(ledger):
    manifest.mark_published(ledger, 7)
    manifest.mark_published(ledger, 5)
    assert manifest.head(ledger).published_revision == 7
