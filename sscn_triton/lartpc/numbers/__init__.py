"""Events in numbers: the content of a file, and a comparison of simulated events with those of PILArNet."""
