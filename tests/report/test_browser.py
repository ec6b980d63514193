"""The page in a real browser: what is seen, and what the switches do."""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flipgrad import recording
from flipgrad.report import write
from flipgrad.runs import Run

from .conftest import HOSTILE, frames, inputs

Opener = Callable[..., Any]
# Elements that stick out of the page; what scrolls by itself does not count.
STICKING_OUT = """() => [...document.querySelectorAll('body *')].filter(each =>
  !each.closest('.scroll') && !each.closest('svg') && each.getBoundingClientRect().right > innerWidth + 1)
  .map(each => each.outerHTML.slice(0, 120))"""


@pytest.fixture
def opened(chromium: Any) -> Iterator[Opener]:
    """``opened(path, width=1440)`` opens a page from disk; at the end nothing may have been said or asked for."""
    heard, asked, contexts = [], [], []

    def open_page(path: Path, width: int = 1440, scheme: str = "light", javascript: bool = True) -> Any:
        phone = {"is_mobile": True, "has_touch": True} if width < 500 else {}
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=javascript, **phone
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.absolute().as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert heard == []
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == asked[:1] * len(contexts)
    assert asked[0].startswith("file:///")


def wait_until(page: Any, expression: str, seconds: float = 60) -> None:
    """As Playwright's wait_for_function, which the page's own policy against eval refuses."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        time.sleep(0.05)


def places(page: Any, plot: str) -> SimpleNamespace:
    """What a figure draws: names in the legend, colours, and the points of each visible trace."""
    found = page.evaluate(
        """(id) => {
          const plot = document.getElementById(id);
          const seen = plot.data.filter(each => each.visible === true);
          return {
            legend: [...plot.querySelectorAll('.legendtext')].map(each => each.textContent),
            shown: seen.map(each => each.name), colors: [...new Set(seen.map(each => each.marker.color))],
            sources: seen.filter(each => each.marker.symbol === 'circle').flatMap(each => each.x),
            targets: seen.filter(each => each.marker.symbol !== 'circle').flatMap(each => each.x),
            drawn: plot.querySelectorAll('.scatterlayer .points path').length,
            axis: plot.layout.xaxis.title.text, epoch: +plot.dataset.epoch,
          };
        }""",
        plot,
    )
    return SimpleNamespace(**found)


def test_opens_from_disk_and_draws_everything(make_run: Callable[..., Path], opened: Opener) -> None:
    page = opened(write(make_run()))
    plots = page.locator(".plot")
    assert plots.count() >= 12
    assert page.evaluate("[...document.querySelectorAll('.plot')].every(p => p.querySelector('.main-svg'))")
    titles = page.evaluate(
        "[...document.querySelectorAll('.plot')].map(p => [p.layout.xaxis.title, p.layout.yaxis.title])"
    )
    assert all(axis["text"] for pair in titles for axis in pair)
    assert page.locator(".gap").count() == 0
    verdict = page.inner_text("#verdict")
    for part in ("dann, seed 0: partly aligned.", "0.750, against 0.500", "+0.250", "Aligned does not mean accurate"):
        assert part in verdict
    assert "label a small sample of the target" in page.inner_text("main")


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_sticks_out(make_run: Callable[..., Path], opened: Opener, width: int) -> None:
    page = opened(write(make_run(shown=inputs(classes=HOSTILE))), width=width)
    page.locator("details").evaluate_all("all => all.forEach(each => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(STICKING_OUT) == []


def test_colour_and_projection_switches(make_run: Callable[..., Path], opened: Opener) -> None:
    page = opened(write(make_run()))
    by_class = places(page, "after")
    assert by_class.legend == ["cat", "dog", "eel"]
    assert len(by_class.colors) == 3
    assert by_class.drawn == 100
    page.check("input[value=domain]")
    by_domain = places(page, "after")
    assert by_domain.legend == ["source", "target"]
    assert len(by_domain.colors) == 2
    assert by_domain.drawn == 100
    assert (len(by_domain.sources), len(by_domain.targets)) == (40, 60)
    page.check("input[value=oracle]")
    assert places(page, "after").legend == by_class.legend
    page.check("input[value=tsne]")
    after = places(page, "after")
    assert "component" in by_class.axis
    assert "dimension" in after.axis
    assert after.sources != by_class.sources
    assert after.drawn == 100


def test_before_is_chosen_and_so_is_the_training(make_run: Callable[..., Path], opened: Opener) -> None:
    page = opened(write(make_run()))
    assert "source-only" in page.inner_text("#before-title")
    assert places(page, "before").epoch == 8
    page.select_option("#left", "first")
    assert "untrained" in page.inner_text("#before-title")
    assert places(page, "before").epoch == 0
    assert places(page, "after").epoch == 6  # that of the saved model
    page.select_option("#training", label="source, seed 0")
    assert page.locator("#left option[value=source]").is_disabled()
    page.check("input[value=tsne]")  # of the source-only training there is one of its end only
    assert places(page, "before").drawn == 0
    assert "no t-SNE" in page.inner_text("#before")
    assert places(page, "after").drawn == 100


def test_slider_goes_through_training_in_one_projection(make_run: Callable[..., Path], opened: Opener) -> None:
    page = opened(write(make_run()))
    page.check("input[value=domain]")
    apart, ranges = {}, []
    for key, epoch in (("Home", 0), ("ArrowRight", 2), ("End", 6)):
        page.press("#slider", key)
        assert page.inner_text("#epoch").startswith(f"Epoch {epoch} · domain accuracy ")
        found = places(page, "through")
        assert found.epoch == epoch
        apart[epoch] = abs(np.mean(found.sources) - np.mean(found.targets))
        ranges.append(page.evaluate("document.getElementById('through').layout.xaxis.range"))
    assert apart[6] < apart[2] < apart[0]
    assert ranges[0] == ranges[1] == ranges[2]
    page.click("#play")  # from the end it begins anew
    assert places(page, "through").epoch == 0
    wait_until(page, "+document.getElementById('through').dataset.epoch >= 4")
    assert page.inner_text("#play") == "Pause"
    page.click("#play")
    assert page.inner_text("#play") == "Play"


def test_hover_shows_the_image_and_the_row(make_run: Callable[..., Path], opened: Opener) -> None:
    page = opened(write(make_run()))
    assert page.locator("#hover").is_hidden()
    page.locator("#after").scroll_into_view_if_needed()
    point = page.locator("#after .scatterlayer .points path").nth(7).bounding_box()
    page.mouse.move(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2, steps=4)
    page.wait_for_selector("#hover:not([hidden])")
    domain, name, row = re.match(r"(source|target) · (\w+)/(\d+)\.png", page.inner_text("#hover .id")).groups()
    text = page.inner_text("#hover")
    assert f"label: {name}" in text
    assert re.search(r"predicted: (cat|dog|eel) \(\d+ %\)", text)
    thumb = page.locator(f"#hover .thumb.{domain}")
    shown = [thumb.evaluate(f"each => +each.style.getPropertyValue('--{part}')") for part in ("column", "line")]
    assert shown == [int(row) % 40, int(row) // 40]
    assert "data:image/webp" in thumb.evaluate("each => getComputedStyle(each).backgroundImage")
    page.mouse.move(5, 5, steps=3)
    page.wait_for_selector("#hover", state="hidden")


def test_hover_on_a_table_shows_its_columns(make_run: Callable[..., Path], opened: Opener) -> None:
    page = opened(write(make_run(shown=inputs(images=False, labelled=False))))
    assert page.locator("input[value=oracle]").count() == 0
    page.locator("#after").scroll_into_view_if_needed()
    point = page.locator("#after .scatterlayer .points path").nth(3).bounding_box()
    page.mouse.move(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2, steps=4)
    page.wait_for_selector("#hover:not([hidden])")
    assert re.search(r"x0 = -?\d+\.\d+, x1 = ", page.inner_text("#hover .row"))
    assert page.locator("#hover .thumb").count() == 0
    assert page.locator(".samples .row").count() == 48


def test_legend_hides_a_class_everywhere(make_run: Callable[..., Path], opened: Opener) -> None:
    page = opened(write(make_run()))
    entry = page.locator("#before .legendtoggle").nth(1)
    entry.scroll_into_view_if_needed()
    entry.click()
    wait_until(page, "document.getElementById('after').data.some(each => each.visible === 'legendonly')")
    for plot in ("before", "after", "through"):
        found = places(page, plot)
        assert set(found.shown) == {"cat", "eel"}
        assert found.drawn < 100
    page.locator("#after .legendtoggle").nth(1).click()
    wait_until(page, "document.getElementById('after').data.every(each => each.visible === true)")
    assert places(page, "before").drawn == 100
    page.locator("#after .legendtoggle").nth(2).dblclick()
    wait_until(page, "document.getElementById('after').data.some(each => each.visible === 'legendonly')")
    assert set(places(page, "through").shown) == {"eel"}


def test_light_and_dark(make_run: Callable[..., Path], opened: Opener) -> None:
    path = write(make_run())
    ground = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('#through .xtitle')).fill"
    pages = {scheme: opened(path, scheme=scheme) for scheme in ("light", "dark")}
    seen = {scheme: (page.evaluate(ground), page.evaluate(ink)) for scheme, page in pages.items()}
    assert seen["light"][0] == "rgb(255, 255, 255)"
    assert seen["light"][0] != seen["dark"][0]
    assert seen["light"][1] != seen["dark"][1]
    page = pages["light"]
    page.click("#theme")
    assert (page.evaluate(ground), page.evaluate(ink)) == seen["dark"]
    page.click("#theme")
    assert (page.evaluate(ground), page.evaluate(ink)) == seen["light"]


def test_prints_light_within_the_paper_and_comes_back(make_run: Callable[..., Path], opened: Opener) -> None:
    page = opened(write(make_run()), scheme="dark")
    width = page.evaluate(
        "document.getElementById('before').layout.width ?? document.getElementById('before').clientWidth"
    )
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("#slider").is_hidden()
    widths = page.evaluate("[...document.querySelectorAll('.plot')].map(each => each._fullLayout.width)")
    assert max(widths) < 180 / 25.4 * 96 + 1
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    wait_until(page, f"document.getElementById('before')._fullLayout.width === {width}")
    assert page.pdf(format="A4").startswith(b"%PDF")


# How far tables reach beyond the page, and what their cells hide, in pixels.
TABLES = """() => [...document.querySelectorAll('table')].map(each => Math.max(
  each.getBoundingClientRect().right - document.querySelector('main').getBoundingClientRect().right,
  ...[...each.querySelectorAll('th, td')].map(cell => cell.scrollWidth - cell.clientWidth)))"""


def test_prints_whole_tables_and_what_is_closed(make_run: Callable[..., Path], opened: Opener) -> None:
    run = make_run()
    rows = json.loads((run / "results.json").read_text())
    more = {f"number {place} of a long name": 0.123456 for place in range(12)}
    rows = [{**row, "seed": seed, "target_recall": [0.5] * 3, **more} for row in rows for seed in (0, 1)]
    (run / "results.json").write_text(json.dumps(rows))
    page = opened(write(run))
    closed = page.locator("details:not([open])").count()
    assert closed >= 2
    page.locator("details").first.evaluate("each => { each.open = true; }")
    page.set_viewport_size({"width": round(182 / 25.4 * 96), "height": 900})  # A4 without its margins
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("details:not([open])").count() == 0
    assert max(page.evaluate(TABLES)) <= 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    sizes = page.evaluate("[...document.querySelectorAll('.scroll td')].map(each => getComputedStyle(each).fontSize)")
    assert min(float(size.removesuffix("px")) for size in sizes) >= 5 / 72 * 96 - 0.01
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() == closed - 1
    assert page.evaluate("[...document.querySelectorAll('.scroll table')].every(each => each.style.fontSize === '')")


def test_the_tab_key_stops_at_what_is_of_use(make_run: Callable[..., Path], opened: Opener) -> None:
    page = opened(write(make_run()))
    page.locator("main").hover()
    owners = page.evaluate(
        "[...new Set([...document.querySelectorAll('.modebar-btn')].map(each => each.closest('.plot').id))]"
    )
    assert set(owners) == {"before", "after", "through"}


def test_the_first_and_the_last_picture_are_called_what_they_are(make_run: Callable[..., Path], opened: Opener) -> None:
    run = make_run()
    path = run / "observations" / "dann-0.npz"
    recorded = recording.read(path, recording.Recording)
    recording.write(path, replace(recorded, epochs=recorded.epochs + 1))
    rows = json.loads((run / "results.json").read_text())
    rows[1] |= {"diverged": 300, "source_accuracy": None, "target_accuracy": None, "chosen_epoch": None}
    (run / "results.json").write_text(json.dumps(rows))
    page = opened(write(run))
    page.select_option("#left", "first")
    assert page.inner_text("#before-title") == "Before: epoch 1"
    assert page.inner_text("#left option[value=first]") == "epoch 1"
    assert page.inner_text("#after-title") == "After: the last recorded epoch (no model was saved)"
    page.select_option("#training", label="source, seed 0")
    assert page.inner_text("#before-title") == "Before: untrained model"
    assert page.inner_text("#after-title") == "After: the saved model"


def test_hostile_names_are_text(make_run: Callable[..., Path], opened: Opener) -> None:
    page = opened(write(make_run(shown=inputs(classes=HOSTILE))))
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("[document.scripts.length, document.images.length]") == [3, 0]
    text = page.inner_text("main")
    for name in (HOSTILE[0], HOSTILE[1], HOSTILE[4]):
        assert name in text
    legend = places(page, "after").legend
    assert len(legend) == 6
    assert "<script>window.hacked =" in legend[0]
    assert "<b>tags</b>" in legend[2]
    assert max(map(len, legend)) <= 26  # with the two signs that keep the direction of a name to itself
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in "".join(legend)
    assert "\N{FIRST STRONG ISOLATE}" in legend[5]
    ticks = page.evaluate("[...document.querySelectorAll('#confusion-0 .xtick text')].map(each => each.textContent)")
    assert len(set(ticks)) == 6
    page.locator("#after").scroll_into_view_if_needed()
    point = page.locator("#after .scatterlayer .points path").first.bounding_box()
    page.mouse.move(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2, steps=4)
    page.wait_for_selector("#hover:not([hidden])")
    assert page.locator("#hover :not(div)").count() == 0


def test_chinese_and_without_javascript(make_run: Callable[..., Path], opened: Opener) -> None:
    path = write(make_run(), "zh")
    page = opened(path)
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    assert "部分对齐" in page.inner_text("#verdict")
    assert page.evaluate("document.getElementById('after').layout.xaxis.title.text").startswith("主成分 1")
    assert "JavaScript" in opened(path, javascript=False).inner_text("noscript")


def test_a_thousand_images_of_each_domain(tmp_path: Path, opened: Opener) -> None:
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (2000, 32, 32, 3), dtype=np.uint8)  # noise: nothing is harder to compress
    y = np.arange(1000, dtype="int32") % 10
    ids = np.array([f"photos/{row:05d}.jpg" for row in range(1000)])
    shown = recording.Inputs(x[:1000], y, ids, x[1000:], ids, np.array([f"class {n}" for n in range(10)]), y)
    with Run.create(tmp_path / "run", {"experiment": "digits", "settings": {}}) as run:
        recording.write(run.observation_path("inputs"), shown)
        for number, mode in enumerate(("source", "dann")):
            recording.write(run.observation_path(f"{mode}-0"), frames(shown, 12, seed=number))
    began = time.process_time()
    path = write(tmp_path / "run")
    # Of this process, so that a busy machine does not count; with t-SNE of three frames.
    assert time.process_time() - began < 20
    assert path.stat().st_size < 15e6
    assert places(opened(path), "after").drawn == 2000
