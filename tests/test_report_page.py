"""The report in a real browser, with clicks: what one sees is what the views drew, at every step."""

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from stored_snapshots import small_snapshot

from layerviz_callbacks import Probe, Snapshot, SnapshotFile, SnapshotWriter, inspect, views, write_report
from layerviz_callbacks.demo.digits import load_digits
from layerviz_callbacks.health import LayerHealth, Verdict
from layerviz_callbacks.render.held_range import HeldRange, round_up
from layerviz_callbacks.render.layout import MARGIN
from layerviz_callbacks.render.text import LINE_HEIGHT

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

EPOCHS, BEST = 5, 3
HOSTILE = "<img src=x onerror=hacked()>&amp;<script>hacked()</script>"
SECOND = f"conv2{HOSTILE}"
MAPS = "figure[data-tag^='feature maps'] canvas"
FILTERS = "figure[data-tag^=filters] canvas"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short training of a small convnet on real digits, with names that try to be HTML."""
    torch = pytest.importorskip("torch")
    digits = load_digits()
    torch.manual_seed(0)
    model = torch.nn.Sequential()
    for name, layer in [
        ("conv1", torch.nn.Conv2d(1, 4, 3, padding=1)), ("relu1", torch.nn.ReLU()),
        (SECOND, torch.nn.Conv2d(4, 6, 3, padding=1)), ("relu2", torch.nn.ReLU()),
        ("flatten", torch.nn.Flatten()), ("head", torch.nn.Linear(384, 10)),
    ]:  # fmt: skip
        model.add_module(name, layer)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    images, labels = torch.tensor(digits.train_images[:200, None]), torch.tensor(digits.train_labels[:200])
    probe = Probe(
        digits.held_out_images[:3, None], names=["one", HOSTILE, "three"], targets=digits.held_out_labels[:3]
    )
    path = tmp_path_factory.mktemp("report") / "run.h5"
    with SnapshotWriter(path, durable=False) as writer:
        for epoch in range(EPOCHS + 1):
            metrics = {}
            if epoch:
                loss = torch.nn.functional.cross_entropy(model(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                metrics = {"loss": loss.item(), f"val{HOSTILE}": 1 / epoch}
            verdict = Verdict(
                SECOND, "dead channels", f"2 of 6 channels are dead {HOSTILE}", 2, when="epoch 2",
                severity=0.8, advice=f"lower the learning rate {HOSTILE}",
            )  # fmt: skip
            snapshot = replace(
                inspect(model, probe), step=epoch,
                when=f"epoch {epoch}/{EPOCHS}" if epoch else "before training",
                metrics=metrics, numbers={"dead/01_conv1": epoch / 10}, health={"conv1": LayerHealth()},
                verdicts=(verdict,) if epoch >= 2 else (),
            )  # fmt: skip
            writer.append(snapshot, best=epoch == BEST)
    return path


@pytest.fixture(scope="module")
def report(run):
    return write_report(run, run.with_name("report.html"), title=HOSTILE)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def page(browser, report):
    """A page with all that may go wrong watched: at the end its console must be empty."""
    page = browser.page()
    page.resize(1300, 900)
    page.at = lambda address="": (page.open(report.as_uri() + address), painted(page))
    yield page
    assert page.problems == []
    page.close()


def painted(page, *steps):
    """Wait until every figure in sight shows these steps; without any, whatever it shows first."""
    if steps:
        words = json.dumps(" ".join(map(str, steps)))
        page.wait(
            "document.querySelector('figure[data-painted]') &&"
            " [...document.querySelectorAll('figure[data-painted]')]"
            f".every(one => one.dataset.painted === {words})"
        )
    else:
        page.wait("document.querySelector('figure[data-painted]')")


def colours(page, selector):
    """The RGB of a canvas `(height, width, 3)`."""
    width, height, text = page.run(
        f"(() => {{ const canvas = document.querySelector({json.dumps(selector)});"
        "const {width, height} = canvas, copy = new OffscreenCanvas(width, height).getContext('2d');"
        "copy.drawImage(canvas, 0, 0); const {data} = copy.getImageData(0, 0, width, height);"
        "let text = ''; for (let at = 0; at < data.length; at += 8192)"
        " text += String.fromCharCode(...data.subarray(at, at + 8192));"
        "return [width, height, btoa(text)]; })()"
    )
    pixels = np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)
    assert (pixels[..., 3] == 255).all()
    return pixels[..., :3]


def expected(run, view, name, step):
    """The view's own picture of a layer, with the range that holds the values of all steps."""
    with SnapshotFile(run) as file:
        of_layer = [file.layer(name, step=one) for one in file.steps]
        values = [one.kernel.mean(1) if view.family == "filters" else one.output for one in of_layer]
    limit = round_up(max(float(np.abs(one).max()) for one in values))
    signed = min(float(one.min()) for one in values) < 0
    snapshot = Snapshot.load(run, step=step).choose(frozenset({name}))
    tag = view.tag(snapshot[name], snapshot)
    [picture] = view.draw(replace(snapshot, ranges={tag: HeldRange(limit, signed, 0)}))
    return picture


