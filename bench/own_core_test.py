"""own_core.clear among processes of a PID namespace of the test's own, which are all it sees."""
import os
import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
SKIPPED = 77
BOTH = {0, 1}
CLEAR = f"""import sys, time
sys.path.insert(0, {str(HERE)!r})
import own_core
own_core.clear(1)
print("cleared", flush=True)
time.sleep(60)"""
SLEEP = ["sleep", "60"]
# A shell that starts another program whenever it reads a line, and says its id.
STARTER = ["sh", "-c", "while read line; do sleep 60 & echo $!; done"]


class OwnCoreTest(unittest.TestCase):
    def start(self, command, cores, **pipes):
        os.sched_setaffinity(0, cores)
        program = subprocess.Popen(command, encoding="utf-8", **pipes)
        os.sched_setaffinity(0, BOTH)
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)
        return program

    def cleared(self):
        """A program that cleared core 1 and goes on."""
        program = self.start([sys.executable, "-c", CLEAR], BOTH, stdout=subprocess.PIPE)
        self.addCleanup(program.stdout.close)
        self.assertEqual(program.stdout.readline(), "cleared\n")
        return program

    def test_others_have_the_rest_until_it_ends(self):
        free, bound = self.start(SLEEP, BOTH), self.start(SLEEP, {1})
        program = self.cleared()
        self.assertEqual(os.sched_getaffinity(free.pid), {0})
        self.assertEqual(os.sched_getaffinity(program.pid), {0})
        self.assertEqual(os.sched_getaffinity(bound.pid), {1}, "it has no other core")
        program.terminate()
        program.wait()
        self.assertEqual(os.sched_getaffinity(free.pid), BOTH)
        self.assertEqual(os.sched_getaffinity(bound.pid), {1})

    def test_what_was_started_meanwhile_is_free_again(self):
        starter = self.start(STARTER, BOTH, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(starter.stdin.close)
        self.addCleanup(starter.stdout.close)
        program = self.cleared()
        starter.stdin.write("\n")
        starter.stdin.flush()
        child = int(starter.stdout.readline())
        self.addCleanup(os.kill, child, 9)
        self.assertEqual(os.sched_getaffinity(child), {0})
        program.terminate()
        program.wait()
        self.assertEqual(os.sched_getaffinity(child), BOTH)

    def test_what_another_gave_a_thread_meanwhile_stays(self):
        other = self.start(SLEEP, BOTH)
        program = self.cleared()
        os.sched_setaffinity(other.pid, {1})
        program.terminate()
        program.wait()
        self.assertEqual(os.sched_getaffinity(other.pid), {1})


if __name__ == "__main__":
    if os.geteuid() != 0 or not BOTH <= os.sched_getaffinity(0):
        print("needs root and two cores")
        sys.exit(SKIPPED)
    if sys.argv[1:] == ["--within"]:
        os.sched_setaffinity(0, BOTH)
        unittest.main(argv=sys.argv[:1])
    sys.exit(subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-B",
                             __file__, "--within"], check=False).returncode)
