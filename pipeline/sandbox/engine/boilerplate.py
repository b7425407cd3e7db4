"""What banks print around a name, in eight countries, and how it comes off.

Belongs here: patterns of kinds of payment, card masks, dates, references. Compiled once, and the long one is tried at
the start of the text only: the engine has some 50 microseconds for a transaction.
"""

from __future__ import annotations

import re

_BOILERPLATE = re.compile(
    r"VD[PC]-(?=[A-Z])|\)\)\) ?|(?:SVWZ|ABWA|ABWE)\+|(?:"
    r"\d{4} \d\d[A-Z]{3}\d\d ?,?(?: (?:CD|D|C)\b)? ?,?|POSC?\d\d[A-Z]{3}|"
    r"(?:RECURRING )?(?:PAYMENT|PURCHASE)(?: WITH CASH ?BACK| RETURN)? AUTHORI[SZ]ED ON \d\d[/-]\d\d(?:[/-]\d+)?|"
    r"(?:POS|EFTPOS)(?: (?:PURCHASE|DEBIT|DEB|PAYMENT|TRANSACTION|REFUND|SIGNATURE|PIN|WITHDRAWAL|CREDIT|PUR|"
    r"TRANS))*|"
    r"POS W/D|CHECK ?CARD(?: PURCHASE)?(?: \d{4})?|"
    r"(?:VISA |MASTERCARD |MAESTRO |MC )?(?:DEBIT|CREDIT|DBT) ?(?:CARD|CRD)(?: (?:PURCHASE|PAYMENT|"
    r"TRANSACTION|DEBIT|PURCH|REFUND))*(?: (?:TO|AT))?|"
    r"VISA DEBITKARTE|(?:VISA|MASTERCARD|MAESTRO|BANCONTACT)(?: (?:DEBIT|CREDIT|PURCHASE|PAYMENT|CARD|PURCH|DDA|PUR|"
    r"KOB|VAREKJOP))*|"
    r"DBT (?:CRD|PURCHASE)(?: \d{4})?|CARD (?:PAYMENT|PURCHASE|TRANSACTION|SUBSCRIPTION)(?: (?:TO|AT))?|"
    r"CONTACTLESS(?: PAYMENT)?(?: TO)?|"
    r"(?:ONLINE|INTERNET|WEB|MOBILE|ELECTRONIC|RECURRING|EXTERNAL|"
    r"PREAUTHORIZED) (?:AUTHORI[SZ]ED )?(?:PAYMENT|PURCHASE|PMT|DEBIT|WITHDRAWAL|DEPOSIT|WD|CREDIT|"
    r"BILL PAYMENT)(?: TO| FROM)?|"
    r"RECURRING|INSTALL?MENT|"
    r"DIRECT DEBIT(?: PAYMENT)?(?: TO)?|D/D|DDR?(?= [A-Z])|STANDING ORDER(?: TO)?|S/O|STO(?= [A-Z])|DAUERAUFTRAG|"
    r"BILL ?(?:PAYMENT|PAY|PMT)(?: (?:TO|VIA))?|VIS(?= [A-Z])|DEB(?= [A-Z])|"
    r"BANK (?:GIRO )?CREDIT|\*(?:MOBI|INET)|BG-BET\.?(?: VIA INTERNET)?(?: \d+-\d+)?|BGC|"
    r"BACS(?: (?:CREDIT|DEBIT|DD))?|SO(?= (?:MRS?|MS|MISS|DR) )|"
    r"FASTER PAYMENTS?(?: RECEIPT)?(?: REF\.(?:(?! FROM ).)+)?(?: (?:TO|FROM))?|F[PT][IO]|FP|"
    r"ACH(?: (?:DEBIT|CREDIT|PMT|PAYMENT|WITHDRAWAL|DEPOSIT|HOLD|ELECTRONIC|TRANSFER))*(?: (?:TO|FROM))?|"
    r"EFT(?: (?:DEBIT|CREDIT|PAYMENT))?|"
    r"PRE-?AUTHORI[SZ]ED (?:DEBIT|CREDIT|PAYMENT|PYMT)|PAP(?= [A-Z])|PENDING|PURCHASE(?: (?:AT|FROM|RETURN))?|"
    r"WITHDRAWAL(?: (?:DEBIT CARD|POS|ACH|FROM))*|"
    r"DEPOSIT(?: (?:ACH|FROM))*|ORIG CO NAME:|"
    r"DEBIT(?: PURCHASE(?: -VISA)?(?: ON \d{6})?)?|CREDIT(?= FROM)|INST XFER|"
    r"(?:DEVOLUCION|REFUND|RETOUR|RIMBORSO|RUCKERSTATTUNG|ERSTATTUNG|TERUGBETALING|REMBOURSEMENT|RETOURE|"
    r"ZWROT)(?: (?:TARJ\.?|COMPRA|DE|FROM|RETOURE|RETOUR))*|"
    r"KARTENZAHLUNG|KARTENVERFUGUNG|BEZAHLUNG KARTE|EINKAUF|GIROCARD|EC[ -]KARTE|"
    r"SEPA[- ](?:BASIS)?LASTSCHRIFT|(?:SEPA )?(?:ERST|FOLGE|BASIS|FIRMEN)?-?LASTSCHRIFT(?:EINZUG)?|LSV|"
    r"SEPA[- ](?:DIRECT DEBIT|DD)(?: TO)?|SEPA CREDIT TRANSFER|SEPA(?: (?:INCASSO|IDEAL|OVERBOEKING|ALGEMEEN|"
    r"DOORLOPEND|PERIODIEKE OVERB\.?))*|GUTSCHRIFT|"
    r"(?:SEPA-?|ONLINE-?|ECHTZEIT-?)?[UÜ]BERWEISUNG|(?:SEPA-?|ONLINE-?|ECHTZEIT-?)?UEBERWEISUNG|"
    r"PAIEMENT (?:PAR )?(?:CARTE|CB|PSC|BANCONTACT|SANS CONTACT)|PAIEMENT(?: A)?|(?:ACHAT|AVOIR)(?: CB|"
    r" BANCONTACT(?: AVEC CARTE [^-]{4,30} -)?)?|(?:FACTURE )?CARTE(?: DU)?|CB(?! PAYMENTS)(?: ?\*\d{4})?|"
    r"PRLVT?(?: SEPA)?|"
    r"IDEAL(?= (?:MOLLIE|ADYEN|BUCKAROO|STRIPE|MULTISAFEPAY|STICHTING)\b)|"
    r"PRELEVEMENT(?: (?:EUROPEEN|SEPA|DE))*|DOMICILIATION(?: EUROPEENNE)?|"
    r"VIR(?:EMENT)?(?: (?:SEPA|PERM|PERMANENT|INST|INSTANTANE|RECU|EMIS|VERS|EN FAVEUR DE))*(?: /?DE)?|"
    r"NOMINA(?: MES DE [A-Z]+(?: DE \d{4})?)?|"
    r"IMPUESTOS(?= AEAT)|COMPRA(?: (?:EN|CON TARJETA|TARJ\. \d{4}X+|TARJETA|INTERNET|ONLINE))*|(?:TRANSFERENCIA|"
    r"TRANSF\.?)(?: (?:A FAVOR DE|INMEDIATA|RECIBIDA|EMITIDA|DE|A))*|ABONO|"
    r"PAGO(?: (?:EN|CON TARJETA|MOVIL|TARJETA))+|TARJETA ?\*?\d{4}|"
    r"ADEUDO(?: (?:DE|RECIBO))*|RECIBO(?: DE)?|CARGO(?: POR)?|"
    r"(?:PAGAMENTO|PAG\.?|OPERAZIONE|ACQUISTO|PAGAMENTI)(?: (?:POS|CARTA|SERVICOS|CON CARTA|TRAMITE POS))*|"
    r"ADDEBITO(?: (?:DIRETTO|SDD|SEPA|CORE))*|SDD|"
    r"BONIFICO(?: (?:ISTANTANEO|SEPA|A FAVORE DI|VERSO|DA|IN USCITA|A VOSTRO FAVORE))*|"
    r"DEBITO DIRETO|DEB\. DIR\.|TRF\.?(?: (?:P/|PARA|DE))*|"
    r"(?:365 (?:ONLINE|MOBILE|PHONE) )?TFR(?: (?:TO|FROM))?|"
    r"BETAALAUTOMAAT|BEA,?(?: (?:BETAALPAS|APPLE PAY|GOOGLE PAY|NR:\S+))*|GEA,?(?: BETAALPAS)?|"
    r"(?:EUROPESE )?(?:INCASSO|DOMICILIERING)|OVERSCHRIJVING|OVERBOEKING|"
    r"(?:MOBIELE )?BETALING(?: (?:MET|BANCONTACT|BANKKAART|"
    r"DEBETKAART|KREDIETKAART|DEBET|NUMMER))*|"
    r"AANKOOP(?: BANCONTACT)?|"
    r"BLIK|ACCREDITO(?: (?:PENSIONE|STIPENDIO|EMOLUMENTI))*|PLATNOSC (?:KARTA|BLIK)|"
    r"ZAKUP PRZY UZYCIU KARTY|TRANSAKCJA KARTA|"
    r"PRZELEW(?: (?:DO|OD|WYCHODZACY|PRZYCHODZACY|"
    r"WEWNETRZNY))*|ZAKUP|"
    r"KORTKOP|KORTBETALNING|AUTOGIRO|VAREK[OJ]+[BP]|DANKORT[- ]?(?:KOB|NOTA)|DANKORT|BETALINGSSERVICE|BS|"
    r"AVTALEGIRO|OVERFORING|OVERFORSEL|KORTTIOSTO|TILISIIRTO|LEVERANDORBETALING"
    r")(?![A-Z0-9*])[\s:,.*-]*"
)
_FIELD = re.compile(
    r"(?:^|[\s/])(?:ORIG CO NAME:|NAAM:|/?NAME/|NAME:|ABWA\+|BENEFICIARIO:|BENEFICIAIRE:|EMPFANGER:|"
    r"AUFTRAGGEBER:|PAYEE:|MERCHANT:|ORDENANTE:|BNF:|ORIG:|ODBIORCA:|NADAWCA:|OD:|FROM: BNF-|ADRES:|"
    r"CREDITEUR:|NOM:|INCASSANT NAAM:) ?(.+?)"
    r"(?= ?(?:ORIG ID|CO ENTRY|DESC DATE|SEC:|IBAN|BIC\b|OMSCHRIJVING|MACHTIGING|KENMERK|/?REMI/|/[A-Z]{4}/|"
    r"EREF|MREF|KREF|SVWZ|CRED\+|REF[ :.]|CONCEPTO|MOTIF|DATUM|ID:|TYT(?:ULEM)?:|TYTUL:|MIASTO:)|$)"
)
"""Formats that name their fields: American ACH and wires, Dutch, French and Polish text, SWIFT's /NAME/."""
_MASK = re.compile(
    r"(?:CARD |CRD |NR KARTY |NR |TARJ[.:]? ?)?(?:\+?\b\d{4,6})?(?:(?<![A-Z])X[X*]+|\*[X*]+|X{4,})"
    r"(?:[- ][X*]{2,})*[- ]?"
    r"\d{2,4}\b|"
    r"\bCARD (?:NO\.? |ENDING (?:IN )?)?\d{4}\b"
)
_CARD_ENDING = re.compile(r"CARD (?<!\wCARD )(?:NO\.? |ENDING (?:IN )?)?\d{4}\b")
_JUNK = re.compile(
    r" (?:HTTPS?\S*|OM \d\d[.:]\d\d UUR|\+\d{8,}|\d\d/\d\d PURCHASE|"
    r"\d{3}[-. ]\d{3}[-. ]\d{4}|\d{1,2}/\d{1,2}(?:/\d{2,4})?|"
    r"\d\d/\d{4}|\d\d?:\d\d(?:[AP]M?)?|"
    r"FACT \d{6}|"
    r"\d{1,2}[.-]\d{1,2}[.-](?:\d{2,4})?|\d{4}-\d\d-\d\d(?:T\S+)?)(?!\S)"
)
_REFERENCE = re.compile(r"[A-Z]*\d{6}[A-Z0-9]*")
_GOOGLE = re.compile(r"\bG\.CO/\S*")
_BOUGHT = re.compile(
    r"PAYPAL (?:EUROPE|\(EUROPE\)|PTE)(?:.*?(?:EINKAUF BEI|ACHAT CHEZ|COMPRA EN|AANKOOP BIJ|ACQUISTO PRESSO) |"
    r" S\.? ?A\.? ?R\.? ?L\.? ET CIE\.?,? S\.? ?C\.? ?A\.?[ ,.]+(?:PP\.\S+[ ,.]+)?(?=[A-Z]{3}))(.+)$"
)
"""What PayPal's direct debits say of the shop, in the languages of the payer."""
_BY_KLARNA = re.compile(r"KLARNA BANK AB\b.*?\bZAHLUNG AN (.+)$")
_BY_PAYPAL = re.compile(r"^\d{8,}[ /]*PP\.\d+\.PP[ /.,]*")
"""How a German bank writes it that puts who is paid behind."""
_SLASHED_PLACE = re.compile(r"//([A-Z ]+)/[A-Z]{2}\b.*")
_GLUED = re.compile(r"\d{5}(?<=[A-Z]{3}\d{5})\d*\b")
_CARD_NUMBER = re.compile(
    r"(?:(?:#?\d{4,}|\d{1,2}[/.]\d{1,2}(?:[/.]\d{2,4})?|"
    r"(?:ORE )?\d{1,2}:\d\d(?:[AP]M?)?|(?:CARTA|TARJETA|KARTE) \*?\d{4}) ){1,4}(?=[A-Z])"
)
_TAIL = re.compile(
    r"[ ,;-](?:/MOTIF|A(?:BWA|BWE|M \d|UTH(?: CODE)?[ :#])|B(?:ANCONTACT$|CC |ETALINGSKENM|IC[ +:])|C(?:ARD ENDING|"
    r"ARTA [X*N\d]|ONTACTLOZE BETAL|"
    r"B\*|ARTE \d|CD ID|O ENTRY|O ID|OAM|ONCEPTO|ONF(?:IRMATION)?[ :#]|RED ID|REDITOR ID|RED\+)|D(?:EBT\+|ES:|ESC DATE|"
    r"U \d\d)|EREF|F(?:ACTURA|ACTURE|ACTUUR|AKTURA|OLGE-?NR)|GIROCARD|I(?:BAN(?![A-Z]+\b)|D[:#]|NCASSANT|"
    r"NDN:|NVOICE)|"
    r"K(?:ARTE \d|D-?NR|ENMERK|FN \d|REF|UNDENNR|UNDENNUMMER)|M(?:ACHTIGING|ANDAAT|ANDATE[ :]|ANDAT[ :]|REF)|N(?:R:|"
    r"UM\. |\. ?TESSERA)|O(?:AMT|MSCHRIJVING|N \d|RIG ID)|P(?:ASVOLGNR|AS\d|PD ID|URP\+)|R(?:ATE \d|E-?NR|"
    r"ECHNUNG(?:SNR)?|EF(?:ERENCE)?[ :#.])|S(?:EC:|VWZ\+)|MET KBC|VIA MOBILE|"
    r"T(?:ARJETA|ARJ[. :]|ERM |ERMINAL|RACE(?![A-Z])|RANSACTIE|"
    r"XN )|V(?:ALUE DATE|ERTRAG|IA IDEAL|OM \d|ORGANG)|WEB ID)"
)
"""Where references begin. By first letter: at each word 20 of them are asked, and not 80 words."""