def text(page, selector):
    return page.run(f"document.querySelector({json.dumps(selector)}).textContent")


def test_it_opens_at_the_model_and_the_best_step(page):
    page.at()
    assert text(page, "#moment").startswith(f"epoch {BEST}/{EPOCHS}")
    assert text(page, "#name") == "The model"
    assert set(page.run("[...document.querySelectorAll('figure')].map(one => one.dataset.tag)")) == {
        "probe/input", "health/look here first", "predictions/output",
    }  # fmt: skip
    assert page.run("document.querySelectorAll('#metrics .chart').length") == 2
    assert text(page, "#headline li").startswith(f"Best step\u2605 epoch {BEST}/{EPOCHS}")
    assert text(page, "#headline li:last-child strong") == "1 verdict"


@pytest.mark.parametrize("step", [0, BEST, EPOCHS])
def test_its_pixels_are_those_of_the_views_with_one_range_over_all_steps(page, run, step):
    page.at(f"#layer=conv1&step={step}")
    painted(page, step)
    for view, selector in ((views.FeatureMaps(), MAPS), (views.Filters(), FILTERS)):
        assert np.array_equal(colours(page, selector), expected(run, view, "conv1", step).rgb())


def test_the_slider_moves_every_picture_and_curve(page, run):
    page.at("#layer=conv1&step=0")
    painted(page, 0)
    line = page.run("document.querySelector('.chart .now').getAttribute('x1')")
    page.click("#step", x=0.4)
    painted(page, 2)
    assert text(page, "#moment") == f"epoch 2/{EPOCHS}"
    assert np.array_equal(colours(page, MAPS), expected(run, views.FeatureMaps(), "conv1", 2).rgb())
    assert np.array_equal(colours(page, FILTERS), expected(run, views.Filters(), "conv1", 2).rgb())
    assert float(page.run("document.querySelector('.chart .now').getAttribute('x1')")) > float(line)
    assert text(page, ".chart h3 .value") == "0.2"


def test_buttons_go_to_the_first_the_best_the_last_and_the_next_step(page):
    page.at("#layer=conv1&step=1")
    for button, step in [("last", 5), ("back", 4), ("first", 0), ("forward", 1), ("best", BEST)]:
        page.click(f"#{button}")
        painted(page, step)
    assert page.run("document.querySelectorAll('#marks span').length") == 1


def test_it_plays_to_the_end_and_stops(page):
    page.at("#layer=conv1&step=1")
    page.run("document.querySelector('#speed').value = '16'")
    page.click("#play")
    assert page.run("document.querySelector('#play').getAttribute('aria-label')") == "Pause"
    painted(page, EPOCHS)
    page.wait("document.querySelector('#play').getAttribute('aria-label') === 'Play'")
    page.press("Space")  # the button has the focus: it begins anew
    page.wait("document.querySelector('#step').value !== '5'")
    painted(page, EPOCHS)


