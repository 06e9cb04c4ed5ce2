"""3DHM (arXiv 2401.10889): in-filling diffusion completes the texture, rendering diffusion makes each frame real."""
