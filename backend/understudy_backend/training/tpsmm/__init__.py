"""Training of TPSMM (arXiv 2203.14367) on clips: the five networks' losses, their published schedules, and AVD."""
