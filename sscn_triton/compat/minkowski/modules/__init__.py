"""MinkowskiEngine's building blocks of networks."""
