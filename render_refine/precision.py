"""Half precision where the hardware is faster with it."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch


def supports_bf16(device: torch.device | str) -> bool:
    """Whether bfloat16 arithmetic is native on the device (slow emulation does not count)."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # oneDNN has fast bfloat16 kernels from AVX-512 BF16 on; torch tells this only under a private name.
    return kind == "cpu" and getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()


def autocast(device: torch.device | str) -> AbstractContextManager:
    """Autocast to bfloat16 where `supports_bf16`, otherwise no change."""
    device = torch.device(device)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=supports_bf16(device))

