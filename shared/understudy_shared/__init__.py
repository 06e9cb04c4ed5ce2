"""The words that the Blender extension and the backend share: body, camera, motion, frame, job, and the wire."""

__version__ = "0.1.0"
