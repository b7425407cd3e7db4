"""Reading bank statements: a PDF with a text layer and a simple table in, accounts with their transactions out.

Belongs here: everything that needs no server. `child` runs the rest in a process of its own, since a PDF may be
hostile: `pages` (text of the PDF), `figures` and `dates` (what is written in a cell), `table` (rows), `gathering` (what
stands around them), `accounts` (what they add up to). `is_balance_reconciled` tells whether all of it was read.
"""
