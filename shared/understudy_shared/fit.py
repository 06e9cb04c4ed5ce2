"""What a body fitted to a photo is made of, wherever it travels: results of `fit`, inputs of a texture, the scene."""

FIT_ARRAYS = ("betas", "global_orient", "body_pose", "transl", "extrinsics", "intrinsics")
"""(B,), (3,), (23, 3), (3,), (4, 4) world to camera, (3, 3) K in pixels of the photo; a leading axis of 1 may stand
before pose and translation."""
