"""The pure part: workflows, triggers, conditions, matching. No I/O, no asyncio, no clock."""
