"""The status page in a headless Chromium: at two widths, light and dark, without errors and without scrolling sideways.

Usage: browser_test.py BUILD_FOLDER. Screenshots stay in BUILD_FOLDER/status_page. Skipped without Chromium.
"""

import http.server
import os
import pathlib
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "support"))

import browser

BUILD = pathlib.Path(sys.argv.pop(1))
PAGES = BUILD / "status_page"
WIDTHS = (1280, 400)
DRAWN = "document.body.dataset.drawn !== undefined"
# Elements whose text or picture ends beyond the page's right edge. What scrolls by itself may.
OVERFLOWING = """[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1
  && !e.closest("#tables-body")).map(e => e.outerHTML.slice(0, 80))"""


class Pages(http.server.SimpleHTTPRequestHandler):
    """The folder, with the types that the learner gives."""

    def log_message(self, *_):
        pass

    def guess_type(self, path):
        return "application/json" if str(path).endswith(".json") else "text/html; charset=utf-8"

    def do_GET(self):
        # A gif of one pixel stands for any film.
        if "/status/video/" not in self.path:
            super().do_GET()
            return
        picture = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c000000000100010000020144003b")
        self.send_response(200)
        self.send_header("Content-Type", "image/gif")
        self.send_header("Content-Length", str(len(picture)))
        self.end_headers()
        self.wfile.write(picture)


class StatusPageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        PAGES.mkdir(exist_ok=True)
        subprocess.run([BUILD / "tests" / "learner_status_test", "--gtest_filter=StatusPages.*"], check=True, timeout=60,
                       stdout=subprocess.DEVNULL, env={**os.environ, "POMPC_STATUS_PAGES": str(PAGES)})
        cls.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: Pages(*args, directory=str(PAGES)))
        cls.address = f"http://127.0.0.1:{cls.server.server_port}"
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.server.shutdown)
        cls.browser = cls.enterClassContext(browser.Browser(browser.find()))

    def show(self, view, width, dark=False):
        self.browser.problems.clear()
        self.browser.show(f"{self.address}/{view}/status", width, dark=dark)
        self.browser.await_that(DRAWN)

    def test_fits_both_widths_in_light_and_dark(self):
        colours = set()
        for view in ("full", "empty", "hostile"):
            for width in WIDTHS:
                for dark in (False, True):
                    name = f"{view}-{width}-{'dark' if dark else 'light'}"
                    with self.subTest(name):
                        self.show(view, width, dark)
                        self.assertEqual(self.browser.problems, [])
                        self.assertEqual(self.browser.evaluate("document.documentElement.scrollWidth"), width)
                        self.assertEqual(self.browser.evaluate(OVERFLOWING), [])
                        self.assertGreaterEqual(self.browser.evaluate(
                            "Math.min(...[...document.querySelectorAll('svg text')].map(e => e.getBoundingClientRect().height))"), 10)
                        colours.add((dark, self.browser.evaluate("getComputedStyle(document.body).backgroundColor")))
                        self.browser.screenshot(PAGES / f"{name}.png")
        self.assertEqual(len(colours), 2, colours)

    def test_draws_what_the_document_says(self):
        self.show("full", 1280)
        text = self.browser.evaluate("document.body.innerText")
        for expected in ("walker-run", "120,000", "TD-MPC2", "goal 700", "evaluations, mean and 95 % interval", "makes updates 50 %",
                         "waits for rows: actors are slower 40 %", "held back: the learner is slower 25 %", "2 replay shards",
                         "is unreachable for 0:12", "evaluation 24: return 640.0", "60,000 of 250,000 rows (24 %)", "swingup.gif"):
            self.assertIn(expected, text)
        lines = "document.querySelectorAll('#curve svg path').length"
        self.assertEqual(self.browser.evaluate(lines), 6, "band, evaluations, training, goal, two published curves")
        # Published curves stand over frames and decisions alone.
        self.browser.evaluate("{const a = document.getElementById('axis'); a.value = 'seconds'; a.dispatchEvent(new Event('change'))}")
        self.assertEqual(self.browser.evaluate(lines), 4)
        self.browser.evaluate("{const w = document.getElementById('warnings-only'); w.click()}")
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('#log li').length"), 1)
        # Those in need of a look are the first of the processes.
        self.assertIn("shard 1", self.browser.evaluate("document.querySelector('#processes .process').innerText"))
        self.assertEqual(self.browser.problems, [])

    def test_says_what_is_not_there_yet(self):
        self.show("empty", 400)
        text = self.browser.evaluate("document.body.innerText")
        for expected in ("No evaluation yet: one is made every", "Rates appear after some seconds.", "Nothing was logged yet.",
                         "Replay is empty. Updates need 1,000 rows."):
            self.assertIn(expected, text)

    def test_hostile_texts_are_text(self):
        self.show("hostile", 1280)
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('script').length"), 1)
        self.assertIn("<script>document.title='x'</script>", self.browser.evaluate("document.title"))
        self.assertEqual(self.browser.problems, [])

    def test_runs_no_other_script(self):
        self.show("full", 1280)
        self.browser.evaluate("{const s = document.createElement('script'); s.textContent = 'window.foreign = 1'; document.body.append(s)}")
        self.assertIsNone(self.browser.evaluate("window.foreign"))
        self.assertIn("Content Security Policy", " ".join(self.browser.problems))

    def test_says_so_when_the_learner_is_gone(self):
        self.show("full", 1280)
        self.browser.evaluate("fetch = () => Promise.reject(new Error('gone')); poll()")
        self.browser.await_that("document.getElementById('banners').innerText.includes('No answer from the learner (gone)')")

    def test_is_tables_without_scripts(self):
        self.browser.show(f"{self.address}/full/status", 400, scripts=False)
        shown = self.browser.call("DOM.getDocument", depth=-1)
        self.assertIn("node-3:4123", str(shown))
        self.browser.screenshot(PAGES / "tables.png")


if __name__ == "__main__":
    if browser.find() is None:
        print("skipped: there is no chromium on PATH (Debian: apt-get install chromium)")
        sys.exit(77)
    unittest.main()