_OWN_ACCOUNT = re.compile(r"\b\d\d-\d\d-\d\d \d{8} ?")
"""Sort code and account, which may stand between the words of a kind of payment."""
_QUOTED = re.compile(r' FOR "[^"]*"')
"""What people write with a payment: Zelle's, in quotation marks."""
_FASTER = re.compile(r"[ ,]{1,3}FP \d\d/\d\d/\d\d\b")
_FASTER_BY_NUMBER = re.compile(r"([A-Z][A-Z .-]{1,40}) \d{15,18} (?:.{0,80} )?\d{6} \d\d \d\d[A-Z]{3}\d\d \d\d:\d\d")
"""Faster payments that only their ends tell: `J SMITH , RENT , FP 04/03/24 10 , 38120955187302000N`."""
_OF_FEE = re.compile(r"(?<=\d\d [A-Z]{3}) NON-?STERLING TRANS(?:ACTION)? FEE \S+|[ ,]+COMISION 0[,.]00")
"""What a card bank writes behind a payment: that it took a fee with it, or none."""
_PAID_BY_CARD = re.compile(r"(?<=\d\d:\d\d) BANKOMAT$")
"""In Austria behind what was paid in a shop: BILLA DANKT 0004188 GRAZ 8020 K2 14.03. 17:22 BANKOMAT."""
_OF_PLATFORM = re.compile(r"^(?:IC\* ?)?(.{3,30}?) (?:VIA|BY) INSTACART?\b.*")
"""`SPROUTS VIA INSTACART`: as the platform itself writes it, INSTACART*SPROUTS."""
_TIKKIE = re.compile(r"TIKKIE ID \d+, ?[^,]*, ?(?:(?:VAN|NAAR|AAN) )?([^,]+), ?[A-Z]{2}\d\d")
"""Who pays or is paid back: `TIKKIE ID 0051438343, ETENTJE, VAN S. DE WIT, NL81…`."""


