"""From the change stream to committed executions: cursor, decode, intake, checkpoint."""
