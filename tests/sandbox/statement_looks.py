"""Statements of one month or so with every look that a simple table may have, drawn from a seed."""

from __future__ import annotations

import datetime as dt
import io
import random

from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

_WORDS = [
    "CARD",
    "PAYMENT",
    "CORNER",
    "STORES",
    "LONDON",
    "SALARY",
    "ACME",
    "LTD",
    "DIRECT",
    "DEBIT",
    "POWER",
    "COFFEE",
    "1234",
    "#88",
    "12/05",
    "REF:",
    "MKTP",
    "US*2K4",
    "TRANSFER",
    "TO",
    "J.",
    "SMITH",
    "ATM",
    "WITHDRAWAL",
    "0042",
    "Café",
    "Müller",
    "TAXI",
    "*TRIP",
    "7-ELEVEN",
    "100.00",
    "EUR",
]
_HEADS = (
    ("Date", "Description", "Paid out", "Paid in", "Balance"),
    ("Date", "Narrative", "Debit", "Credit"),
    ("Date", "Details", "Amount"),
    ("Transaction Date", "Description", "Amount", "Balance"),
    ("Date", "Description", "Type", "Amount", "Balance"),
)
_PLACES = {3: (40, 130, 480), 4: (40, 140, 420, 520), 5: (40, 130, 370, 450, 530)}
_DATES = ("%Y-%m-%d", "%d %b %Y", "%d.%m.%Y", "%d-%b-%y", "%b %d, %Y")
_FONTS = (("Helvetica", 9), ("Helvetica", 7), ("Times-Roman", 8), ("Courier", 7))


class Look:
    """One statement: its PDF, and what should be read off it, in the order of the page."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._head = chance.choice(_HEADS)
        self._date = chance.choice(_DATES)
        self._unit = chance.choice(("", "", "£", "$")) if "." not in self._date else ""
        self._currency = f"Currency: {'EUR' if '.' in self._date else 'USD'}"
        self._flush_right = chance.random() < 0.7
        self._font, self._size = chance.choice(_FONTS)
        start = balance = chance.randint(10_000, 500_000)
        day = dt.date(2024, 1, 1) + dt.timedelta(chance.randint(0, 300))
        lines = []
        for _ in range(chance.randint(2, 90)):
            day += dt.timedelta(chance.choice((0, 0, 1, 2)))
            amount = chance.randint(1, 300_000) * chance.choice((-1, -1, 1))
            balance += amount
            lines.append((day, self._text(), amount, balance))
        # A signed column without a sign in it is no such column.
        lines.append((day, self._text(), -100, balance - 100))
        if chance.random() < 0.3:
            lines.reverse()
        self.opening = start / 100
        self.rows = [(str(day), text, amount / 100) for day, text, amount, _ in lines]
        self.pdf = self._draw(start, lines)

    def _text(self) -> str:
        return " ".join(self._chance.choice(_WORDS) for _ in range(self._chance.randint(1, 4)))

    def _money(self, cents: int) -> str:
        text = f"{abs(cents) / 100:,.2f}"
        if "." in self._date:
            text = text.translate(str.maketrans(",.", ".,"))
        return ("-" if cents < 0 else "") + self._unit + text

    def _values(self, amount: int, balance: int) -> list[str]:
        out, into = (self._money(-amount), "") if amount < 0 else ("", self._money(amount))
        known = {
            "Paid out": out, "Paid in": into, "Debit": out, "Credit": into, "Balance": self._money(balance),
            "Type": "Debit" if amount < 0 else "Credit",
            "Amount": self._money(abs(amount) if "Type" in self._head else amount),
        }  # fmt: skip
        return [known[name] for name in self._head[2:]]

    def _draw(self, start: int, lines: list[tuple[dt.date, str, int, int]]) -> bytes:
        made = io.BytesIO()
        canvas = Canvas(made, pagesize=A4)
        canvas.setFont(self._font, self._size)
        opening = f"Opening balance: {self._money(start)}"
        for at, text in enumerate(("My Bank", "Account number: 12345678", self._currency, opening)):
            canvas.drawString(40, 800 - 14 * at, text)
        height = 740
        self._line(canvas, height, list(self._head))
        for day, text, amount, balance in lines:
            height -= 12
            if height < 60:
                canvas.drawString(40, 40, "Page 1 of 3")
                canvas.showPage()
                canvas.setFont(self._font, self._size)
                height = 788
                self._line(canvas, 800, list(self._head))
            self._line(canvas, height, [day.strftime(self._date), text, *self._values(amount, balance)])
        canvas.showPage()
        canvas.save()
        return made.getvalue()

    def _line(self, canvas: Canvas, height: int, texts: list[str]) -> None:
        for name, place, text in zip(self._head, _PLACES[len(self._head)], texts, strict=True):
            if self._flush_right and name not in (*self._head[:2], "Type"):
                canvas.drawRightString(place + 40, height, text)
            else:
                canvas.drawString(place, height, text)
