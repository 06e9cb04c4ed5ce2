"""Animate Anyone and Champ from Blender's scene to Blender's strip, with a real server and tiny networks: what guides
them, previews, interruption, driving by pictures, and takes of which a part is made again.

The networks' numbers are random, and so are the frames: they are compared with each other, bit by bit.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import bpy
import numpy as np
import pytest
from backend_stage import PYTHON, ROOT, Server, in_one_blender, needs_backend, strip_files, tick_until

pytestmark = [needs_backend, pytest.mark.timeout(900)]

METHODS = ("animate_anyone", "champ")
SIZE = WIDTH, HEIGHT = 64, 96
NUMBERS = range(1, 7)
FEW = {"weights": "tiny", "steps": 3, "window": 4, "overlap": 2}
SAME = {"solver": "DDIM"}
"""A default spelled out: the same frames, but another job, for which the backend has none."""
PATIENCE = 200.0
SAMPLE = ROOT / "packaging/demo/samples/photos/openpeople_P001.jpg"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    subprocess.run([PYTHON, str(ROOT / "tests/backend/tiny_animators.py"), str(folder)], check=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def server(weights, tmp_path_factory):
    """In place of the other tests' server: one with these methods, their weights where a user's own lie."""
    folder = tmp_path_factory.mktemp("s")
    (folder / "pictures").mkdir()
    named = [f"understudy_animator_methods:{name}" for name in ("AnimateAnyone", "Champ")]
    methods = [part for name in named for part in ("--method", name)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNDERSTUDY_WEIGHTS", str(weights))
        patch.setenv("UNDERSTUDY_TEST_PICTURES", str(folder / "pictures"))
        server = Server(folder, "", *methods)
        yield server
        server.stop()
    print((folder / "log").read_text()[-3000:])


@pytest.fixture
def shot(stage):
    """The body, which steps aside and turns, upright before the camera."""
    from blender_addon.scene.body_parts import armature_of

    stage.frame_start, stage.frame_end = NUMBERS[0], NUMBERS[-1]
    stage.understudy.width, stage.understudy.height = SIZE
    stage.view_settings.view_transform = "Standard"
    stage.camera.location, stage.camera.rotation_euler = (0, -3.4, 0), (np.pi / 2, 0, 0)
    armature = armature_of(stage.understudy.body)
    armature.animation_data_clear()
    armature.location = (0, 0, 0)
    armature.rotation_mode = "XYZ"
    for frame, aside, turn in ((1, -0.2, -0.4), (NUMBERS[-1], 0.2, 0.5)):
        armature.location.x, armature.rotation_euler.z = aside, turn
        armature.keyframe_insert("location", frame=frame)
        armature.keyframe_insert("rotation_euler", frame=frame)
    return stage


def inputs():
    """A photo of noise, with somebody in the middle."""
    photo = np.random.default_rng(0).integers(0, 256, (96, 80, 4), np.uint8)
    photo[..., 3] = 255
    mask = np.zeros((96, 80), np.uint8)
    mask[20:80, 30:50] = 255
    return {"photo": photo, "photo_mask": mask}


def begin(scene, method, params=None, **options):
    from blender_addon import api

    options.setdefault("inputs", inputs())
    return api.render(scene, method=method, params=FEW | (params or {}), size=SIZE, **options)


def frames_of(job):
    """All frames as they are on disk, (N, H, W, 4)."""
    from blender_addon.scene.pixels import image_rgba

    out = []
    for number in job.numbers:
        image = bpy.data.images.load(str(job.file_of(number)), check_existing=False)
        out.append(image_rgba(image))
        bpy.data.images.remove(image)
    return np.stack(out)


def pictures_of(server, job, number):
    """The pictures that guided a frame, by name."""
    with np.load(server.folder / f"pictures/{job.wire_id}_{number}.npz", allow_pickle=False) as content:
        return {name: content[name] for name in content.files}


def in_backend(script: str, **arrays):
    """Runs a script in the backend's environment on arrays, `given`; returns its dictionary `out`."""
    folder = Path(bpy.app.tempdir)
    np.savez(folder / "given.npz", **arrays)
    around = "import numpy as np\ngiven = np.load('given.npz')\n{}\nnp.savez('out.npz', **out)"
    subprocess.run([PYTHON, "-c", around.format(script)], check=True, cwd=folder, timeout=120)
    with np.load(folder / "out.npz", allow_pickle=False) as content:
        return {name: content[name] for name in content.files}


