"""The function that a fit makes small."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor
from understudy_shared.body import JOINT_NAMES, BodyModel
from understudy_shared.camera import CameraTrajectory

from understudy_backend.photo.correspondence import BONES, FACE, Correspondence
from understudy_backend.photo.landmarks import LANDMARK_NAMES, Landmarks
from understudy_backend.photo.outline import Pairs, outline, pair_outlines
from understudy_backend.photo.prior import PosePrior, mean_pose
from understudy_backend.photo.result import Estimate
from understudy_backend.skinning import TorchBody, axis_angle_to_matrix

UNIT = 3.0
"""A keypoint that is this many pixels off costs about 1."""

TRUNK = [JOINT_NAMES.index("pelvis"), JOINT_NAMES.index("neck")]
FEET = [JOINT_NAMES.index(name) for name in ("left_ankle", "right_ankle", "left_foot", "right_foot")]

GROUNDED = 0.12
"""Metres: feet whose heights differ by less are both taken to stand on the floor."""


@dataclass(frozen=True)
class FitWeights:
    """How the terms of a fit are weighed. Pixels are of a person about 800 px tall."""

    keypoint_scale: float = 20.0
    """Pixels at which a keypoint starts to count as an outlier."""
    face: float = 1.5
    """Of a landmark in the face, relative to others: misplaced eyes are what a viewer sees first."""
    bone: float = 12.0
    """Of 1 - cos between a bone and its direction in BlazePose's metres."""
    outline: float = 22.0
    """Of the mean robust distance between the outlines."""
    outline_scale: float = 12.0
    """Pixels at which a piece of outline (hair, a bag, a wide sleeve) starts to count as an outlier."""
    shape: float = 0.3
    """Of a squared shape component."""
    pose: float = 3.0
    """Of the pose prior."""
    ground: float = 400.0
    """Of a squared metre that a part of a sole is off the floor, while both feet look grounded."""
    balance: float = 150.0
    """Of a squared metre, along the view, between the trunk's middle and the place above the feet."""
    pitch: float = 8.0
    """Of a squared radian that the camera looks up or down."""
    correction: float = 20.0
    """Of a squared radian, or shape component, away from an artist's correction."""


@dataclass(frozen=True, eq=False)
class Unknowns:
    """What the optimiser moves; all leaves with gradients."""

    betas: Tensor
    """(1, B)."""
    turn: Tensor
    """(3,) axis-angle in the world, applied after the first guess of the orientation."""
    pose: Tensor
    """(24, 3) axis-angle; the root's row is not used."""
    transl: Tensor
    """(1, 3)."""
    pitch: Tensor
    """() radians that the camera looks down: where "up" is in the level camera's world."""


