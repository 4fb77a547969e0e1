"""Long documents made on the spot: a fact hidden in filler of any length, for asking how far a model reads."""
