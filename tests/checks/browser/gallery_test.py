#!/usr/bin/env python3
"""The gallery's page in headless Chromium: gallery_test.py LAUREL_BINARY. Exit code 77: Chromium is not installed.

Debian: apt-get install chromium chromium-driver python3
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import time

from expect import UNNAMED, check, equal
from webdriver import Browser, installed

HERE = pathlib.Path(__file__).parent
ITEMS, SETS = 24, 5


def make_page(binary, folder):
    for name, seed in (("beta-0.1", "1"), ("beta-0.2", "2")):
        subprocess.run([sys.executable, HERE / "example_run.py", folder / "runs" / name, "--prompts", "12", "--steps", "4", "--random-seed", seed], check=True)
    subprocess.run([binary, "gallery", folder / "runs" / "beta-0.1", "--output", folder / "one.html"], check=True)
    subprocess.run([binary, "gallery", folder / "runs", "--output", folder / "two.html"], check=True)


def test_loads(browser, folder):
    browser.open(folder / "one.html")
    browser.wait("document.readyState === 'complete'")
    browser.wait("[...document.querySelectorAll('.cell img')].every((image) => image.complete && image.naturalWidth === 64)")
    equal(browser.run("document.title"), "beta-0.1 · laurel", "a prompt that closes the script element is harmless")
    equal(browser.run("document.querySelectorAll('b').length === [...document.querySelectorAll('.caption b, .readout b')].length"), True, "a prompt's <b> is text")
    check(any("</script>" in text for text in browser.run("[...document.querySelectorAll('.head')].map((node) => node.title)")), "that prompt is shown as written")
    equal(browser.run("performance.getEntriesByType('resource').filter((entry) => !entry.name.startsWith('data:')).length"), 0, "nothing is loaded from elsewhere")
    equal(browser.run("document.getElementById('shown').textContent"), f"{ITEMS} pairs", "every pair is counted")
    check("trained" in browser.run("document.getElementById('summary').textContent"), "the trained reward is named")
    equal(browser.errors(), [], "no error in the console")


def test_guard(browser):
    equal(browser.run("[...document.querySelectorAll('#guard ol button')].map((node) => node.textContent)"), ["10 fine", "20 fine", "30 fine", "40 stop"], "the guard's verdict at each evaluation")
    check("stop (gamed): the held-out rewards moved by -0.61 deviations. The last accepted step is 30." in browser.run("document.getElementById('guard').textContent"), "its reason and what it accepted")
    check("stayed within the noise" not in browser.run("document.getElementById('lede').textContent"), "nothing else on the page judges")
    equal(browser.run("document.querySelectorAll('#guard .worst img').length"), 2, "the images that lost most")
    browser.run("document.querySelector('#guard ol button').click(); return 1")
    equal(browser.run("[sets[state.b].step, document.querySelector('#guard .shown').textContent]"), [10, "10 fine"], "a verdict leads to its set")
    browser.run("document.querySelectorAll('#guard ol button')[3].click(); return 1")


def test_filters(browser):
    browser.press("/")
    browser.type("#query", "bold")
    browser.wait("document.getElementById('shown').textContent.startsWith('2 of')")
    check(True, "/ searches the prompts")
    browser.press("escape")
    browser.click("#reset")
    browser.run("const s = document.getElementById('split'); s.value = 'unseen'; s.dispatchEvent(new Event('change')); return 1")
    equal(browser.run("state.order.length"), 8, "unseen prompts alone")
    browser.click("#reset")
    browser.run("const s = document.getElementById('sort'); s.value = 'gain:aesthetic:down'; s.dispatchEvent(new Event('change')); document.getElementById('group').click(); return 1")
    equal(browser.run("const g = state.order.map((item) => change('aesthetic', item)); return g.every((value, k) => !k || g[k - 1] >= value)"), True, "sorted by what was gained")
    browser.type("#filter-min", "5.5\t")
    equal(browser.run("state.order.length > 0 && state.order.length < 24 && state.order.every((item) => score('aesthetic', imageAt[state.b][item]) >= 5.5)"), True, "filtered by reward")
    browser.click("#reset")
    browser.run("document.getElementById('group').click(); const s = document.getElementById('sort'); s.value = 'order'; s.dispatchEvent(new Event('change')); return 1")


def test_keyboard(browser):
    browser.run("document.activeElement.blur(); state.cursor = 0; focusCursor(); return 1")
    browser.press("right", "right")
    equal(browser.run("Number(document.activeElement.dataset.item)"), browser.run("state.order[2]"), "the arrows move the focus")
    browser.press("down")
    check(browser.run("state.cursor") > 2, "down moves by a row")
    browser.press("up")
    equal(browser.run("state.cursor"), 2, "and up moves back")
    browser.press("space")
    equal(browser.run("[state.flip, document.querySelector('.badge').textContent]"), [True, "base"], "space shows the base")
    browser.press("space")
    equal(browser.run("state.flip"), False, "and the tuned again")
    browser.press("[")
    equal(browser.run("[sets[state.b].step, document.getElementById('step').value]"), [30, "3"], "[ goes back in training")
    browser.press("]", "p")
    equal(browser.run("document.getElementById('pick-count').textContent"), "1", "p picks")
    browser.press("?")
    equal(browser.run("document.getElementById('help').open"), True, "? opens the help")
    browser.press("escape")


def test_slider(browser):
    browser.press("enter")
    browser.wait("document.getElementById('detail').open")
    browser.wait("document.querySelector('.stage.large img').complete")
    browser.drag(".stage.large", (0.5, 0.5), (0.8, 0.5))
    now = int(browser.run("document.querySelector('.stage.large .handle').getAttribute('aria-valuenow')"))
    check(abs(now - 80) <= 2, f"the slider follows the pointer to 80 % (found {now})")
    clip = browser.run("getComputedStyle(document.querySelector('.stage.large .over')).clipPath")
    check("19" in clip or "20" in clip or "21" in clip, f"and the base is cut there ({clip})")
    browser.run("document.querySelector('.stage.large .handle').focus(); return 1")
    browser.press("left")
    equal(int(browser.run("document.querySelector('.stage.large .handle').getAttribute('aria-valuenow')")), now - 2, "and the keyboard")
    browser.run("document.activeElement.blur(); return 1")
    first = browser.run("opened")
    browser.press("right")
    check(browser.run("opened") != first, "the arrows go on to the next image")
    browser.press("escape")
    equal(browser.run("document.getElementById('detail').open"), False, "Escape closes")


def test_views(browser):
    browser.press("2")
    browser.wait("document.querySelectorAll('.panel svg').length > 5")
    read = browser.run("document.querySelector('.panel .readout').textContent")
    browser.run("document.querySelector('.panel').focus(); return 1")
    browser.press("right", "right")
    check(browser.run("document.querySelector('.panel .readout').textContent") != read, "curves tell their values at the cursor")
    browser.press("3")
    browser.drag("#scatter-canvas", (0.3, 0.1), (0.95, 0.6))
    chosen = browser.run("state.selection ? state.selection.size : 0")
    check(0 < chosen < ITEMS, f"the brush selects images ({chosen})")
    browser.run("[...document.querySelectorAll('#scatter-picked button')].find((node) => node.textContent === 'Show in the grid').click(); return 1")
    equal(browser.run("[state.view, state.order.length]"), ["images", chosen], "and the grid shows them")
    browser.click("#reset")
    browser.press("4")
    check("learning_rate" in browser.run("document.getElementById('view-settings').textContent"), "the settings are all there")
    browser.press("1")


def test_export(browser, downloads):
    browser.click("#export")
    target = downloads / "picks.json"
    for _ in range(200):
        if target.exists() and target.read_text():
            break
        time.sleep(0.1)
    picks = json.loads(target.read_text())["picks"]
    equal([len(picks), picks[0]["set"], sorted(picks[0]["rewards"])], [1, "step-40", ["aesthetic", "clip_score", "jpeg_size", "oracle"]], "picks are exported")
    check(pathlib.Path(picks[0]["file"]).exists(), "with the path of the file")


def test_looks(browser, folder):
    for width in (1440, 390):
        browser.resize(width, 844)
        for key in "1234":
            browser.press(key)
            equal(browser.run("document.documentElement.scrollWidth <= innerWidth"), True, f"view {key} fits {width} pixels")
    browser.resize(1440, 900)
    browser.press("1")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = browser.run(paper)
    browser.dark(True)
    check(browser.run(paper) != light, "dark when the system is")
    browser.run("document.activeElement.blur(); return 1")
    browser.press("t")
    equal(browser.run(paper), light, "and light again on t")
    equal(browser.run(UNNAMED), [], "every control has a name")
    browser.open(folder / "two.html")
    browser.wait("document.readyState === 'complete'")
    equal(browser.run("[runs.length, sets.length]"), [2, 2 * SETS], "two runs in one page")
    browser.press("4")
    check(browser.run("document.querySelectorAll('tr.differs').length") >= 2, "what differs between their settings is marked")
    equal(browser.errors(), [], "no error in the console")


def main():
    if not installed():
        print("SKIPPED: chromium and chromedriver are not installed (Debian: apt-get install chromium chromium-driver)")
        return 77
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        downloads = folder / "downloads"
        downloads.mkdir()
        make_page(pathlib.Path(sys.argv[1]).resolve(), folder)
        with Browser(1440, 900, downloads=downloads) as browser:
            browser.dark(False)
            test_loads(browser, folder)
            test_guard(browser)
            test_filters(browser)
            test_keyboard(browser)
            test_slider(browser)
            test_views(browser)
            test_export(browser, downloads)
            test_looks(browser, folder)
    print("the gallery's page works")
    return 0


if __name__ == "__main__":
    sys.exit(main())
