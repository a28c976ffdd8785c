#!/usr/bin/env python3
"""Pictures of the voting page for the documentation: studio_pictures.py LAUREL_BINARY FOLDER."""
import pathlib
import sys
import tempfile

from studio_server import Studio, make_run
from vote_test import COUNT, answered, enter
from webdriver import Browser

SETTLED = "!busy && [...document.querySelectorAll('.choice img')].every((image) => image.complete && image.naturalWidth)"


def shoot(browser, path):
    browser.wait(SETTLED)
    browser.run("document.getElementById('toast').classList.remove('on'); return 1")
    browser.screenshot(path)
    print(path)


def main():
    binary, output = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, Browser(1280, 820) as browser:
        folder = pathlib.Path(name)
        run = make_run(folder / "run", 12)
        browser.dark(False)
        with Studio(binary, ["vote", run, "--store", folder / "taste.laurel", "--seed", "3"], folder / "log") as studio:
            browser.go(studio.url)
            browser.wait("document.getElementById('name')")
            browser.screenshot(output / "studio-people.png")
            enter(browser, studio.url, "Ada")
            for count in range(1, 4):
                browser.press("left" if count % 2 else "right")
                answered(browser, count)
            shoot(browser, output / "studio-vote.png")
            browser.press("z")
            shoot(browser, output / "vote-zoom.png")
            browser.press("escape", "?")
            browser.screenshot(output / "vote-help.png")
            browser.press("escape")
            browser.dark(True)
            shoot(browser, output / "vote-dark.png")
            browser.resize(390, 844)
            shoot(browser, output / "vote-phone.png")
            browser.dark(False)
            browser.resize(844, 390)
            shoot(browser, output / "vote-landscape.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
