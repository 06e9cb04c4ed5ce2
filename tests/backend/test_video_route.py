"""The route from video to samples, on frames of a person whose texture and poses are known."""

import json
import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from understudy_backend.methods.contract import MethodError
from understudy_backend.photo.landmarks import Landmarks
from understudy_backend.texture.bake import texel_map
from understudy_backend.texture.render import render_body
from understudy_backend.training.arrays import Samples
from understudy_backend.training.people.person import random_betas
from understudy_backend.training.people.samples import decode_ahead
from understudy_backend.training.video import route, sighting
from understudy_backend.training.video.__main__ import main
from understudy_backend.training.video.track import CAMERA_AXES, Track
from understudy_shared.body import JOINT_NAMES, Y_UP_TO_Z_UP, free_body, skin
from understudy_shared.frames import Channel
from understudy_shared.rotations import axis_angle_from_matrix, matrix_from_axis_angle

FRAMES, WIDTH, HEIGHT, S = 8, 520, 640, 256
GREEN = np.array([0, 255, 0], np.uint8)


def known_texture():
    """Smooth noise of features about eight texels wide, without any green that the key would take for the ground."""
    noise = np.random.default_rng(0).uniform(0, 255, (S // 8, S // 8, 3))
    texture = cv2.resize(noise, (S, S), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    texture[..., 1] //= 2
    return texel_map(free_body(), S).fill_gutter(texture)


def known_track():
    """Somebody who turns once round, swings their arms and walks through the picture, before a camera of 520 px."""
    turns = np.linspace(0, 2 * np.pi, FRAMES, endpoint=False)
    orient = axis_angle_from_matrix(
        matrix_from_axis_angle(np.outer(turns, [0, 0, 1])) @ Y_UP_TO_Z_UP
    )  # fmt: skip
    pose = np.zeros((FRAMES, 23, 3), np.float32)
    for name, sign in (("left_shoulder", -1), ("right_shoulder", 1)):
        pose[:, JOINT_NAMES.index(name) - 1, 2] = sign * (1.05 + 0.25 * np.sin(2 * turns))
    extrinsics = np.eye(4)
    extrinsics[:3, :3] = CAMERA_AXES
    k = np.array([[900.0, 0, WIDTH / 2], [0, 900, HEIGHT / 2], [0, 0, 1]])
    place = np.column_stack([np.linspace(-0.15, 0.15, FRAMES), np.full(FRAMES, 3.6), np.full(FRAMES, 0.35)])
    return Track(
        frame=np.arange(FRAMES),
        name=("",) * FRAMES,
        betas=np.repeat(random_betas(np.random.default_rng(1), True, False)[None], FRAMES, 0),
        global_orient=orient.astype(np.float32),
        body_pose=pose,
        transl=place.astype(np.float32),
        extrinsics=np.repeat(extrinsics[None], FRAMES, 0),
        intrinsics=np.repeat(k[None], FRAMES, 0),
        size=(WIDTH, HEIGHT),
        confidence=np.ones(FRAMES),
    )


def posed(track, row):
    """The body, by numpy's skinning rather than the route's own accessor."""
    here = slice(row, row + 1)
    pose = track.global_orient[here], track.body_pose[here], track.transl[here]
    return skin(free_body(), track.betas[0], *pose)[0]


def rendered(track, row, texture):
    parts = render_body(
        posed(track, row), free_body(), texture, track.intrinsics[row], track.extrinsics[row], track.size
    )
    rgba = parts[Channel.RGBA].astype(np.float32)
    alpha = rgba[..., 3:] / 255
    return (rgba[..., :3] * alpha + GREEN * (1 - alpha)).round().astype(np.uint8)


def keyed(image):
    """Stands for the landmark network: the person is what is not green; landmarks are points in them."""
    mask = (np.abs(image.astype(int) - GREEN).sum(2) > 20).astype(np.float32)
    rows, columns = np.nonzero(mask)
    if len(rows) < 100:
        raise MethodError("no person was found in the photo", code="no_person")
    inner = np.column_stack(
        [np.linspace(columns.min(), columns.max(), 33), np.linspace(rows.min(), rows.max(), 33)]
    )  # fmt: skip
    return Landmarks(inner.astype(np.float64), np.ones(33), np.zeros((33, 3)), mask, 1.0)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The clip as pictures, its true track in a file, and what the route made of them with the defaults."""
    folder = tmp_path_factory.mktemp("video")
    texture, track = known_texture(), known_track()
    (folder / "anna__walk").mkdir()
    for row in range(FRAMES):
        cv2.imwrite(str(folder / f"anna__walk/{row:03d}.png"), rendered(track, row, texture)[..., ::-1])
    track.save(folder / "track.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sighting, "detect", keyed)
        main(command(folder, "data", "--pictures"))
    return SimpleNamespace(folder=folder, data=folder / "data", texture=texture, track=track)


def command(folder, out, *more):
    start = [str(folder / "anna__walk"), "--track", str(folder / "track.npz"), "--out", str(folder / out)]
    return [*start, "--validation", "0", *more]


def arrays(data, kind, shard="train/shard-00000"):
    return {p.stem: np.load(p, allow_pickle=False) for p in (data / kind / shard).glob("*.npy")}


def psnr(a, b, where):
    return float(10 * np.log10(255**2 / np.mean((a[where].astype(float) - b[where]) ** 2)))


def test_layout_and_report(world):
    for kind, names in {
        "texture": {"target", "partial", "visible", "known"},
        "frames": {"target", "body", "photo", "ahead"},
    }.items():
        found = arrays(world.data, kind)
        assert set(found) == names | ({"person", "body_mask"} if kind == "texture" else {"person"})
        read = Samples([world.data / kind / "train"])  # as training reads it
        assert len(read) == FRAMES
        assert found["person"].shape == (FRAMES,)
        for name in names:
            array = read.rows(name, np.arange(FRAMES))
            np.testing.assert_array_equal(array, found[name])
            channels = () if name in ("visible", "known", "ahead") else (3,) if kind == "texture" else (4,)
            assert (array.shape, array.dtype) == ((FRAMES, S, S, *channels), np.uint8)
        about = json.loads((world.data / kind / "train/shard-00000/dataset.json").read_text())
        assert (about["kind"], about["split"], about["count"], about["size"]) == (kind, "train", FRAMES, S)
        assert (about["person"], about["clip"], about["frames"]) == ("anna", "anna__walk", list(range(FRAMES)))
    report = json.loads((world.data / "reports/anna__walk.json").read_text())
    assert (report["frames"], report["kept"], report["dropped"]) == (FRAMES, FRAMES, {})
    assert "\n" not in report["summary"]
    sheet = cv2.imread(str(world.data / "pictures/anna__walk.png"))
    assert sheet is not None and sheet.shape[1] == 8 * S


def test_the_fused_texture_is_the_known_one(world):
    found = arrays(world.data, "texture")
    texels = texel_map(free_body(), S)
    away_from_seams = cv2.erode(texels.mask.astype(np.uint8), np.ones((5, 5))) > 0
    known = (found["known"][0] > 0) & away_from_seams
    assert known[texels.mask].mean() > 0.5
    assert psnr(found["target"][0], world.texture, known) > 26
    partial = (found["visible"] > 0) & away_from_seams
    assert psnr(found["partial"], np.repeat(world.texture[None], FRAMES, 0), partial) > 24
    assert (found["partial"][found["visible"] == 0] == 128).all()
    views = (found["visible"] > 0).sum(0)
    np.testing.assert_array_equal(found["known"][0][texels.mask] > 0, views[texels.mask] >= 2)
    for array in found["known"], found["target"]:
        assert (array == array[0]).all()  # one texture for the clip


def test_the_intermediate_frame_lies_on_the_real_one(world):
    found = arrays(world.data, "frames")
    body, target = found["body"], found["target"]
    for i in range(FRAMES):
        a, b = body[i, ..., 3] > 127, target[i, ..., 3] > 127
        assert (a & b).sum() / (a | b).sum() > 0.96
        inner = cv2.erode((a & b).astype(np.uint8), np.ones((5, 5))) > 0
        assert psnr(body[i, ..., :3], target[i, ..., :3], inner) > 20  # what was never seen is guessed
        green = target[i, ..., 1].astype(int) - target[i, ..., [0, 2]].max(0)
        assert (green[target[i, ..., 3] > 30] < 60).mean() > 0.99  # no ground on the person's border
        assert (target[i][target[i, ..., 3] == 0] == 0).all()


def test_the_photo_is_of_another_time(world):
    """Each photo is compared with the person at every time: seen from elsewhere, it fits another one better."""
    found = arrays(world.data, "frames")
    for i in range(FRAMES):
        a, b = found["photo"][i, ..., 3] > 127, found["target"][i, ..., 3] > 127
        colours = [found["photo"][i][a][:, :3].mean(0), found["target"][i][b][:, :3].mean(0)]
        assert np.abs(colours[0] - colours[1]).max() > 1
        columns = np.flatnonzero(a.any(0))
        rows = np.flatnonzero(a.any(1))
        assert 0.8 < max(np.ptp(rows), np.ptp(columns)) / S < 1  # as large as in a photo of them


def test_the_photo_tells_how_far_clothes_stand_off(world, monkeypatch):
    """Of a person whose outline is `grown` pixels outside the body's in every frame, and of one without clothes."""
    monkeypatch.setattr(sighting, "detect", keyed)
    folder, track, grown = world.folder / "coat", known_track(), 8
    folder.mkdir()
    for row in range(FRAMES):
        person = rendered(track, row, world.texture)
        mask = (np.abs(person.astype(int) - GREEN).sum(2) > 20).astype(np.uint8)
        coat = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grown + 1,) * 2)) - mask
        person[coat > 0] = 90, 30, 30
        cv2.imwrite(str(folder / f"{row:03d}.png"), person[..., ::-1])
    main([str(folder), "--track", str(world.folder / "track.npz"), "--out", str(world.folder / "dressed"),
          "--validation", "0"])  # fmt: skip
    for data, expected in ((world.data, 0), (world.folder / "dressed", grown)):
        found = arrays(data, "frames")
        for row in range(FRAMES):
            pixels, there = decode_ahead(found["ahead"][row])
            cover = found["body"][row, ..., 3]
            assert there[cover == 255].mean() > 0.99
            assert not there[cover == 0].any()
            height = np.ptp(np.nonzero(render_mask(track, row).any(1))[0])  # of the body, in the frame
            rows = np.nonzero((cover > 127).any(1))[0]
            scale = np.ptp(rows) / height
            there[rows[0] + np.ptp(rows) // 8 :] = False  # the head: no arm hides its outline
            assert np.median(pixels[there]) == pytest.approx(expected * scale, abs=0.3 * grown * scale)


def render_mask(track, row):
    return np.abs(rendered(track, row, known_texture()).astype(int) - GREEN).sum(2) > 20


def test_a_wrong_track_is_noticed(world, monkeypatch, capsys):
    """Shifted by 0.25 m, the body no longer covers the person; frames that the track lacks are gaps."""
    monkeypatch.setattr(sighting, "detect", keyed)
    track = known_track()
    track.transl[2:4, 0] += 0.25
    kept = [i for i in range(FRAMES) if i != 5]
    fields = {n: getattr(track, n)[kept] for n in ("frame", "betas", "global_orient", "body_pose", "transl",
              "extrinsics", "intrinsics", "confidence")}  # fmt: skip
    Track(**fields, name=("",) * len(kept), size=track.size).save(world.folder / "wrong.npz")
    main([str(world.folder / "anna__walk"), "--track", str(world.folder / "wrong.npz"), "--out",
          str(world.folder / "wrong"), "--validation", "0"])  # fmt: skip
    report = json.loads((world.folder / "wrong/reports/anna__walk.json").read_text())
    assert report["dropped"] == {"2": "low overlap", "3": "low overlap", "5": "tracker gap"}
    assert "5 of 8 frames kept, dropped 2 low overlap, 1 tracker gap" in capsys.readouterr().out
    assert arrays(world.folder / "wrong", "frames")["target"].shape[0] == 5


def test_blurred_and_cut_frames_are_dropped(world, monkeypatch):
    monkeypatch.setattr(sighting, "detect", keyed)
    folder, track = world.folder / "poor", known_track()
    folder.mkdir()
    track.transl[6, 0] = 1.0  # walks out of the picture
    for row in range(FRAMES):
        image = rendered(track, row, world.texture)
        if row == 1:
            mask = np.abs(image.astype(int) - GREEN).sum(2) > 20
            image[mask] = cv2.GaussianBlur(image, (0, 0), 6)[mask]
        cv2.imwrite(str(folder / f"{row:03d}.png"), image[..., ::-1])
    (folder / "004.png").write_bytes(b"no picture")
    track.save(world.folder / "poor.npz")
    main(
        [str(folder), "--track", str(world.folder / "poor.npz"), "--out", str(world.folder / "d"), "--validation", "0"]
    )
    report = json.loads((world.folder / "d/reports/poor.json").read_text())
    assert report["dropped"] == {"1": "blurred", "4": "unreadable", "6": "cut by the frame"}


def test_a_killed_run_goes_on_to_the_same_bytes(world, monkeypatch):
    """A shard that lacks its `dataset.json` is made again; complete ones are not touched, frames not looked at."""
    again = world.folder / "again"
    shutil.copytree(world.data, again)
    (again / "texture/train/shard-00000/dataset.json").unlink()
    (again / "texture/train/shard-00000/target.npy").write_bytes(b"half a fi")
    (again / "reports/anna__walk.json").unlink()
    untouched = again / "frames/train/shard-00000/target.npy"
    before = untouched.stat().st_mtime_ns
    monkeypatch.setattr(sighting, "detect", lambda image: pytest.fail("looked again"))
    main(command(world.folder, "again"))
    assert untouched.stat().st_mtime_ns == before
    for path in sorted(p for p in world.data.rglob("*") if p.is_file() and p.suffix != ".png"):
        assert (again / path.relative_to(world.data)).read_bytes() == path.read_bytes(), path
    shutil.rmtree(again / "work")
    main(command(world.folder, "again"))  # all is there: nothing is read any more
    assert not (again / "work").exists()


def test_a_run_from_nothing_gives_the_same_bytes(world, monkeypatch):
    monkeypatch.setattr(sighting, "detect", keyed)
    main(command(world.folder, "twice"))
    for kind in ("texture", "frames"):
        for path in (world.data / kind).rglob("*.npy"):
            assert (world.folder / "twice" / path.relative_to(world.data)).read_bytes() == path.read_bytes(), path


def test_other_settings_do_not_mix_with_what_is_there(world, monkeypatch, capsys):
    monkeypatch.setattr(sighting, "detect", keyed)
    again = world.folder / "mixed"
    shutil.copytree(world.data, again)
    with pytest.raises(SystemExit) as caught:
        main(command(world.folder, "mixed", "--fuse", "average"))
    assert caught.value.code == 1
    error = capsys.readouterr().err
    assert "made with other frames or settings" in error
    assert error.count("\n") == 1


def test_people_never_change_sides():
    settings = route.Settings(validation=0.3)
    names = [f"person {i}" for i in range(400)]
    sides = [route.split_of(name, settings) for name in names]
    assert sides == [route.split_of(name, settings) for name in names]
    assert 0.2 < sides.count("val") / len(sides) < 0.4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "does not exist"),
        (["empty"], "neither pictures nor videos"),
        (["text.mp4"], "cannot be read as a video"),
        (["anna__walk", "--track", "text.mp4"], "text.mp4"),
        (["anna__walk", "--every", "0"], "steps of at least 1"),
        (["anna__walk", "--start", "7"], "fewer than two frames"),
    ],
)
def test_bad_input_is_one_line(world, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(world.folder)
    (world.folder / "empty").mkdir(exist_ok=True)
    (world.folder / "text.mp4").write_text("no video")
    with pytest.raises(SystemExit):
        main([*arguments, "--out", "none"])
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
