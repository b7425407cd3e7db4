"""Which merchant a line names.

Belongs here: choosing among the names that stand in a line, by length, position, country and who wrote the row; then
names written as one word, cut off or misspelt. When in doubt there is no hit: the line's own words are a good name, and
a wrong website is worse than none.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rapidfuzz import fuzz, process

from pipeline.sandbox.engine import departments
from pipeline.sandbox.engine.merchants import BLOCK, SHORTEST_ALIKE, Entry, Merchant, index
from pipeline.sandbox.engine.text import canonical, has_digit, spelled
from pipeline.sandbox.engine.trades import Trade, by_words, is_trade
from pipeline.sandbox.wordlist import word_set

if TYPE_CHECKING:
    from collections.abc import Iterable

LAST_START = 4
"""A name that starts later than the fifth token is more likely a street or a remark."""
_GENERIC = word_set(
    "LTD LIMITED PLC INC LLC CORP CO GMBH AG SA BV UK US USA STORE STORES ONLINE COM RETAIL SERVICES SERVICE MARKT"
    " GROUP PAYMENT BILL MOBILE SHOP EXPRESS EUROPE DE FR NL ES IT SRL SPA KG SE NV AB OY AS APS SAS SARL SL"
    " LDA THE WWW"
    " INTERNATIONAL INTL FILIALE FIL NR NO STR SUPERSTORE BRANCH OUTLET CITY CENTRE CENTER NORTH SOUTH EAST"
    " WEST AIRPORT"
    " STATION ST HIGH STREET ROAD RD MALL PLAZA PARK FOOD PHARMACY BANK HOTEL RESTAURANT CAFE COFFEE PETROL FUEL GAS"
    " SUPERMARKET PURCHASE CARD DIRECT EU GB CA AU SUPERCENTER MARKET INSURANCE ENERGY SUBSCRIPTION"
    " MEMBERSHIP HELP AUTOPAY"
    " TOPUP PAYG PREPAID MONTHLY ACCOUNT CUSTOMER CLIENTS KUNDEN DIGITAL TOP UP GASBAR STN DANKT SAGT DANKE"
    " RETAIL APP ORDER STATIONS WEB PMT PYMT PAYMENTS DD INTERNET UND AND DEUTSCHLAND FRANCE ESPANA ITALIA"
    " NEDERLAND IRELAND TIENDA WINKEL NEGOZIO MAGASIN LADEN CZ PL AT CH PT HU RO SK IE BE DK FI"
)
_AMBIGUOUS = 10
"""A single word of the brand table that is shorter counts only where nothing strange stands behind it."""
_GLUED = word_set("USA USAI US UK EU INC LTD LLC COM COMBILL ONLINE INTL INT AB AG BV GMBH SA SE SARL")
"""What processors print behind a name with no space: SPOTIFYUSAI."""
_LEAST_GLUED = 6
_LEAST_NUMBERED = 4
_LEAST_CLEAR = 5
_LEAST_BEHIND = 9
_LEAST_ABROAD = 6
"""Letters from which a name written by hand is believed outside its countries too."""
_TRADES = frozenset({"PHARMACY", "HOTEL", "RESTAURANT", "CAFE", "COFFEE", "FUEL", "PETROL", "INSURANCE"})
"""Everyday words that name a trade all the same."""
_STATIONS = frozenset({"STN", "SVC", "SERV", "PFS", "FILLING", "SSTN", "SST", "TANKSTELLE"})
_LEAST_INSIDE = 7
"""Letters that a single word needs to be found behind words that are not its own."""
_SHORT = 10
_TRUNCATED = 7
_WHOLE_WORDS = frozenset({"AUTOMAT"})
"""Words that begin like a name and are not one cut off."""
_FULL_FIELD = 18
_MOST_CUT_OFF = 12
_ALIKE = 90.0
_SHORT_WORD = 3
_WRITTEN = 8
_FIRST = 6
_MAIN = 2
_AT_HOME = 3
_STRANGE = 5
_ABROAD = 9


class Hit(NamedTuple):
    """The merchant of a line, the platform it was bought through, its first token and the one behind its name."""

    merchant: Merchant
    platform: Merchant | None
    start: int
    end: int


@dataclass(slots=True)
class _Line:
    """Canonical tokens of a line, where they begin in it, how many are its name, and where it may have happened."""

    key: list[str]
    starts: list[int]
    kept: int
    homes: frozenset[str]


def identify(line: list[str], kept: int, homes: Iterable[str] = ()) -> Hit | None:
    """The merchant that the tokens name, or None; from token `kept` on stands a place.

    `homes`: countries that the transaction may have happened in; none means any.
    """
    key, starts = canonical(line)
    return find(key, starts, len(line), kept, frozenset(homes))


def find(key: list[str], starts: list[int], end: int, kept: int, homes: frozenset[str]) -> Hit | None:
    """As `identify`, of a line of `end` tokens whose canonical ones are known."""
    if not key:
        return None
    taken = _Line(key, starts, bisect_left(starts, kept), homes)
    return _by_automaton(taken, end) or _by_resemblance(taken, end)


def _by_automaton(line: _Line, end: int) -> Hit | None:
    """The best of the names that stand in the line as they are."""
    text = f" {' '.join(line.key)} "
    best: tuple[int, int, Entry] | None = None
    platform: tuple[int, int, Entry] | None = None
    for last, (length, entries) in index().automaton.iter(text):
        start = text.count(" ", 0, last - length + 1)
        for entry in entries:
            score = _score(entry, start, line)
            if score is None:
                continue
            if "platform" in entry.merchant.flags:
                if platform is None or score > platform[0]:
                    platform = (score, start, entry)
            elif best is None or score > best[0]:
                best = (score, start, entry)
    if platform is not None and (best is None or best[1] < platform[1] + platform[2].words):
        best, platform = platform, None
    if best is None:
        return None
    _, start, entry = best
    first, behind = _span(line, start, start + entry.words, end)
    return Hit(entry.merchant, platform[2].merchant if platform else None, first, behind)


def _span(line: _Line, start: int, stop: int, end: int) -> tuple[int, int]:
    """Canonical tokens as tokens of the line."""
    return line.starts[start], line.starts[stop] if stop < len(line.starts) else end


def _score(entry: Entry, start: int, line: _Line) -> int | None:
    """How well a name fits the line, or None where it does not count."""
    merchant, stop = entry.merchant, start + entry.words
    if start > LAST_START or start >= line.kept:
        return None
    abroad = bool(merchant.countries and line.homes) and merchant.countries.isdisjoint(line.homes)
    if abroad and (not merchant.written or entry.exact or entry.letters < _LEAST_ABROAD):
        return None
    before = sum(not _plain(word) for word in line.key[:start]) if start else 0
    if before and entry.words == 1 and (entry.letters < _LEAST_INSIDE or _other_trade_before(entry, line, start)):
        return None
    if entry.exact:
        if before or not (_alone_written(entry, line, stop) if merchant.written else _alone(entry, line, start, stop)):
            return None
    elif not (_clear_written(entry, line, stop) if merchant.written else _clear(entry, line, start, stop)):
        return None
    return (
        entry.letters
        + _FIRST * (start == 0)
        + _MAIN * entry.main
        + _WRITTEN * merchant.written
        + _AT_HOME * (not abroad and bool(merchant.countries) and bool(line.homes))
        - _STRANGE * before
        - _ABROAD * abroad
    )


def _alone(entry: Entry, line: _Line, start: int, stop: int) -> bool:
    """Whether nothing stands around the name but numbers, legal forms and the like: THE GEORGE HOTEL is no clothing."""
    behind = line.key[stop : line.kept]
    own = entry.letters >= _LEAST_CLEAR or entry.merchant.category == "fuel"
    if start > 0 or not all(_plain(word) or (own and is_trade(word)) for word in behind):
        return False
    return (entry.words > 1 and all(map(_plain, behind))) or _same_trade(entry, behind)


def _same_trade(entry: Entry, behind: list[str]) -> bool:
    trade = by_words(behind) if behind else None
    return trade is None or trade.category == entry.merchant.category


def _alone_written(entry: Entry, line: _Line, stop: int) -> bool:
    """The same of an everyday word written by hand; one number or so is enough, and so is a word of its own trade."""
    if stop >= line.kept:
        return True
    trade = _trade_behind(line, stop)
    if trade is not None and trade.category != "other":
        return departments.is_the_same(entry.merchant.category, trade)
    if entry.merchant.category == "fuel" and _names_station(line, stop):
        return True
    return _plain(line.key[stop])


def _names_station(line: _Line, stop: int) -> bool:
    """Whether a filling station's own name stands behind: SHELL FIVEWAYS 387, SHELL TOTHILL SVC STN."""
    behind = line.key[stop + 1 : min(stop + 4, line.kept)]
    return any(has_digit(word) or word in _STATIONS for word in behind)