@pytest.mark.parametrize("method", METHODS)
def test_from_the_scene_to_the_strip(shot, server, method):
    """Previews come first, and are no frames; then come the frames. What guided them is what Blender itself sees."""
    from blender_addon import api
    from blender_addon.link.names import preview_name

    job = begin(shot, method)
    fractions = []
    tick_until(lambda: fractions.append(job.progress) or job.previews or not job.state.active, PATIENCE)
    assert job.previews and not job.finished and job.together
    tick_until(lambda: not job.stale, PATIENCE)
    names = strip_files(job)
    assert len(names) == len(NUMBERS) and set(names) <= {preview_name(n) for n in job.previews}
    preview = bpy.data.images.load(str(job.folder / names[0]))
    assert tuple(preview.size) == SIZE
    bpy.data.images.remove(preview)
    tick_until(lambda: fractions.append(job.progress) or not job.state.active, PATIENCE)
    api.wait(job, PATIENCE)
    assert fractions == sorted(fractions) and any(0.2 < f < 0.9 for f in fractions)  # before any frame is finished
    assert strip_files(job) == [f"{n:06d}.png" for n in NUMBERS]
    made = frames_of(job)
    assert made.shape == (len(NUMBERS), HEIGHT, WIDTH, 4)
    assert all((made[n] != made[0]).any() for n in range(1, len(made)))
    for number in (NUMBERS[0], NUMBERS[-1]):
        check_pictures(shot, number, pictures_of(server, job, number))


def check_pictures(scene, number, pictures):
    """Against what Blender itself sees: the joints by its own camera, the surfaces by Cycles."""
    from bpy_extras.object_utils import world_to_camera_view

    from blender_addon.render.passes import render_passes
    from blender_addon.scene.body_parts import armature_of

    scene.frame_set(number)
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = WIDTH, HEIGHT, 100
    skeleton = pictures.get("pose", pictures.get("dwpose"))
    armature = armature_of(scene.understudy.body)
    limbs = ("left_elbow", "right_elbow", "left_knee", "right_knee", "left_ankle", "right_ankle")
    for name in limbs:
        head = armature.matrix_world @ armature.pose.bones[name].head
        x, y, _ = world_to_camera_view(scene, scene.camera, head)
        at = skeleton[int((1 - y) * HEIGHT), int(x * WIDTH)]
        assert at.max() > 100, name  # points have full colours, and lie on black
    if "depth" not in pictures:
        return
    seen = render_passes(scene, scene.understudy.body, scene.camera, number, SIZE, samples=1).channels
    inside = np.isfinite(seen["depth"])
    assert inside.sum() > 600
    assert np.mean(inside != pictures["depth"].any(-1)) < 0.005
    near, far = seen["depth"][inside].min(), seen["depth"][inside].max()
    depth = 255 * (1 - (seen["depth"] - near) / (far - near))
    both = inside & pictures["normal"].any(-1)
    assert np.percentile(np.abs(pictures["depth"][..., 0] - depth)[both], 99) < 2
    normal = 127.5 + 127.5 * seen["normal"] * (1, -1, -1)
    assert np.percentile(np.abs(pictures["normal"] - normal)[both], 95) < 12  # each averages at vertices in its way
    assert len(np.unique(pictures["semantic_map"][both], axis=0)) > 10


def steps_of(job):
    """Notes the denoising steps that a job reports; returns them, and whether one is reached."""
    seen: list[int] = []

    def reached(step):
        if job.stage.startswith("Denoising: step"):
            seen.append(int(job.stage.split()[2]))
        return bool(seen) and seen[-1] >= step

    return seen, reached


