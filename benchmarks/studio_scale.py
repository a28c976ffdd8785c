#!/usr/bin/env python3
"""What the next pair takes with 20,000 pictures and 100,000 answers: studio_scale.py LAUREL_BINARY EMPTY_FOLDER

The answers are put into the store directly; the pictures are tiny. Needs Python's standard library alone."""
import http.client
import json
import pathlib
import re
import sqlite3
import struct
import subprocess
import sys
import time
import zlib

IMAGES, ANSWERS, PROMPTS = 20000, 100000, 1000


def picture(number):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    rows = b"".join(b"\0" + bytes((number * 7 + x * 3 + y) % 256 for x in range(48)) for y in range(16))
    rows = rows[:1] + struct.pack(">I", number) + rows[5:]
    header = struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def make_pictures(folder):
    folder.mkdir(parents=True)
    lines = []
    for number in range(IMAGES):
        (folder / f"{number:05d}.png").write_bytes(picture(number))
        lines.append(json.dumps({"file_name": f"{number:05d}.png", "text": f"prompt {number % PROMPTS}"}) + "\n")
    (folder / "metadata.jsonl").write_text("".join(lines))


def add_answers(store):
    database = sqlite3.connect(store)
    database.execute("INSERT INTO person (name, at) VALUES ('Ada', 0)")
    groups = {}
    for image, prompt in database.execute("SELECT id, prompt FROM image"):
        groups.setdefault(prompt, []).append(image)
    pairs = ((a, b) for group in groups.values() for place, a in enumerate(group) for b in group[place + 1:])
    for number, (a, b) in zip(range(1, ANSWERS + 1), pairs):
        database.execute("INSERT INTO pair_shown VALUES (?, 1, ?, ?, 'learn', NULL, 0)", (number, a, b))
        database.execute("INSERT INTO vote VALUES (?, ?, ?, NULL, 0, 500, 0)", (number, number, ("left", "right", "tie")[number % 3]))
    database.commit()
    database.close()


class Page:
    def __init__(self, binary, *arguments, learns=False):
        began = time.time()
        words = [binary, "vote", *map(str, arguments), "--port", "0", *([] if learns else ["--no-learning"])]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        url = next(line.strip() for line in self.process.stdout if line.strip().startswith("http://"))
        self.start = time.time() - began
        self.port = int(re.search(r":(\d+)/", url).group(1))
        self.headers = {"Content-Type": "application/json", "X-Laurel": "1", "Origin": f"http://127.0.0.1:{self.port}"}
        self.ask("enter", {"token": url.split("#t=")[1]})

    def ask(self, path, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        began = time.time()
        connection.request("POST", "/api/" + path, json.dumps(body), self.headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.getheader("Set-Cookie"):
            self.headers["Cookie"] = answer.getheader("Set-Cookie").split(";")[0]
        return json.loads(text), 1000 * (time.time() - began)

    def memory(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) // 1000

    def end(self):
        self.process.terminate()
        self.process.wait()


def seconds_until(done):
    began = time.time()
    while not done():
        time.sleep(0.2)
    return time.time() - began


def measure_learning(binary, store):
    """Looking at all pictures, then a fit to all answers with its report, while a person goes on answering."""
    page = Page(binary, "--store", store, learns=True)
    ballot = page.ask("queue", {"person": 1})[0]
    seen = seconds_until(lambda: page.ask("queue", {"person": 1})[0]["sight"]["seen"] == IMAGES)
    times = []

    def answer():
        nonlocal ballot
        ballot, taken = page.ask("vote", {"person": 1, "pair": ballot["queue"][0]["pair"], "answer": "left", "milliseconds": 1})
        times.append(taken)
        return page.ask("report", {})[0]

    learnt = seconds_until(answer)
    times.sort()
    print(f"looking at the pictures {seen:.0f} s; a fit with its report {learnt:.1f} s")
    print(f"an answer and the next pair meanwhile: median {times[len(times) // 2]:.0f} ms, most {times[-1]:.0f} ms")
    print(f"memory at most {page.memory()} MB")
    page.end()


def main():
    binary, folder = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
    store = folder / "taste.laurel"
    make_pictures(folder / "pictures")
    first = Page(binary, folder / "pictures", "--store", store)
    first.end()
    add_answers(store)
    page = Page(binary, "--store", store)
    ballot, opening = page.ask("queue", {"person": 1})
    times = []
    for _ in range(200):
        ballot, taken = page.ask("vote", {"person": 1, "pair": ballot["queue"][0]["pair"], "answer": "left", "milliseconds": 1})
        times.append(taken)
    times.sort()
    _, undone = page.ask("undo", {"person": 1})
    print(f"{IMAGES} pictures, {ballot['counts']['answered']} answers, store of {store.stat().st_size // 1000000} MB")
    print(f"first start {first.start:.1f} s, later start {page.start:.1f} s, a person's first pair {opening:.0f} ms")
    print(f"an answer and the next pair: median {times[100]:.1f} ms, 99 % {times[198]:.1f} ms; undo {undone:.0f} ms")
    print(f"memory at most {page.memory()} MB")
    page.end()
    measure_learning(binary, store)


if __name__ == "__main__":
    main()