def _set_apart(found: re.Match[str]) -> str:
    return " " + found[0]


def without_remarks(text: str) -> str:
    """A line without what says nothing of the kind of payment: the holder's own account, a remark, a fee beside it."""
    if '"' in text:
        text = _QUOTED.sub("", text)
    if " FP " in text:
        ends = _FASTER.search(text)
        text = f"FASTER PAYMENT {text[: ends.start()]}" if ends else text
    elif text[-3:-2] == ":":
        numbered = _FASTER_BY_NUMBER.fullmatch(text)
        text = f"FASTER PAYMENT {numbered[1]}" if numbered else text
    if text.endswith(" BANKOMAT"):
        text = _PAID_BY_CARD.sub("", text)
    if "FEE " in text or "COMISION" in text:
        text = _OF_FEE.sub("", text)
    return _OWN_ACCOUNT.sub("", text) if "-" in text else text


def _bought(text: str) -> str | None:
    """The shop that a direct debit of PayPal's or Klarna's names, as a card payment would."""
    if "PAYPAL" in text:
        found = _BOUGHT.match(_BY_PAYPAL.sub("PAYPAL EUROPE ", text))
        return "PAYPAL *" + found[1] if found else None
    found = _BY_KLARNA.match(text) if text.startswith("KLARNA BANK") else None
    return "KLARNA *" + found[1] if found else None


