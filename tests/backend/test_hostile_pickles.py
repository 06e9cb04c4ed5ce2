"""Every reader of pickles against the same attacks: nothing runs, the error is one line, and the next file is read."""

import io
import os
import pickle
import struct
import sys
import zipfile

import numpy as np
import pytest
import torch
from understudy_backend.inert_pickle import read_pickled_arrays, read_pickled_tree
from understudy_backend.methods.contract import MethodError
from understudy_backend.weights.torch_files import read_tensors
from understudy_backend.weights.tpsmm import load_tpsmm
from understudy_shared.formats import joblib_pickle, npy_pickle, torch_zip
from understudy_shared.formats.reading import FormatError


class Call:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def named(module, name, rest=b""):
    """A name as protocol 4 writes it, which may go through attributes: "dict.fromkeys"."""
    words = [b"\x8c" + bytes([len(word)]) + word.encode() for word in (module, name)]
    return b"\x80\x04" + b"".join(words) + b"\x93" + rest


def mentioned(kind):
    """A storage of the class `os.system`, as torch mentions its storages: by what stands for a persistent id."""
    return b"(S'" + kind + b"'\ncos\nsystem\nS'0'\nS'cpu'\nI1\ntQ."


def reconstructed(name, rest=b""):
    """What numpy's reconstruction makes of a name, and what is then done with it."""
    return b"cnumpy.core.multiarray\n_reconstruct\n(c" + name + b"\n(I0\ntS'b'\ntR" + rest + b"."


def old_layout(program):
    """What torch wrote before 1.6: number, version, system, content, keys of storages."""
    before = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
    return before + program + pickle.dumps([], 2)


def embedded(program):
    """A tensor inside a pickle that knows nothing of torch: its storage is a file of torch in itself."""
    storage = Call(torch.storage._load_from_bytes, program)
    return pickle.dumps({"a": Call(torch._utils._rebuild_tensor_v2, storage, 0, (1,), (1,), False, {})})


SYSTEM = b"cos\nsystem\n(S'touch HACKED'\ntR."
ATTACKS = {
    "reduce": SYSTEM,
    "reduce of posix": pickle.dumps(Call(os.system, "touch HACKED"), 2),
    "instance": b"(S'touch HACKED'\nios\nsystem\n.",
    "object": b"(cos\nsystem\nS'touch HACKED'\no.",
    "new object": named("subprocess", "Popen", b"\x8c\x05touch\x8c\x06HACKED\x86\x85\x81."),
    "new object by keywords": named("subprocess", "Popen", b")}\x8c\x04args\x8c\x04trues\x92."),
    "eval": pickle.dumps(Call(eval, "open('HACKED', 'w')")),
    "getattr of an import": (
        b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(S'os'\ntRS'system'\ntR(S'touch HACKED'\ntR."
    ),
    "getattr of an allowed name": b"cbuiltins\ngetattr\n(cnumpy\nndarray\nS'tofile'\ntR.",
    "attribute of an allowed name": named("collections", "OrderedDict.fromkeys.__call__", b"."),
    "globals of an allowed name": named("torch._utils", "_rebuild_tensor_v2.__globals__", b"."),
    "old name of builtins": b"c__builtin__\nexec\n(S'open(\"HACKED\", \"w\")'\ntR.",
    "a copied reconstructor": b"ccopyreg\n_reconstructor\n(cos\nsystem\nS'touch HACKED'\nNtR.",
    "an array's reconstructor": reconstructed(b"os\nsystem", b"(S'touch HACKED'\ntR"),
    "numpy loads": named("numpy", "load", b"\x8c\x06HACKED\x85R."),
    "torch loads": named("torch", "load", b"\x8c\x06HACKED\x85R."),
    "an import alone": b"cantigravity\nfly\n.",
    "an extension": b"\x80\x02\x82\x01.",
    "state of a class": b"\x80\x04cnumpy\ndtype\n}\x8c\x04made\x8c\x04evils b.",
    "class of an object": b"cnumpy\ndtype\n(S'f8'\ntR(dS'__class__'\ncos\nsystem\nsb.",
    "call of a made array": reconstructed(b"numpy\nndarray", b"(S'touch HACKED'\ntR"),
    "a storage of another class": mentioned(b"storage"),
    "a storage that is none": mentioned(b"module"),
    "a program in a storage": embedded(old_layout(SYSTEM)),
    "a program for a storage": embedded(SYSTEM),
    "a program in an array": pickle.dumps({"a": np.array([Call(os.system, "touch HACKED")], object)}),
    "a huge bytearray": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",
}  # fmt: skip


def bare(program):
    return program


def npy(program):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
    return file.getvalue() + program


def zipped(program):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        members = {"data.pkl": program, "version": b"3\n", "byteorder": b"little", "data/0": bytes(4)}
        for name, content in members.items():
            archive.writestr(f"archive/{name}", content)
    return file.getvalue()


READERS = {
    "joblib": (joblib_pickle.load, bare, "a.pkl"),
    "npy": (npy_pickle.load, npy, "a.npy"),
    "torch without torch": (torch_zip.load, zipped, "a.pt"),
    "old torch without torch": (torch_zip.load, old_layout, "a.pt"),
    "body": (lambda path: read_pickled_arrays(path, ["a"]), bare, "a.pkl"),
    "checkpoint of JAX": (read_pickled_tree, bare, "a.ckpt"),
    "weights": (read_tensors, zipped, "a.pth"),
    "old weights": (read_tensors, old_layout, "a.pth"),
    "TPSMM": (load_tpsmm, zipped, "vox.pth.tar"),
    "old TPSMM": (load_tpsmm, old_layout, "vox.pth.tar"),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_runs(tmp_path, monkeypatch, reader, attack):
    monkeypatch.chdir(tmp_path)
    read, wrap, name = READERS[reader]
    path = tmp_path / name
    path.write_bytes(wrap(ATTACKS[attack]))
    with pytest.raises((FormatError, MethodError)) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("reader", READERS)
def test_the_same_file_without_an_attack_is_read(tmp_path, reader):
    """So that it is the attack which is refused above, not the file around it; and no attack left a trace."""
    read, wrap, name = READERS[reader]
    path = tmp_path / name
    path.write_bytes(wrap(pickle.dumps({"a": [1.0, 2.0]}, 2)))
    if "weights" in reader or "TPSMM" in reader:
        with pytest.raises(MethodError, match=r"does not hold named tensors|lacks"):
            read(path)
    else:
        assert np.array_equal(read(path)["a"], [1, 2])
