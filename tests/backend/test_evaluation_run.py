"""The evaluation as a user runs it: report, resuming, other settings, wrong use."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from understudy_backend.cli import main
from understudy_backend.evaluation import report
from understudy_backend.evaluation.measure import TRUTH, Angles, Measured
from understudy_backend.evaluation.run import Plan, evaluate
from understudy_backend.evaluation.subject import SIZE, Subject
from understudy_backend.evaluation.ways import BODY, OURS
from understudy_backend.weights.locations import weights_folder
from understudy_shared.body import Y_UP_TO_Z_UP, free_body, skin
from understudy_shared.camera import project


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("evaluation")
    return Plan(
        out=folder / "out",
        infill=weights_folder("small", "infill"),
        render=weights_folder("small", "render"),
        metrics=folder / "no weights",
        people=2,
        tables=("a", "b"),
        angles=Angles(frames=(0, 180), clip=(150, 153, 156), back=(180,)),
    )


@pytest.fixture(scope="module")
def finished(plan: Plan) -> Path:
    evaluate(plan, lambda line: None)
    return plan.out


def test_the_report_has_a_row_for_every_way(finished: Path) -> None:
    found = json.loads((finished / "report.json").read_text())
    frames, clips = found["tables"]["a"], found["tables"]["b"]
    for way in (OURS, BODY, "3DHM without the photo", "3DHM without texture", "photo warped by the motion"):
        assert set(frames[way]) == {"psnr", "ssim", "l1", "iou"}
        assert clips[way]["flicker"] > 0
    assert frames["3DHM without texture"]["psnr"] < frames[OURS]["psnr"]
    assert clips[TRUTH]["flicker"] < clips[OURS]["flicker"]
    assert clips[BODY]["body_flicker"] < clips[TRUTH]["body_flicker"]
    text = (finished / "report.md").read_text()
    assert f"| {OURS} |" in text and "PSNR" in text
    for metric in ("LPIPS", "FID", "FVD", "FID-VID"):
        assert f"{metric} is left out" in text
    assert (finished / "sheets/01_views.png").stat().st_size > 10_000


def test_an_interrupted_evaluation_goes_on(finished: Path, plan: Plan) -> None:
    """Only the person who is missing is measured again, and comes out the same to the last digit."""
    before = (finished / "report.json").read_bytes()
    kept = finished / "people/00.json"
    stamp = kept.stat().st_mtime_ns
    (finished / "people/01.json").unlink()
    said: list[str] = []
    evaluate(plan, said.append)
    assert (finished / "report.json").read_bytes() == before
    assert kept.stat().st_mtime_ns == stamp
    assert any("1 of 2 people are already measured" in line for line in said)
    assert any(line.startswith("person 1: 1 of 1 done") for line in said)


def test_chosen_rows_alone_are_measured_and_are_the_same(finished: Path, plan: Plan, tmp_path: Path) -> None:
    evaluate(replace(plan, out=tmp_path, rows=(BODY,)), lambda line: None)
    rows, all_rows = (json.loads((folder / "report.json").read_text())["tables"] for folder in (tmp_path, finished))
    assert set(rows["a"]) == {BODY} and set(rows["b"]) == {TRUTH, BODY}
    assert rows["a"][BODY] == all_rows["a"][BODY] and rows["b"][BODY] == all_rows["b"][BODY]


def test_other_settings_need_another_folder(finished: Path, plan: Plan) -> None:
    with pytest.raises(ValueError, match="other detail, tables: choose another"):
        evaluate(replace(plan, detail=0.5, tables=("a",)), lambda line: None)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--people", "51"], "50 test people"),
        (["--tables", "a,z"], "not z"),
        (["--rows", "3DHM, independent noise; 4DHM"], "no row 4DHM:"),
        (["--weights", "nowhere"], "missing"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--out", str(tmp_path / "out"), *arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert complaint in said and "\n" not in said


def test_a_subject_is_the_same_every_time_and_stands_in_the_picture() -> None:
    one, two = Subject(4), Subject(4)
    np.testing.assert_array_equal(one.photo, two.photo)
    np.testing.assert_array_equal(one.pose, two.pose)
    assert not np.array_equal(one.pose, Subject(4, seed=1).pose)
    distances = []
    for view in one.turntable((0, 90, 200)):
        pixels, _ = project(one.vertices, view.extrinsics, view.intrinsics)
        assert (pixels > 2).all() and (pixels < np.array(SIZE) - 2).all()
        distances.append(np.linalg.norm(view.centre - one.vertices.mean(0)))
    assert np.ptp(distances) < 0.5
    assert one.partial.visible.mean() > 0.1


def test_the_driving_body_is_the_one_that_the_vocabulary_poses() -> None:
    """Against `understudy_shared.body.skin`, the pose turned into the world instead of the vertices."""
    subject = Subject(3)
    body, betas, pose = free_body(), subject.shot.betas, subject.pose
    upright = Rotation.from_matrix(Y_UP_TO_Z_UP) * Rotation.from_rotvec(pose[0])
    pelvis = body.joints(betas)[0]
    orient = upright.as_rotvec()[None].astype(np.float32)
    expected = skin(body, betas, orient, pose[None, 1:], (Y_UP_TO_Z_UP @ pelvis - pelvis)[None].astype(np.float32))[0]
    np.testing.assert_allclose(subject.body, expected, atol=1e-4)
    near = np.linalg.norm(subject.body[:, None] - subject.joints[None], axis=-1).min(0)
    assert (near < 0.15).all()  # every joint lies in the body


def test_means_and_distances_of_people() -> None:
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(6, 4)).astype(np.float32)
    people = [
        Measured({"a": {OURS: {"psnr": 20.0}}}, {f"fid/{TRUTH}": cloud[:3], f"fid/{OURS}": cloud[:3] + 2}),
        Measured({"a": {OURS: {"psnr": 24.0}}}, {f"fid/{TRUTH}": cloud[3:], f"fid/{OURS}": cloud[3:] + 2}),
    ]
    row = report.tables(people)["a"][OURS]
    assert row["psnr"] == 22
    assert row["fid"] == pytest.approx(4 * 2**2, rel=1e-5)  # the same cloud, moved by 2 in four directions
    assert report.spreads(people)["a"][OURS]["psnr"] == pytest.approx(2)
    assert "| 3DHM | 22.00 | - | - | 16.0 |" in report.markdown(report.tables(people), [])
