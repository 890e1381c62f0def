"""The dashboard: pages rendered by the daemon and refreshed by htmx, with no script of our own."""
