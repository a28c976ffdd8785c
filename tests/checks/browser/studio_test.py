#!/usr/bin/env python3
"""The studio in headless Chromium: vote, learn, train, pause, resume, try a prompt, roll back, train on the answers,
prove. studio_test.py LAUREL_BINARY [FOLDER]

With FOLDER, pictures of each view are left there. Exit code 77: Chromium is not installed."""
import pathlib
import subprocess
import sys
import tempfile

from expect import UNNAMED, check, equal
from studio_server import Studio, make_run
from vote_test import COUNT, answered, enter
from webdriver import Browser, installed

SETTINGS = {"prdp": """
prompts_per_epoch = 1
images_per_prompt = 2
sample_num_steps = 3
eval_every = 1
eval_prompts = 2
eval_images = 1
checkpointing_steps = 1
checkpoints_total_limit = 0
learning_rate = 0.001
rank = 4
""", "dpo": """
choices_per_update = 4
sample_num_steps = 3
eval_every = 2
eval_prompts = 2
eval_images = 1
checkpointing_steps = 2
learning_rate = 0.001
rank = 4
"""}
# The brighter picture, as a person who likes light would choose.
LIGHTER = """return (() => {
  const light = ["left", "right"].map((side) => {
    const image = document.getElementById(side + "-image"), canvas = document.createElement("canvas");
    canvas.width = canvas.height = 16;
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0, 16, 16);
    return context.getImageData(0, 0, 16, 16).data.reduce((sum, value) => sum + value, 0);
  });
  return light[0] > light[1] ? "left" : "right";
})()"""
JOB = "jobNamed(work.open)"


class Pictures:
    def __init__(self, browser, folder):
        self.browser, self.folder = browser, folder

    def take(self, name, at=None):
        """`at`: a selector of what is brought to the top of the window."""
        if not self.folder:
            return
        self.browser.run("document.getElementById('toast').classList.remove('on'); return 1")
        self.browser.run("(arguments[0] ? document.querySelector(arguments[0]) : document.body).scrollIntoView({block: 'start'}); return 1", at)
        if at:
            self.browser.run("scrollBy(0, -16); return 1")
        self.browser.screenshot(self.folder / name)
        self.browser.run("scrollTo(0, 0); return 1")


def press(browser, place, text):
    """The button inside `place` that begins with `text`, as soon as it is there."""
    browser.wait(f"const found = [...document.querySelectorAll({place + ' button'!r})].find((node) => node.textContent.startsWith({text!r})); "
                 "found?.click(); return Boolean(found);")
    check(True, f"there is a button '{text}'")


def choose(browser, field, value):
    browser.run("const field = document.getElementById(arguments[0]); field.value = arguments[1]; field.dispatchEvent(new Event('change')); return 1", field, value)


def vote(browser, count):
    done = browser.run(COUNT)
    for k in range(done + 1, done + count + 1):
        browser.press(browser.run(LIGHTER))
        answered(browser, k)


def test_taste(browser, pictures):
    vote(browser, 140 if pictures.folder else 60)
    browser.click("#tab-taste")
    for _ in range(60):
        browser.click("#tab-taste")
        if browser.run("Boolean(document.getElementById('verdict'))"):
            break
        browser.wait("new Promise((done) => setTimeout(() => done(true), 500))")
    verdict = browser.run("document.getElementById('verdict').textContent")
    check(verdict.endswith("."), "the taste is put in words: " + verdict)
    check(browser.run("document.querySelectorAll('circle.learnt').length") >= 2, "and its curve is drawn")
    check("aesthetic" in browser.run("document.querySelector('.shares').textContent"), "beside every other reward")
    pictures.take("studio-taste.png")
    browser.run("[...document.querySelectorAll('#view-taste button')].find((node) => node.textContent.startsWith('Make a reward')).click(); return 1")
    browser.wait(f"work.open !== null && {JOB} && {JOB}.state === 'ended'", 120)
    check(True, "a reward is made of the answers")
    pictures.take("studio-reward.png")
    if pictures.folder:  # the test has no time for it
        press(browser, "#train-form", "Forecast")
        browser.wait(f"{JOB}.kind === 'forecast' && {JOB}.state === 'ended'", 300)
        browser.wait("document.getElementById('log').textContent.includes('memory')")
        pictures.take("studio-forecast.png")


