"""Scheduled workflows: the scheduler that fires them, and the sweep that enqueues their entities."""
