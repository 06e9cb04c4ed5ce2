"""Jobs of the imitator without a backend: what they were sent, and results as they would come back."""

import numpy as np

SIDE = 128


def finish(job, arrays):
    """What the pump does when a job's arrays arrive."""
    from blender_addon.link import results
    from blender_addon.link.jobs import State
    from blender_addon.link.names import result_name

    job.folder.mkdir(parents=True, exist_ok=True)
    np.savez(job.folder / result_name(), **arrays)
    results.apply(job, arrays, {})
    job.record.state = State.DONE
    return job


def textures(seed, alpha=255):
    rng = np.random.default_rng(seed)
    texture = rng.integers(0, 256, (SIDE, SIDE, 4)).astype(np.uint8)
    texture[..., 3] = alpha
    partial = texture.copy()
    partial[SIDE // 2 :] = 0
    visibility = (partial[..., 3] > 0).astype(np.float32) / 2
    return {"texture": texture, "partial": partial, "visibility": visibility}


def sent(job):
    from blender_addon.link import take_files

    return take_files.load_inputs(job.folder, job.spec.inputs)
