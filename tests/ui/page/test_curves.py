"""The charts of a job: zoom, values, smoothing, thousands of points."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from ui.page.stories import points

pytestmark = pytest.mark.browser


@pytest.fixture
def canvas(page):
    canvas = page.locator(".tn-canvas").first
    expect(canvas).to_have_attribute("data-points", "120")
    return canvas


def drag(page, canvas, start, end):
    box = canvas.bounding_box()
    x = box["x"] + 56
    width = box["width"] - 68
    page.mouse.move(x + start * width, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(x + end * width, box["y"] + 60, steps=4)
    page.mouse.up()


def test_drag_zooms_both_charts_and_the_button_shows_the_whole_run_again(page, canvas):
    drag(page, canvas, 0.25, 0.5)

    expect(canvas).to_have_attribute("data-from", "31")
    expect(canvas).to_have_attribute("data-to", "61")
    expect(page.locator(".tn-canvas").nth(1)).to_have_attribute("data-from", "31")

    page.get_by_role("button", name="Whole run").first.click()

    expect(canvas).not_to_have_attribute("data-from", "31")
    expect(page.locator(".tn-canvas").nth(1)).not_to_have_attribute("data-from", "31")


def test_wheel_zooms_after_a_click_and_scrolls_the_page_before(page, canvas):
    canvas.hover()
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(100)
    assert canvas.get_attribute("data-from") is None

    canvas.click()
    page.mouse.wheel(0, -500)

    page.wait_for_function("document.querySelector('.tn-canvas').dataset.from > 1")


def test_keys_read_values_zoom_and_reset(page, canvas):
    loss = points(120)["loss"]
    canvas.focus()
    values = page.locator(".tn-values").first

    page.keyboard.press("Home")
    expect(values).to_contain_text(f"step 1 · smoothed {loss[0]:.4f} · as it came {loss[0]:.4f}")
    page.keyboard.press("ArrowRight")
    expect(values).to_contain_text(f"as it came {loss[1]:.4f}")
    page.keyboard.press("Shift+ArrowRight")
    expect(values).to_contain_text("step 22 ·")
    expect(canvas).to_have_attribute("aria-valuetext", values.text_content())
    page.keyboard.press("+")
    assert int(canvas.get_attribute("data-to")) < 120
    page.keyboard.press("0")
    assert canvas.get_attribute("data-to") is None


def test_values_at_the_pointer(page, canvas):
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 56 + (box["width"] - 68) * 59 / 119, box["y"] + 80)

    expect(page.locator(".tn-values").first).to_contain_text("step 60 · smoothed")


def test_smoothing_is_the_corrected_moving_average(page, canvas):
    smoothed = page.evaluate("tanren.scale.smooth([1, null, 3], 0.5)")
    assert smoothed == pytest.approx([1, None, (0.5 * 0.5 * 1 + 0.5 * 3) / 0.75])

    before = page.locator(".tn-values").first.text_content()
    page.locator(".tn-smoothing").fill("0")

    last = points(120)["loss"][-1]
    expect(page.locator(".tn-values").first).to_contain_text(f"smoothed {last:.4f} · as it came {last:.4f}")
    assert before != page.locator(".tn-values").first.text_content()


def test_every_learning_rate_has_its_line(page, canvas):
    legend = page.locator(".tn-legend").nth(1)

    expect(legend.locator("button")).to_have_text(["unet", "textencoder"])
    legend.locator("button").first.click()
    expect(legend.locator("button").first).to_have_attribute("aria-pressed", "false")
    expect(page.locator(".tn-values").nth(1)).not_to_contain_text("unet")


def test_seconds_and_memory_instead_of_learning_rates(page, canvas):
    page.get_by_role("button", name="Memory used").click()

    expect(page.locator(".tn-values").nth(1)).to_have_text("step 120 · memory 5.4 GiB")
    page.get_by_role("button", name="Seconds per step").click()
    expect(page.locator(".tn-values").nth(1)).to_contain_text("seconds 0.4")


def test_drawn_crisply_on_a_dense_screen(open_page):
    page = open_page(device_scale_factor=2)
    expect(page.locator(".tn-canvas").first).to_have_attribute("data-points", "120")
    page.wait_for_timeout(200)

    drawn, shown = page.evaluate("""() => { const canvas = document.querySelector(".tn-canvas");
        return [canvas.width, canvas.clientWidth]; }""")

    assert drawn == pytest.approx(2 * shown, abs=2)


def test_something_is_drawn(page, canvas):
    page.wait_for_timeout(200)
    share = page.evaluate("""() => { const canvas = document.querySelector(".tn-canvas");
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        let drawn = 0; for (let i = 3; i < data.length; i += 4) drawn += data[i] > 0;
        return drawn / (data.length / 4); }""")

    assert 0.01 < share < 0.5


def test_of_a_hundred_thousand_points_a_few_are_drawn_for_each_column(page, world, canvas):
    world.jobs["20251009-085320-crescent"].update(points=points(100_000), step=100_000, total_steps=200_000)
    expect(canvas).to_have_attribute("data-points", "100000")

    lines, width = page.evaluate("""() => { const chart = tanren.makeChart({label: "x", show: String});
        document.querySelector(".tn-job").append(chart.root);
        const x = Array.from({length: 100000}, (_, i) => i), y = x.map((i) => Math.sin(i / 999) + Math.random());
        chart.setSeries([{name: "a", x, y, color: "--tn-series-1", isFaint: true},
            {name: "b", x, y: tanren.scale.smooth(y, 0.9), color: "--tn-series-1"}]);
        const pen = CanvasRenderingContext2D.prototype, line = pen.lineTo;
        let count = 0;
        pen.lineTo = function (...place) { count += 1; return line.apply(this, place); };
        tanren.drawChart(chart);
        pen.lineTo = line;
        const width = chart.root.querySelector("canvas").clientWidth;
        chart.root.remove();
        return [count, width]; }""")

    # First, lowest, highest and last of each of the two curves, and some lines of the scale.
    assert width < lines < 2 * 4 * width + 50


def test_a_step_without_a_finite_loss_is_a_hole(page, world, canvas):
    story = points(10)
    story["loss"][4] = None
    world.jobs["20251009-085320-crescent"].update(points=story, step=10)
    page.reload()
    expect(canvas).to_have_attribute("data-points", "10")

    canvas.focus()
    for key in ("Home", *["ArrowRight"] * 4):
        page.keyboard.press(key)

    expect(page.locator(".tn-values").first).to_contain_text("step 5 · smoothed not a number · as it came not a number")


def test_before_the_first_step_there_is_a_sentence(page):
    page.locator(".tn-job-row", has_text="flat colour style").click()

    expect(page.locator(".tn-chart .tn-nothing").first).to_have_text("The first values come with the first steps.")
