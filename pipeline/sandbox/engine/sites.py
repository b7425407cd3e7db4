"""Websites that a line prints.

Belongs here: telling `NETFLIX.COM` from an abbreviation with a full stop, and what a printed site says about a company.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.sandbox.engine.text import title

if TYPE_CHECKING:
    from pipeline.sandbox.engine.entities import Company

_DOMAIN = re.compile(
    r"(?:HTTPS?://)?\b(?:WWW\.?)?((?:[A-Z0-9][A-Z0-9-]*\.)+(?:CO\.UK|ORG\.UK|GOV\.UK|AC\.UK|COM\.AU|COM|NET|"
    r"ORG|IO|AI|APP|DEV|DE|FR|NL"
    r"|UK|EU|ES|IT|CH|AT|BE|IE|CA|US|TV|SHOP|PL|SE|DK|NO|FI|PT|ME|STORE|CLOUD|GOV|EDU|BIKE|COFFEE|CLUB|ONLINE|"
    r"LU|CZ|CO|SO|FM|GG|TO))\b(?!\.?@)"
)
_NOT_SITES = re.compile(r"^(?:HELP|SUPPORT|G|P|S|SA|N|INC|ST|DR|MR|MRS|MS|CO|NO|[A-Z])\.[A-Z]{2,3}$")
_HELP = re.compile(
    r"^(?:HELP|SUPPORT|BILL|PAY|WWW|WWW2|M|SHOP|STORE|ORDER|ACCOUNT|ACCOUNTS|BILLING|CHECKOUT|MY|"
    r"APP)\.(?=[^.]+\.[^.]+)"
)


def printed_site(text: str) -> str | None:
    """The website that is printed, or None."""
    if "." not in text:
        return None
    for found in _DOMAIN.finditer(text):
        site: str = _HELP.sub("", found[1])
        if not _NOT_SITES.match(site) and "@" not in text[max(found.start() - 1, 0) : found.end() + 1]:
            return site.lower()
    return None


def as_printed(company: Company, text: str) -> Company:
    """With the website that the line prints, where it is another country's of the same name: amazon.co.uk."""
    printed = printed_site(text)
    if printed is None or company.website is None or company.website.startswith(printed):
        return company
    label, _, suffix = printed.partition(".")
    same = label == company.website.partition(".")[0] and len(suffix) > 1
    return company._replace(website=printed) if same else company


def name_of(website: str) -> str:
    """`get-shirts.co.uk` as `Get Shirts`."""
    return title(website.partition(".")[0].upper().split("-"))
