"""Pictures of events: static ones by matplotlib, interactive ones by plotly."""
