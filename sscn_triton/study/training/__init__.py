"""One training: its configuration, loop, checkpoints and metrics, and the uses of the trained network."""
