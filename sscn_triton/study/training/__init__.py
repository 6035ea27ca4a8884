"""One training: its configuration, loop, checkpoints and metrics, and what is done with the trained network."""
