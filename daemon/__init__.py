"""The running process: stream, executions, schedule, leases, and the one place that wires them."""
