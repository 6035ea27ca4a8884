"""Pictures of events: still ones by matplotlib, ones to turn by plotly."""
