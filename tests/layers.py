#!/usr/bin/env python3
"""Compares every #include of ours with the table of layers in ARCHITECTURE.md, and the length of
every source file with the limit. Usage: layers.py ROOT. Prints each offence as FILE:LINE: what."""

import pathlib
import re
import sys

# Folder: the folders (or single headers) of ours that it may include, beside itself.
LAYERS = {
    "ipc/base": [],
    "ipc/wire": ["ipc/base"],
    "ipc/net": ["ipc/base", "ipc/wire"],
    "supervisor/core": ["ipc/base", "ipc/wire"],
    "supervisor/sys": ["ipc/base", "ipc/wire/app_spec.hpp"],
    "supervisor/engine": ["ipc/base", "ipc/wire", "ipc/net", "supervisor/core", "supervisor/sys"],
    "supervisor/daemon": ["ipc/base", "ipc/wire", "ipc/net", "supervisor/core", "supervisor/sys",
                          "supervisor/engine"],
    "cli": ["ipc/base", "ipc/wire", "ipc/net"],
    "app/base": ["ipc/base"],
    "app/metrics": ["ipc/base", "ipc/wire", "app/base"],
    "app/sqlite": ["ipc/base", "app/base"],
    "app/redis": ["ipc/base", "app/base", "app/metrics"],
    "app/kv": ["ipc/base", "app/base", "app/metrics", "app/redis", "app/sqlite"],
    "app/limits": ["ipc/base", "app/base", "app/metrics", "app/redis", "app/sqlite"],
    "app/postgres": ["ipc/base", "app/base"],
    "app/store": ["ipc/base", "app/base", "app/metrics", "app/sqlite", "app/postgres"],
    "app/http": ["ipc/base", "ipc/wire", "app/base", "app/metrics", "app/limits"],
    "app/accounts": ["ipc/base", "app/base", "app/metrics", "app/kv", "app/store", "app/http"],
    "app/jobs": ["ipc/base", "app/base", "app/metrics", "app/store", "app/http", "app/accounts"],
    "app/events": ["ipc/base", "app/base", "app/metrics", "app/redis", "app/http"],
    "app/projects": ["ipc/base", "app/base", "app/metrics", "app/store", "app/http",
                     "app/accounts"],
    "app/queue": ["ipc/base", "app/base", "app/metrics", "app/redis", "app/sqlite", "app/http"],
    "app/files": ["ipc/base", "app/base", "app/metrics", "app/http"],
    "app/exports": ["ipc/base", "app/base", "app/metrics", "app/http", "app/store", "app/accounts",
                    "app/projects", "app/queue", "app/files"],
    # What builds a server out of the roles.
    "app": ["ipc/base", "ipc/wire", "ipc/net"],
}

# Libraries: how their headers begin, and the only folders that may include them.
LIBRARIES = {
    "boost/": {"ipc/net", "supervisor/engine", "supervisor/daemon", "app"},
    "nlohmann/": {"ipc/wire", "ipc/net", "supervisor/core", "supervisor/engine",
                  "supervisor/daemon", "cli", "app"},
    "yaml-cpp/": {"ipc/wire"},
    "spdlog/": {"supervisor/engine", "supervisor/daemon", "app"},
    "CLI/": {"cli", "supervisor/daemon"},
    "curses.h": {"cli"},
    "pcre2.h": {"cli"},
    "zlib.h": {"cli", "supervisor/daemon"},
    "zstd.h": {"cli", "supervisor/daemon"},
    # supervisor/sys: for its declarations only; see sys/tls.hpp
    "openssl/": {"supervisor/sys", "app"},
    "curl/": {"app/files"},
    "hpdf.h": {"app/exports"},
    "sqlite3.h": {"app/sqlite"},
    "libpq-fe.h": {"app/postgres"},
    "hiredis/": {"app/redis"},
    "argon2.h": {"app/accounts"},
    "jwt/": {"app/accounts"},
}

MAX_LINES = 600
SOURCES = {".hpp", ".cpp"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def folder_of(path):
    """The layer that a path (or an include) lies in, or None."""
    for layer in LAYERS:
        if path.startswith(layer + "/"):
            return layer
    return None


def fault_of(layer, mark, target):
    """Why `layer` may not include `target`, or None."""
    if mark == "<":
        for prefix, users in LIBRARIES.items():
            top = layer.split("/")[0]
            if target.startswith(prefix) and layer not in users and top not in users:
                return f"{layer} may not include {prefix}"
        return None
    if folder_of(target) is None:
        return f'"{target}" must be a path from the repository root into a layer'
    allowed = [layer, *LAYERS[layer]]
    if any(target == entry or target.startswith(entry + "/") for entry in allowed):
        return None
    return f"{layer} may not include {target}"


def check_file(root, path):
    name = path.relative_to(root).as_posix()
    lines = path.read_text(encoding="utf-8").splitlines()
    if len(lines) > MAX_LINES:
        yield f"{name}:{len(lines)}: longer than {MAX_LINES} lines"
    layer = folder_of(name)
    if layer is None:
        return
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        fault = match and fault_of(layer, *match.groups())
        if fault:
            yield f"{name}:{number}: {fault}"


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    faults, files = [], 0
    for top in ("ipc", "supervisor", "cli", "app", "tests", "bench"):
        for path in sorted((root / top).rglob("*")):
            if path.suffix in SOURCES:
                files += 1
                faults += check_file(root, path)
    if files == 0:
        faults.append(f"{root}: no sources found")
    print("\n".join(faults) if faults else f"{files} files keep to the layers")
    return 1 if faults else 0


sys.exit(main())
