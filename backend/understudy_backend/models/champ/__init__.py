"""Champ (arXiv 2403.14781): Animate Anyone's networks, guided by four pictures of the body in place of a skeleton."""
