import importlib.util, json, os
from pathlib import Path
import pytest
from fleet.access.callers import Role
spec = importlib.util.spec_from_file_location("tb", Path(__file__).with_name("test_browser.py"))
tb = importlib.util.module_from_spec(spec); spec.loader.exec_module(tb)
browser, opened = tb.browser, tb.opened

def test_look(opened, fleet):
    for name, role, width, path, script in json.loads(Path("/tmp/look.json").read_text()):
        page = opened(Role(role), width)
        page.goto(path.format_map(fleet.tickets))
        full = True
        for step in script:
            kind, *rest = step
            if kind == "click": page.click(rest[0])
            elif kind == "key": page.keyboard.press(rest[0])
            elif kind == "fill": page.fill(*rest)
            elif kind == "select": page.select_option(*rest)
            elif kind == "scroll": page.evaluate(f"window.scrollTo(0,{rest[0]})"); full = False
            elif kind == "view": full = False
            elif kind == "print": page.emulate_media(media="print")
            elif kind == "pdf": page.pdf(path=f"/tmp/look/{name}.pdf", prefer_css_page_size=True)
            elif kind == "tall": page.set_viewport_size({"width": width, "height": rest[0]})
        page.wait_for_timeout(150)
        page.screenshot(path=f"/tmp/look/{name}.png", full_page=full)
