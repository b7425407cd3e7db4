"""Is this the name of a person?

Belongs here: telling `JANE SMITH` from `ACME PLUMBING`, with first names of many languages (`first_names.csv`, written
by hand) and words that only organisations have. When in doubt it is an organisation: a company shown as a person would
be the worse mistake.
"""

from __future__ import annotations

import functools

from pipeline.sandbox.engine.lookup import read_table
from pipeline.sandbox.engine.text import normalise, spelled
from pipeline.sandbox.wordlist import word_set

TITLES = frozenset({"MR", "MRS", "MS", "MISS", "DR", "HERR", "FRAU", "M", "MME", "MLLE"})
_SURE_TITLES = TITLES - {"M", "DR"}
_FAMILIES = frozenset({"FAMILIE", "FAMILLE", "FAMILIA", "FAMIGLIA", "FAM"})
_RELATIVES = word_set(
    "MOM MUM MAM MOMMY MUMMY MAMA MOTHER DAD DADDY PAPA FATHER GRANDMA GRANDPA GRANDAD NAN NANA GRAN WIFE HUSBAND"
    " BROTHER SISTER SON DAUGHTER AUNTIE AUNT UNCLE HUBBY OMA OPA MAMAN MUTTI VATI"
)
"""Whom people send money to under no name."""
_MOST_WORDS = 4
_LAST_NAMES = word_set(
    "SMITH JOHNSON WILLIAMS BROWN JONES GARCIA MILLER DAVIS RODRIGUEZ MARTINEZ HERNANDEZ LOPEZ GONZALEZ WILSON ANDERSON"
    " TAYLOR MOORE JACKSON LEE PEREZ THOMPSON WHITE HARRIS SANCHEZ CLARK RAMIREZ LEWIS ROBINSON WALKER WRIGHT TORRES"
    " NGUYEN HILL FLORES ADAMS NELSON BAKER RIVERA CAMPBELL MITCHELL CARTER ROBERTS GOMEZ PHILLIPS EVANS TURNER DIAZ"
    " PARKER CRUZ EDWARDS COLLINS REYES MORRIS MORALES MURPHY ORTIZ COOPER PETERSON BAILEY REED HUGHES MORGAN KHAN"
    " AHMED PATEL SINGH KAUR BEGUM DAVIES THOMAS EVANS WOOD GREEN HALL CLARKE JAMES RYAN WALSH BYRNE KELLY OBRIEN"
    " OCONNOR DOYLE MCCARTHY GALLAGHER MULLER MUELLER SCHMIDT SCHNEIDER FISCHER WEBER MEYER WAGNER BECKER SCHULZ"
    " HOFFMANN KOCH RICHTER KLEIN WOLF SCHROEDER NEUMANN SCHWARZ BRAUN ZIMMERMANN KRUGER HARTMANN LANGE MARTIN BERNARD"
    " DUBOIS DURAND MOREAU SIMON LAURENT LEFEBVRE LEROY ROUX FERNANDEZ ROMERO ALONSO NAVARRO ROSSI RUSSO FERRARI"
    " ESPOSITO BIANCHI ROMANO COLOMBO RICCI JANSEN BAKKER VISSER SMIT MEIJER HANSEN JENSEN NIELSEN ANDERSSON"
    " JOHANSSON KARLSSON KOWALSKI NOWAK WISNIEWSKI SILVA SANTOS FERREIRA PEREIRA"
)
_ORGANISATION = word_set(
    "LTD LIMITED PLC INC LLC CORP CO COMPANY GMBH AG SA SAS SARL BV NV AB AS OY SRL SPA LLP LP KG EV BANK GROUP"
    " HOLDINGS SERVICES SERVICE SOLUTIONS CONSULTING TRADING PARTNERS ASSOCIATES FOUNDATION TRUST CLUB SOCIETY"
    " UNIVERSITY COLLEGE SCHOOL COUNCIL CITY COUNTY STATE DEPARTMENT DEPT PROPERTIES PROPERTY LETTINGS ESTATES"
    " MANAGEMENT INSURANCE ENERGY PLUMBING BUILDERS CLEANING DESIGN STUDIO STUDIOS MEDIA DIGITAL SOFTWARE SYSTEMS"
    " TECHNOLOGIES CAFE RESTAURANT PIZZA SHOP STORE STORES MARKET HOTEL PAYMENTS PAYMENT AND OF THE & SALON PHARMACY"
    " DENTAL CLINIC FITNESS GARAGE ACADEMY CHURCH PARISH CHARITY FUND CAMP NURSERY KINDERGARTEN KITA VEREIN STIFTUNG"
    " GEMEINDE PRAXIS APOTHEKE KANZLEI HAUSVERWALTUNG IMMOBILIEN WOHNBAU VERSICHERUNG SPARKASSE ASSOCIATION ASSO SCI"
    " SYNDIC CABINET AGENCE AUTO AUTOS MOTORS TAXI TAXIS ELECTRIC ELECTRICAL HEATING ROOFING BUILDING CONSTRUCTION"
    " LANDSCAPING LAW LEGAL SOLICITORS ACCOUNTANTS ARCHITECTS HOME HOMES HOUSING RENTALS RENTAL REALTY CENTRE CENTER"
    " CARE HEALTH MEDICAL PHYSIO SPORTS SPORT YOGA DANCE MUSIC COMUNIDAD ASOCIACION FUNDACION INMOBILIARIA FINCAS"
    " COLEGIO ASSOCIAZIONE CONDOMINIO STICHTING VERENIGING UG OHG GBR EURL INCORPORATED LLLP ZOO FOUNDATION"
)
_REMARKS = word_set(
    "RENT GARAGE WOHNUNG STELLPLATZ APARTMENT RESTO GARDEN BDAY BIRTHDAY DINNER LUNCH BREAKFAST BRUNCH FOOD PIZZA"
    " PRESENT GIFT MONEY TICKETS TICKET HOLIDAY SHARE SPLIT THANKS CHEERS BILLS CLEANING WINDOW DRINKS COFFEE BEER"
    " PARTY TRIP PETROL GROCERIES KIDS LOAN DEPOSIT WEDDING FLAT ROOM HOUSE FOR PARTIE SENT APP MIETE ESSEN GESCHENK"
    " ANTEIL URLAUB GEBURTSTAG DANKE DANKESCHON FUR KAUTION TASCHENGELD NEBENKOSTEN WG LOYER CADEAU REPAS"
    " REMBOURSEMENT REMB VACANCES PARTICIPATION ANNIVERSAIRE POUR MERCI COURSES CENA REGALO ALQUILER COMIDA"
    " CUMPLEANOS CONCEPTO PISO GRACIAS CAUSALE PER AFFITTO PRANZO QUOTA SPESA RIMBORSO HUUR ETENTJE CADEAUTJE BEDANKT"
    " OMSCHRIJVING HYRA MIDDAG FIKA TACK LEJE HUSLEJE HUSLEIE GAVE OBIAD CZYNSZ PREZENT ZWROT URODZINY"
)
"""What people write behind a name: no name has such a word behind two others."""


