"""Versions of workflows: parse documents, keep the versions in force, store, find and repair them."""