@in_one_blender
@pytest.mark.parametrize("method", METHODS)
def test_cancelled_it_goes_on_and_ends_with_the_same_frames(shot, server, method):
    from blender_addon import api
    from blender_addon.link.session import current

    whole = api.wait(begin(shot, method, {"steps": 5}), PATIENCE)
    job = begin(shot, method, SAME | {"steps": 5}, new_strip=True)
    _, reached = steps_of(job)
    tick_until(lambda: reached(3), PATIENCE)
    api.cancel(job)
    tick_until(lambda: not (job.stale or current().pump.sender._stopping), PATIENCE)
    assert not job.finished and strip_files(job) == [f"placeholders/missing_{n:06d}.png" for n in NUMBERS]
    api.resume(job)
    seen, reached = steps_of(job)
    tick_until(lambda: reached(5) or job.finished, PATIENCE)
    assert seen[0] >= 3
    api.wait(job, PATIENCE)
    assert job.wire_id != whole.wire_id
    np.testing.assert_array_equal(frames_of(job), frames_of(whole))


@in_one_blender
def test_killed_in_the_middle_it_goes_on_and_ends_with_the_same_frames(shot, server):
    from blender_addon import api
    from blender_addon.link.session import current

    whole = api.wait(begin(shot, "animate_anyone", {"steps": 6}), PATIENCE)
    job = begin(shot, "animate_anyone", SAME | {"steps": 6})
    _, reached = steps_of(job)
    tick_until(lambda: reached(3), PATIENCE)
    server.kill()
    tick_until(lambda: not current().pump.online, PATIENCE)
    server.start()
    seen, reached = steps_of(job)
    job.stage = ""
    tick_until(lambda: reached(6) or job.finished, PATIENCE)
    assert seen[0] >= 3
    api.wait(job, PATIENCE)
    assert job.wire_id != whole.wire_id
    np.testing.assert_array_equal(frames_of(job), frames_of(whole))


@in_one_blender
def test_a_part_made_again_is_that_of_the_whole_shot(shot, server):
    """The chosen frames are those that a new take of all frames has; the others stay; nothing is made twice."""
    from blender_addon import api
    from blender_addon.scene.body_parts import armature_of

    first = api.wait(begin(shot, "animate_anyone", seed=3), PATIENCE)
    asked = {"method": "animate_anyone", "params": FEW, "inputs": inputs(), "seed": 3}
    same = api.wait(api.render_again(first, changed=True, **asked), PATIENCE)
    assert same.taken_over == set(NUMBERS)
    armature = armature_of(shot.understudy.body)
    armature.location.x = 0.5
    armature.keyframe_insert("location", frame=NUMBERS[-1])
    part = api.wait(api.render_again(first, [3, 4], **asked), PATIENCE)
    assert part.taken_over == set(NUMBERS) - {3, 4}
    before, after = frames_of(first), frames_of(part)
    np.testing.assert_array_equal(after[[0, 1, 4, 5]], before[[0, 1, 4, 5]])
    whole = api.wait(api.render_again(part, changed=True, **asked), PATIENCE)
    assert whole.taken_over == {3, 4}  # the others depend on the frame that has changed
    again = api.wait(begin(shot, "animate_anyone", SAME, seed=3), PATIENCE)
    assert again.wire_id != whole.wire_id
    np.testing.assert_array_equal(frames_of(whole), frames_of(again))
    assert (frames_of(whole) != before).any((1, 2, 3)).all()
    np.testing.assert_array_equal(after[2:4], frames_of(again)[2:4])


@in_one_blender
def test_a_take_with_lost_work_is_made_from_its_own_snapshots(shot, server):
    """A backend that has nothing of a clip asks for all frames again, those too that are in the strip already."""
    from blender_addon import api
    from blender_addon.scene.body_parts import armature_of

    first = api.wait(begin(shot, "animate_anyone", seed=8), PATIENCE)
    job = begin(shot, "animate_anyone", SAME, seed=8)
    tick_until(lambda: job.finished, PATIENCE)
    api.cancel(job)
    had = set(job.finished)
    armature_of(shot.understudy.body).location.x = 1
    armature_of(shot.understudy.body).animation_data_clear()
    server.stop()
    for folder in (server.folder / "data/owners").glob("*/jobs"):
        folder.rename(folder.with_name("gone"))
    server.start()
    api.resume(job)
    api.wait(job, PATIENCE)
    assert had
    np.testing.assert_array_equal(frames_of(job), frames_of(first))


