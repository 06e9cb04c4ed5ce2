"""3DHM's two stages: what must hold whatever the weights, for our small networks and for Stable Diffusion's layout."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from understudy_backend.methods.contract import MethodError
from understudy_backend.models.threedhm import denoising, latents, networks
from understudy_backend.models.threedhm.infilling import complete_texture, merge, weave, working_size
from understudy_backend.models.threedhm.rendering import (
    BATCH,
    BodyFrame,
    FrameRenderer,
    Noise,
    fit_person,
    keep_surface,
)
from understudy_backend.weights.threedhm import Sampling, load_infill, load_render, save_prompt, save_sampling

TINY = networks.NetworkConfig(latent_channels=4, unet_channels=(16, 32, 32), image_size=128)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def wake(module: torch.nn.Module) -> torch.nn.Module:
    """Zero layers get weights, so that a test sees what passes through them."""
    for p in module.parameters():
        if not p.detach().any():
            torch.nn.init.normal_(p, std=0.05)
    return module


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """Random weights in our layout: one VAE for both stages, prompts as files."""
    networks.build_vae(TINY).save_pretrained(tmp_path / "vae")
    networks.build_infill_unet(TINY).save_pretrained(tmp_path / "infill" / "unet")
    networks.build_unet(TINY, TINY.latent_channels).save_pretrained(tmp_path / "render" / "unet")
    wake(networks.build_branch(TINY)).save_pretrained(tmp_path / "render" / "branch")
    for stage in ("infill", "render"):
        denoising.training_scheduler().save_pretrained(tmp_path / stage / "scheduler")
        save_prompt(networks.constant_prompt(TINY, 0), tmp_path / stage)
    return tmp_path


@pytest.fixture
def stable_diffusion(tmp_path: Path) -> Path:
    """A random model in the layout of a Stable Diffusion 1.5 download, with CLIP, at a fraction of its width."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path / "sd"
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=4, norm_num_groups=4, scaling_factor=0.18215,
    )  # fmt: skip
    down = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)
    up = ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3
    for stage, channels in (("infill", 9), ("render", 4)):
        unet = UNet2DConditionModel(
            sample_size=16, in_channels=channels, out_channels=4, block_out_channels=(8, 8, 16, 16),
            down_block_types=down, up_block_types=up, cross_attention_dim=16, attention_head_dim=4, norm_num_groups=4,
        )  # fmt: skip
        unet.save_pretrained(folder / stage / "unet")
        vae.save_pretrained(folder / stage / "vae")
        DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False,
                      set_alpha_to_one=False, steps_offset=1).save_pretrained(folder / stage / "scheduler")  # fmt: skip
        config = transformers.CLIPTextConfig(
            vocab_size=600, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
            bos_token_id=0, eos_token_id=1, pad_token_id=1,
        )  # fmt: skip
        transformers.CLIPTextModel(config).save_pretrained(folder / stage / "text_encoder")
        _tokenizer(folder / stage / "tokenizer", transformers)
        if stage == "render":
            networks.branch_from_unet(unet).save_pretrained(folder / stage / "branch")
    return folder


def _tokenizer(folder: Path, transformers) -> None:
    import json

    folder.mkdir(parents=True)
    letters = [chr(c) for c in range(97, 123)]
    vocabulary = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{c}</w>" for c in letters)]
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"model_max_length": 77, "tokenizer_class": "CLIPTokenizer"})
    )
    transformers.CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))


def person(height: int = 200, width: int = 100) -> np.ndarray:
    rng = np.random.default_rng(0)
    rgba = rng.integers(0, 255, (height, width, 4), np.uint8)
    rgba[..., 3] = 0
    rgba[20:180, 30:70, 3] = 255
    return rgba


