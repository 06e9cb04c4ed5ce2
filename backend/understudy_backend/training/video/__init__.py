"""Training data from video, as 3DHM makes it (arXiv 2401.10889, section 3): the actor is the imitator.

Frames and a track of the body give a partial texture a frame; their median over the clip is the pseudo-complete
texture. A partial texture and the complete one are a pair of stage 1; the complete texture on the body at time t, a
photo from another time and the real frame at t are a triple of stage 2. `python -m understudy_backend.training.video`.
"""
