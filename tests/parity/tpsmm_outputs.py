"""What our networks give for the recipe's weights and inputs, by the goldens' names without their suffixes."""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tpsmm_recipe import MANIFEST, config_of, fill, fill_vgg, image, keypoints, normal, seed_of, uniform, weight
from understudy_backend.models.tpsmm.animation import animation_keypoints, hull_area, relative_keypoints
from understudy_backend.models.tpsmm.config import PUBLISHED
from understudy_backend.models.tpsmm.dense_motion import Motion, dropout_keep
from understudy_backend.models.tpsmm.inpainting import warp_masked
from understudy_backend.models.tpsmm.losses import PerceptualLoss, RandomWarp, training_step
from understudy_backend.models.tpsmm.model import TPSMM
from understudy_backend.models.tpsmm.vgg import VGG19
from understudy_backend.models.tpsmm.warping import Splines

DROPOUT = {"vox": (0.1, 0.3), "taichi": (0.0, 0.7), "ted": (0.0, 0.5), "mgif": (0.2, 0.5)}
"""Probability in the first epoch and at most."""
BACKGROUND_FROM = {"vox": 10, "taichi": 0, "ted": 0, "mgif": 1000}
"""First epoch with a background predictor."""

Outputs = dict[str, Tensor]


@lru_cache(maxsize=1)
def networks(path: Path) -> Networks:
    """Of one golden; the last one is kept."""
    with np.load(path, allow_pickle=False) as content:
        return Networks(seed_of(path), config_of(path, content))


