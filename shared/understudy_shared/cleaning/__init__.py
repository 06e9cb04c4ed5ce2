"""Repairs of motion that an artist asks for one by one: gaps, jitter, sliding feet, the floor."""
