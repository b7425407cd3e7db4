"""PDFs of bank statements, some that are none, and what was read off one."""

from __future__ import annotations

import io
from collections.abc import Sequence

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from pipeline.sandbox.statements.shapes import StatementAccount

Rows = Sequence[Sequence[str]]


def statement(*parts: str | Rows, figures_from: int = 2, page_breaks: bool = False) -> bytes:
    """A PDF of paragraphs (texts) and tables (rows, the first of them their head), in that order."""
    text = getSampleStyleSheet()["Normal"]
    flow: list[Flowable] = []
    for part in parts:
        if isinstance(part, str):
            if page_breaks and flow and part.startswith("Account"):
                flow.append(PageBreak())
            flow.append(Paragraph(part, text))
        else:
            flow += [Spacer(1, 12), _table(part, figures_from), Spacer(1, 12)]
    made = io.BytesIO()
    SimpleDocTemplate(made, pagesize=A4).build(flow)
    return made.getvalue()


def _table(rows: Rows, figures_from: int) -> Table:
    made = Table([list(row) for row in rows], repeatRows=1)
    grid, top = ("GRID", (0, 0), (-1, -1), 0.25, colors.grey), ("VALIGN", (0, 0), (-1, -1), "TOP")
    made.setStyle(
        TableStyle([("FONTSIZE", (0, 0), (-1, -1), 9), ("ALIGN", (figures_from, 0), (-1, -1), "RIGHT"), grid, top])
    )
    return made


def british() -> bytes:
    """A month of a current account with columns for money out and in."""
    return statement(
        "Example Bank plc",
        "Account holder: Jane Doe",
        "Account number: 12345678",
        "Statement period: 01/05/2024 to 31/05/2024",
        "Currency: GBP",
        [
            ("Date", "Description", "Paid out", "Paid in", "Balance"),
            ("01/05/2024", "Opening balance", "", "", "1,000.00"),
            ("02/05/2024", "CARD PAYMENT TESCO STORES 1234 LONDON", "12.50", "", "987.50"),
            ("03/05/2024", "SALARY ACME LTD", "", "2,500.00", "3,487.50"),
            ("04/05/2024", "DIRECT DEBIT 4711", "45.00", "", "3,442.50"),
            ("31/05/2024", "Closing balance", "", "", "3,442.50"),
        ],
    )


def typed(*lines: str) -> bytes:
    """Lines in a font whose characters are all of one width, as many mainframes print."""
    return drawing(*lines, font="Courier")


def drawing(*lines: str, font: str = "Helvetica") -> bytes:
    """Lines of text on one page, and no table."""
    made = io.BytesIO()
    canvas = Canvas(made, pagesize=A4)
    canvas.setFont(font, 9)
    for at, line in enumerate(lines):
        canvas.drawString(50, 800 - 15 * at, line)
    canvas.showPage()
    canvas.save()
    return made.getvalue()


def with_password() -> bytes:
    """A PDF that opens with a password only."""
    made = io.BytesIO()
    canvas = Canvas(made, pagesize=A4, encrypt="secret")
    canvas.drawString(50, 800, "Date Amount")
    canvas.showPage()
    canvas.save()
    return made.getvalue()


def told(account: StatementAccount) -> list[tuple[str, str, float]]:
    """Its transactions as a person would read them out: day, text, and amount with the sign of its direction."""
    return [
        (str(one.date), one.description, one.amount if one.entry_type == "incoming" else -one.amount)
        for one in account.transactions
    ]
