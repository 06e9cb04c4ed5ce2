"""Metrics against other implementations, analytic answers and published figures."""

import os
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from understudy_backend.evaluation import pictures
from understudy_backend.evaluation.frechet import frechet_distance
from understudy_backend.evaluation.i3d import I3D, Clips, _padded, _pool
from understudy_backend.evaluation.inception import Inception
from understudy_backend.evaluation.lpips import Lpips
from understudy_backend.evaluation.metric_weights import ALL, LPIPS, MissingWeights, default_folder, weights_file
from understudy_backend.inert_pickle import read_pickled_tree
from understudy_shared.formats.reading import FormatError

RNG = np.random.default_rng(5)
WEIGHTS = default_folder()
needs_weights = pytest.mark.skipif(
    not all((WEIGHTS / w.file).is_file() for w in ALL), reason="fetch them with packaging/fetch_metric_weights.py"
)


def picture(noise: float = 0.0) -> np.ndarray:
    """A smooth picture with some noise."""
    y, x = np.mgrid[0:96, 0:80] / 20
    clean = np.stack([np.sin(x) + np.cos(y), np.sin(x * y), np.cos(3 * x)], -1) * 50 + 128
    rng = np.random.default_rng(1)
    return np.clip(clean + rng.normal(0, 1, clean.shape) * noise, 0, 255).astype(np.uint8)


def test_psnr_and_ssim_are_those_of_scikit_image() -> None:
    a, b = picture(), picture(20)
    assert pictures.psnr(a, b) == pytest.approx(peak_signal_noise_ratio(b, a, data_range=255), abs=1e-9)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    expected = structural_similarity(a, b, channel_axis=-1, **options)
    assert 0.2 < expected < 0.9
    assert pictures.ssim(a, b) == pytest.approx(expected, abs=1e-9)


def test_simple_distances_by_hand() -> None:
    a, b = np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)
    a[:2, :, 3], b[1:3, :, 3] = 255, 255
    assert pictures.iou(a, b) == pytest.approx(1 / 3)
    assert pictures.l1(np.full((2, 2, 3), 51, np.uint8), np.zeros((2, 2, 3), np.uint8)) == pytest.approx(0.2)
    assert pictures.over_grey(a)[3, 0].tolist() == [128, 128, 128]  # 127.5, rounded up
    inside = np.zeros((2, 2), bool)
    inside[0] = True
    worse = np.zeros((2, 2, 3), np.uint8)
    worse[1] = 200
    assert pictures.psnr(worse, np.zeros_like(worse), inside) > 100


def exact(mean: np.ndarray, covariance: np.ndarray, count: int) -> np.ndarray:
    """Samples that have exactly this mean and unbiased covariance."""
    x = RNG.normal(size=(count, len(mean)))
    x -= x.mean(0)
    whiten = np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return x @ whiten @ np.linalg.cholesky(covariance).T + mean


def test_frechet_distance_of_known_gaussians() -> None:
    d = 6
    mean = np.linspace(-1, 2, d)
    a = exact(np.zeros(d), np.eye(d) * 4, 50)
    b = exact(mean, np.eye(d) * 9, 40)
    assert frechet_distance(a, b) == pytest.approx((mean**2).sum() + d * (3 - 2) ** 2)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_is_that_of_the_matrix_root() -> None:
    d = 8
    mix = RNG.normal(size=(d, d))
    a, b = RNG.normal(size=(60, d)) @ mix, RNG.normal(size=(40, d)) * 2 + 0.5
    s1, s2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(s1 @ s2)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s1 + s2) - 2 * np.trace(np.real(root))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_fewer_samples_than_features_are_exact() -> None:
    """Features that live in a plane have the distance that they have in the plane."""
    plane = np.linalg.qr(RNG.normal(size=(200, 3)))[0]
    a, b = RNG.normal(size=(7, 3)), RNG.normal(size=(9, 3)) + 1
    assert frechet_distance(a @ plane.T, b @ plane.T) == pytest.approx(frechet_distance(a, b))


def test_frechet_distance_needs_samples() -> None:
    with pytest.raises(ValueError, match="two samples"):
        frechet_distance(np.zeros((1, 4)), np.zeros((5, 4)))
    with pytest.raises(ValueError, match="cannot be compared"):
        frechet_distance(np.zeros((3, 4)), np.zeros((5, 5)))


