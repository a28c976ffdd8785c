"""A small W3C WebDriver client for Chromium: Debian's chromium-driver and Python's standard library are all it needs."""
import base64
import json
import pathlib
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {"left": "\ue012", "up": "\ue013", "right": "\ue014", "down": "\ue015", "enter": "\ue007", "escape": "\ue00c", "space": " ", "tab": "\ue004", "backspace": "\ue003", "shift": "\ue008"}


def installed():
    return bool(shutil.which("chromium") and shutil.which("chromedriver"))


class Browser:
    def __init__(self, width=1440, height=900, dark=False, downloads=None):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.driver = subprocess.Popen(["chromedriver", f"--port={self.port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self._wait_for_driver()
            arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", f"--window-size={width},{height}"]
            if dark:
                arguments.append("--force-dark-mode")
            chrome = {"args": arguments, "prefs": {"download.default_directory": str(downloads)} if downloads else {}}
            capabilities = {"goog:chromeOptions": chrome, "goog:loggingPrefs": {"browser": "ALL"}, "timeouts": {"pageLoad": 300000, "script": 120000}}
            self.session = ""
            self.session = "/session/" + self.call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]
            self.cdp("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})
        except BaseException:
            self.driver.terminate()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.call("DELETE", self.session)
        finally:
            self.driver.terminate()
            self.driver.wait(20)

    def _wait_for_driver(self):
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/status", timeout=5)
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("chromedriver did not start within a minute")

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"].split("\n")[0]) from None

    def go(self, url):
        self.call("POST", self.session + "/url", {"url": url})

    def open(self, page, fragment=""):
        self.go(pathlib.Path(page).resolve().as_uri() + fragment)

    def reload(self):
        self.call("POST", self.session + "/refresh", {})

    def run(self, script, *arguments):
        """The value of a JavaScript expression or of `return ...` statements."""
        body = script if "return" in script else "return " + script
        return self.call("POST", self.session + "/execute/sync", {"script": body, "args": list(arguments)})

    def find(self, selector):
        return self.call("POST", self.session + "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self.call("POST", f"{self.session}/element/{self.find(selector)}/click", {})

    def type(self, selector, text):
        self.call("POST", f"{self.session}/element/{self.find(selector)}/value", {"text": text})

    def press(self, *keys):
        actions = [{"type": kind, "value": KEYS.get(key, key)} for key in keys for kind in ("keyDown", "keyUp")]
        self.call("POST", self.session + "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def drag(self, selector, start, end):
        """From one place to another inside an element, both as shares of its width and height."""
        box = self.run("const b = document.querySelector(arguments[0]).getBoundingClientRect(); return [b.left, b.top, b.width, b.height];", selector)
        at = [{"x": round(box[0] + x * box[2]), "y": round(box[1] + y * box[3])} for x, y in (start, end)]
        half = {key: (at[0][key] + at[1][key]) // 2 for key in "xy"}
        moves = [{"type": "pointerMove", "duration": 0, **at[0]}, {"type": "pointerDown", "button": 0}, {"type": "pointerMove", "duration": 40, **half},
                 {"type": "pointerMove", "duration": 40, **at[1]}, {"type": "pointerUp", "button": 0}]
        self.call("POST", self.session + "/actions", {"actions": [{"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": moves}]})

    def wait(self, expression, seconds=30):
        end = time.time() + seconds
        while not self.run(expression):
            if time.time() > end:
                raise AssertionError(f"not true within {seconds} s: {expression}")
            time.sleep(0.05)

    def cdp(self, command, parameters):
        return self.call("POST", self.session + "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def dark(self, on):
        self.cdp("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark" if on else "light"}]})

    def resize(self, width, height):
        self.cdp("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})

    def screenshot(self, path):
        pathlib.Path(path).write_bytes(base64.b64decode(self.call("GET", self.session + "/screenshot")))

    def errors(self):
        """Messages of the console at level SEVERE since the last call."""
        entries = self.call("POST", self.session + "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]