def _plain(word: str) -> bool:
    return word in _GENERIC or len(word) == 1 or has_digit(word)


def _clear(entry: Entry, line: _Line, start: int, stop: int) -> bool:
    """Whether a name of the brand table is meant, and not a word of another name."""
    if start > 0:
        return entry.words > 1 and entry.letters >= _LEAST_BEHIND
    own = entry.letters >= _LEAST_CLEAR  # a word of its trade is then no part of another name
    behind = [word for word in line.key[stop : line.kept] if not (_plain(word) or (own and is_trade(word)))]
    if entry.words > 1:
        return entry.letters > _SHORT or _same_trade(entry, line.key[stop : line.kept])
    return (not behind or entry.letters >= _AMBIGUOUS) and _same_trade(entry, line.key[stop : line.kept])


def _clear_written(entry: Entry, line: _Line, stop: int) -> bool:
    """Whether no other trade stands behind a short name written by hand: `CHASE STREET BAKERY` is no bank."""
    if entry.words > 1 or entry.letters > _SHORT:
        return True
    trade = _trade_behind(line, stop)
    if trade is None:
        return True
    everyday = not _TRADES.isdisjoint(line.key[stop : line.kept])
    return departments.may_be_of(entry.merchant.category, trade, everyday=everyday)


def _trade_behind(line: _Line, stop: int) -> Trade | None:
    behind: list[str] = []
    for word in line.key[stop : line.kept]:
        if has_digit(word):
            break  # then comes a place
        if word in _TRADES or not _plain(word):
            behind.append(word)
    return by_words(behind) if behind else None


