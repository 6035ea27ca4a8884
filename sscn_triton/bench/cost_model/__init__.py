"""What a training step must cost on a device, counted from rulebooks, bytes and launches."""
