"""The published weights that methods can use: where they come from, under which licence, and where they belong.

A list to read, and to add an entry to. Nothing here is downloaded before the user has accepted the licence, and nothing
of it ships.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from understudy_backend.weights.locations import weights_root

HUB = "https://huggingface.co/"


@dataclass(frozen=True)
class SourceFile:
    """One file of a set, and where it is published."""

    path: str
    """Within the set's folder, as the methods look for it."""
    source: str
    """Its path in `repository`, or an https address where there is none."""
    repository: str = ""
    """OWNER/NAME on the Hugging Face hub, which tells size and digest."""
    instead: tuple[str, ...] = ()
    """Other paths in the repository that serve as well, where `source` is not there."""
    size: int = 0
    """In bytes; 0: the source says it."""
    sha256: str = ""
    """The digest or its beginning; empty: the source says it."""


@dataclass(frozen=True)
class PublishedSet:
    """A set of weights as `understudy weights` shows it."""

    name: str
    """By which it is fetched."""
    folder: str
    """Within the user's folder of weights; empty: that folder itself."""
    title: str
    methods: tuple[str, ...]
    """Names of the methods that use it."""
    licence: str
    licence_page: str
    page: str
    """Where it is published, and the terms of its authors are."""
    megabytes: float
    files: tuple[SourceFile, ...]
    by_hand: str = ""
    """Why it cannot be fetched, and what to do; empty where it can."""

    @property
    def place(self) -> Path:
        """The folder of its files."""
        return weights_root() / self.folder

    @property
    def how_by_hand(self) -> str:
        """What the user has to do for a set that cannot be fetched, in one sentence."""
        names = ", ".join(file.path for file in self.files)
        return f"{self.by_hand}: see {self.page}, and put {names} into {self.place}"

    @property
    def present(self) -> bool:
        """Whether its files are there, as published or converted to safetensors."""
        return bool(self.files) and all(_is_there(self.place / file.path) for file in self.files)


def describe_published(name: str) -> dict[str, str]:
    """What a `WeightsDescription` says of where a set can be had; nothing of one that is not published."""
    found = find_published(name)
    if found is None:
        return {}
    ways = {"by_hand": found.how_by_hand} if found.by_hand else {"fetch": name}
    return {"page": found.page, "licence_page": found.licence_page, **ways}


def find_published(name: str) -> PublishedSet | None:
    """The set of that name."""
    return next((each for each in PUBLISHED if each.name == name), None)


def _is_there(path: Path) -> bool:
    stem = path.name.partition(".")[0]
    return path.is_file() or (path.suffix != ".json" and (path.parent / f"{stem}.safetensors").is_file())


OPENRAIL = "CreativeML OpenRAIL-M"
OPENRAIL_PAGE = HUB + "spaces/CompVis/stable-diffusion-license"


def _image_encoder(repository: str) -> tuple[SourceFile, ...]:
    """CLIP's, which Animate Anyone and Champ show the photo to."""
    folder = "image_encoder"
    return (
        SourceFile(f"{folder}/config.json", f"{folder}/config.json", repository),
        SourceFile(f"{folder}/pytorch_model.bin", f"{folder}/pytorch_model.bin", repository),
    )


def _vae(repository: str, folder: str = "") -> tuple[SourceFile, ...]:
    """The autoencoder of Stable Diffusion with the better decoder."""
    return (
        SourceFile("vae/config.json", f"{folder}config.json", repository),
        SourceFile(
            "vae/diffusion_pytorch_model.safetensors", f"{folder}diffusion_pytorch_model.safetensors", repository
        ),
    )


def _animator(repository: str, folder: str, *names: str) -> tuple[SourceFile, ...]:
    files = ("denoising_unet", "reference_unet", "motion_module", *names)
    return tuple(SourceFile(f"{name}.pth", f"{folder}{name}.pth", repository) for name in files)