def test_two_steps_stand_side_by_side_and_both_move(page, run):
    page.at("#layer=conv1&step=4")
    page.click("#compare")
    painted(page, 4, 0)
    other = "figure[data-tag^='feature maps'] .side:nth-child(2) canvas"
    assert np.array_equal(colours(page, MAPS), expected(run, views.FeatureMaps(), "conv1", 4).rgb())
    assert np.array_equal(colours(page, other), expected(run, views.FeatureMaps(), "conv1", 0).rgb())
    page.click("#other", x=0.4)
    painted(page, 4, 2)
    assert np.array_equal(colours(page, other), expected(run, views.FeatureMaps(), "conv1", 2).rgb())
    page.press("c")
    painted(page, 4)


def test_the_difference_is_white_exactly_where_values_are_the_same_and_darkest_where_they_differ_most(
    page, run
):
    page.at("#layer=conv1&step=4&compare=1&how=difference")
    painted(page, 4, 1)
    one, other = (expected(run, views.FeatureMaps(), "conv1", step) for step in (4, 1))
    values = (one.pixels < 224) & (other.pixels < 224)
    levels = np.abs(one.pixels.astype(int) - other.pixels.astype(int))
    shown = colours(page, MAPS)
    assert ((shown == 255).all(-1) == (levels == 0))[values].all()
    assert (shown[values & (levels == levels[values].max())] == shown[values].min(0)).all()
    same_letters = ~values & (one.pixels == other.pixels)
    same_letters[: MARGIN + LINE_HEIGHT] = False  # the title tells the step
    assert np.array_equal(shown[same_letters], one.rgb()[same_letters])
    told = float(text(page, "figure[data-tag^='feature maps'] .side p").split("darkest is ")[1].rstrip("."))
    assert told == pytest.approx(levels[values].max() / 111 * one.held.limit, rel=0.01)


def test_swiping_lays_one_step_over_the_other(page, run):
    page.at("#layer=conv1&step=4&compare=1&how=swipe")
    painted(page, 4, 1)
    boxes = page.run(
        "[...document.querySelectorAll('figure[data-tag^=\"feature maps\"] canvas')]"
        ".map(one => { const box = one.getBoundingClientRect(); return [box.left, box.top, box.width]; })"
    )
    assert boxes[0] == boxes[1]
    page.click("#swipe", x=0.9)
    assert page.run("parseFloat(getComputedStyle(pictures).getPropertyValue('--border')) > 80")


def test_keys_move_through_steps_and_layers(page):
    page.at("#layer=conv1&step=2")
    for key, step in [("Right", 3), ("Left", 2), ("Left", 1), ("End", 5), ("Home", 0), ("b", BEST)]:
        page.press(key)
        painted(page, step)
    page.press("Down")
    assert text(page, "#name") == SECOND
    page.press("Up")
    assert text(page, "#name") == "conv1"
    page.press("?")
    assert page.run("document.querySelector('#helping').open")
    page.click("#close-help")
    assert not page.run("document.querySelector('#helping').open")


def test_it_is_dark_where_the_system_is_and_pictures_stay_as_they_are(page, run):
    page.prefer(prefers_color_scheme="dark")
    page.at("#layer=conv1&step=1")
    painted(page, 1)
    assert page.run("document.documentElement.dataset.theme") == "dark"
    assert np.array_equal(colours(page, MAPS), expected(run, views.FeatureMaps(), "conv1", 1).rgb())
    page.click("#dark")
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(253, 253, 255)"
    page.press("d")
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 30)"


