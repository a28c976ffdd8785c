"""A studio that runs, for the browser's tests."""
import subprocess
import sys
import pathlib

HERE = pathlib.Path(__file__).parent


def make_run(folder, prompts=6, steps=2):
    subprocess.run([sys.executable, HERE / "example_run.py", folder, "--prompts", str(prompts), "--steps", str(steps)], check=True)
    return folder


class Studio:
    def __init__(self, binary, arguments, log):
        self.log = open(log, "a")
        self.process = subprocess.Popen([binary, *map(str, arguments), "--port", "0"], stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.url = next(line.strip() for line in self.process.stdout if line.strip().startswith("http://"))
        self.process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)
        self.process.stdout.close()
        self.log.close()

    def kill(self):
        self.process.kill()
        self.process.wait(60)