@pytest.fixture
def strip(stage, tmp_path):
    """A person who goes twelve pixels to the right with each picture; the scene has neither body nor camera."""
    from blender_addon.link.png import encode
    from blender_addon.scene.pixels import image_rgba

    image = bpy.data.images.load(str(SAMPLE))
    image.scale(round(image.size[0] * 240 / image.size[1]), 240)
    small = image_rgba(image)
    stage.understudy.body = stage.camera = None
    stage.view_settings.view_transform = "Standard"
    strips = stage.sequence_editor_create().strips
    for k in range(3):
        picture = np.full((256, 320, 4), (128, 128, 128, 255), np.uint8)
        picture[8:248, 40 + 12 * k : 40 + 12 * k + small.shape[1], :3] = small[..., :3]
        (tmp_path / f"walk_{k + 1}.png").write_bytes(encode(picture))
    found = strips.new_image("Walk", str(tmp_path / "walk_1.png"), 1, 1)
    for k in (2, 3):
        found.elements.append(f"walk_{k}.png")
    return found


def test_a_strip_of_pictures_drives_animate_anyone(stage, server, strip):
    """The skeleton goes along with the person, who goes 12 pixels a frame."""
    from blender_addon import api

    settings = stage.understudy
    settings.method, settings.driving, settings.driving_strip = "animate_anyone", "STRIP", "Walk"
    settings.width, settings.height = 320, 256
    api.set_params(stage, "animate_anyone", FEW | {"steps": 1})
    assert api.driven_by_strip(stage) and not api.driven_by_strip(stage, "champ")
    job = api.wait(api.render(stage, inputs=inputs()), PATIENCE)
    assert job.record.source == "clip" and list(job.numbers) == [1, 2, 3]
    masks = [pictures_of(server, job, n)["pose"].any(-1) for n in job.numbers]
    centres = [np.nonzero(mask)[1].mean() for mask in masks]
    assert masks[0].sum() > 800
    np.testing.assert_allclose(np.diff(centres), 12, atol=3)


def test_what_cannot_be_is_said_in_a_sentence(stage, server, strip, tmp_path):
    from blender_addon import api

    with pytest.raises(ValueError, match="Champ moves a body, no pictures"):
        api.render(stage, method="champ", driving=strip, inputs=inputs())
    with pytest.raises(api.JobFailed, match=r"has no set 'nobody'.*animate_anyone-nobody"):
        api.wait(begin(stage, "animate_anyone", {"weights": "nobody"}, driving=strip), PATIENCE)
    with pytest.raises(api.JobFailed, match="gives no frames a seed"):
        api.wait(begin(stage, "animate_anyone", {"seeds": "nonsense"}, driving=strip), PATIENCE)
    from blender_addon.link.png import encode

    (tmp_path / "walk_2.png").write_bytes(encode(np.full((256, 320, 4), (60, 90, 60, 255), np.uint8)))
    with pytest.raises(api.JobFailed, match="frame 2 shows no person"):
        api.wait(begin(stage, "animate_anyone", driving=strip), PATIENCE)


def golden(name):
    with np.load(ROOT / f"tests/parity/{name}.npz", allow_pickle=False) as content:
        return {key: content[key] for key in content.files}


def through_blender(scene, vertices, faces, focal, size):
    """A body of these vertices (OpenCV axes) before a camera of ours; returns what Blender sends, and what it sees."""
    from understudy_shared.camera import CameraTrajectory

    from blender_addon import api
    from blender_addon.render.conditions import frame_geometry
    from blender_addon.render.passes import render_passes
    from blender_addon.scene.body_parts import VERTICES
    from blender_addon.scene.camera import import_camera

    body = api.create_body(scene)
    body.modifiers.clear()
    mesh = bpy.data.meshes.new("Golden")
    mesh.from_pydata(np.asarray(vertices, float).tolist(), [], np.asarray(faces).tolist())
    mesh.shade_smooth()
    body.data, body[VERTICES] = mesh, len(vertices)
    k = np.array([[focal, 0, size[0] / 2], [0, focal, size[1] / 2], [0, 0, 1]])
    camera = import_camera(scene, CameraTrajectory(np.eye(4)[None], k[None], *size), 1)
    sent = frame_geometry(body, camera, scene, 1, size).channels
    return sent, render_passes(scene, body, camera, 1, size, samples=1).channels if len(faces) else {}


