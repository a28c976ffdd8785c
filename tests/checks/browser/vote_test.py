#!/usr/bin/env python3
"""The voting page in headless Chromium: vote_test.py LAUREL_BINARY. Exit code 77: Chromium is not installed."""
import json
import pathlib
import subprocess
import sys
import tempfile

from expect import UNNAMED, check, equal
from studio_server import Studio, make_run
from webdriver import Browser, installed

COUNT = "studio.counts.answered"
PAIR = "studio.queue[0].pair"


def answered(browser, count):
    browser.wait(f"studio.counts && {COUNT} === {count} && !busy")


def enter(browser, url, name):
    browser.go(url)
    browser.wait("document.getElementById('name')")
    browser.type("#name", name + "\ue007")
    browser.wait("!document.getElementById('view-vote').hidden && !busy && document.getElementById('left-image').naturalWidth > 0")


def test_enters(browser, url):
    enter(browser, url, "Ada <b>")
    equal(browser.run("location.hash + location.search"), "", "the token leaves the address")
    equal(browser.run("document.cookie"), "", "scripts cannot read the cookie")
    equal(browser.run("document.querySelectorAll('#view-vote b').length"), 0, "a name's <b> is text")
    equal(browser.run("performance.getEntriesByType('resource').filter((entry) => !entry.name.startsWith(location.origin) && !entry.name.startsWith('data:')).length"), 0, "nothing is loaded from elsewhere")
    text = browser.run("document.getElementById('main').outerHTML + performance.getEntriesByType('resource').map((entry) => entry.name).join(' ')")
    check(not any(word in text for word in ("tiny-world", "step-", "samples/", "0000.png")), "neither model, set nor file is in the page")
    equal(browser.errors(), [], "no error in the console")


def test_answers(browser):
    first = browser.run(PAIR)
    browser.press("left")
    answered(browser, 1)
    check("Left recorded. 1 answer." == browser.run("document.getElementById('said').textContent"), "a screen reader is told what was recorded")
    check(browser.run(PAIR) != first, "the next pair is shown")
    for count, key in enumerate(("2", "up", "=", "down", "space"), start=2):
        browser.press(key)
        answered(browser, count)
    equal(browser.run("[studio.counts.decided, studio.counts.ties, studio.counts.both_bad, studio.counts.skipped]"), [2, 2, 1, 1], "keys answer left, right, equal, both bad, skip")
    for count in range(5, -1, -1):
        browser.press("backspace")
        answered(browser, count)
    equal(browser.run(PAIR), first, "undo goes back to the first pair")
    browser.press("backspace")
    browser.wait("document.getElementById('said').textContent.startsWith('There is no answer')")
    browser.click("#right")
    answered(browser, 1)
    browser.press("space")
    answered(browser, 2)
    equal(browser.run("[studio.counts.decided, studio.counts.skipped]"), [1, 1], "after a click the space bar skips")
    browser.run("document.getElementById('left').focus(); return 1")
    browser.press("space")
    answered(browser, 3)
    equal(browser.run("studio.counts.decided"), 2, "on a focused picture the space bar chooses it")
    equal(browser.run("document.activeElement.id"), "left", "and the focus stays")
    browser.run("document.activeElement.blur(); return 1")


def test_reload(browser):
    before = browser.run(f"[{PAIR}, {COUNT}]")
    browser.reload()
    browser.wait("window.studio === undefined && typeof studio === 'object' && studio.counts && !busy")
    equal(browser.run(f"[{PAIR}, {COUNT}]"), before, "a reload shows the same pair")


def test_looks_closer(browser):
    browser.press("z")
    equal(browser.run("[document.getElementById('arena').classList.contains('zoomed'), document.getElementById('zoom').getAttribute('aria-pressed')]"), [True, "true"], "Z enlarges both")
    scales = browser.run("['left-image', 'right-image'].map((id) => getComputedStyle(document.getElementById(id)).scale + getComputedStyle(document.getElementById(id)).transformOrigin)")
    equal(scales[0], scales[1], "at the same place")
    browser.press("escape", "f")
    equal(browser.run("[...document.querySelectorAll('.choice')].filter((node) => node.offsetParent).map((node) => node.id)"), ["left"], "F shows one")
    browser.press("f")
    equal(browser.run("[...document.querySelectorAll('.choice')].filter((node) => node.offsetParent).map((node) => node.id)"), ["right"], "and then the other in its place")
    browser.press("escape")
    equal(browser.run("[...document.querySelectorAll('.choice')].filter((node) => node.offsetParent).length"), 2, "Escape shows both")
    count = browser.run(COUNT)
    browser.press("up")
    answered(browser, count + 1)
    browser.press("i")
    browser.wait("document.getElementById('toast').textContent.startsWith('Last pair: left ')")
    check(True, "I tells where the last pair came from")


def test_keys_off(browser):
    count = browser.run(COUNT)
    browser.run("useKeys(false); return 1")
    browser.press("left")
    equal(browser.run(f"[busy, {COUNT}]"), [False, count], "single keys can be switched off")
    browser.click(".answer[data-answer=tie]")
    answered(browser, count + 1)
    browser.run("useKeys(true); return 1")


