"""Packages of npm that tests need, of pinned versions: installed once into a cache folder of the
user ($XDG_CACHE_HOME or ~/.cache). Where npm cannot bring them, the test is skipped with a reason."""

import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import unittest


def installed(*packages):
    """The folder whose node_modules has them: installed("s3rver@3.7.1")."""
    npm = shutil.which("npm")
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    cache = cache / "clusterctl-tests"
    name = hashlib.sha256("\n".join(sorted(packages)).encode()).hexdigest()[:16]
    folder = cache / name
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / f"{name}.lock", "w") as lock:  # of suites that run side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            if not npm:
                raise unittest.SkipTest("there is no npm")
            _install(npm, packages, folder)
    return folder


def _install(npm, packages, folder):
    half = folder.with_name(folder.name + ".new")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir()
    (half / "package.json").write_text('{"private": true}\n')
    try:
        done = subprocess.run([npm, "install", "--no-audit", "--no-fund", "--ignore-scripts",
                               *packages], cwd=half, capture_output=True, text=True, timeout=180)
        said = done.stderr[-300:] if done.returncode else ""
    except subprocess.TimeoutExpired:
        said = "npm took more than 180 s"
    if said:
        shutil.rmtree(half, ignore_errors=True)
        raise unittest.SkipTest(f"npm cannot install {' '.join(packages)}: {said}")
    half.rename(folder)
