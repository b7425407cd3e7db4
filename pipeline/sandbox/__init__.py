"""The sandbox: Ntropy's v3 API as a real HTTP server on this machine, with its state in one SQLite file.

Belongs here: the server, its books and the helper that starts it. It knows nothing of the rest of the project, so that
what the pipeline sends is judged by somebody who does not share its mistakes.
"""
