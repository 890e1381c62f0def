"""Scheduled workflows: when they fire, and the sweep that enqueues their entities."""
