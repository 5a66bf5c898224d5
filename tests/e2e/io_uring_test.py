#!/usr/bin/env python3
"""Where io_uring is forbidden, a prober that is to use it does not start, and says which setting."""
import os
import subprocess
import sys
import unittest

import harness

# Forbids io_uring_setup, as container runtimes do, then becomes the program that is named.
FORBID = """
import ctypes, os, sys
class Filter(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte),
                ("k", ctypes.c_uint)]
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.POINTER(Filter))]
LOAD, EQUALS, RETURN, ALLOW, ERROR = 0x20, 0x15, 0x06, 0x7fff0000, 0x00050000
lines = (Filter * 4)(Filter(LOAD, 0, 0, 0), Filter(EQUALS, 0, 1, 425),
                     Filter(RETURN, 0, 0, ERROR | int(sys.argv[1])), Filter(RETURN, 0, 0, ALLOW))
libc = ctypes.CDLL(None, use_errno=True)
program = Program(4, lines)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0):
    sys.exit(77)
os.execv(sys.argv[2], sys.argv[2:])
"""
EPERM, ENOSYS = 1, 38


class ForbiddenTest(harness.TestCase):
    def serve(self, error, io):
        config = self.box.write(f"{io}.yml", f"engine: {{io: {io}}}\ntasks:\n"
                                "  - {name: t, type: tcp, target: '127.0.0.1:9', interval: 1h}\n")
        done = subprocess.run(
            [sys.executable, "-c", FORBID, str(error), str(harness.binaries() / "sonde"), "serve",
             f"--config.file={config}", "--web.listen-address=127.0.0.1:0"],
            timeout=harness.PATIENCE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            encoding="utf-8", check=False)
        if done.returncode == 77:
            raise unittest.SkipTest("no seccomp here")
        return done

    def test_the_error_names_the_setting(self):
        for error in (EPERM, ENOSYS):
            with self.subTest(error):
                done = self.serve(error, "io_uring")
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertIn("engine.io: io_uring cannot be used here", done.stdout)
                self.assertIn(os.strerror(error), done.stdout)


if __name__ == "__main__":
    harness.main()