def test_padding_is_tensorflows_same() -> None:
    """Worked by hand: 4 values, kernel 3, stride 2 leave one zero, which goes behind; 3, kernel 2, stride 1 too."""
    for values, kernel, stride, expected in (([1, 2, 3, 4], 3, 2, [6, 7]), ([1, 2, 3], 2, 1, [3, 5, 3])):
        x = torch.tensor(values, dtype=torch.float32).view(1, 1, -1, 1, 1)
        padded = _padded(x, (kernel, 1, 1), (stride, 1, 1), 0.0)
        out = torch.nn.functional.conv3d(padded, torch.ones(1, 1, kernel, 1, 1), stride=(stride, 1, 1))
        assert out.flatten().tolist() == expected
    negative = torch.tensor([-5.0, -7.0, -9.0]).view(1, 1, 3, 1, 1)
    assert _pool(negative, (3, 1, 1), (2, 1, 1)).flatten().tolist() == [-5, -7]  # padding never wins


def test_i3d_has_the_published_size() -> None:
    """12.7 million numbers with those of its batch normalisation, of which the scales are not in the checkpoint."""
    network = I3D()
    scales = sum(m.weight.numel() for m in network.modules() if isinstance(m, torch.nn.BatchNorm3d))
    numbers = sum(v.numel() for n, v in network.state_dict().items() if not n.endswith("num_batches_tracked"))
    assert numbers - scales == 12_704_544


def test_a_checkpoint_is_read_without_being_run(tmp_path: Path) -> None:
    tree = {"a": {"b/c": np.arange(6, dtype=np.float32).reshape(2, 3)}, "d": np.ones(2)}
    path = tmp_path / "tree.ckpt"
    path.write_bytes(pickle.dumps(tree))
    read = read_pickled_tree(path)
    assert sorted(read) == ["a/b/c", "d"]
    np.testing.assert_array_equal(read["a/b/c"], tree["a"]["b/c"])

    class Evil:
        def __reduce__(self) -> tuple:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    for hostile in ({"a": Evil()}, {"a": {"b": np.array([Evil()], object)}}):
        path.write_bytes(pickle.dumps(hostile))
        with pytest.raises(FormatError, match="was not run"):
            read_pickled_tree(path)
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_without_end_is_refused(tmp_path: Path) -> None:
    """A dictionary in itself, and one that mentions ten times one that mentions ten times, and so on."""
    endless: dict = {}
    endless["again"] = endless
    laugh: dict = {"a": np.zeros(1)}
    for _ in range(14):
        laugh = dict.fromkeys("abcdefghij", laugh)
    for number, hostile in enumerate((endless, laugh)):
        path = tmp_path / f"{number}.ckpt"
        path.write_bytes(pickle.dumps(hostile))
        begin = time.perf_counter()
        with pytest.raises(FormatError, match="not a tree of arrays"):
            read_pickled_tree(path)
        assert time.perf_counter() - begin < 2


def test_missing_and_wrong_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match=r"LPIPS is left out: no alexnet.ckpt"):
        Lpips(tmp_path)
    (tmp_path / LPIPS.file).write_bytes(b"something else")
    with pytest.raises(MissingWeights, match="not the file"):
        weights_file(tmp_path, LPIPS)


@needs_weights
def test_lpips_has_the_heads_and_the_figures_of_the_original() -> None:
    """Sums of the heads of lpips 0.1.4; black against white, published for it by others, is 0.814 at 64 px."""
    metric = Lpips(WEIGHTS)
    sums = [float(head.double().sum()) for head in metric.heads]
    assert sums == pytest.approx([2.3495323, 16.1430275, 39.2684392, 27.1971782, 20.3171771], abs=1e-6)
    black = np.zeros((1, 64, 64, 3), np.uint8)
    assert metric(black, black + 255)[0] == pytest.approx(0.8140, abs=5e-4)
    clean, noisy, noisier = (picture(n)[None] for n in (0, 10, 40))
    assert metric(clean, clean)[0] == 0
    assert metric(clean, noisier)[0] > metric(clean, noisy)[0] > 0


@needs_weights
def test_i3d_gives_the_published_distance() -> None:
    """FVD of black and white clips, published for another conversion of the same network: 153.11 for 16 frames and
    66.08 for 24."""
    network = Clips(WEIGHTS)
    for frames, published in ((16, 153.110), (24, 66.081)):
        black = np.zeros((1, frames, 64, 64, 3), np.uint8)
        assert ((network(black) - network(black + 255)) ** 2).sum() == pytest.approx(published, rel=5e-3)
    with pytest.raises(ValueError, match="9 frames"):
        network(np.zeros((1, 4, 8, 8, 3), np.uint8))


@needs_weights
def test_inception_tells_pictures_apart() -> None:
    features = Inception(WEIGHTS)(np.stack([picture(), picture(2), picture(60)]))
    assert features.shape == (3, 2048)
    assert (features >= 0).all()  # the mean of rectified maps
    near, far = np.linalg.norm(features[0] - features[1]), np.linalg.norm(features[0] - features[2])
    assert far > 1.2 * near > 0