def test_the_published_maps_come_out_of_a_mesh_in_blender(scene, addon):
    """Champ's two balls, as a mesh before Blender's camera: the maps that the backend draws of what Blender sends, and
    Blender's own render, agree with the published renders but for what their dither and jitter do."""
    known = golden("champ/render_conventions")
    size = tuple(int(side) for side in known["res_wh"])
    sent, seen = through_blender(scene, known["verts"], known["faces"], float(known["focal"]), size)
    script = """
from understudy_backend.guidance.body_maps import render_maps
maps = render_maps(given['vertices'], given['faces'].astype(np.int32), given['vert_colors_rgb_u8'], given['k'],
                   given['extrinsics'], tuple(given['res_wh'].tolist()))
out = dict(depth=maps.depth, normal=maps.normal, semantic=maps.semantic_map, mask=maps.mask)
"""
    geometry = {"vertices": sent["vertices"], "k": sent["intrinsics"], "extrinsics": sent["extrinsics"]}
    maps = in_backend(script, **geometry, **{n: known[n] for n in ("faces", "vert_colors_rgb_u8", "res_wh")})
    mask, depths = known["mask"] > 127, known["analytic_depth"]
    steep = np.abs(np.gradient(np.pad(depths, 1, mode="edge"))).max(0)[1:-1, 1:-1] > 0.1
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        steep |= np.roll(steep, (dy, dx), (0, 1))
    inside = maps["mask"] & mask & ~steep
    assert inside.sum() > 4000 and (maps["mask"] & mask).sum() >= 0.997 * (maps["mask"] | mask).sum()

    def away(ours, theirs):
        return np.abs(ours.astype(int) - theirs)[inside]

    assert away(maps["depth"][..., 0], known["depth"]).mean() < 0.0024 * 255
    assert away(maps["depth"][..., 0], known["depth"]).max() <= 0.0086 * 255
    assert away(maps["normal"], known["normal"]).mean() < 0.0015 * 255
    assert away(maps["normal"], known["normal"]).max() <= 0.0073 * 255
    assert away(maps["semantic"], known["semantic"]).max() <= 1
    there = np.isfinite(seen["depth"])
    near, far = seen["depth"][there].min(), seen["depth"][there].max()
    shade = np.where(there, 255 * (1 - (seen["depth"] - near) / (far - near)), 0)
    assert np.mean(there == maps["mask"]) > 0.998
    assert away(np.rint(shade), known["depth"]).max() <= 0.0086 * 255
    assert away(np.rint(127.5 + 127.5 * seen["normal"] * (1, -1, -1)), known["normal"]).max() <= 0.0073 * 255 + 1


def test_the_published_skeletons_come_out_of_points_in_blender(scene, addon):
    """Keypoints of the annotator put into the scene as points, sent, seen by the camera and drawn: to the pixel."""
    known, size, focal = golden("animate_anyone/pose_draw"), (96, 128), 150.0
    script = """
from understudy_backend.guidance.skeleton import draw_skeleton, openpose_of_whole_body
from understudy_shared.camera import project
pixels, _ = project(given['vertices'].astype(np.float64), given['extrinsics'], given['k'])
points, scores = openpose_of_whole_body(pixels[None], given['scores'])
out = dict(canvas=draw_skeleton(points[0], scores[0], (96, 128)), pixels=pixels)
"""
    for person in ("s0", "s1"):
        points = known[f"{person}/coco_kp"][0]
        depth = 3 + 0.01 * np.arange(len(points))[:, None]
        places = np.hstack([(points - (size[0] / 2, size[1] / 2)) / focal, np.ones((len(points), 1))]) * depth
        sent, _ = through_blender(scene, places, (), focal, size)
        geometry = {"vertices": sent["vertices"], "k": sent["intrinsics"], "extrinsics": sent["extrinsics"]}
        drawn = in_backend(script, **geometry, scores=known[f"{person}/coco_score"])
        assert np.abs(drawn["pixels"] - points).max() < 1e-3
        np.testing.assert_array_equal(drawn["canvas"], known[f"{person}/canvas"])
