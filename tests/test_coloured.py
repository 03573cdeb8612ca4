"""plots.coloured: any text on the colours of its values, readable and told in words."""

import re
import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg

from lecture_utils.figures import plots
from lecture_utils.vocabulary import split_words

LABEL = "неожиданность, биты"
TALE = "Старик потерял ключ, а «медведь» спал. Лиса ушла в тёмный лес и больше не вернулась!"


def drawn(figure):
    """(x, width, y, colour of the background) of each symbol and the texts over them."""
    (places,) = figure.axes[0].collections
    boxes = [path.get_extents() for path in places.get_paths()]
    colors = places.get_facecolors()
    backgrounds = [
        (box.x0, box.width, box.y0, color[:3]) for box, color in zip(boxes, colors, strict=True)
    ]
    return backgrounds, figure.axes[0].texts[: len(boxes)]


def luminance(color) -> float:
    """Of black 0, of white 1 (WCAG 2)."""
    c = np.asarray(color)
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [
        0.2126,
        0.7152,
        0.0722,
    ]


def coloured(symbols, values=None, **options):
    """The figure, drawn; a warning while it is laid out is an error."""
    values = np.linspace(0, 9, len(symbols)) if values is None else values
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plots.coloured(symbols, values, label=LABEL, **options)
    plots.png(figure)
    return figure


anything = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


@settings(max_examples=6, deadline=None)
@given(anything)
@example("$x_1$ \\frac{a}{b} ^_^ $5 %")
@example("😀🎉👩‍💻 вода́ и́ ́а\u200d ⟨unk⟩ 日本 עברית")
@example("а\tб\r\nв\u2028г\x00\x1b[0m")
@example("слово" * 40)
def test_no_text_breaks_it_as_letters_or_as_words(text):
    for symbols in (list(text), split_words(text)):
        if symbols:
            backgrounds, texts = drawn(coloured(symbols))
            assert len(texts) == len(backgrounds) == len(symbols)


@pytest.mark.parametrize("symbols", [list(TALE * 5), split_words(TALE * 5)], ids=["буквы", "слова"])
def test_symbols_stand_in_lines_side_by_side_and_inside_the_picture(symbols):
    figure = coloured(symbols)
    backgrounds, texts = drawn(figure)
    for (x, width, y, _), (next_x, _, next_y, _) in pairwise(backgrounds):
        assert (next_y == y and next_x >= x + width - 1e-6) or (next_y > y and next_x == 0)
    low, high = figure.axes[0].get_xlim()
    assert all(low <= x and x + width <= high for x, width, _, _ in backgrounds)
    renderer = FigureCanvasAgg(figure).get_renderer()
    to_points = figure.axes[0].transData.inverted()
    for (x, width, _, _), text in zip(backgrounds, texts, strict=True):
        extent = text.get_window_extent(renderer).transformed(to_points)
        assert x - 1 <= extent.x0 and extent.x1 <= x + width + 1


def test_letters_are_all_equally_wide_and_lines_end_between_words():
    backgrounds, _ = drawn(coloured(list(TALE * 3)))
    assert len({round(width, 6) for _, width, _, _ in backgrounds}) == 1
    starts = [k for k, (x, *_) in enumerate(backgrounds) if x == 0]
    assert len(starts) > 2 and all((TALE * 3)[k - 1] == " " for k in starts[1:])


def test_words_stand_as_they_are_written():
    backgrounds, texts = drawn(coloured(split_words(TALE)))
    gaps = {}
    for (x, width, y, _), (next_x, _, next_y, _), text in zip(
        backgrounds, backgrounds[1:], texts[1:], strict=False
    ):
        if y == next_y:
            gaps.setdefault(text.get_text(), []).append(next_x - x - width)
    assert gaps[","] == pytest.approx([0]) and gaps["ключ"] == pytest.approx([5])


@pytest.mark.parametrize("signed", [False, True])
def test_every_symbol_contrasts_with_its_background(signed):
    values = np.linspace(-1 if signed else 0, 1 if signed else 12, 200)
    backgrounds, texts = drawn(coloured(["слово"] * 200, values, signed=signed))
    for (*_, color), text in zip(backgrounds, texts, strict=False):
        ink = {"black": 0, "white": 1}[text.get_color()]
        light, dark = sorted((luminance(color), ink), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 4.4


def test_the_greater_the_value_the_darker_the_background_so_that_grey_print_shows_it_too():
    backgrounds, _ = drawn(coloured(list("абвгдежз"), range(8)))
    lights = [luminance(color) for *_, color in backgrounds]
    assert lights == sorted(lights, reverse=True) and lights[0] > 0.9 and lights[-1] < 0.1


def test_a_state_is_light_in_the_middle_and_its_ends_differ_in_more_than_red_and_green():
    (*_, low), (*_, middle), (*_, high) = drawn(coloured(list("абв"), [-1, 0, 1], signed=True))[0]
    assert luminance(middle) > 0.8 > max(luminance(low), luminance(high))
    assert abs(low[2] - high[2]) > 0.4  # blue and ochre


def test_a_symbol_without_a_value_is_white():
    (*_, first), *_ = drawn(coloured(list("аб"), [np.nan, 3]))[0]
    assert (first == 1).all()
    assert coloured(["а"], [np.nan]).get_label()


def test_the_colour_bar_has_the_unit_and_a_decimal_comma():
    figure = coloured(list("абв"), [0, 0.5, 0.9])
    ticks = [tick.get_text() for tick in figure.axes[1].get_xticklabels()]
    assert re.search(r"\d,\d", "".join(ticks)) and "." not in "".join(ticks)
    assert LABEL in [text.get_text() for text in figure.axes[0].texts]


def test_the_alternative_text_names_the_symbols_that_stand_out_and_the_picture_does_too():
    words = split_words("Лиса спала, а медведь ел мёд.")
    figure = coloured(words, [np.nan, 3, 1, 2, 14.25, 5, 9, 0.5])
    told = "Больше всего: «медведь» 14,25, «мёд» 9,00, «ел» 5,00."
    assert "Лиса спала, а медведь ел мёд." in figure.get_label() and told in figure.get_label()
    assert told in [text.get_text() for text in figure.axes[0].texts]


def test_a_letter_that_stands_out_is_named_with_those_before_it():
    figure = coloured(list("серый волк"), [0, 0, 0, 0, 0, 0, 7, 0, 0, 0])
    assert "«серый [в]» 7,00" in figure.get_label()


def test_a_state_is_told_from_both_ends():
    label = coloured(["кот", "и", "пёс"], [-0.5, 0.1, 0.9], signed=True).get_label()
    assert "«пёс» 0,90" in label and "Меньше всего: «кот» −0,50" in label


@pytest.mark.parametrize("symbols", [list("мама мыла раму " * 100), ["слово", "и"] * 400])
def test_what_does_not_fit_is_left_out_and_a_sentence_says_so(symbols):
    figure = coloured(symbols, np.arange(len(symbols)))
    count = len(drawn(figure)[0])
    assert 150 < count < len(symbols)
    told = f"Показано начало: символов {count} из {len(symbols)}."
    assert told in figure.get_label() and any(told in t.get_text() for t in figure.axes[0].texts)
    assert figure.get_figheight() * figure.dpi < 620  # still a slide
    greatest = re.findall(r"» (\d+,\d+)", figure.get_label())[0]
    assert greatest == f"{count - 1},00"  # of what is shown
