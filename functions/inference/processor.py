"""Which instructions llama.cpp may use here, found out by executing one of each: `python processor.py` prints them.

A processor's flags do not tell: virtual machines exist that announce AMX and trap it. So a child process executes the
machine code, each set in a fork of its own, and a set whose fork dies is not used (ADR 116). It needs no compiler and
nothing but Python's own library, because the setup asks before anything is installed.
"""

import ctypes
import mmap
import os
import platform
import resource
import signal
import struct
import subprocess
import sys
from collections.abc import Collection, Mapping
from importlib.util import find_spec
from pathlib import Path

HOOK = Path(__file__).with_name("llama.cmake")
"""Makes llama.cpp's build smaller, and lists in the wheel what it uses."""
CONTROL = "RET"
"""Code that does nothing. Where not even that can be executed (a system that forbids it), nothing is known."""
_END = "c5f877 c3"  # vzeroupper, ret
CODE: Mapping[str, bytes] = {
    name: bytes.fromhex(code)
    for name, code in {
        CONTROL: "c3",
        "SSE42": "f20f38f1c1 c3",  # crc32
        "AVX": f"c5fc58c0 {_END}",  # vaddps ymm
        "F16C": f"c4e27d13c0 {_END}",  # vcvtph2ps
        "FMA": f"c4e27db8c0 {_END}",  # vfmadd231ps
        "AVX2": f"c5fdfec0 {_END}",  # vpaddd ymm
        "BMI2": "c4e273f5c2 c3",  # pdep
        "AVX_VNNI": f"c4e27d50c0 {_END}",  # vpdpbusd ymm, VEX
        # vpaddd zmm (F), vplzcntd (CD), vpaddd ymm16 (VL), vpmullq (DQ), vpaddb zmm (BW)
        "AVX512": f"62f17d48fec0 62f27d4844c0 62a17d20fec0 62f2fd4840c0 62f17d48fcc0 {_END}",
        "AVX512_VBMI": f"62f27d488dc0 {_END}",  # vpermb
        "AVX512_VNNI": f"62f27d4850c0 {_END}",  # vpdpbusd zmm
        "AVX512_BF16": f"62f27e4852c0 {_END}",  # vdpbf16ps
        "AMX_TILE": "c4e2784907 c4e27b49c0 c4e27849c0 c3",  # ldtilecfg [rdi], tilezero, tilerelease
        "AMX_INT8": "c4e2784907 c4e26b5ec1 c4e27849c0 c3",  # ldtilecfg [rdi], tdpbssd, tilerelease
    }.items()
}
"""Machine code by ggml's name of the set (its CMake option is `GGML_` and the name)."""
SETS = tuple(name for name in CODE if name != CONTROL)
_ALL_AVX2 = ("SSE42", "AVX", "F16C", "FMA", "AVX2", "BMI2")
NEEDS: Mapping[str, Collection[str]] = {
    "AVX": ["SSE42"], "F16C": ["AVX"], "FMA": ["AVX"], "AVX2": ["AVX"],
    "AVX_VNNI": _ALL_AVX2, "AVX512": _ALL_AVX2,
    "AVX512_VBMI": ["AVX512"], "AVX512_VNNI": ["AVX512"], "AVX512_BF16": ["AVX512"],
    "AMX_TILE": ["AVX512_VNNI"], "AMX_INT8": ["AMX_TILE"],
}  # fmt: skip
"""What ggml's code for a set uses besides."""
_ZEN4 = (*_ALL_AVX2, "AVX512", "AVX512_VBMI", "AVX512_VNNI", "AVX512_BF16")
VARIANTS: Mapping[str, Collection[str]] = {
    "sapphirerapids": (*_ZEN4, "AMX_TILE", "AMX_INT8"),
    "zen4": _ZEN4,
    "cooperlake": (*_ALL_AVX2, "AVX512", "AVX512_VNNI", "AVX512_BF16"),
    "icelake": (*_ALL_AVX2, "AVX512", "AVX512_VBMI", "AVX512_VNNI"),
    "cascadelake": (*_ALL_AVX2, "AVX512", "AVX512_VNNI"),
    "cannonlake": (*_ALL_AVX2, "AVX512", "AVX512_VBMI"),
    "skylakex": (*_ALL_AVX2, "AVX512"),
    "alderlake": (*_ALL_AVX2, "AVX_VNNI"),
    "haswell": _ALL_AVX2,
    "piledriver": ("SSE42", "AVX", "F16C", "FMA"),
    "ivybridge": ("SSE42", "AVX", "F16C"),
    "sandybridge": ("SSE42", "AVX"),
    "sse42": ("SSE42",),
    "x64": (),
}
"""ggml's builds for x86 (GGML_CPU_ALL_VARIANTS), the one to prefer first."""
LONGEST_S = 5
_TILES = struct.pack("<2B14x16H16B", 1, 0, *[64] * 16, *[16] * 16)
"""A tile configuration for `ldtilecfg`: palette 1, every tile of 16 rows with 64 bytes."""


