"""Settings of torchsparse's CUDA kernels. They can be set, and have no effect: this library chooses its own kernels."""

benchmark = False
device_capability = 0
allow_tf32 = False
allow_fp16 = False
hash_rsv_ratio = 2


def init() -> None:
    """Has no effect."""