@functools.cache
def first_names() -> frozenset[str]:
    """First names in the plain capitals of a normalised line, umlauts as one letter."""
    rows = read_table("first_names.csv")
    return frozenset(spelled(normalise(name)) for row in rows for name in row["names"].split("|"))


def is_first_name(word: str) -> bool:
    """Whether a word of a normalised line is a first name."""
    return spelled(word) in first_names()


def is_last_name(word: str) -> bool:
    """Whether a word is a last name that many have."""
    return word in _LAST_NAMES


def without_remark(words: list[str]) -> list[str]:
    """The words up to what was written behind a name: `JONAS PFEIFFER DANKE`."""
    least = 2 + (words[0] in TITLES) if words else 0
    end = next((at for at in range(least, len(words)) if words[at] in _REMARKS), len(words))
    return words[:end]


def without_title(words: list[str]) -> list[str]:
    """The words without a leading MR, MRS and so on."""
    return words[1:] if len(words) > 1 and words[0] in TITLES else words


def is_person(words: list[str], *, likely: bool) -> bool:
    """Whether the words name a person. `likely`: the kind of payment says so, such as Zelle."""
    titled = len(words) > 1 and words[0] in TITLES
    name = without_title(words)
    if not 1 < len(name) <= _MOST_WORDS or any(not word.replace("-", "").isalpha() for word in name):
        return len(name) == 1 and likely and (is_first_name(name[0]) or name[0] in _RELATIVES)
    if _ORGANISATION & set(name):
        return False
    initial = min(len(name[0]), len(name[-1])) == 1 and max(len(name[0]), len(name[-1])) > 2  # noqa: PLR2004
    titled = titled or name[0] in _FAMILIES
    return titled or likely or initial or is_first_name(name[0]) or (is_first_name(name[-1]) and len(name[0]) > 2)  # noqa: PLR2004


def is_titled(words: list[str]) -> bool:
    """Whether a title stands before an initial or a first name, and no word of a business behind: MRS L ASHWORTH."""
    if not 2 < len(words) <= _MOST_WORDS or words[0] not in _SURE_TITLES:  # noqa: PLR2004
        return False
    return (len(words[1]) == 1 or is_first_name(words[1])) and _ORGANISATION.isdisjoint(words)


def is_full_name(words: list[str]) -> bool:
    """Whether the words are a name as many have it, first and last: nothing else on the line says that it is one."""
    titled = len(words) > 1 and words[0] in _FAMILIES
    named = 2 <= len(words) <= 3 and is_first_name(words[0])  # noqa: PLR2004
    return (titled or named) and words[-1] in _LAST_NAMES and _ORGANISATION.isdisjoint(words)


def load() -> None:
    """Read the table, once."""
    first_names()