def test_training(browser, pictures):
    browser.wait("document.querySelectorAll('#source option').length === 2")
    check(browser.run("document.querySelectorAll('#method option').length") >= 15, "every method of finetune is offered")
    browser.run("document.getElementById('rounds').value = 200; document.querySelector('#train-form [value=finetune]').click(); return 1")
    browser.wait(f"{JOB}.kind === 'finetune' && {JOB}.state === 'running'", 60)
    check("'" not in browser.run("document.getElementById('run-verdict').textContent"), "a training runs")
    browser.wait(f"(work.evaluations ?? []).length >= {6 if pictures.folder else 3}", 400)
    check(browser.run("document.querySelectorAll('.panel svg').length") >= 2, "its curves are live")
    check(browser.run("document.querySelector('.panel .readout').textContent") != "", "and tell their values")
    check(browser.run("document.querySelectorAll('.strip-table tbody img').length") >= 4, "its pictures are at fixed prompts and seeds")
    check(" of memory" in browser.run("document.getElementById('run-verdict').textContent"), "and its memory is told")


def test_tries_a_prompt(browser, pictures):
    browser.wait("document.getElementById('try-prompt')")
    browser.type("#try-prompt", "a red circle left of a blue square" if pictures.folder else "a red circle <b>left</b> of --n 5 ${HOME}")
    browser.run("document.querySelector('#tries form button').click(); return 1")
    browser.wait("document.querySelector('#tried .warnings') || document.querySelectorAll('#tried .both img').length === 2 && !document.querySelector('#tried .tried > p + p')", 120)
    equal(browser.run("document.querySelector('#tried .warnings')?.textContent ?? ''"), "", "a prompt is tried")
    browser.wait("[...document.querySelectorAll('#tried img')].every((image) => image.complete && image.naturalWidth === 64)")
    equal(browser.run(f"{JOB}.state"), "running", "a prompt is drawn while the training runs")
    equal(browser.run("document.querySelectorAll('#tried b').length"), 0, "and its text is text")
    pictures.take("studio-try.png", "#tries")
    check(browser.run("document.querySelector('#tried figure:last-child figcaption').textContent").startswith("step "), "by the base and by the last kept model")


def test_pauses(browser, pictures):
    pictures.take("studio-train.png", "#job")
    press(browser, "#job-head", "Pause")
    browser.wait(f"{JOB}.state === 'paused'", 120)
    check(True, "it is paused")
    epochs = browser.run("document.getElementById('run-verdict').textContent")
    press(browser, "#job-head", "Resume")
    browser.wait(f"{JOB}.state === 'running' && document.getElementById('run-verdict').textContent.split('.')[0] !== {epochs.split('.')[0]!r}", 120)
    check(True, "and goes on")
    press(browser, "#job-head", "Stop")
    browser.wait(f"{JOB}.state === 'stopped'", 120)
    check(True, "and stops")


def test_rolls_back(browser, pictures):
    browser.wait("document.querySelectorAll('#kept button').length >= 3")
    check("the model that the studio was started with" in browser.run("document.getElementById('kept-words').textContent"), "the studio's own model counts first")
    press(browser, "#kept", "Step 2")
    browser.wait("work.model.step === 2 && document.getElementById('kept-words').textContent.startsWith('Step 2 counts')")
    equal(browser.run("document.querySelectorAll('#kept [aria-pressed=true]').length"), 1, "an earlier step counts instead, which is said")
    browser.wait("document.getElementById('form-model').textContent.includes('step 2 of training')")
    check(True, "the next training starts from it")
    pictures.take("studio-kept.png", "#kept")
    refused = browser.run(f"return ask('model', {{job: {JOB}.id, step: 12345}}).then(() => 'chosen', (error) => error.status)")
    equal(refused, 400, "a step that was not kept is refused")
    return browser.run(f"{JOB}.id")


