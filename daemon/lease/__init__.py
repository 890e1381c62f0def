"""Leases on the reader role and on lanes, judged by the clock of the server."""