class Objective:
    """Cost of the unknowns, given a photo's landmarks and mask at working size.

    Args:
        points: (33, 2) landmarks in pixels of the camera.
        mask: (H, W) True on the person.
        guess: where to begin.
        corrected: the guess is an artist's correction, to be kept near to.
    """

    def __init__(
        self,
        body: BodyModel,
        matches: Correspondence,
        points: NDArray[np.float64],
        landmarks: Landmarks,
        mask: NDArray[np.bool_],
        camera: CameraTrajectory,
        guess: Estimate,
        weights: FitWeights,
        *,
        corrected: bool,
    ) -> None:
        self.weights, self._body, self._matches, self._guess = weights, body, matches, guess
        self._camera, self._corrected = camera, corrected
        self._target = outline(mask)
        self._size = (mask.shape[1], mask.shape[0])
        self._rotation = _tensor(camera.extrinsics[0, :3, :3])
        self._offset = _tensor(camera.extrinsics[0, :3, 3])
        self._k = _tensor(camera.intrinsics[0])
        self._root = _tensor(Rotation.from_rotvec(guess.global_orient[0]).as_matrix())
        seen = points[matches.landmarks]
        self._to_unit = 800 / max(float(np.ptp(seen[:, 1])), float(np.ptp(seen[:, 0])), 1.0)
        self._points = _tensor(seen)
        trust = matches.weights * landmarks.visibility[matches.landmarks].clip(0.1)
        trust = trust * np.where([n in FACE for n in matches.names], weights.face, 1)
        self._trust = _tensor(trust)
        self._regressor = _tensor(matches.regressor)
        ends = [(matches.index(a), matches.index(b), w) for a, b, w in BONES]
        self._bone_from, self._bone_to = [a for a, _, _ in ends], [b for _, b, _ in ends]
        self._bone_weight = torch.tensor([w for _, _, w in ends])
        world = landmarks.world[matches.landmarks] @ camera.extrinsics[0, :3, :3]
        bones = world[self._bone_to] - world[self._bone_from]
        self._bones = _tensor(bones / np.maximum(np.linalg.norm(bones, axis=1, keepdims=True), 1e-9))
        self._prior = PosePrior(
            _tensor(np.vstack([np.zeros((1, 3)), guess.body_pose[0]])) if corrected else mean_pose()
        )
        self._soles = _soles(body)
        ankles = landmarks.world[[LANDMARK_NAMES.index("left_ankle"), LANDMARK_NAMES.index("right_ankle")], 1]
        self._grounded = abs(float(ankles[0] - ankles[1])) < GROUNDED
        self._fixed = np.concatenate([matches.vertices, self._soles.reshape(-1)])
        self._all = TorchBody(body)
        self._pairs: Pairs | None = None
        self._posed = TorchBody(body, self._fixed)

    def unknowns(self) -> Unknowns:
        """The unknowns at the first guess."""
        pose = np.vstack([np.zeros((1, 3)), self._guess.body_pose[0]])
        betas = np.zeros(self._body.num_betas)
        count = min(len(betas), len(self._guess.betas))
        betas[:count] = self._guess.betas[:count]
        values = (_tensor(betas)[None], torch.zeros(3), _tensor(pose), _tensor(self._guess.transl), torch.zeros(()))
        return Unknowns(*(v.clone().requires_grad_() for v in values))

    def estimate(self, unknowns: Unknowns, camera: CameraTrajectory) -> Estimate:
        """The unknowns as an estimate before `camera`."""
        with torch.no_grad():
            root = (axis_angle_to_matrix(unknowns.turn) @ self._root).double().numpy()
            return Estimate(
                betas=unknowns.betas[0].numpy().copy(),
                global_orient=Rotation.from_matrix(root).as_rotvec().astype(np.float32)[None],
                body_pose=unknowns.pose[1:].numpy().copy()[None],
                transl=unknowns.transl.numpy().copy(),
                camera=camera,
            )

    def pair(self, unknowns: Unknowns) -> None:
        """Pairs the outlines anew, for the body as it now stands."""
        with torch.no_grad():
            vertices = self._all.vertices(unknowns.betas, self._rotations(unknowns), unknowns.transl)[0]
            points, depth = self._project(vertices)
        self._pairs = pair_outlines(
            self._target, points.double().numpy(), depth.double().numpy(), self._body, self._size
        )
        used, self._pair_index = np.unique(self._pairs.vertices, return_inverse=True)
        self._posed = TorchBody(self._body, np.concatenate([self._fixed, used]))

    def __call__(self, unknowns: Unknowns) -> Tensor:
        """The cost, a scalar."""
        w = self.weights
        posed = self._posed.pose(unknowns.betas, self._rotations(unknowns), unknowns.transl)
        vertices = posed.vertices[0]
        keypoints = self._regressor @ vertices[: len(self._matches.vertices)]
        cost = self._keypoint_cost(keypoints) + w.bone * self._bone_cost(keypoints)
        cost = cost + w.pose * self._prior(unknowns.pose) + w.shape * (unknowns.betas**2).sum()
        soles = vertices[len(self._matches.vertices) : len(self._fixed)]
        up = torch.stack([unknowns.pitch * 0, unknowns.pitch.sin(), unknowns.pitch.cos()])
        cost = cost + w.ground * self._ground_cost((soles @ up).view(self._soles.shape))
        if self._pairs is not None and len(self._pairs.vertices):
            cost = cost + w.outline * self._outline_cost(vertices[len(self._fixed) :], self._pairs)
        if self._corrected:
            return cost + w.correction * self._correction_cost(unknowns)
        forward = torch.stack([unknowns.pitch * 0, unknowns.pitch.cos(), -unknowns.pitch.sin()])
        lean = posed.joints[0, TRUNK].mean(0) - posed.joints[0, FEET].mean(0)
        return cost + w.balance * (lean @ forward) ** 2 + w.pitch * unknowns.pitch**2

    def _rotations(self, unknowns: Unknowns) -> Tensor:
        root = axis_angle_to_matrix(unknowns.turn) @ self._root
        return torch.cat([root[None], axis_angle_to_matrix(unknowns.pose[1:])])[None]

    def _project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        camera = points @ self._rotation.T + self._offset
        depth = camera[:, 2].clamp(min=0.05)
        return (camera @ self._k.T)[:, :2] / depth[:, None], depth

    def _keypoint_cost(self, keypoints: Tensor) -> Tensor:
        squared = ((self._project(keypoints)[0] - self._points) * self._to_unit).pow(2).sum(1)
        return (self._trust * _robust(squared, self.weights.keypoint_scale)).sum() / UNIT**2

    def _bone_cost(self, keypoints: Tensor) -> Tensor:
        bones = torch.nn.functional.normalize(keypoints[self._bone_to] - keypoints[self._bone_from], dim=1)
        return (self._bone_weight * (1 - (bones * self._bones).sum(1))).sum()

    def _ground_cost(self, soles: Tensor) -> Tensor:
        """`soles` (2 feet, 2 ends, N) are heights. The floor is z = 0 after a correction, else where the feet are."""
        lowest = soles.amin(2)
        if self._corrected:
            return (lowest.clamp(max=0) ** 2).sum()
        return ((lowest - lowest.mean()) ** 2).sum() if self._grounded else lowest.new_zeros(())

    def _outline_cost(self, rim: Tensor, pairs: Pairs) -> Tensor:
        apart = (self._project(rim)[0][torch.as_tensor(self._pair_index)] - _tensor(pairs.targets)) * self._to_unit
        across = (apart * _tensor(pairs.normals)).sum(1)
        squared = 0.9 * across**2 + 0.1 * (apart**2).sum(1)
        return _robust(squared, self.weights.outline_scale).mean() / UNIT**2

    def _correction_cost(self, unknowns: Unknowns) -> Tensor:
        pose = (unknowns.pose[1:] - _tensor(self._guess.body_pose[0])).pow(2).sum() + unknowns.turn.pow(2).sum()
        count = min(unknowns.betas.shape[1], len(self._guess.betas))
        return pose + 0.05 * (unknowns.betas[0, :count] - _tensor(self._guess.betas[:count])).pow(2).sum()


def _robust(squared: Tensor, scale: float) -> Tensor:
    """Geman-McClure: `squared` near zero, never more than `scale` squared."""
    return squared * scale**2 / (squared + scale**2)


def _tensor(array: NDArray[np.generic]) -> Tensor:
    return torch.as_tensor(np.array(array, np.float32))


def _soles(body: BodyModel, count: int = 12) -> NDArray[np.int64]:
    """(2, 2, count) lowest rest vertices of the left and the right foot, at its heel and at its ball."""
    strongest = body.weights.argmax(1)
    out = []
    for side in ("left", "right"):
        ends = []
        for part in ("ankle", "foot"):
            own = np.flatnonzero(strongest == JOINT_NAMES.index(f"{side}_{part}"))
            height = body.v_template[own, 1]
            if part == "ankle":  # its lowest vertices behind the joint: the heel
                behind = body.v_template[own, 2] < np.median(body.v_template[own, 2])
                own, height = own[behind], height[behind]
            ends.append(own[np.argsort(height)[:count]])
        out.append(ends)
    return np.array(out)
