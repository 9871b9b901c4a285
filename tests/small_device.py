"""A device that has no numbers in double precision, as Apple's GPUs (MPS) have none, for tests on a CPU.

    with SmallDevice():
        encoder.to(DEVICE)(video.to(DEVICE))

Tensors there are wrappers of tensors on the CPU, where every operation is computed: values are right, and
code that depends on values runs. A float64 tensor there is a TypeError and an operation on two devices a
RuntimeError, as on a real device. For torch the device is ``meta``, the only one that always exists beside
the CPU.
"""

from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")
COPIES = (torch.ops.aten._to_copy, torch.ops.aten.copy_)


class OnDevice(torch.Tensor):
    """A tensor on the small device."""

    @staticmethod
    def __new__(cls, inner):
        if inner.dtype == torch.float64:
            raise TypeError("the small device has no float64")
        return torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(),
            dtype=inner.dtype, device=DEVICE,
        )  # fmt: skip

    def __init__(self, inner):
        self.inner = inner

    def __repr__(self):
        return f"OnDevice({self.inner})"

    def new_tensor(self, data):
        return torch.tensor(data, dtype=self.dtype, device=DEVICE)

    def tolist(self):
        return self.inner.tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


class SmallDevice(TorchDispatchMode):
    """While it is entered, `DEVICE` is the small device."""

    def __enter__(self):
        make = torch.tensor  # does not pass through a mode

        def tensor(data, *, device=None, **options):
            made = make(data, device="cpu", **options)
            return made if device is None else made.to(device)

        self.patch = mock.patch("torch.tensor", tensor)
        self.patch.start()
        return super().__enter__()

    def __exit__(self, *error):
        self.patch.stop()
        return super().__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


def compute(func, args, kwargs):
    """Compute on the CPU what is asked of the small device."""
    tensors = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, torch.Tensor)]
    there = any(isinstance(tensor, OnDevice) for tensor in tensors)
    if there and func.overloadpacket not in COPIES:
        check_devices(func, tensors)
    asked = kwargs.get("device")
    if asked is not None:
        there = asked.type == DEVICE.type
        kwargs = {**kwargs, "device": torch.device("cpu")}
    plain = tree_map(lambda leaf: leaf.inner if isinstance(leaf, OnDevice) else leaf, (args, kwargs))
    out = func(*plain[0], **plain[1])
    if not there:
        return out
    wrapped = tree_map(lambda leaf: OnDevice(leaf) if isinstance(leaf, torch.Tensor) else leaf, out)
    return return_and_correct_aliasing(func, args, kwargs, wrapped)


def check_devices(func, tensors):
    """Scalars may come from the CPU, and indices of a tensor that is on the device."""
    mixed = [tensor for tensor in tensors if not isinstance(tensor, OnDevice) and tensor.ndim]
    indexed = func.overloadpacket is torch.ops.aten.index and isinstance(tensors[0], OnDevice)
    if mixed and not indexed:
        raise RuntimeError(f"{func}: tensors on two devices")
