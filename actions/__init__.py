"""The actions of steps: one file for each, a closed set of outcomes, one registry."""
