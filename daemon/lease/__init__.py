"""Leases: who owns the reader role and which lanes, judged by the clock of the server."""