class Networks:
    """The networks of a seed, and what they give."""

    def __init__(self, seed: int, name: str) -> None:
        self.seed, self.name = seed, name

    def model(self) -> TPSMM:
        """A new one, filled."""
        model = TPSMM(PUBLISHED[self.name]).eval()
        fill(model, self.seed)
        return model

    @cached_property
    def net(self) -> TPSMM:
        return self.model().requires_grad_(False)

    @cached_property
    def detected(self) -> Outputs:
        return {name: self.net.kp_detector(self.image(name)) for name in ("source", "driving0", "driving1", "driving2")}

    def image(self, name: str, size: int = 256) -> Tensor:
        return image(self.seed, name, size)

    def points(self, name: str) -> Tensor:
        return keypoints(self.seed, name)

    def group(self, name: str) -> Outputs:
        """All outputs of a group of keys, named without the group.

        Raises:
            KeyError: nothing is known of such a group.
        """
        if found := re.fullmatch(r"train_e(\d+)", name):
            return self.training(int(found[1]))
        with torch.no_grad():
            if found := re.fullmatch(r"anim(\d+)", name):
                return self.animation(int(found[1]))
            if found := re.fullmatch(r"ted(\d+)", name):
                return self.large(int(found[1]))
            if found := re.fullmatch(r"(dm|gen)_(syn|synbg|det)", name):
                return self.dense(found[2]) if found[1] == "dm" else self.inpainted(found[2])
            return {
                "fill": self.filled,
                "in": self.inputs,
                "kp": self.keypoint,
                "bg": self.background,
                "avd": self.avd,
                "rel": self.relative,
                "tps": self.splines,
            }[name]()

    def filled(self) -> Outputs:
        entries = {
            f"{network}.{key}": entry
            for network, keys in MANIFEST["sub_networks"].items()
            for key, entry in keys.items()
            if entry[2] not in ("structural", "zero")
        }
        drawn = {
            name: weight(self.seed, name, tuple(shape), rule).flatten()[:8]
            for name, (shape, _, rule) in entries.items()
            if np.prod(shape) < 3e6
        }
        drawn["dense_motion_network.down.weight"] = self.net.dense_motion_network.down.weight.flatten()[:8]
        drawn["rand:train/dropout_u"] = uniform(self.seed, "train/dropout_u", (2, 11))
        return drawn

    def inputs(self) -> Outputs:
        images = {name: self.image(name) for name in ("source", "driving0", "driving1", "driving2")}
        return images | {f"kp_{name}": self.points(f"kp_{name}") for name in images}

    def keypoint(self) -> Outputs:
        features = self.net.kp_detector.fg_encoder.features(self.image("source"))
        return {**self.detected, "source_feat512": features}

    def background(self) -> Outputs:
        assert self.net.bg_predictor is not None
        source, driving = self.image("source"), self.image("driving1")
        return {
            "src_drv1": self.net.bg_predictor(source, driving),
            "drv1_src": self.net.bg_predictor(driving, source),
        }

    def avd(self) -> Outputs:
        avd = self.net.avd_network
        assert avd is not None
        source, driving = self.points("kp_source"), self.points("kp_driving1")
        return {
            "rec_syn1": avd(source, driving),
            "pose_syn1": avd.pose_encoder(driving.flatten(1)),
            "id_syn1": avd.id_encoder(source.flatten(1)),
            "rec_det1": avd(self.detected["source"], self.detected["driving1"]),
        }

    def relative(self) -> Outputs:
        source, first = self.points("kp_source"), self.points("kp_driving0")
        found = {f"kp_syn{i}": relative_keypoints(source, first, self.points(f"kp_driving{i}")) for i in range(3)}
        for i in range(3):
            det = self.detected
            found[f"kp_det{i}"] = relative_keypoints(det["source"], det["driving0"], det[f"driving{i}"])
        found["area_syn_source"] = torch.tensor(hull_area(source[0].numpy()))
        found["area_syn_driving0"] = torch.tensor(hull_area(first[0].numpy()))
        return found

    def splines(self) -> Outputs:
        driving, source = self.points("kp_driving1"), self.points("kp_source")
        found = Splines.through(driving.unflatten(1, (-1, 5)), source.unflatten(1, (-1, 5)))
        return {"theta": found.affine, "control_params": found.weights}

    def motion(self, kind: str) -> Motion:
        if kind == "det":
            source, driving = self.detected["source"], self.detected["driving1"]
        else:
            source, driving = self.points("kp_source"), self.points("kp_driving1")
        matrix = self.background()["src_drv1"] if kind == "synbg" else None
        dense = self.net.dense_motion_network
        return dense(dense.down(self.image("source")), source, driving, matrix)

    def dense(self, kind: str) -> Outputs:
        motion = self.motion(kind)
        return _motion_outputs(motion) | {
            "heatmap": motion.heat,
            "deformed_source": motion.deformed,
            "down_source": self.net.dense_motion_network.down(self.image("source")),
            **{f"hourglass{j}": feature for j, feature in enumerate(motion.decoded)},
        }

    def inpainted(self, kind: str) -> Outputs:
        motion, source, network = self.motion(kind), self.image("source"), self.net.inpainting_network
        features = network.encode(source)
        frame = network(source, features, motion)
        names = ("enc_first", *(f"enc_down{i}" for i in range(len(features) - 1)))
        return {
            "prediction": frame.prediction,
            "deformed": frame.warped_source,
            **dict(zip(names, features[::-1], strict=True)),
            **{f"warped{j}": warp_masked(feature, motion, j) for j, feature in enumerate(features)},
        }

    def animation(self, size: int) -> Outputs:
        source, first = self.image("source", size), self.image("driving0", size)
        detect = self.net.kp_detector
        points, reference = detect(source), detect(first)
        found = {"kp_source": points}
        for i in range(3):
            driving = detect(self.image(f"driving{i}", size))
            found[f"kp_driving{i}"] = driving
            for mode in ("standard", "relative", "avd"):
                moved = animation_keypoints(mode, points, driving, reference=reference, avd=self.net.avd_network)
                found[f"{mode}/kp_norm{i}"] = moved
                found[f"{mode}/prediction{i}"] = self.net.move(source, points, moved)[2].prediction
        return found

    def large(self, size: int) -> Outputs:
        source, points = self.image("source", size), self.points("kp_source")
        motion, _, frame = self.net.move(source, points, self.points("kp_driving2"))
        found = {"kp_source": self.net.kp_detector(source), "prediction": frame.prediction}
        return found | _motion_outputs(motion)

    def training(self, epoch: int) -> Outputs:
        """In double precision: single precision is uncertain by percents in the gradients of the splines, and two such
        runs differ by more than either from the truth."""
        source = torch.cat([self.image("source", 128), self.image("driving2", 128)])
        driving = torch.cat([self.image("driving0", 128), self.image("driving1", 128)])
        drawn = uniform(self.seed, "train/dropout_u", (2, 11))
        tilt = 0.05 * normal(self.seed, "train/tps_affine", (2, 2, 3))
        control = 0.005 * normal(self.seed, "train/tps_control", (2, 1, 25))
        start, most = DROPOUT[self.name]
        keep = dropout_keep(drawn, min(epoch / 10 * most + start, most)) if epoch < 35 else None
        model, vgg = self.model().train(), VGG19()
        fill_vgg(vgg, self.seed)
        model, perceptual = model.double(), PerceptualLoss(vgg).double()
        source, driving = source.double(), driving.double()
        warp = RandomWarp((torch.eye(2, 3) + tilt).double(), control[:, 0].double())
        background = epoch >= BACKGROUND_FROM[self.name]
        step = training_step(model, perceptual, source, driving, warp, keep=keep, background=background)
        total = torch.stack(list(step.losses.values())).sum()
        total.backward()

        names = {"equivariance": "equivariance_value", "warp": "warp_loss", "background": "bg"}
        found = {f"loss_{names.get(name, name)}": loss for name, loss in step.losses.items()}
        found |= _motion_outputs(step.motion) | {
            "total": total,
            "dropout_u": drawn,
            "tps_affine": tilt,
            "tps_control": control,
            "prediction": step.frame.prediction,
            "transformed_frame": step.warped_driving,
            "transformed_kp": step.warped_keypoints,
            "kp_bn1_running_mean": model.kp_detector.fg_encoder.bn1.running_mean,
        }
        for network, module in model.named_children():
            gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
            found |= {f"gradnorm_{network}:{name}": gradient.norm() for name, gradient in gradients.items()}
            if gradients:
                found[f"gradnorm_{network}"] = torch.stack([g.norm() for g in gradients.values()]).norm()
        return {name: tensor.detach() for name, tensor in found.items() if tensor is not None}


def _motion_outputs(motion: Motion) -> Outputs:
    return {
        "deformation": motion.flow,
        "contribution_maps": motion.maps,
        "transformations": motion.warps,
        **{f"occlusion{j}": mask for j, mask in enumerate(motion.masks)},
    }
