"""Events in numbers: what a file holds, and how simulated events compare with real ones."""
