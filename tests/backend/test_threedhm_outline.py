"""The person's outline in finished frames, to the pixel."""

import dataclasses

import numpy as np
import pytest
import torch
from understudy_backend.evaluation.subject import SIZE, Subject
from understudy_backend.models.threedhm.latents import BACKGROUND, compose
from understudy_backend.models.threedhm.outline import FAR, OutlineNetwork, reach, sure, unknown, with_alpha
from understudy_backend.models.threedhm.rendering import BodyFrame, FrameRenderer
from understudy_backend.texture.render import pixels_per_metre
from understudy_backend.weights.locations import weights_folder
from understudy_backend.weights.threedhm import load_render
from understudy_shared.frames import Channel


def test_reach_beside_a_straight_edge():
    cover, ahead = np.zeros((20, 60), bool), np.zeros((20, 60), np.float32)
    cover[:, :10] = True
    ahead[:, :10] = np.arange(10)  # only what is nearest to the edge counts beyond it
    found = reach(ahead, cover).numpy()
    np.testing.assert_array_equal(found[0, :, 10:], 9)
    np.testing.assert_allclose(found[1, 10, 10:30], np.arange(20) + 0.5, atol=0.02)
    assert (found[1, :, :10] == 0).all() and found[1].max() == FAR and (found[2] == 1).all()


def test_reach_of_nothing():
    found = reach(np.zeros((8, 8), np.float32), np.zeros((8, 8), bool))
    assert (found[1] == FAR).all() and (found[[0, 2]] == 0).all()
    assert (unknown(8, 8) == 0).all()


def test_untrained_it_gives_what_frame_and_body_cover():
    torch.manual_seed(0)
    frame, body = (torch.rand(2, 4, 32, 16) * 2 - 1 for _ in range(2))
    logits = OutlineNetwork()(frame, body, torch.rand(2, 3, 32, 16))
    wanted = torch.maximum((body[:, 3:] + 1) / 2, sure((frame[:, 3:] + 1) / 2))
    torch.testing.assert_close(logits, 6 * (wanted - 0.5))


def test_another_alpha_keeps_colours_and_continues_them():
    picture = torch.zeros(1, 4, 16, 16)
    picture[:, 0, :, :8], picture[:, 3, :, :8] = 0.8, 1.0  # red on the left
    wider = torch.zeros(1, 1, 16, 16)
    wider[..., :12] = 1
    image = (with_alpha(compose(picture), wider) + 1) / 2
    red = torch.tensor([0.8, 0, 0]).view(3, 1, 1)
    torch.testing.assert_close(image[0, :3, :, :12], red.expand(3, 16, 12), atol=0.02, rtol=0)
    torch.testing.assert_close(image[0, :3, :, 12:], torch.full((3, 16, 4), BACKGROUND))
    torch.testing.assert_close(image[:, 3:], wider)


@pytest.fixture(scope="module")
def subject():
    return Subject(0)


@pytest.fixture(scope="module")
def model():
    return load_render(weights_folder("small", "render"))


def frames_of(model, subject, stand_off, *, told=True):
    """Finished frames (N, H, W, 4) of three cameras."""
    views = subject.turntable((0, 60, 150))
    renderer = FrameRenderer(model, subject.photo, SIZE, seed=0, steps=1, detail=1.0, stand_off=stand_off)
    bodies = subject.bodies(subject.texture, views)
    return np.stack(
        renderer.render(
            [
                BodyFrame(
                    i,
                    body[Channel.RGBA],
                    body[Channel.UV] if told else None,
                    pixels_per_metre(body[Channel.DEPTH], view.intrinsics) if told else None,
                )
                for i, (body, view) in enumerate(zip(bodies, views, strict=True))
            ]
        )
    )


def test_clothes_reach_as_far_as_the_photo_shows(model, subject):
    own = subject.stand_off
    areas = [(frames_of(model, subject, own + more)[..., 3] > 127).sum() for more in (-0.02, 0, 0.02)]
    assert areas[0] < 0.99 * areas[1] < 0.99 * 0.99 * areas[2]


def test_what_the_photo_tells_makes_outlines_better(model, subject):
    truth = np.stack(subject.truth(subject.turntable((0, 60, 150))))[..., 3] > 127

    def overlap(frames):
        found = frames[..., 3] > 127
        return ((found & truth).sum((1, 2)) / (found | truth).sum((1, 2))).mean()

    with_photo, without = (overlap(frames_of(model, subject, s)) for s in (subject.stand_off, None))
    before = overlap(frames_of(dataclasses.replace(model, outline=None), subject, None))
    assert with_photo > 0.94 and with_photo > without + 0.005 and with_photo > before + 0.005


def test_frames_of_which_no_geometry_is_known_are_as_without_a_fit(model, subject):
    np.testing.assert_array_equal(
        frames_of(dataclasses.replace(model), subject, subject.stand_off, told=False),
        frames_of(model, subject, None, told=False),
    )
