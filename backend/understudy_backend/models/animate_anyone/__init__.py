"""Animate Anyone (arXiv 2311.17117): a reference network for looks, a guider for pose, temporal layers for smoothness.

Champ (arXiv 2403.14781) shares all of it but the guider, see `models.champ`.
"""
