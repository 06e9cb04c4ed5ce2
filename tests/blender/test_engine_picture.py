"""Our frames as Blender's passes, and work for the main thread."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")


def test_colour_becomes_linear_and_multiplied():
    from blender_addon.engine.picture import premultiplied

    rgba = np.array([[[255, 0, 128, 255], [255, 188, 10, 51], [7, 8, 9, 0]]], np.uint8)
    out = premultiplied(rgba)
    # sRGB 128 and 188 in linear light, from the tables of IEC 61966-2-1
    np.testing.assert_allclose(out[0, 0], [1, 0, 0.21586, 1], atol=1e-5)
    np.testing.assert_allclose(out[0, 1], [0.2, 0.2 * 0.50289, 0.2 * 0.0030353, 0.2], atol=1e-5)
    np.testing.assert_array_equal(out[0, 2], [0, 0, 0, 0])
    linear = np.array([[[2.0, 0.5, 0.25, 0.5]]], np.float16)
    np.testing.assert_allclose(premultiplied(linear)[0, 0], [1.0, 0.25, 0.125, 0.5])


def test_the_passes_follow_blenders_conventions():
    from understudy_shared.frames import Channel, Frame

    from blender_addon.engine.picture import body_passes

    extrinsics = np.eye(4)  # a camera that looks along +Y with Z up: right, down, forward in the world
    extrinsics[:3, :3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    frame = Frame(
        1,
        {
            Channel.DEPTH: np.array([[2.5, np.inf]], np.float32),
            Channel.NORMAL: np.array([[[0, 0, -1], [0, 0, 0]]], np.float32),  # towards the camera
            Channel.UV: np.array([[[0.25, 0.75], [0, 0]]], np.float32),
            Channel.MASK: np.array([[1, 0]], np.float32),
            Channel.RGBA: np.zeros((1, 2, 4), np.uint8),
            Channel.EXTRINSICS: extrinsics,
        },
    )
    passes = body_passes(frame)
    np.testing.assert_allclose(passes["Depth"][0, :, 0], [2.5, 1e10])
    np.testing.assert_allclose(passes["Normal"][0], [[0, -1, 0], [0, 0, 0]])
    np.testing.assert_allclose(passes["UV"][0], [[0.25, 0.75, 1], [0, 0, 0]])
    assert passes["Mask"].shape == (1, 2, 1) and passes["Body"].shape == (1, 2, 4)


def test_work_for_the_main_thread():
    from blender_addon.engine.main_thread import MainThread

    main, where = MainThread(), []

    def work(value: int) -> int:
        where.append(threading.current_thread() is threading.main_thread())
        if value < 0:
            raise ValueError("no")
        return value + 1

    assert main.call(lambda: work(1)) == 2
    results: list[object] = []

    def ask() -> None:
        results.append(main.call(lambda: work(2)))
        try:
            main.call(lambda: work(-1))
        except ValueError as error:
            results.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    end = time.monotonic() + 5
    while thread.is_alive() and time.monotonic() < end:
        main.work()
    assert results == [3, "no"] and where == [True, True, True]


def test_a_main_thread_that_does_not_come_is_not_waited_for():
    from blender_addon.engine.main_thread import MainThread

    main, said, done = MainThread(), [], []

    def ask() -> None:
        try:
            main.call(lambda: done.append(1), patience=0.1)
        except RuntimeError as error:
            said.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(5)
    assert "busy" in said[0]
    main.work()
    assert not done  # nobody wants it any more
