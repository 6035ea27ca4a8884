"""What a trained network gets wrong, and how it finds Michel electrons."""
