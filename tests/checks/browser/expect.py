"""Checks of the browser's tests, which say what holds."""


def check(holds, what):
    if not holds:
        raise AssertionError(what)
    print("ok   " + what, flush=True)


def equal(found, expected, what):
    check(found == expected, what if found == expected else f"{what}: expected {expected!r}, found {found!r}")


# Controls that are seen but have no name.
UNNAMED = ("[...document.querySelectorAll('button, input, select')].filter((node) => !node.textContent.trim() && !node.getAttribute('aria-label')"
           " && !node.labels?.length && node.offsetParent).map((node) => node.outerHTML.slice(0, 80))")
