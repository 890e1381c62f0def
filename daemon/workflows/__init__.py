"""What the daemon does around workflow documents: answer back, mirror counters, apply switches to what waits."""