def test_two_people(browser):
    ada = browser.run(f"[studio.person, {COUNT}]")
    browser.click("#person")
    browser.wait("document.querySelector('.known button')")
    browser.type("#name", "Bob\ue007")
    browser.wait(f"studio.person !== {ada[0]} && studio.counts.answered === 0 && !busy")
    browser.press("right")
    answered(browser, 1)
    browser.click("#person")
    browser.run("document.querySelector('.known button').click(); return 1")
    browser.wait(f"studio.person === {ada[0]} && {COUNT} === {ada[1]} && !busy")
    check(True, "each person has own answers")


def touch(browser, start, end):
    """A finger that goes from one place of the window to another."""
    at = [{"x": x, "y": y} for x, y in (start, [(a + b) / 2 for a, b in zip(start, end)], end)]
    for kind, points in (("touchStart", at[:1]), ("touchMove", at[1:2]), ("touchMove", at[2:]), ("touchEnd", [])):
        browser.cdp("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def test_swipes(browser):
    browser.cdp("Emulation.setTouchEmulationEnabled", {"enabled": True})
    for width, height, swipes in ((844, 390, (((500, 180), (380, 190)), ((400, 180), (540, 185)))), (390, 844, (((200, 500), (205, 360)), ((200, 300), (190, 440))))):
        browser.resize(width, height)
        for side, (start, end) in zip(("Left", "Right"), swipes):
            count = browser.run(COUNT)
            touch(browser, start, end)
            answered(browser, count + 1)
            equal(browser.run("document.getElementById('said').textContent").split()[0], side, f"at {width} x {height} a swipe towards a picture chooses it")
    count = browser.run(COUNT)
    touch(browser, (150, 300), (260, 310))
    equal(browser.run(f"[busy, {COUNT}]"), [False, count], "a swipe across the stacked pictures chooses none")
    for kind, points in (("touchStart", [{"x": 200, "y": 300}]), ("touchEnd", [])):
        browser.cdp("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    answered(browser, count + 1)
    check(True, "a tap still chooses the picture under it")
    browser.cdp("Emulation.setTouchEmulationEnabled", {"enabled": False})
    browser.resize(1440, 900)


def test_layouts(browser):
    for width, height in ((1440, 900), (390, 844), (844, 390), (720, 450)):  # the last is 1440 x 900 at 200 %
        browser.resize(width, height)
        equal(browser.run("document.documentElement.scrollWidth <= innerWidth"), True, f"fits {width} x {height}")
        small = browser.run("[...document.querySelectorAll('button')].filter((node) => node.offsetParent && Math.min(node.offsetWidth, node.offsetHeight) < 24).length")
        equal(small, 0, "no target is below 24 pixels")
    browser.resize(390, 844)
    boxes = browser.run("['left', 'right'].map((id) => document.getElementById(id).getBoundingClientRect()).map((box) => [box.left, box.top])")
    check(boxes[0][0] == boxes[1][0] and boxes[0][1] < boxes[1][1], "upright on a phone the pictures are stacked")
    equal(browser.run("[...document.querySelectorAll('.answer')].filter((node) => node.offsetParent).every((node) => node.offsetHeight >= 48)"), True, "with answers of 48 pixels")
    browser.resize(1440, 900)
    equal(browser.run(UNNAMED), [], "every control has a name")
    paper = browser.run("getComputedStyle(document.body).backgroundColor")
    browser.dark(True)
    check(browser.run("getComputedStyle(document.body).backgroundColor") != paper, "dark when the system is")
    browser.dark(False)
    equal(browser.errors(), [], "no error in the console")


def test_is_killed(browser, binary, arguments, folder, count):
    with Studio(binary, arguments, folder / "log") as studio:
        enter(browser, studio.url, "Ada <b>")
        equal(browser.run(COUNT), count, "answers outlive a kill")
        second = subprocess.run([binary, *map(str, arguments), "--port", "0"], capture_output=True, text=True)
        equal(second.returncode, 2, "a second studio on the store is refused")
        check("no other laurel writes to" in second.stderr, "in a line that says why")


def main():
    if not installed():
        print("SKIPPED: chromium and chromedriver are not installed (Debian: apt-get install chromium chromium-driver)")
        return 77
    binary = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        store = folder / "taste.laurel"
        arguments = ["vote", make_run(folder / "run"), "--store", store, "--seed", "3"]
        with Browser(1440, 900) as browser:
            browser.dark(False)
            with Studio(binary, arguments, folder / "log") as studio:
                test_enters(browser, studio.url)
                test_answers(browser)
                test_reload(browser)
                test_looks_closer(browser)
                test_keys_off(browser)
                test_two_people(browser)
                test_swipes(browser)
                test_layouts(browser)
                count = browser.run(COUNT)
                studio.kill()
            test_is_killed(browser, binary, arguments, folder, count)
        checked = subprocess.run([binary, "vote", "--check", store], capture_output=True, text=True)
        equal([checked.returncode, "2 people" in checked.stdout], [0, True], "the store is whole")
        subprocess.run([binary, "vote", "--store", store, "--export", folder / "choices.jsonl"], check=True, stdout=subprocess.DEVNULL)
        lines = [json.loads(line) for line in (folder / "choices.jsonl").read_text().splitlines()]
        check(lines and all(line["winner"] in ("a", "b", "tie", "both_bad") for line in lines), "the answers are exported")
    print("the voting page works")
    return 0


if __name__ == "__main__":
    sys.exit(main())
