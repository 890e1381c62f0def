"""Answer on workflow documents: validity, counters, and the switches of executions that wait."""
