"""Which instructions are used: those that a child process has executed."""

import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import llama_cpp
import pytest

from functions.inference import processor
from functions.inference.llama import runtime

ROOT = Path(__file__).parents[3]
is_x86_linux = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="machine code for x86, flags of Linux"
)
ASSEMBLY = {
    "RET": "ret",
    "SSE42": "crc32 %ecx,%eax; ret",
    "AVX": "vaddps %ymm0,%ymm0,%ymm0; vzeroupper; ret",
    "F16C": "vcvtph2ps %xmm0,%ymm0; vzeroupper; ret",
    "FMA": "vfmadd231ps %ymm0,%ymm0,%ymm0; vzeroupper; ret",
    "AVX2": "vpaddd %ymm0,%ymm0,%ymm0; vzeroupper; ret",
    "BMI2": "pdep %edx,%ecx,%eax; ret",
    "AVX_VNNI": "{vex} vpdpbusd %ymm0,%ymm0,%ymm0; vzeroupper; ret",
    "AVX512": "vpaddd %zmm0,%zmm0,%zmm0; vplzcntd %zmm0,%zmm0; vpaddd %ymm16,%ymm16,%ymm16; "
    "vpmullq %zmm0,%zmm0,%zmm0; vpaddb %zmm0,%zmm0,%zmm0; vzeroupper; ret",
    "AVX512_VBMI": "vpermb %zmm0,%zmm0,%zmm0; vzeroupper; ret",
    "AVX512_VNNI": "vpdpbusd %zmm0,%zmm0,%zmm0; vzeroupper; ret",
    "AVX512_BF16": "vdpbf16ps %zmm0,%zmm0,%zmm0; vzeroupper; ret",
    "AMX_TILE": "ldtilecfg (%rdi); tilezero %tmm0; tilerelease; ret",
    "AMX_INT8": "ldtilecfg (%rdi); tdpbssd %tmm2,%tmm1,%tmm0; tilerelease; ret",
}


@is_x86_linux
@pytest.mark.skipif(not shutil.which("as") or not shutil.which("objcopy"), reason="no assembler")
def test_the_machine_code_is_what_an_assembler_makes_of_the_instructions(tmp_path: Path) -> None:
    assert set(ASSEMBLY) == set(processor.CODE)
    for name, source in ASSEMBLY.items():
        done = subprocess.run(["as", "-o", "code.o", "-"], input=source + "\n", text=True, cwd=tmp_path)
        assert done.returncode == 0, name
        subprocess.run(["objcopy", "-O", "binary", "-j", ".text", "code.o", "code"], check=True, cwd=tmp_path)
        assert (tmp_path / "code").read_bytes() == processor.CODE[name], name


@is_x86_linux
def test_what_was_executed_is_what_the_processor_announces_or_less() -> None:
    flags = set(re.findall(r"\w+", Path("/proc/cpuinfo").read_text().split("flags")[1].split("\n")[0]))
    as_linux_says = {"SSE42": "sse4_2", "AVX512": "avx512f", "AVX512_VBMI": "avx512vbmi"}
    executed = processor.usable()
    assert executed is not None
    assert {as_linux_says.get(name, name.lower()) for name in executed} <= flags


@is_x86_linux
@pytest.mark.parametrize(
    "dies",
    [
        "0f0b",  # ud2: SIGILL, as an instruction that the machine traps
        "8b042500000000",  # reads address 0: SIGSEGV
        "ebfe",  # never ends
    ],
)
def test_a_set_that_dies_when_it_is_executed_is_left_out_and_the_others_are_asked(dies: str) -> None:
    script = (
        "from functions.inference import processor as it; it.LONGEST_S = 1; "
        f"ret = it.CODE['RET']; dies = bytes.fromhex('{dies}'); it._allowed_tiles = lambda: False; "
        "it.CODE = {'AVX': ret, 'AVX512': dies, 'AMX_TILE': ret, 'BMI2': ret}; it.main()"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.split()) == (0, ["AVX", "BMI2"])


def answering(monkeypatch: pytest.MonkeyPatch, output: str, status: int = 0) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    done = subprocess.CompletedProcess([], status, stdout=output)
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_options: done)


