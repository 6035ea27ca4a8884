"""One run of the study: a network trained for a time, judged, and its curves."""
