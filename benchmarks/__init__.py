"""How fast the daemon is, beside what the same database allows: ``make bench``."""
