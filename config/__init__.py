"""Settings, durations, log set-up and the root error: what every other package may import."""