def _other_trade_before(entry: Entry, line: _Line, start: int) -> bool:
    """Whether it is of another trade that only has the name: BOULANGERIE LECLERC, BAR SANTANDER."""
    trade = by_words(line.key[:start])
    return trade is not None and not departments.may_stand_before(entry.merchant.category, trade)


def _by_resemblance(line: _Line, end: int) -> Hit | None:
    """A name written as one word, cut off where the bank's field ends, or with a letter wrong."""
    name = line.key[: line.kept]
    stop = next((at for at, word in enumerate(name) if at and word.isdigit()), len(name))
    name = name[:stop]
    for finder in (_numbered, _squeezed, _glued, _cut_off, _squeezed_cut_off, _alike):
        found = finder(name)
        if not found:
            continue
        fits = [
            entry
            for entry in found
            if not (entry.merchant.countries and line.homes) or entry.merchant.countries & line.homes
        ]
        owners = {entry.merchant.company.name for entry in fits}
        if len(owners) == 1 and not (finder is not _squeezed and "platform" in fits[0].merchant.flags):
            words = next((n for n in range(1, len(name) + 1) if len("".join(name[:n])) >= fits[0].letters), len(name))
            first, behind = _span(line, 0, words, end)
            return Hit(fits[0].merchant, None, first, behind)
    return None


