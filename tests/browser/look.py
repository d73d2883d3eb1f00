"""Drive a notebook in JupyterLab as a person would, and take a picture of every section.

Run by hand; look at the pictures afterwards::

    pip install playwright
    python tests/browser/look.py --notebook unet --shots shots [--theme dark] [--chromium /usr/bin/chromium]

JupyterLab is started on a fresh copy of the notebooks in a temporary folder, with the Python that
runs this script. The script edits the form by clicks and keys, trains three epochs, and fails where
a cell ends with an error or a field does not do what it should.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Locator, Page, expect, sync_playwright

MINUTE = 60_000  # playwright counts in ms


@contextmanager
def jupyterlab(folder: Path, theme: str) -> Iterator[str]:
    """Start JupyterLab on the notebooks in `folder`; gives its address."""
    settings = {
        # all cells stay in the page, so that each can be found and pictured
        "notebook-extension/tracker": {"windowingMode": "none"},
        "apputils-extension/notification": {"fetchNews": "false"},
        "apputils-extension/themes": {"theme": f"JupyterLab {theme.capitalize()}"},
    }
    for name, values in settings.items():
        path = folder / ".settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    subprocess.run(
        [sys.executable, "-m", "zcdl_common.cli", "lab", "--no-open", "--folder", folder], check=True
    )
    environment = {**os.environ, "JUPYTERLAB_SETTINGS_DIR": str(folder / ".settings")}
    for name in ("ZCDL_PARAMS", "ZCDL_HEADLESS"):
        environment.pop(name, None)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [
        f"--port={port}",
        "--no-browser",
        "--ip=127.0.0.1",
        "--IdentityProvider.token=",
        "--allow-root",
    ]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}", *options],
        env=environment,
        stderr=(folder / ".lab.log").open("w"),
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(address + "/api")
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait()


class Lab:
    """One notebook in one browser window."""

    def __init__(self, page: Page, shots: Path, prefix: str):
        self.page, self.shots, self.prefix = page, shots, prefix
        shots.mkdir(parents=True, exist_ok=True)

    def open(self, address: str, notebook: str) -> None:
        self.page.goto(f"{address}/lab/tree/{notebook}.ipynb?reset")
        self.page.locator(".jp-Cell").first.wait_for(timeout=MINUTE)
        expect(self.page.get_by_text("| Idle")).to_be_visible(timeout=MINUTE)
        self.page.keyboard.press("Control+b")  # the file browser away

    def cell(self, code: str) -> Locator:
        """The code cell that holds `code`."""
        return (
            self.page.locator(".jp-CodeCell")
            .filter(has=self.page.locator(".cm-content", has_text=code))
            .first
        )

    def run(self, code: str, minutes: float = 3) -> Locator:
        """Run the cell that holds `code`, and wait for its end."""
        cell = self.start(code)
        expect(cell.locator(".jp-InputPrompt").first).to_have_text(
            re.compile(r"\[\d+\]"), timeout=minutes * MINUTE
        )
        self.page.wait_for_timeout(700)
        return cell

    def start(self, code: str) -> Locator:
        cell = self.cell(code)
        cell.scroll_into_view_if_needed()
        cell.locator(".cm-content").first.click(position={"x": 5, "y": 5})
        self.page.keyboard.press("Control+Enter")
        return cell

    def add(self, code: str) -> Locator:
        """Run `code` in a new cell at the end."""
        self.page.locator(".jp-Notebook-footer").click()
        self.page.keyboard.insert_text(code)
        return self.run(code)

    def shot(self, cell: Locator, name: str) -> None:
        cell.scroll_into_view_if_needed()
        self.page.wait_for_timeout(300)
        cell.screenshot(path=self.shots / f"{self.prefix}{name}.png")


def fill(cell: Locator, label: str, text: str) -> None:
    """Type into the field with this label, and leave it."""
    field = cell.get_by_label(label, exact=True)
    field.fill(text)
    field.press("Enter")


def no_error(cell: Locator) -> None:
    errors = cell.locator(
        '[data-mime-type="application/vnd.jupyter.stderr"], .jp-RenderedText[data-mime-type*=error]'
    )
    assert not errors.count(), errors.first.inner_text()


def walk(lab: Lab, notebook: str) -> None:
    """From the first section to the last."""
    page = lab.page
    lab.shot(lab.run("Notebook("), "1_start")
    lab.run("params = {")
    form = lab.run("nb.images(")
    fill(form, "name of this run", "look_1")
    lab.shot(form, "2_form")
    form.get_by_role("button", name="Browse").first.click()
    page.wait_for_timeout(500)
    lab.shot(form, "2_browser")
    form.get_by_role("button", name="Cancel").first.click()
    form.get_by_role("button", name="Browse").nth(2).click()
    form.get_by_role("listbox").get_by_role("option", name=re.compile("zcdl_runs")).click()
    form.get_by_role("button", name="Use zcdl_runs").click()
    expect(form.get_by_label("results folder", exact=True)).to_have_value(re.compile(".*/zcdl_runs"))
    form.get_by_text(re.compile("More settings")).first.click()
    page.wait_for_timeout(500)
    lab.shot(form, "2_more")
    form.get_by_text(re.compile("More settings")).first.click()
    lab.shot(lab.run("nb.check("), "2_check")
    lab.shot(lab.run("nb.look("), "2_look")

    form = lab.run("nb.settings(")
    lab.shot(form, "3_settings")
    fill(form, "epochs", "three")
    expect(form.get_by_text("a whole number is needed")).to_be_visible()
    lab.shot(form, "3_wrong")
    fill(form, "epochs", "3")
    expect(form.get_by_text("a whole number is needed")).to_have_count(0)
    expect(form.get_by_text(re.compile(f"zcdl run {notebook} .*epochs=3"))).to_be_visible()
    form.get_by_text(re.compile("More settings")).first.click()
    page.wait_for_timeout(500)
    lab.shot(form, "3_more")
    form.get_by_text(re.compile("More settings")).first.click()
    lab.shot(lab.run("nb.preview("), "3_preview")
    lab.shot(lab.run("nb.starting_weights("), "4_weights")
    training = lab.start("nb.train(")
    page.wait_for_timeout(20_000)
    lab.shot(training, "5_live")
    expect(training.locator(".jp-InputPrompt").first).to_have_text(
        re.compile(r"\[\d+\]"), timeout=10 * MINUTE
    )
    page.wait_for_timeout(700)
    lab.shot(training, "5_trained")
    for code, name in (
        ("nb.judge(", "6_judged"),
        ("nb.use(", "7_use"),
        ("nb.predict(", "7_predicted"),
        ("nb.package(", "8_package"),
        ("nb.export(", "8_exported"),
    ):
        lab.shot(lab.run(code, minutes=4), name)
    page.get_by_title("Restart the kernel", exact=True).click()
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    page.wait_for_timeout(3000)
    for code in ("Notebook(", "params = {"):
        lab.run(code)
    form = lab.run("nb.images(")
    lab.shot(form, "9_offers")
    form.get_by_role("button", name="Use last settings").click()
    expect(form.get_by_label("name of this run", exact=True)).to_have_value("look_1")
    expect(form.get_by_text(re.compile(f"zcdl run {notebook} .*epochs=3"))).to_be_visible()
    lab.shot(form, "9_taken")
    for code in ("nb.check(", "nb.preview(", "nb.train(", "nb.judge(", "nb.predict(", "nb.export("):
        no_error(lab.cell(code))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--notebook", default="unet")
    parser.add_argument("--shots", type=Path, default=Path("shots"))
    parser.add_argument("--prefix", default="")
    parser.add_argument("--theme", choices=["light", "dark"], default="light")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--chromium", help="browser to use; without it, the one that playwright installed")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        jupyterlab(Path(folder), args.theme) as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=args.chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": args.width, "height": 1600})
        lab = Lab(page, args.shots, args.prefix)
        try:
            lab.open(address, args.notebook)
            walk(lab, args.notebook)
        except BaseException:
            page.screenshot(path=args.shots / f"{args.prefix}failed.png")
            raise
        finally:
            browser.close()


if __name__ == "__main__":
    main()