def _written_alike(text: str) -> str:
    """Without what single firms write in a way of their own."""
    if "G.CO/" in text:
        text = _GOOGLE.sub(" ", text)
    if "//" in text:
        text = _SLASHED_PLACE.sub(r" \1", text)
    return _OF_PLATFORM.sub(r"INSTACART*\1", text) if " INSTACAR" in text else text


def strip_boilerplate(text: str) -> str:
    """Take off what the bank put around the name: kinds of payment, card masks, references."""
    if "XX" in text or "**" in text or "X*" in text:
        text = _MASK.sub(" ", text).strip()
    elif "CARD " in text:
        text = _CARD_ENDING.sub(" ", text).strip()
    bought = _bought(text)
    if bought is not None:
        return bought
    tikkie = _TIKKIE.search(text) if "TIKKIE ID" in text else None
    if tikkie:
        return tikkie[1].strip()
    if ":" in text or "/" in text or "+" in text:
        field = _FIELD.search(text)
        text = field[1].strip() if field else text
    for _ in range(4):
        found = _BOILERPLATE.match(text)
        if found is None or found.end() == 0:
            break
        text = text[found.end() :]
        number = _CARD_NUMBER.match(text)
        text = text[number.end() :] if number else text
    text = _written_alike(text)
    text = _GLUED.sub(_set_apart, text)
    before, space, last = text.rpartition(" ")
    text = before + space if space and _REFERENCE.fullmatch(last) else text
    text = _JUNK.sub(" ", text).strip()
    cut = _TAIL.search(text)
    text = text[: cut.start()].strip(" ,;-") if cut and cut.start() > 0 else text.strip()
    return text.removesuffix(" BGC").removesuffix(" FPO").removesuffix(" FPI").removesuffix(" DD")
