"""Brings the peers into the cache: Debian packages unpacked, npm packages in a folder of their own.
Nothing is installed, no root is needed; what is there already is taken as it is."""

import os
import shutil
import subprocess

from .base import Missing

NETWORK_TIME = 180


def debian(cache, *packages):
    """The folder in which these packages lie as they would in /: the first and what it needs."""
    root = cache / "debian" / packages[0]
    if root.is_dir():
        return root
    for program in ("apt-get", "dpkg-deb"):
        if not shutil.which(program):
            raise Missing(f"its Debian package needs {program}")
    work = cache / f"{packages[0]}.new"
    shutil.rmtree(work, ignore_errors=True)
    (work / "deb").mkdir(parents=True)
    # Without the sandbox, whose user may not write into our folder.
    run(["apt-get", "-q", "-o", "APT::Sandbox::User=", "download", *packages], work / "deb")
    for package in sorted((work / "deb").glob("*.deb")):
        run(["dpkg-deb", "-x", package, work / "root"], work)
    root.parent.mkdir(exist_ok=True)
    (work / "root").rename(root)
    shutil.rmtree(work)
    return root


def npm(cache, *packages):
    """The node_modules with these packages."""
    folder = cache / "npm" / "-".join(packages)
    if (folder / "node_modules").is_dir():
        return folder / "node_modules"
    for program in ("node", "npm"):
        if not shutil.which(program):
            raise Missing(f"it needs {program}")
    work = folder.with_name(folder.name + ".new")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    run(["npm", "install", "--no-audit", "--no-fund", "--prefix", work, *packages], work)
    work.rename(folder)
    return folder / "node_modules"


def run(command, folder):
    try:
        done = subprocess.run(list(map(os.fspath, command)), cwd=folder, capture_output=True,
                              text=True, timeout=NETWORK_TIME)
    except subprocess.TimeoutExpired:
        raise Missing(f"{command[0]} took longer than {NETWORK_TIME} s") from None
    if done.returncode != 0:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise Missing(f"{command[0]} could not bring it: {last}")