def test_a_set_is_used_only_with_all_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, "\n".join(name for name in processor.CODE if name not in ("AVX512", "F16C")))
    assert processor.usable() == {"SSE42", "AVX", "FMA", "AVX2", "BMI2"}


def test_where_not_even_a_return_is_executed_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, "")
    assert processor.usable() is None
    answering(monkeypatch, "RET")
    assert processor.usable() == frozenset()
    answering(monkeypatch, "RET AVX", -signal.SIGKILL)
    assert processor.usable() is None
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert processor.usable() is None


@pytest.mark.parametrize(
    ("listed", "executed", "missing"),
    [
        ("AVX AVX2", {"AVX", "AVX2", "FMA"}, None),
        ("AVX AVX512 AVX512_VNNI", {"AVX"}, "AVX512, AVX512_VNNI"),
        ("AVX AVX512", None, None),
        (None, {"AVX"}, None),
    ],
)
def test_a_wheel_for_another_processor_is_refused_in_words(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    listed: str | None,
    executed: frozenset[str] | None,
    missing: str | None,
) -> None:
    if listed:
        (tmp_path / "instructions").write_text("\n".join(listed.split()))
    monkeypatch.setattr(processor, "libraries", lambda: tmp_path)
    monkeypatch.setattr(processor, "usable", lambda: executed)
    refusal = processor.refusal()
    assert (refusal is None) == (missing is None)
    assert missing is None or f"does not execute {missing}." in str(refusal)


@is_x86_linux
def test_the_engine_does_not_start_with_a_wheel_for_another_processor(tmp_path: Path) -> None:
    wheel = tmp_path / "llama_cpp"
    (wheel / "lib").mkdir(parents=True)
    (wheel / "__init__.py").write_text("raise SystemExit('loaded, which may already be an illegal instruction')")
    (wheel / "lib" / "instructions").write_text("AVX1024\n")
    config = "functions/inference/gunicorn.conf.py"
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--check-config", "-c", config, "functions.inference.app:create_app()"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)}, cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "llama.cpp was compiled for another processor: this one does not execute AVX1024." in done.stderr


def test_the_installed_wheel_lists_its_instructions_and_is_for_this_machine() -> None:
    folder = processor.libraries()
    assert folder is not None
    listed, executed = processor.built_for(folder), processor.usable()
    assert listed is not None and (executed is None or listed <= executed)


def test_the_wheels_list_knows_every_set() -> None:
    (listed,) = re.findall(r"foreach\(name ([A-Z0-9_ ]+)\)", processor.HOOK.read_text())
    assert listed.split() == list(processor.SETS)


@pytest.mark.parametrize(
    ("executed", "chosen"),
    [
        (processor.SETS, "sapphirerapids"),
        ([name for name in processor.SETS if not name.startswith("AMX")], "zen4"),  # AMX announced, and trapped
        (["SSE42", "AVX", "F16C", "FMA", "AVX2", "BMI2"], "haswell"),
        ([], "x64"),
    ],
)
def test_the_image_takes_the_best_build_that_was_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executed: list[str], chosen: str
) -> None:
    for name in processor.VARIANTS:
        (tmp_path / f"libggml-cpu-{name}.so").touch()
    monkeypatch.setattr(processor, "usable", lambda: frozenset(executed))
    assert loaded(monkeypatch, tmp_path) == [("ggml_backend_load", str(tmp_path / f"libggml-cpu-{chosen}.so"))]


def test_llama_cpp_chooses_where_nothing_is_known_or_there_is_one_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "usable", lambda: None)
    assert loaded(monkeypatch, tmp_path) == []
    (tmp_path / "libggml-cpu-armv8.2_1.so").touch()
    assert loaded(monkeypatch, tmp_path) == [("ggml_backend_load_all_from_path", str(tmp_path))]


def loaded(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[tuple[str, str]]:
    """What ggml is asked to load, with which argument."""
    calls: list[tuple[str, str]] = []

    class Library:
        def __getattr__(self, name: str) -> Any:
            return lambda argument: calls.append((name, os.fsdecode(argument)))

    monkeypatch.setattr(llama_cpp.llama_cpp, "_lib", Library())
    runtime._choose_variant(folder)
    return calls
