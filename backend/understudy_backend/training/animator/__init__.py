"""Training of Animate Anyone (arXiv 2311.17117) and Champ (arXiv 2403.14781) in their two stages.

`python -m understudy_backend.training.animator --help`
"""
