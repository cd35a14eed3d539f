"""Half precision where the hardware is faster with it."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch


def supports_bf16(device: torch.device | str) -> bool:
    """Whether bfloat16 arithmetic is native on the device (slow emulation does not count)."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # oneDNN has fast bfloat16 kernels from AVX-512 BF16 on.
    abilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return kind == "cpu" and bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16"))


def autocast(device: torch.device | str) -> AbstractContextManager:
    """Autocast to bfloat16 where `supports_bf16`, otherwise no change."""
    device = torch.device(device)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=supports_bf16(device))


def full_precision(device: torch.device) -> AbstractContextManager:
    """The context for geometry inside ``autocast``: in bfloat16 a pixel coordinate would be off by a pixel."""
    return torch.autocast(device.type, enabled=False)
