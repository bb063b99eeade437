"""`make audit`: do advisories name a locked package, or a vendored one of npm?

pip-audit and npm ask their registries. Where PyPI does not answer, the copy in `advisories.json` is read; its day
is printed, because nothing newer is in it. `python -m tests.audit --write FOLDER` makes the copy from a checkout of
pypa/advisory-database. Status 1 if an advisory names a version that is used.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from packaging.version import Version

ROOT = Path(__file__).parents[2]
COPY = Path(__file__).with_name("advisories.json")
LOCKS = [ROOT / "requirements-dev.lock", *(ROOT / "infra" / "setup" / f"{name}.lock" for name in ("tools", "llama"))]
NPM = {"htmx": "htmx.org", "uPlot": "uplot", "markdown-it": "markdown-it"}
NPM |= {"KaTeX": "katex", "highlight.js": "@highlightjs/cdn-assets"}
NPM |= {"DOMPurify": "dompurify", "axe-core": "axe-core", "Dynoxide": "@dynoxide/linux-x64-gnu"}
SECONDS = 300


def locked() -> dict[str, str]:
    """The version of each package of the lock files."""
    return dict(re.findall(r"^([a-z0-9.-]+)==([^ ;]+)", "\n".join(map(Path.read_text, LOCKS)), re.MULTILINE))


def vendored() -> dict[str, str]:
    """The version of each npm package that docs/dependencies.md says is vendored or downloaded."""
    page = (ROOT / "docs" / "dependencies.md").read_text().split("## Vendored")[1]
    rows = re.findall(r"^\| ([A-Za-z][\w. -]*?) (\d+\.\d+\.\d+) ", page, re.MULTILINE)
    return {NPM[name]: version for name, version in rows if name in NPM}


def stored(versions: dict[str, str], copy: dict[str, Any]) -> list[str]:
    """Advisories of the copy that name one of these versions."""
    return [
        f"{name} {version}: {', '.join(advisory['ids'])}"
        for name, version in sorted(versions.items())
        for advisory in copy["advisories"].get(name, [])
        if any(_within(Version(version), since, until) for since, until in advisory["ranges"])
    ]


def _within(version: Version, since: str, until: str | None) -> bool:
    return Version(since) <= version and (until is None or version < Version(until))


def live_pypi(versions: dict[str, str]) -> list[str] | None:
    """What PyPI's advisories say; None if it does not answer for every package."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.writelines(f"{name}=={version}\n" for name, version in versions.items())
        wanted.flush()
        command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "-r", wanted.name]
        said = _json([*command, "-f", "json", "--progress-spinner", "off"])
    asked = said.get("dependencies", [])
    if not asked or any("skip_reason" in one for one in asked):
        return None
    return [f"{one['name']} {one['version']}: {fault['id']}" for one in asked for fault in one["vulns"]]


def live_npm(versions: dict[str, str]) -> list[str] | None:
    """The same of npm, whose command wants a lock file."""
    with tempfile.TemporaryDirectory() as folder:
        package = {"name": "audited", "version": "1.0.0", "dependencies": versions}
        (Path(folder) / "package.json").write_text(json.dumps(package))
        _json(["npm", "install", "--package-lock-only", "--ignore-scripts", "--no-audit"], folder)
        said = _json(["npm", "audit", "--json"], folder)
    faults = said.get("vulnerabilities")
    return None if faults is None else [f"{name}: {fault['severity']}" for name, fault in faults.items()]


def _json(command: list[str], folder: str = ".") -> dict[str, Any]:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
        return dict(json.loads(done.stdout))
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return {}


def main() -> int:
    copy = json.loads(COPY.read_text())
    python, found = locked(), list[str]()
    for registry, live, versions, in_copy in (
        ("PyPI", live_pypi(python), python, stored(python, copy)),
        ("npm", live_npm(vendored()), vendored(), None),
    ):
        if live is not None:
            print(f"audit: {registry} was asked about {len(versions)} packages")
        elif in_copy is not None:
            print(f"audit: {registry} did not answer. {len(versions)} packages were compared with the copy of")
            print(f"audit: {copy['day']} ({copy['source']}); nothing newer is in it")
        else:
            print(f"audit: {registry} did not answer, and there is no copy of its advisories: {versions} NOT CHECKED")
        found += live if live is not None else in_copy or []
    for fault in found:
        print("audit: FOUND", fault)
    print(f"audit: {len(found)} advisories name a version that is used")
    return int(bool(found))


def write(folder: Path) -> None:
    """The copy: of each locked package's advisories the ids and the ranges of versions."""
    import yaml

    advisories: dict[str, list[dict[str, Any]]] = {}
    for name in sorted(locked()):
        for path in sorted((folder / "vulns" / name).glob("*.yaml")):
            told = yaml.safe_load(path.read_text())
            if ranges := [one for affected in told["affected"] for one in _ranges(affected)]:
                ids = [told["id"], *told.get("aliases", [])]
                advisories.setdefault(name, []).append({"ids": ids, "ranges": ranges})
    day = subprocess.run(
        ["git", "-C", folder, "log", "-1", "--format=%cs"], capture_output=True, text=True, check=True
    ).stdout.strip()
    copy = {"source": "github.com/pypa/advisory-database, CC-BY 4.0", "day": day, "advisories": advisories}
    COPY.write_text(json.dumps(copy, separators=(",", ":")).replace('],"', '],\n"').replace("},{", "},\n{") + "\n")


def _ranges(affected: dict[str, Any]) -> list[tuple[str, str | None]]:
    made: list[tuple[str, str | None]] = []
    for one in affected.get("ranges", []):
        if one["type"] == "ECOSYSTEM":
            since = "0"
            for event in one["events"]:
                since = str(event.get("introduced", since))
                if "fixed" in event:
                    made.append((since, str(event["fixed"])))
            if "introduced" in one["events"][-1]:
                made.append((since, None))
    return made


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write(Path(sys.argv[2]))
    else:
        sys.exit(main())