def test_the_lens_tells_the_value_under_the_pointer_and_a_pin_follows_the_steps(page, run):
    page.at("#layer=conv1&step=0")
    painted(page, 0)
    kernel = Snapshot.load(run, step=0)["conv1"].kernel[0, 0]
    picture = expected(run, views.Filters(), "conv1", 0)
    row, column = np.argwhere(picture.pixels[120:] < 224)[0] + [
        120,
        0,
    ]  # the first tile, below the colour bar
    x, y = (column + 3) / picture.size[0], (row + 3) / picture.size[1]
    page.hover(FILTERS, x, y)
    page.wait("!document.querySelector('#lens').hidden")
    value = float(text(page, "#lens p").split(",")[0])
    assert value == pytest.approx(kernel[0, 0], abs=picture.held.limit / 100)
    page.click(FILTERS, x, y)
    page.wait("document.querySelector('.pin p')?.textContent")
    before = colours(page, ".pin canvas"), text(page, ".pin p")
    page.press("End")
    painted(page, EPOCHS)
    page.wait(f"document.querySelector('.pin p').textContent.includes('epoch {EPOCHS}/')")
    assert text(page, ".pin p") != before[1] and not np.array_equal(colours(page, ".pin canvas"), before[0])
    page.press("Escape")
    assert page.run("document.querySelectorAll('.pin').length") == 0


def test_one_sample_is_cut_out_of_the_sheet(page, run):
    page.at("#layer=conv1&step=2")
    painted(page, 2)
    page.run(
        "(one => { one.value = '1'; one.dispatchEvent(new Event('change')); })"
        "(document.querySelector('#sample'))"
    )
    page.wait("document.querySelector('.cut canvas')")
    painted(page, 2)
    picture = expected(run, views.FeatureMaps(), "conv1", 2)
    left, top, width, height = picture.samples[1]
    assert np.array_equal(colours(page, MAPS), picture.rgb()[top : top + height, left : left + width])
    assert "sample=2" in page.run("location.hash")


def test_it_can_be_used_on_a_phone(page):
    page.resize(360, 740, mobile=True)
    page.at("#layer=conv1&step=2")
    painted(page, 2)
    assert page.run("document.documentElement.scrollWidth") == 360
    assert page.run("getComputedStyle(document.querySelector('#layers')).display") == "none"
    page.run(
        "(one => { one.value = [...one.options].find(({text}) => text.startsWith('head')).value;"
        "one.dispatchEvent(new Event('change')); })(document.querySelector('#layer-choice'))"
    )
    assert text(page, "#name") == "head"
    page.click("#forward")
    painted(page, 3)


def test_the_address_leads_to_the_same_place(page):
    page.at()
    page.click("#layers li:nth-child(4) button")
    page.press("Left")
    painted(page, BEST - 1)
    address = page.run("location.hash")
    page.at()
    page.at(address)
    painted(page, BEST - 1)
    assert text(page, "#name") == SECOND and page.run("location.hash") == address
    page.run("location.hash = '#layer=conv1&step=1'")
    painted(page, 1)
    assert text(page, "#name") == "conv1"
    page.at("#layer=nobody&step=x&view=none&compare=-1&sample=99")
    assert text(page, "#name") == "The model"


def test_names_that_try_to_be_html_are_text(page):
    page.run("0")
    page.at()
    page.run("globalThis.hacked = () => console.error('hacked')")
    assert text(page, "#title") == HOSTILE and page.run("document.title") == HOSTILE
    assert HOSTILE in text(page, "#findings") and f"val{HOSTILE}" in text(page, "#metrics")
    assert HOSTILE in text(page, "#sample") and SECOND in text(page, "#layers")
    page.press("Down"), page.press("Down"), page.press("Down")
    assert text(page, "#name") == SECOND
    assert page.run("document.querySelectorAll('img, body script:not([id]):not([type=module])').length") == 0


def test_what_was_found_leads_to_its_layer_and_step(page):
    page.at()
    assert page.run("document.querySelector('#layers .badge').textContent").startswith("1")
    page.click("#findings button")
    painted(page, 2)
    assert text(page, "#name") == SECOND and "since epoch 2" in text(page, "#findings")


