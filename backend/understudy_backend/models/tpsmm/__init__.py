"""TPSMM (CVPR 2022, arXiv 2203.14367): thin-plate splines between unsupervised keypoints move a photo."""
