"""File formats: one module each, with `sniff`, `load` and `save`."""