def _stable_diffusion(repository: str) -> tuple[SourceFile, ...]:
    """A model of Stable Diffusion's kind in the layout of diffusers; only safetensors are read."""

    def weights(part: str, name: str) -> SourceFile:
        path = f"{part}/{name}.safetensors"
        return SourceFile(path, path, repository, instead=(f"{part}/{name}.fp16.safetensors",))

    plain = (
        "scheduler/scheduler_config.json",
        "unet/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "tokenizer/merges.txt",
        "tokenizer/special_tokens_map.json",
        "tokenizer/tokenizer_config.json",
        "tokenizer/vocab.json",
    )
    return (
        *(SourceFile(path, path, repository) for path in plain),
        weights("unet", "diffusion_pytorch_model"),
        weights("vae", "diffusion_pytorch_model"),
        weights("text_encoder", "model"),
    )


TPSMM_LICENCE = "none stated; the data behind it is for research"
TPSMM_MEGABYTES = 351
"""Of a published file's networks."""
_TPSMM_PAGE = "https://github.com/yoyo-nb/Thin-Plate-Spline-Motion-Model"


def _tpsmm(name: str, what: str) -> PublishedSet:
    return PublishedSet(
        name=f"tpsmm-{name}",
        folder="tpsmm",
        title=f"TPSMM {name} ({what})",
        methods=("tpsmm",),
        licence=TPSMM_LICENCE,
        licence_page=_TPSMM_PAGE,
        page=_TPSMM_PAGE,
        megabytes=TPSMM_MEGABYTES,
        files=(SourceFile(f"{name}.pth.tar", ""),),
        by_hand="It lies on Google Drive and Yandex Disk, which give no direct download",
    )


PUBLISHED = (
    PublishedSet(
        name="threedhm-sd15",
        folder="threedhm-sd15/infill",
        title="3DHM sd15, in-filling: Stable Diffusion 1.5 for inpainting",
        methods=("threedhm_texture",),
        licence=OPENRAIL,
        licence_page=OPENRAIL_PAGE,
        page=HUB + "stable-diffusion-v1-5/stable-diffusion-inpainting",
        megabytes=4265,
        files=_stable_diffusion("stable-diffusion-v1-5/stable-diffusion-inpainting"),
    ),
    PublishedSet(
        name="animate_anyone-published",
        folder="animate_anyone-published",
        title="Animate Anyone published",
        methods=("animate_anyone",),
        licence=f"{OPENRAIL} (made from Stable Diffusion 1.5), and what the source adds",
        licence_page=OPENRAIL_PAGE,
        page=HUB + "patrolli/AnimateAnyone",
        megabytes=10249,
        files=(
            *_animator("patrolli/AnimateAnyone", "", "pose_guider"),
            *_image_encoder("lambdalabs/sd-image-variations-diffusers"),
            *_vae("stabilityai/sd-vae-ft-mse"),
        ),
    ),
    PublishedSet(
        name="champ-published",
        folder="champ-published",
        title="Champ published",
        methods=("champ",),
        licence=f"{OPENRAIL} (made from Stable Diffusion 1.5), and what the source adds",
        licence_page=OPENRAIL_PAGE,
        page=HUB + "fudan-generative-ai/champ",
        megabytes=10306,
        files=(
            *_animator(
                "fudan-generative-ai/champ",
                "champ/",
                *(f"guidance_encoder_{kind}" for kind in ("depth", "normal", "semantic_map", "dwpose")),
            ),
            *_image_encoder("fudan-generative-ai/champ"),
            *_vae("stabilityai/sd-vae-ft-mse"),
        ),
    ),
    _tpsmm("vox", "heads"),
    _tpsmm("taichi", "whole bodies"),
    _tpsmm("ted", "upper bodies"),
    _tpsmm("mgif", "drawn animals"),
    PublishedSet(
        name="vgg19",
        folder="",
        title="VGG-19, for training TPSMM",
        methods=(),
        licence="BSD-3-Clause, torchvision's; trained on ImageNet, whose pictures are for research",
        licence_page="https://github.com/pytorch/vision/blob/main/LICENSE",
        page="https://docs.pytorch.org/vision/stable/models/generated/torchvision.models.vgg19.html",
        megabytes=575,
        files=(
            SourceFile(
                "vgg19-dcbb9e9d.pth", "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth", sha256="dcbb9e9d"
            ),
        ),
    ),
)
"""In the order in which they are listed."""
