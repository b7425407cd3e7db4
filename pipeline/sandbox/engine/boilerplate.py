"""What banks print around a name, in eight countries, and how it comes off.

Belongs here: patterns of kinds of payment, card masks, dates, references. Compiled once, and the long one is tried at
the start of the text only: the engine has some 50 microseconds for a transaction.
"""

from __future__ import annotations

import re

_BOILERPLATE = re.compile(
    r"VD[PC]-(?=[A-Z])|(?:"
    r"\d{4} \d\d[A-Z]{3}\d\d (?:CD|D|C)|POSC?\d\d[A-Z]{3}|"
    r"(?:RECURRING )?(?:PAYMENT|PURCHASE)(?: WITH CASH ?BACK)? AUTHORI[SZ]ED ON \d\d[/-]\d\d(?:[/-]\d+)?|"
    r"(?:POS|EFTPOS)(?: (?:PURCHASE|DEBIT|PAYMENT|TRANSACTION|REFUND|SIGNATURE|PIN|WITHDRAWAL|CREDIT))*|"
    r"CHECK ?CARD(?: PURCHASE)?(?: \d{4})?|"
    r"(?:VISA |MASTERCARD |MAESTRO )?(?:DEBIT|CREDIT) CARD(?: (?:PURCHASE|PAYMENT|TRANSACTION|DEBIT))*(?: (?:TO|AT))?|"
    r"(?:VISA|MASTERCARD|MAESTRO)(?: (?:DEBIT|CREDIT|PURCHASE|PAYMENT|CARD))*|"
    r"DBT CRD(?: \d{4})?|CARD (?:PAYMENT|PURCHASE|TRANSACTION)(?: (?:TO|AT))?|CONTACTLESS(?: PAYMENT)?(?: TO)?|"
    r"(?:ONLINE|INTERNET|WEB|MOBILE|ELECTRONIC|RECURRING) (?:PAYMENT|PURCHASE|PMT|DEBIT|WITHDRAWAL)(?: TO)?|RECURRING|"
    r"DIRECT DEBIT(?: PAYMENT)?(?: TO)?|D/D|DDR?(?= [A-Z])|STANDING ORDER(?: TO)?|S/O|STO(?= [A-Z])|DAUERAUFTRAG|"
    r"BILL PAYMENT(?: (?:TO|VIA))?|"
    r"BANK GIRO CREDIT|BGC|FASTER PAYMENTS?(?: RECEIPT)?(?: (?:TO|FROM))?|F[PT][IO]|"
    r"ACH(?: (?:DEBIT|CREDIT|PMT|PAYMENT|WITHDRAWAL|DEPOSIT|HOLD|ELECTRONIC))*|EFT(?: (?:DEBIT|CREDIT|PAYMENT))?|"
    r"PRE-?AUTHORI[SZ]ED (?:DEBIT|CREDIT|PAYMENT)|PENDING|PURCHASE(?: (?:AT|FROM|RETURN))?|WITHDRAWAL|DEPOSIT|"
    r"DEBIT(?: PURCHASE)?|CREDIT(?= FROM)|INST XFER|"
    r"KARTENZAHLUNG|GIROCARD|EC KARTE|SEPA[- ](?:BASIS)?LASTSCHRIFT|LASTSCHRIFT(?:EINZUG)?|SEPA DIRECT DEBIT|"
    r"SEPA CREDIT TRANSFER|SEPA (?:INCASSO|OVERBOEKING|PERIODIEKE OVERB\.?)|GUTSCHRIFT|"
    r"SEPA-?[UÜ]BERWEISUNG|[UÜ]BERWEISUNG|UEBERWEISUNG|"
    r"PAIEMENT (?:PAR )?(?:CARTE|CB)|(?:ACHAT|AVOIR) CB|(?:FACTURE )?CARTE(?: DU)?|CB|PRLV(?: SEPA)?|PRELEVEMENT|"
    r"VIR(?:EMENT)?(?: (?:SEPA|PERM|INST|RECU|VERS))*(?: /?DE)?|"
    r"COMPRA(?: (?:EN|CON TARJETA|TARJ\. \d{4}X+))?|TRANSFERENCIA|ABONO|PAGO (?:EN|CON TARJETA)|ADEUDO|RECIBO|"
    r"PAGAMENTO(?: POS)?|"
    r"BETAALAUTOMAAT|BEA,?(?: BETAALPAS)?|INCASSO|KORTKOP|VAREKOB"
    r")(?![A-Z0-9*])[\s:,.*-]*"
)
_MASK = re.compile(
    r"(?:CARD |CRD |NR )?[X*]{2,}(?:[- ][X*]{2,})*[- ]?\d{2,4}\b|\bCARD (?:NO\.? |ENDING (?:IN )?)?\d{4}\b"
)
_JUNK = re.compile(
    r"\bG\.CO/\S*|(?<=\s)(?:\d{3}[-. ]\d{3}[-. ]\d{4}|\d{1,2}/\d{1,2}(?:/\d{2,4})?|\d\d/\d{4}|\d\d?:\d\d|"
    r"\d{1,2}[.-]\d{1,2}[.-](?:\d{2,4})?|\d{4}-\d\d-\d\d(?:T\S+)?)(?!\S)"
    r"|(?<=\s)(?=[A-Z]*\d{6})[A-Z0-9]+$"
)
_SLASHED_PLACE = re.compile(r"//([A-Z ]+)/[A-Z]{2}\b.*")
_GLUED = re.compile(r"\b([A-Z]{3,})(\d{5,})\b")
_CARD_NUMBER = re.compile(r"(?:\d{4,}|\d{1,2}[/.]\d{1,2}(?:[/.]\d{2,4})?) (?=[A-Z])")
_TAIL = re.compile(
    r"[\s,;-]+(?:REF(?:ERENCE)?[ :#.]|ID[:#]|TRACE|AUTH(?: CODE)?[ :#]|CONF(?:IRMATION)?[ :#]|MANDATE[ :]|MREF|EREF|"
    r"PASVOLGNR|GIROCARD|CB\*|VIA IDEAL|PAS\d|TRANSACTIE|"
    r"/MOTIF|TARJETA|KFN \d|NR:|PPD ID|WEB ID|CCD ID|DES:|INDN:|CO ID|TXN |ON \d|BCC |IBAN|VALUE DATE|RATE \d)"
)


def strip_boilerplate(text: str) -> str:
    """Take off what the bank put around the name: kinds of payment, card masks, references."""
    if "*" in text or "X" in text or "CARD" in text:
        text = _MASK.sub(" ", text).strip()
    for _ in range(4):
        found = _BOILERPLATE.match(text)
        if found is None or found.end() == 0:
            break
        text = text[found.end() :]
        number = _CARD_NUMBER.match(text)
        text = text[number.end() :] if number else text
    if "//" in text:
        text = _SLASHED_PLACE.sub(r" \1", text)
    text = _JUNK.sub(" ", _GLUED.sub(r"\1 \2", text)).strip()
    cut = _TAIL.search(text)
    return text[: cut.start()].strip() if cut and cut.start() > 0 else text.strip()