def test_a_perfect_network_recovers_the_clean_latents() -> None:
    scheduler = denoising.training_scheduler()
    clean, noise = torch.randn(2, 4, 8, 8), denoising.seeded_noise(1, (2, 4, 8, 8))
    alphas = scheduler.alphas_cumprod

    def velocity(noisy: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        a, s = alphas[t].sqrt().view(-1, 1, 1, 1), (1 - alphas[t]).sqrt().view(-1, 1, 1, 1)
        return (a * noisy - clean) / s  # v = a e - s x with e = (noisy - a x) / s, and a^2 + s^2 = 1

    for steps in (1, 4, 20):
        assert torch.allclose(denoising.sample(velocity, scheduler, noise, steps), clean, atol=1e-4)


def test_patches_are_coded_as_numpy_would() -> None:
    rng = np.random.default_rng(0)
    picture = torch.from_numpy(rng.normal(size=(1, 4, 32, 64)).cumsum(3).astype(np.float32))
    patches = picture.numpy().reshape(4, 4, 8, 8, 8).transpose(1, 3, 0, 2, 4).reshape(32, -1).astype(np.float64)
    mean = patches.mean(0)
    _, values, rows = np.linalg.svd(patches - mean, full_matrices=False)
    spread = values / np.sqrt(len(patches))
    for keep in (3, 31):  # 32 patches have 31 directions
        vae = networks.build_vae(networks.NetworkConfig(latent_channels=keep))
        vae.fit(*(torch.from_numpy(a).float() for a in (mean, rows[:keep].T.copy(), spread[:keep])))
        code = latents.encode(vae, picture)
        assert code.shape == (1, keep, 4, 8)
        assert code.pow(2).mean().item() == pytest.approx(1, abs=0.02)
        error = (latents.decode(vae, code) - picture).pow(2).sum().item()
        assert error == pytest.approx((values[keep:] ** 2).sum(), rel=1e-3, abs=1e-2)


def test_a_fresh_branch_changes_nothing() -> None:
    unet = networks.build_unet(TINY, TINY.latent_channels).eval()
    branch = networks.branch_from_unet(unet).eval()
    noisy, t = torch.randn(1, 4, 16, 16), torch.tensor([500])
    prompt, condition = networks.constant_prompt(TINY, 0), torch.randn(1, 8, 16, 16)
    with torch.no_grad():
        with_branch = denoising.predict_render(unet, branch, noisy, t, condition, prompt)
        assert torch.equal(with_branch, unet(noisy, t, prompt).sample)
        wake(branch)
        assert not torch.allclose(denoising.predict_render(unet, branch, noisy, t, condition, prompt), with_branch)


def test_transparency_survives_composing() -> None:
    rgba = torch.rand(1, 4, 8, 8)
    rgba[:, 3] = torch.tensor([0.0, 1.0]).repeat(4).view(8)
    back = latents.decompose(latents.compose(rgba))
    assert torch.allclose(back[:, 3], rgba[:, 3], atol=1e-6)
    opaque = (rgba[:, 3:] > 0.5).expand_as(rgba)
    assert torch.allclose(back[opaque], rgba[opaque], atol=1e-5)


@pytest.mark.parametrize("layout", ["ours", "stable_diffusion"])
def test_visible_texels_keep_their_values(layout: str, request: pytest.FixtureRequest) -> None:
    model = load_infill(request.getfixturevalue(layout) / "infill")
    size = working_size(model)
    assert size == 128
    rng = np.random.default_rng(0)
    color = rng.integers(0, 255, (256, 256, 3), np.uint8)
    visible = np.zeros((256, 256), bool)
    visible[60:150, 60:140] = True
    result = complete_texture(model, color, visible, seed=3, steps=2)
    assert result.shape == (256, 256, 3) and result.dtype == np.uint8
    from understudy_backend.texture.bake import texel_map
    from understudy_shared.body import free_body

    on_body = visible & texel_map(free_body(), 256).mask
    assert np.array_equal(result[on_body], color[on_body])
    again = complete_texture(model, color, visible, seed=3, steps=2)
    assert np.array_equal(result, again)
    assert not np.array_equal(result, complete_texture(model, color, visible, seed=4, steps=2))


def test_generated_texels_meet_the_photographed_tone() -> None:
    color = np.full((256, 256, 3), 200, np.uint8)
    visible = np.zeros((256, 256), bool)
    visible[:, :97] = True
    merged = merge(color, visible, np.full((256, 256, 3), 0.2, np.float32))
    row = merged[90, :, 0].astype(int)  # across the chest, where the whole row from 60 to 140 is body
    assert (row[60:97] == 200).all()
    assert abs(row[98] - 200) < 25, "no edge at the border"
    assert abs(row[135] - 51) < 12, "far away the generated value stands"


@pytest.mark.parametrize("layout", ["ours", "stable_diffusion"])
@pytest.mark.parametrize(
    ("size", "window", "noise"),
    [((64, 64), None, "fixed"), ((72, 120), None, "independent"), ((72, 120), (64, 96), "surface")],
)
def test_frames_do_not_depend_on_their_batch(
    layout: str, size: tuple[int, int], window: tuple[int, int] | None, noise: Noise, request: pytest.FixtureRequest
) -> None:
    model = load_render(request.getfixturevalue(layout) / "render")
    if window is not None:
        model = replace(model, window=window)
    renderer = FrameRenderer(model, person(), size, seed=1, steps=2, detail=1.0, noise=noise)
    rng = np.random.default_rng(1)
    uv = rng.random((size[1], size[0], 2), np.float32)
    bodies = [BodyFrame(i, rng.integers(0, 255, (size[1], size[0], 4), np.uint8), uv) for i in range(BATCH)]
    together = renderer.render(bodies)
    assert together[0].shape == (size[1], size[0], 4)
    for body, frame in zip(bodies, together, strict=True):
        assert np.array_equal(renderer.render([body])[0], frame)
    backwards = renderer.render(bodies[::-1])
    assert np.array_equal(np.stack(backwards[::-1]), np.stack(together))


def test_fine_structure_comes_from_the_nearest_texels() -> None:
    """Stripes on the visible half of the body go on beyond it, where a plain tone gets none."""
    visible = np.zeros((256, 256), bool)
    visible[:, :97] = True
    stripes = np.full((256, 256, 3), 100, np.uint8)
    stripes[::4] = 160
    fine = weave(stripes, visible)
    around = fine[80:110, 100:108, 0]  # the chest, beside what is visible
    assert around.std() > 0.05 and abs(around.mean()) < 0.05
    assert np.abs(weave(np.full_like(stripes, 100), visible)[80:110, 100:108]).max() < 0.02


def test_the_window_of_the_weights_is_read_and_checked(ours: Path) -> None:
    assert load_render(ours / "render").window is None
    save_sampling(Sampling(3, (64, 96)), ours / "render")
    model = load_render(ours / "render")
    assert (model.steps, model.window) == (3, (64, 96))
    for wrong in ({"steps": 3, "window": [60, 96]}, {"steps": 0}, {"steps": 3, "window": [32]}, [], {"steps": "x"}):
        (ours / "render" / "sampling.json").write_text(json.dumps(wrong))
        with pytest.raises(MethodError, match=r"sampling\.json does not say") as error:
            load_render(ours / "render")
        assert error.value.code == "bad_weights"


def test_the_photo_reaches_the_frame(ours: Path) -> None:
    model = load_render(ours / "render")
    body = person(64, 64)
    frames = [
        FrameRenderer(model, photo, (64, 64), seed=1, steps=2, detail=0.0).render([BodyFrame(1, body)])[0]
        for photo in (person(), 255 - person() * np.array([1, 1, 1, 0], np.uint8))
    ]
    assert not np.array_equal(*frames)


def test_the_body_keeps_its_surface_and_takes_the_frames_light() -> None:
    body = torch.zeros(1, 4, 64, 64)
    body[:, :3, 16:48, 16:48] = 0.3 + 0.2 * (torch.arange(32) % 2)  # stripes, finer than any network here paints
    body[:, 3, 16:48, 16:48] = 1
    frame = torch.zeros(1, 4, 64, 64)
    frame[:, :3, 8:56, 16:48] = 0.5  # brighter than the stripes' mean of 0.4, and taller than the body
    frame[:, 3, 8:56, 16:48] = 1
    frame[:, 3, :, 48:56] = 0.25  # a veil that the network is not sure of
    kept = keep_surface(body, frame)
    middle = kept[0, 0, 32, 24:40]
    assert torch.allclose(middle[1::2] - middle[::2], torch.full((8,), 0.2), atol=0.02), "stripes stay"
    assert middle.mean().item() == pytest.approx(0.5, abs=0.02), "light is the frame's"
    assert kept[0, 3, 10, 32] == 1 and kept[0, 0, 10, 32].item() == pytest.approx(0.5), "cloth beyond the body stays"
    assert not kept[0, 3, :, 48:].any(), "the veil goes"


def test_a_person_is_centred_and_keeps_their_shape() -> None:
    framed = fit_person(person(), (128, 128))
    rows, columns = np.nonzero(framed[..., 3] > 127)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert abs(height - 0.92 * 128) <= 1 and abs(width / height - 40 / 160) < 0.02
    assert abs((columns.min() + columns.max() + 1) / 2 - 64) <= 1
    with pytest.raises(ValueError, match="mask is empty"):
        fit_person(np.zeros((8, 8, 4), np.uint8), (64, 64))


def test_missing_and_wrong_weights_are_named(ours: Path) -> None:
    with pytest.raises(MethodError, match="needs 9"):
        (ours / "infill" / "unet").rename(ours / "kept")
        (ours / "render" / "unet").rename(ours / "infill" / "unet")
        load_infill(ours / "infill")
    with pytest.raises(MethodError, match=r"missing: no UNet2DConditionModel in .*render.unet"):
        load_render(ours / "render")
    (ours / "kept").rename(ours / "render" / "unet")
    (ours / "render" / "branch" / "diffusion_pytorch_model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(MethodError, match="cannot be read") as caught:
        load_render(ours / "render")
    assert "\n" not in str(caught.value) and caught.value.fix
    assert caught.value.code == "bad_weights"


def test_a_weights_name_is_never_a_path() -> None:
    from understudy_backend.weights.locations import weights_folder

    for name in ("../x", "/etc", "a/b", "", ".hidden"):
        with pytest.raises(MethodError, match="is no name"):
            weights_folder(name, "infill")
    with pytest.raises(MethodError, match="weights are missing"):
        weights_folder("nobody-made-this", "infill")
