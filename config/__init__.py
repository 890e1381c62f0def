"""Settings, durations, log set-up and the root error. Every other package may import them."""