def test_learns_from_answers(browser, pictures):
    choose(browser, "source", "answers")
    equal(browser.run("[...document.querySelectorAll('#method option')].map((node) => node.value)"), ["dpo", "ipo", "kto", "simpo"], "the methods that learn from choices")
    browser.run("document.getElementById('rounds').value = 4; document.querySelector('#train-form [value=finetune]').click(); return 1")
    browser.wait(f"{JOB}.request.from_answers && {JOB}.state !== 'running'", 300)
    equal(browser.run(f"[{JOB}.state, {JOB}.note]"), ["ended", ""], "dpo trains on the answers")
    folder = pathlib.Path(browser.run(f"{JOB}.folder"))
    choices = (folder / "choices.jsonl").read_text().splitlines()
    counts = browser.run("studio.counts")
    check(0 < len(choices) <= counts["answered"] - counts["held_out"] - counts["skipped"], "on none that only measures")
    check((folder / "start" / "model_index.json").exists(), "from the model that counts")
    browser.wait("document.querySelectorAll('#kept button').length >= 2 && document.getElementById('run-verdict').textContent.startsWith('Step 4 of 4')")
    check(True, "and its steps are counted")


def test_proof(browser, pictures, training):
    browser.click("#tab-proof")
    card = f"#proof-{training}"
    browser.wait(f"document.querySelector('{card} button')")
    check("step 2" in browser.run(f"document.querySelector('{card}').textContent"), "the step that counts is proved")
    press(browser, card, "Start")
    browser.wait("!document.getElementById('view-vote').hidden && !busy && studio.proof !== null && document.getElementById('left-image').complete")
    equal(browser.run("document.getElementById('proving').textContent"), "Blind proof", "base and trained are compared blindly")
    pictures.take("studio-proof-vote.png")
    for _ in range(20):
        before = browser.run("[studio.queue.length, studio.counts.answered]")
        if before[0] == 0 or browser.run("viewShown()") != "vote":
            break
        browser.press(browser.run(LIGHTER))
        browser.wait(f"studio.counts.answered > {before[1]}")
        browser.wait("!busy || viewShown() !== 'vote'")
    browser.wait(f"viewShown() === 'proof' && document.querySelector('{card} .scale')")
    verdict = browser.run(f"document.querySelector('{card} .lede').textContent")
    check("95 % interval" in verdict, "the proof is put in words: " + verdict)
    pictures.take("studio-proof.png")


def test_refuses(browser):
    for body in ('{kind: "sh -c id"}', '{kind: "finetune", method: "prdp; id"}', '{kind: "finetune", rounds: -1}', '{kind: "finetune", taste: 12345}', '{kind: "try", of: 1, prompt: "a cat"}'):
        equal(browser.run(f"return ask('start', {body}).then(() => 'started', (error) => error.status)"), 400, f"{body} is refused")


def main():
    if not installed():
        print("SKIPPED: chromium and chromedriver are not installed (Debian: apt-get install chromium chromium-driver)")
        return 77
    binary = pathlib.Path(sys.argv[1]).resolve()
    kept = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for method, text in SETTINGS.items():
            (folder / f"{method}.toml").write_text(text)
        arguments = ["studio", make_run(folder / "run", 12), "--store", folder / "taste.laurel", "--seed", "3", "--finetune-config", folder]
        with Browser(1280, 900) as browser, Studio(binary, arguments, folder / "log") as studio:
            browser.dark(False)
            pictures = Pictures(browser, kept)
            enter(browser, studio.url, "Ada")
            test_taste(browser, pictures)
            test_training(browser, pictures)
            test_tries_a_prompt(browser, pictures)
            test_pauses(browser, pictures)
            training = test_rolls_back(browser, pictures)
            test_refuses(browser)
            test_learns_from_answers(browser, pictures)
            test_proof(browser, pictures, training)
            equal(browser.run(UNNAMED), [], "every control has a name")
            for width in (1280, 390):
                browser.resize(width, 844)
                browser.dark(width == 390)
                for tab in ("vote", "taste", "train", "proof"):
                    browser.click("#tab-" + tab)
                    equal(browser.run("document.documentElement.scrollWidth <= innerWidth"), True, f"{tab} fits {width} pixels")
                    pictures.take(f"{tab}-{width}.png")
                    if tab == "train":
                        pictures.take(f"kept-{width}.png", "#kept")
            errors = [error for error in browser.errors() if "status of 400" not in error]
            equal(errors, [], "no error in the console")
    print("the studio works")
    return 0


if __name__ == "__main__":
    sys.exit(main())
