#!/usr/bin/env python3
"""Checks what rots silently: include arrows between rooms, and a few rules of the house.

    tests/house/check_house.py [ROOT]        prints what is wrong, one a line; exit 1 if anything is
    tests/house/check_house.py --self-test   shows that each rule can fail
"""
import pathlib
import re
import sys
import tempfile

# Room -> rooms its sources may include from, besides itself. The longest matching prefix counts.
ARROWS = {
    "engine/contract": (),
    "engine/shard": ("engine/contract",),
    "engine/loop": ("engine/contract", "engine/shard"),
    "protocols": ("engine/contract",),
    "store": ("engine/contract",),
    "exporter": ("engine/contract",),
    "tools/farm": ("engine/contract", "store"),
    "tools/sonde": ("engine/contract", "engine/shard", "engine/loop", "protocols", "store",
                    "exporter"),
}
MAY_KNOW_ALL = ("bench", "tests")

# Room -> system headers it never includes (patterns).
UV, TLS, SOCKETS = r"uv\.h", r"openssl/(ssl|bio)\.h", r"(sys/socket|netinet/.*)\.h"
THREADS = r"(thread|mutex|future|condition_variable)"
SQL = r"(sqlite3|libpq-fe|soci/.*)\.h"
STRANGERS = {
    "engine/contract": (UV, r"openssl/.*", r"ares\.h", r"llhttp\.h", SQL, SOCKETS),
    "engine/shard": (UV, r"ares\.h", r"llhttp\.h", SQL, SOCKETS, r"thread"),
    "protocols": (UV, TLS, r"ares\.h", SQL, SOCKETS, THREADS),
    "store": (UV, r"openssl/.*", r"ares\.h", SOCKETS),
    "exporter": (r"openssl/.*", r"ares\.h", SQL),
}

# Time is an argument: these rooms read no clock and never sleep.
TIMELESS = ("engine/contract", "engine/shard", "protocols", "store")
CLOCKS = re.compile(r"\b(clock_gettime|gettimeofday|uv_hrtime|uv_now)\s*\(|_clock::now\s*\(|"
                    r"absl::Now\s*\(|\b(std::)?time\s*\(\s*(nullptr|NULL|0)\s*\)")
SLEEPS = re.compile(r"\b(sleep_for|sleep_until|usleep|nanosleep|absl::SleepFor)\b|"
                    r"(?<![\w.:>])sleep\s*\(")
# What GCC 12 or Clang 14 does not have.
TOO_NEW = re.compile(r"#include <(format|expected|source_location|print|generator)>|"
                     r"std::(format|expected|views|source_location)\b")

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', re.M)
COMMENT = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"', re.S)


def room_of(path, rooms):
    fitting = [room for room in rooms if path == room or path.startswith(room + "/")]
    return max(fitting, key=len, default=None)


def check_includes(name, text, problems):
    room = room_of(name, ARROWS)
    if room is None:
        return
    allowed = (room,) + ARROWS[room]
    known = tuple(ARROWS) + MAY_KNOW_ALL
    for ours, system in INCLUDE.findall(text):
        target = room_of(ours, known) if ours else None
        if target is not None and target not in allowed:
            problems.append(f'{name}: {room} may not include "{ours}"')
        for pattern in STRANGERS.get(room, ()):
            if system and re.fullmatch(pattern, system):
                problems.append(f"{name}: {room} may not include <{system}>")


def check_code(name, text, problems):
    code = COMMENT.sub(lambda m: '""' if m.group().endswith('"') else " ", text)
    if room_of(name, TIMELESS) and CLOCKS.search(code):
        problems.append(f"{name}: reads a clock; time is an argument here")
    if (room_of(name, TIMELESS) or name.startswith("tests/")) and SLEEPS.search(code):
        problems.append(f"{name}: sleeps")
    if TOO_NEW.search(text):
        problems.append(f"{name}: uses what GCC 12 or Clang 14 does not have")
    if name.endswith(".h") and "#pragma once" not in text:
        problems.append(f"{name}: a header without #pragma once")
    if re.search(r"\b(TODO|FIXME|XXX)\b", text):
        problems.append(f"{name}: something was left to do")


def check_corpora(root, problems):
    for folder in sorted((root / "tests/corpus").glob("*")):
        if folder.is_dir() and not any(folder.iterdir()):
            problems.append(f"tests/corpus/{folder.name}: an empty corpus")
    targets = {path.stem for path in (root / "tests").rglob("fuzz_*.cc")} - {"fuzz_replay"}
    for target in sorted(targets):
        if not (root / "tests/corpus" / target).is_dir():
            problems.append(f"tests/corpus/{target}: a fuzz target without a corpus")


def check(root):
    problems = []
    sources = [path for top in ("engine", "protocols", "store", "exporter", "tools", "tests", "bench")
               for path in sorted((root / top).rglob("*")) if path.suffix in (".cc", ".h")]
    for path in sources:
        name = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8", errors="replace")
        check_includes(name, text, problems)
        check_code(name, text, problems)
    check_corpora(root, problems)
    return len(sources), problems


BAD = {
    "engine/contract/a.cc": ('#include "engine/shard/b.h"', "may not include"),
    "protocols/a.cc": ('#include "exporter/b.h"', "may not include"),
    "protocols/b.cc": ("#include <uv.h>", "may not include <uv.h>"),
    "engine/shard/a.cc": ("#include <sys/socket.h>", "may not include"),
    "store/a.cc": ('#include "tests/support/b.h"', "may not include"),
    "store/b.cc": ("auto t = std::chrono::steady_clock::now();", "reads a clock"),
    "tests/x/a.cc": ("std::this_thread::sleep_for(d);", "sleeps"),
    "exporter/a.h": ("int a;", "#pragma once"),
    "exporter/b.cc": ("auto s = std::format(\"\");", "does not have"),
    "exporter/c.cc": ("// TO" + "DO: later", "left to do"),
    "tests/x/fuzz_nothing.cc": ("", "without a corpus"),
}
GOOD = {
    "engine/loop/a.cc": '#include "engine/shard/b.h"\n#include <uv.h>',
    "protocols/c.cc": '#include "engine/contract/b.h"\n// std::chrono::steady_clock::now()',
    "tests/x/b.cc": '#include "store/b.h"',
}


def self_test():
    failures = 0
    for name, (text, wanted) in list(BAD.items()) + [(n, (t, None)) for n, t in GOOD.items()]:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True)
            path.write_text(text)
            _, problems = check(pathlib.Path(folder))
            good = not problems if wanted is None else any(wanted in p for p in problems)
            if not good:
                failures += 1
                print(f"self-test: {name}: wanted {wanted!r}, got {problems}")
    print(f"{len(BAD) + len(GOOD)} cases, {failures} failed")
    return failures


def main():
    if sys.argv[1:] == ["--self-test"]:
        return 1 if self_test() else 0
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    count, problems = check(root)
    for problem in problems:
        print(problem)
    print(f"{count} sources, {len(problems)} problems")
    return 1 if problems or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