def _numbered(name: list[str]) -> list[Entry]:
    """`STATER BROS180`: a name with the shop's number stuck to it, everyday words too where nothing else is there."""
    for length in (2, 1):
        stem = name[length - 1].rstrip("0123456789") if length <= len(name) else ""
        if len(stem) < _LEAST_NUMBERED or stem == name[length - 1]:
            continue
        whole = all(map(_plain, name[length:]))
        entries = index().by_key.get(" ".join([*name[: length - 1], stem]), [])
        known = [entry for entry in entries if entry.merchant.written or entry.words > 1]
        return [entry for entry in known if whole or not entry.exact]
    return []


def _squeezed(name: list[str]) -> list[Entry]:
    """`HOMEDEPOT`, `MEDIA MARKT`: the longest beginning that is a name when spaces are ignored."""
    squeezed = index().squeezed
    for length in range(min(len(name), 4), 0, -1):
        entries = squeezed.get(spelled("".join(name[:length])))
        if entries:
            whole = all(map(_plain, name[length:]))
            # What is one word both here and there was looked at already, with what stands around it.
            return [
                entry
                for entry in entries
                if max(length, entry.words) > 1 and (whole or (entry.merchant.written and not entry.exact))
            ]
    return []


def _glued(name: list[str]) -> list[Entry]:
    """`SPOTIFYUSAI`: a name with a country or legal form stuck to it."""
    word = name[0] if name else ""
    for end in range(len(word) - 1, _LEAST_GLUED - 1, -1):
        if word[end:] in _GLUED and word[:end] in index().by_key:
            return [entry for entry in index().by_key[word[:end]] if entry.merchant.written and not entry.exact]
    return []


def _cut_off(name: list[str]) -> list[Entry]:
    """`BED BATH BEYO`: the names that begin so and go on within the word, or the line fills its field."""
    text = " ".join(name)
    if len(text) < _TRUNCATED or text in _WHOLE_WORDS:
        return []
    keys = index().sorted_keys
    found: list[Entry] = []
    first = bisect_left(keys, text)
    for key in keys[first : first + _MOST_CUT_OFF]:
        if not key.startswith(text):
            break
        if len(key) > len(text) and (key[len(text)] != " " or len(text) >= _FULL_FIELD):
            found.extend(index().by_key[key])
    return found


def _squeezed_cut_off(name: list[str]) -> list[Entry]:
    """`PANDAEXPR`: one word, cut off, of a name that has more."""
    word = name[0] if len(name) == 1 else ""
    if len(word) < SHORTEST_ALIKE:
        return []
    longer = [key for key in index().blocks.get(word[:BLOCK], ()) if key.startswith(word) and key in index().spaced]
    # EVERGREEN is a word, and no hotel of that name cut off.
    return [entry for key in longer if not _ends_word(word, index().spaced[key]) for entry in index().squeezed[key]]


def _ends_word(beginning: str, name: str) -> bool:
    """Whether what a name begins with, its spaces apart, ends where a word of it ends."""
    ends = itertools.accumulate(map(len, name.split(" ")))
    return len(beginning) in ends


def _alike(name: list[str]) -> list[Entry]:
    """Names with the same first letters that differ in a letter or so."""
    while len(name) > 1 and name[-1] in _GENERIC:
        name = name[:-1]
    text = spelled("".join(name))
    if len(text) < SHORTEST_ALIKE:
        return []
    block = index().blocks.get(text[:BLOCK])
    if not block:
        return []
    best = process.extractOne(text, block, scorer=fuzz.ratio, score_cutoff=_ALIKE)
    if best is None or abs(len(best[0]) - len(text)) > 1:
        return []
    last = index().spaced.get(best[0], "").rpartition(" ")[2]
    replaced = len(best[0]) == len(text) and 0 < len(last) <= _SHORT_WORD and name[-1] != last
    return [] if replaced else index().squeezed[best[0]]  # LIVERPOOL FC is no LIVERPOOL CC
