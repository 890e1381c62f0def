"""What people look at in a browser: pages rendered here, kept fresh by htmx, with no script of our own."""
