"""What a key makes its own: category sets and rules, and how they change what the engine has found.

Belongs here: storing and applying them. The engine knows nothing of it; the routes are in `categories` and `rules`.
Everything is applied when a result is read, by the set and the ruleset that counted when the item was accepted: so a
batch's result stays what it was, whatever is changed later. A transaction that is assigned to another holder is that
holder's from then on, with the set that counts for it by then, wherever transactions are read.
"""
