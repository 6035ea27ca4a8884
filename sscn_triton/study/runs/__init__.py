"""One run of the study: a network is trained for a time and judged; the run also has its learning curves."""