def usable() -> frozenset[str] | None:
    """The sets that were executed here; None: it cannot be found out (another architecture, a system that forbids
    new machine code, or the process that tried was killed)."""
    if platform.machine().lower() not in ("x86_64", "amd64") or sys.maxsize < 1 << 32:
        return None
    command = [sys.executable, "-I", "-S", __file__]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S * len(CODE))
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:  # killed, for want of memory or by somebody: it did not ask for all
        return None
    executed = done.stdout.split()
    return with_their_needs(executed) if CONTROL in executed else None


def with_their_needs(executed: Collection[str]) -> frozenset[str]:
    """Those of which everything they need was executed, too."""
    found: set[str] = set()
    for name in SETS:  # in the order of their needs
        if name in executed and found.issuperset(NEEDS.get(name, ())):
            found.add(name)
    return frozenset(found)


def built_for(libraries: Path) -> frozenset[str] | None:
    """What the wheel's own list (`HOOK`) says it uses; None: it has none."""
    try:
        return frozenset((libraries / "instructions").read_text(errors="replace").split())
    except OSError:
        return None


def libraries() -> Path | None:
    """llama-cpp-python's folder of libraries. It is not imported, because that would load them."""
    spec = find_spec("llama_cpp")
    return Path(spec.origin).parent / "lib" if spec and spec.origin else None


def refusal() -> str | None:
    """Why llama.cpp as it is installed would die here, in a sentence; None: it would not, or nobody can tell."""
    folder = libraries()
    needed = folder and built_for(folder)
    able = usable() if needed else None
    if not needed or able is None or needed <= able:
        return None
    missing = ", ".join(sorted(needed - able))
    return (
        f"llama.cpp was compiled for another processor: this one does not execute {missing}. "
        "`make setup` compiles it for this one."
    )


def variant(folder: Path) -> Path | None:
    """Of ggml's builds in `folder`, the best one that runs here; None: nobody can tell, or there is none for x86."""
    able = usable()
    if able is None:
        return None
    built = {name: path for name in VARIANTS if (path := folder / f"libggml-cpu-{name}.so").is_file()}
    return next((path for name, path in built.items() if able.issuperset(VARIANTS[name])), None)


def _survives(code: bytes, asks_for_tiles: bool) -> bool:
    """Whether a fork that executes the code ends well."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.alarm(LONGEST_S)
        if not asks_for_tiles or _allowed_tiles():
            page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
            page.write(code)
            address = ctypes.addressof(ctypes.c_char.from_buffer(page))
            ctypes.CFUNCTYPE(None, ctypes.c_char_p)(address)(_TILES)
            os._exit(0)
        os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def _allowed_tiles() -> bool:
    """Linux gives a process its tiles' registers only if it asks: arch_prctl(ARCH_REQ_XCOMP_PERM, XTILEDATA)."""
    return sys.platform == "linux" and bool(ctypes.CDLL(None).syscall(158, 0x1023, 18) == 0)


def main() -> None:
    for name, code in CODE.items():
        if _survives(code, name.startswith("AMX")):
            print(name, flush=True)  # flushed, or the next fork would print it again


if __name__ == "__main__":
    main()