def test_the_headline_tells_the_best_step_and_leads_there(page, run):
    page.at("#page=model&step=1")
    with SnapshotFile(run) as file:
        told, end = file[BEST].metrics["loss"], file[EPOCHS].metrics["loss"]
    values = page.run(
        "[...document.querySelectorAll('#headline li')].find(one => one.textContent.startsWith('loss'))"
        ".querySelector('strong').textContent"
    )
    assert float(values) == pytest.approx(told, rel=0.01) and told != end
    page.click("#headline button")
    painted(page, BEST)


def test_a_measure_of_all_layers_is_one_chart_with_a_line_a_layer(page, run):
    page.at()
    with SnapshotFile(run) as file:
        kernels = {
            name: [file.layer(name, step=step).kernel for step in (0, BEST)] for name in ("conv1", SECOND)
        }
    lines = page.run(
        "Object.fromEntries([...[...document.querySelectorAll('#charts .chart')]"
        ".find(one => one.querySelector('h3').textContent.startsWith('distance'))"
        ".querySelectorAll('li')].map(({textContent: words}) =>"
        " [words.slice(0, words.lastIndexOf(' ')), words.split(' ').at(-1)]))"
    )
    for name, (first, best) in kernels.items():
        distance = np.linalg.norm(best - first) / np.linalg.norm(first)
        assert float(lines[name]) == pytest.approx(distance, rel=0.01)
    page.at("#layer=conv1&step=0")
    assert page.run("document.querySelector('#headline').hidden")


def test_where_something_began_is_marked_on_the_timeline(page):
    page.at(f"#layer={SECOND.replace('&', '%26')}")
    [left] = page.run("[...document.querySelectorAll('#marks .began')].map(one => one.style.left)")
    assert left.startswith(f"calc({2 / EPOCHS:.0%} ")
    page.at("#layer=conv1")
    assert page.run("document.querySelectorAll('#marks .began').length") == 0


def test_what_is_out_of_sight_is_painted_as_well_after_a_while_so_that_paper_has_it(page):
    page.resize(500, 300)
    page.at("#page=model&step=2")
    page.wait("[...document.querySelectorAll('figure')].every(one => one.dataset.painted)")
    page.press("Right")
    page.wait("[...document.querySelectorAll('figure')].every(one => one.dataset.painted === '3')")


def test_of_many_verdicts_the_worst_are_shown_and_the_others_after_a_click(browser, tmp_path):
    many = tuple(
        Verdict("conv", f"illness {place}", f"number {place}", 1, severity=1 - place / 9)
        for place in range(9)
    )
    with SnapshotWriter(tmp_path / "many.h5", durable=False) as writer:
        writer.append(small_snapshot(1, health={"conv": LayerHealth()}, verdicts=many))
    page = browser.page()
    page.open(write_report(tmp_path / "many.h5", tmp_path / "many.html").as_uri())
    painted(page)
    shown = "[...document.querySelectorAll('#findings li:not([hidden]):not(.more) button')]"
    told = f"{shown}.map(one => one.textContent.at(-1))"
    assert page.run(told) == list("01234")
    assert text(page, "#findings .more") == "4 more"
    page.click("#findings .more button")
    assert page.run(told) == list("012345678")
    assert page.problems == []
    page.close()


def test_a_click_on_a_curve_goes_to_its_step(page):
    page.at("#layer=conv1&step=0")
    page.click(".chart svg", x=0.8)
    painted(page, 4)


def test_layers_are_found_by_name(page):
    page.at("#layer=conv1&step=0")
    page.run("document.querySelector('#search').hidden = false")
    page.click("#search")
    for letter in "head":
        page.press(letter)
    assert page.run(
        "[...document.querySelectorAll('#layers li:not([hidden]) .name')].map(one => one.textContent)"
    ) == ["head"]


def test_all_layers_stand_beside_each_other(page):
    page.at("#page=layers&step=1")
    painted(page, 1)
    tags = page.run("[...document.querySelectorAll('figure')].map(one => one.dataset.tag)")
    assert tags == ["feature maps/01_conv1", f"feature maps/03_{SECOND}", "feature maps/06_head"]
