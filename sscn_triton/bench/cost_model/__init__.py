"""The minimum cost of a training step on a device, counted from rulebooks, bytes and launches."""
