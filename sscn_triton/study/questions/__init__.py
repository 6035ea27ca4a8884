"""Questions that the study left open, each answered by small trainings."""
