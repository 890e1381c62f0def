"""What a step can do: one file an action, a closed set of outcomes, one registry."""
