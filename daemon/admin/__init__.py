"""The functions behind the HTTP API and the command line; they work on MongoDB directly."""
