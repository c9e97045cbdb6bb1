"""Where texts come from: the catalogue, and how its sources are fetched."""
