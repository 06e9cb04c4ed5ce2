"""What compares the result with the truth: VGG-19 with the weights that the user has, or, if asked, plain pixels."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from understudy_backend.methods.contract import MethodError
from understudy_backend.models.tpsmm.blocks import Shrink
from understudy_backend.models.tpsmm.losses import PerceptualLoss
from understudy_backend.models.tpsmm.vgg import VGG19
from understudy_backend.training.checkpoints import TrainingError
from understudy_backend.training.tpsmm.settings import Setting
from understudy_backend.weights.locations import weights_root
from understudy_backend.weights.torch_files import read_tensors

FILES = ("vgg19-dcbb9e9d.pth", "vgg19.pth", "vgg19.safetensors")
"""By what names the ImageNet weights of VGG-19 are found; the first is torchvision's own."""
PACKAGE = "torchvision"


class PixelLoss(nn.Module):
    """Colours and edges of two images at four scales; needs no weights, and knows nothing of what is seen."""

    COLOURS, EDGES = 4.0, 8.0
    """How much each counts. With these the sum is near that of VGG's features, so that the other losses keep their
    part."""

    def __init__(self, shrink: tuple[int, ...] = (2, 4, 8)) -> None:
        super().__init__()
        self.scales = nn.ModuleList([nn.Identity(), *(Shrink(factor) for factor in shrink)])

    def forward(self, prediction: Tensor, truth: Tensor) -> Tensor:
        """Two images (B, 3, H, W) to a scalar."""
        total = prediction.new_zeros(())
        for scale in self.scales:
            difference = scale(prediction - truth.detach())
            edges = difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()
            total = total + self.COLOURS * difference.abs().mean() + self.EDGES * edges
        return total


def comparison(setting: Setting, given: str | None) -> nn.Module:
    """What the setting compares images by.

    Args:
        setting: see there.
        given: a file of VGG-19's weights, or "torchvision", which then downloads them.

    Raises:
        TrainingError: weights are wanted and missing, or do not fit.
    """
    if setting.reconstruction == "pixels":
        return PixelLoss()
    return PerceptualLoss(load_vgg(given))


def load_vgg(given: str | None) -> VGG19:
    """VGG-19 with ImageNet's weights.

    Raises:
        TrainingError: there are none, or they do not fit; one line.
    """
    if given == PACKAGE:
        return _filled(_from_package(), PACKAGE)
    path = Path(given) if given is not None else next((p for p in _places() if p.is_file()), None)
    if path is None:
        raise TrainingError(
            f"VGG-19's weights are missing: give --vgg FILE (torchvision's {FILES[0]}), put the file into "
            f"{weights_root()}, give --vgg {PACKAGE} to have that package fetch it, or train without: "
            "--reconstruction pixels"
        )
    if not path.is_file():
        raise TrainingError(f"there is no file {path}: --vgg names VGG-19's weights, or is {PACKAGE}")
    try:
        return _filled(read_tensors(path), path.name)
    except MethodError as error:
        raise TrainingError(f"{error}: {error.fix}") from None


def _places() -> list[Path]:
    return [folder / name for folder in (weights_root(), Path(torch.hub.get_dir()) / "checkpoints") for name in FILES]


def _from_package() -> dict[str, Tensor]:
    try:
        from torchvision.models import VGG19_Weights, vgg19  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise TrainingError(f"{PACKAGE} is not installed: pip install {PACKAGE}, or give --vgg FILE") from None
    try:
        return vgg19(weights=VGG19_Weights.IMAGENET1K_V1).state_dict()
    except OSError as error:
        raise TrainingError(f"{PACKAGE} cannot fetch VGG-19's weights: {error}; give --vgg FILE") from None


def _filled(tensors: dict[str, Tensor], name: str) -> VGG19:
    vgg = VGG19()
    wanted = vgg.state_dict()
    for key, tensor in wanted.items():
        found = tensors.get(key)
        if found is None or found.shape != tensor.shape:
            said = "lacks" if found is None else "has another shape of"
            raise TrainingError(f"{name} does not hold VGG-19's weights: it {said} {key}")
    vgg.load_state_dict({key: tensors[key] for key in wanted})
    return vgg.eval()
