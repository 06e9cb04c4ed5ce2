"""TPSMM as a method: a tiny model with random weights, real pictures in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.transform import resize
from understudy_backend.methods.contract import MethodError, Result, Task
from understudy_backend.methods.tpsmm import TPSMMMethod, TPSMMParams
from understudy_backend.models.tpsmm.composing import Composer, Source
from understudy_backend.models.tpsmm.config import TPSMMConfig
from understudy_backend.models.tpsmm.framing import Crop, centre_crop, head_crop, person_crop
from understudy_backend.models.tpsmm.model import TPSMM
from understudy_backend.weights.tpsmm import save_tpsmm
from understudy_shared.frames import Channel, Frame, srgb_to_linear
from understudy_shared.job import FrameRange, JobSpec

TINY = TPSMMConfig(
    image_size=64,
    splines=2,
    encoder_width=4,
    motion_width=4,
    motion_limit=8,
    motion_levels=2,
    inpainting_width=4,
    inpainting_limit=8,
    avd_widths=(8,),
    avd_code=4,
)
SIZE = (96, 64)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Any:
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    save_tpsmm(TPSMM(TINY), folder / "tpsmm" / "tiny.safetensors")
    return folder


@pytest.fixture(autouse=True)
def _use(weights, monkeypatch):
    monkeypatch.setenv("UNDERSTUDY_WEIGHTS", str(weights))


def picture(seed: int, width: int = 96, height: int = 64) -> np.ndarray:
    coarse = np.random.default_rng(seed).uniform(0, 1, (6, 8, 3))
    image = resize(coarse, (height, width), order=1)
    return np.dstack([np.rint(image * 255), np.full((height, width), 255)]).astype(np.uint8)


def run(frames: list[np.ndarray], inputs: dict, size: tuple[int, int] = SIZE, **params: Any) -> list[Result]:
    spec = JobSpec("tpsmm", FrameRange(1, max(1, len(frames))), size)
    task = Task(spec, TPSMMParams(**{"weights": "tiny", **params}), inputs)
    method = TPSMMMethod()
    method.load("cpu")
    given = (Frame(1 + i, {Channel.RGBA: image}) for i, image in enumerate(frames))
    return list(method.run(task, given))


def test_each_frame_is_out_before_the_next_is_taken():
    taken = []

    def frames():
        for index in (5, 6, 7):
            taken.append(index)
            yield Frame(index, {Channel.RGBA: picture(index)})

    task = Task(
        JobSpec("tpsmm", FrameRange(5, 7), SIZE),
        TPSMMParams(weights="tiny"),
        {"photo": picture(0), "reference": picture(1)},
    )
    method = TPSMMMethod()
    for result in method.run(task, frames()):
        assert taken[-1] == result.index
        image = result.arrays["rgba"]
        assert image.shape == (64, 96, 4)
        assert image.dtype == np.uint8
    assert taken == [5, 6, 7]


def test_frames_do_not_depend_on_which_others_are_made():
    inputs = {"photo": picture(0), "reference": picture(1)}
    both = run([picture(2), picture(3)], inputs)
    alone = run([picture(3)], inputs)
    assert np.array_equal(both[1].arrays["rgba"], alone[0].arrays["rgba"])


def test_linear_and_srgb_frames_are_the_same_picture():
    image = picture(2)
    linear = srgb_to_linear(image[..., :3] / 255.0)
    floats = np.dstack([linear, np.ones(image.shape[:2])]).astype(np.float32)
    a, b = run([image, floats], {"photo": picture(0)}, mode="standard")
    assert np.abs(a.arrays["rgba"].astype(int) - b.arrays["rgba"]).max() <= 1


def test_driving_pictures_of_any_size():
    results = run([picture(2, 300, 200), picture(2, 33, 75)], {"photo": picture(0), "reference": picture(1, 50, 40)})
    assert [r.arrays["rgba"].shape for r in results] == [(64, 96, 4)] * 2


def test_a_clip_of_one_frame_leaves_the_photo_in_its_own_pose():
    photo = picture(0)
    (only,) = run([picture(2)], {"photo": photo, "reference": picture(2)})
    (own,) = run([photo], {"photo": photo}, mode="standard")
    (other,) = run([picture(2)], {"photo": photo}, mode="standard")
    assert np.abs(only.arrays["rgba"].astype(int) - own.arrays["rgba"]).max() <= 1
    assert np.abs(only.arrays["rgba"].astype(int) - other.arrays["rgba"]).max() > 1


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_clip_in_which_nobody_is_moves_nothing(level):
    photo, empty = picture(0), np.full((40, 70, 4), 255, np.uint8)
    empty[..., :3] = level
    still = run([empty, empty], {"photo": photo, "reference": empty})
    (own,) = run([photo], {"photo": photo}, mode="standard")
    for result in still:
        assert np.abs(result.arrays["rgba"].astype(int) - own.arrays["rgba"]).max() <= 1
    for mode in ("standard", "avd"):  # the keypoints have nobody to lie on, and lie somewhere
        (result,) = run([empty], {"photo": photo}, mode=mode)
        shown = result.arrays["rgba"][:, 16:80]
        assert (shown[..., 3] == 255).all() and shown[..., :3].std() > 1


def test_square_crop_stands_in_the_middle_of_a_wide_frame():
    (result,) = run([picture(2)], {"photo": picture(0)}, mode="standard")
    alpha = result.arrays["rgba"][..., 3]
    assert (alpha[:, 16:80] == 255).all()
    assert not alpha[:, :16].any()
    assert not alpha[:, 80:].any()


def test_blended_back_the_rest_of_the_photo_stays():
    photo = picture(0)
    (result,) = run([picture(2)], {"photo": photo}, mode="standard", output="photo", soften=0.2)
    image = result.arrays["rgba"]
    assert np.abs(image[:, :16].astype(int) - photo[:, :16]).max() <= 1
    assert np.abs(image[:, 80:].astype(int) - photo[:, 80:]).max() <= 1
    assert np.abs(image[:, 17].astype(int) - photo[:, 17]).max() <= 12  # the ramp begins
    assert np.abs(image[:, 40:56].astype(int) - photo[:, 40:56]).mean() > 5  # random weights in the middle


def test_photo_with_alpha_gives_frames_with_alpha():
    photo = picture(0)
    photo[:, :48, 3] = 0
    (moving,) = run([picture(2)], {"photo": photo}, mode="standard")
    alpha = moving.arrays["rgba"][..., 3]
    assert alpha[:, 16:80].min() == 0
    assert alpha.max() > 200
    (cut,) = run([picture(2)], {"photo": photo}, mode="standard", background="none", crop="person")
    assert cut.arrays["rgba"][..., 3].min() == 0


def test_still_background_is_the_photos():
    photo, mask = picture(0), np.zeros((64, 96), np.uint8)
    mask[28:36, 44:52] = 255
    (result,) = run([picture(2)], {"photo": photo, "photo_mask": mask}, mode="standard", background="still")
    image = result.arrays["rgba"][:, 16:80].astype(int)
    assert (image[..., 3] == 255).all()
    corner = np.abs(image[:12, :12, :3] - photo[:12, 16:28, :3])
    assert corner.max() <= 2


def test_composing_what_the_networks_saw_gives_the_photo():
    photo = picture(4).astype(np.float32) / 255
    source = Source(photo, None, centre_crop(96, 64))
    composer = Composer(source, 64, SIZE, whole=True, soften=0.1)
    assert composer.shape is None
    got = composer.frame(source.seen(64), None)
    assert np.abs(got.astype(float) - photo * 255).max() <= 1


def test_resizing_is_that_of_the_published_code():
    image = picture(3, 400, 400)[..., :3].astype(np.float32) / 255
    image += np.random.default_rng(0).normal(0, 0.1, image.shape).astype(np.float32)
    want = resize(image, (64, 64), order=1, anti_aliasing=True)
    got = Crop(0, 0, 400, 400).take(image, (64, 64))
    assert np.abs(got - want)[2:-2, 2:-2].max() < 4e-3


def test_crops():
    mask = np.zeros((100, 200))
    mask[20:80, 50:70] = 1
    crop = person_crop(mask)
    assert crop.width == crop.height == pytest.approx(60 * 1.3)
    assert (crop.left + crop.width / 2, crop.top + crop.height / 2) == (60, 50)
    head = head_crop(np.array([[60.0, 50], [40, 50]]), np.array([[58.0, 75], [42, 75]]))
    assert head.width == pytest.approx(2 * max(2 * 20, 1.8 * 25))
    assert head.left + head.width / 2 == pytest.approx(50)
    assert head.top + head.height / 2 == pytest.approx(52.5)


def test_transparent_driving_frame_is_told():
    empty = np.zeros((64, 96, 4), np.uint8)
    shown, gone = run([picture(2), empty], {"photo": picture(0)}, mode="standard")
    assert "warnings" not in shown.meta
    assert "transparent" in gone.meta["warnings"][0]


@pytest.mark.parametrize(
    ("inputs", "params", "code", "says"),
    [
        ({}, {"weights": "vox"}, "missing_weights", "vox.pth.tar comes from"),
        ({}, {}, "missing_input", "reference"),
        ({"reference": np.zeros((8, 8, 4), np.uint8)}, {}, "bad_input", "transparent"),
        ({"reference": np.zeros((8, 8), np.uint8)}, {}, "bad_input", "colour"),
        ({}, {"mode": "standard", "background": "still"}, "missing_input", "where the person is"),
        ({}, {"mode": "standard", "crop": "person"}, "missing_input", "where the person is"),
        ({"photo_mask": np.zeros((64, 96), np.uint8)}, {"mode": "standard", "crop": "person"}, "bad_input", "nobody"),
        ({"photo_mask": np.zeros((4, 4, 4), np.uint8)}, {"mode": "standard"}, "bad_input", "mask"),
        ({}, {"mode": "standard", "crop": "head"}, "no_face", "photo"),
        ({"reference": picture(1)}, {"match_reference": True}, "no_face", "photo"),
    ],
)
def test_errors_are_plain(inputs, params, code, says):
    with pytest.raises(MethodError, match=says) as refused:
        run([picture(2)], {"photo": picture(0)} | inputs, **params)
    assert refused.value.code == code
    assert refused.value.fix
    assert "\n" not in str(refused.value)


def test_frame_without_a_picture():
    task = Task(
        JobSpec("tpsmm", FrameRange(1, 1), SIZE), TPSMMParams(weights="tiny", mode="standard"), {"photo": picture(0)}
    )
    with pytest.raises(MethodError, match="frame 9 has no picture"):
        list(TPSMMMethod().run(task, [Frame(9, {})]))


def test_best_reference_is_the_one_whose_face_is_held_alike():
    folder = Path(__file__).parents[2] / "packaging/demo/samples/photos"
    photo, other = (np.asarray(Image.open(path).convert("RGBA")) for path in sorted(folder.glob("*.jpg"))[:2])
    mirrored = np.ascontiguousarray(photo[:, ::-1])
    inputs = {"photo": photo, "reference": mirrored, "reference_2": photo, "reference_10": other}
    (chosen,) = run([other], inputs, match_reference=True)
    (wanted,) = run([other], {"photo": photo, "reference": photo})
    (first,) = run([other], {"photo": photo, "reference": mirrored})
    assert np.array_equal(chosen.arrays["rgba"], wanted.arrays["rgba"])
    assert not np.array_equal(first.arrays["rgba"], wanted.arrays["rgba"])


def test_best_reference_needs_a_face_in_one_of_the_frames():
    path = Path(__file__).parents[2] / "packaging/demo/samples/photos/openpeople_P001.jpg"
    photo = np.asarray(Image.open(path).convert("RGBA"))
    inputs = {"photo": photo, "reference": picture(1, 256, 256), "reference_2": picture(2, 256, 256)}
    with pytest.raises(MethodError, match="no face was found in any of the reference frames") as refused:
        run([picture(3)], inputs, match_reference=True)
    assert refused.value.code == "no_face" and refused.value.fix
    (chosen,) = run([picture(3)], inputs | {"reference_2": photo}, match_reference=True)
    (wanted,) = run([picture(3)], {"photo": photo, "reference": photo})
    assert np.array_equal(chosen.arrays["rgba"], wanted.arrays["rgba"])


def test_description_lists_the_published_sets_as_missing():
    sets = {s.name: s.available for s in TPSMMMethod().description.weights}
    assert sets == {
        "TPSMM vox": False,
        "TPSMM taichi": False,
        "TPSMM ted": False,
        "TPSMM mgif": False,
        "TPSMM tiny": True,
    }
