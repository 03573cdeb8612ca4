"""Live widgets: every control moves the picture, bad values are told and change nothing."""

import html
import re

import ipywidgets as w
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from lecture_utils import probes
from lecture_utils.batching import NameBatches
from lecture_utils.figures import diagrams, plots, widgets
from lecture_utils.metrics import nearest
from lecture_utils.models import LetterModel, WordModel
from lecture_utils.training import Plan, train
from lecture_utils.vocabulary import LIST_SPECIALS, UNK, Vocabulary

PHRASE = "Старик потерял ключ, а медведь спал."
LN_P = torch.log_softmax(torch.arange(0, -30, -1) / 4, 0)  # thirty symbols, the first is likeliest
SYMBOLS = list("абвгдежзик")
MAKERS = {
    "live_unrolled": widgets.live_unrolled,
    "live_gates": widgets.live_gates,
    "live_forgetting": widgets.live_forgetting,
    "live_letters": lambda: widgets.live_letters(*probes.load_letters(), PHRASE),
    "live_choice": lambda: widgets.live_choice(LN_P, SYMBOLS),
    "live_series": lambda: widgets.live_series(lambda **values: plots.bars(values, x_label="x")),
    "live_rounds": widgets.live_rounds,
}
CONTROLS = [(name, control) for name, make in MAKERS.items() for control in make().controls]


@pytest.fixture
def live(request):
    return MAKERS[request.param]()


def every_widget(test):
    return pytest.mark.parametrize("live", MAKERS, indirect=True)(test)


def values_of(control: w.ValueWidget) -> list:
    """What a student may choose: all options, both ticks, the ends and middle of a slider."""
    if isinstance(control, w.Dropdown):
        return list(dict(control.options).values())
    if isinstance(control, w.SelectionSlider):
        return list(control.options)
    if isinstance(control, w.Checkbox):
        return [False, True]
    if isinstance(control, w.Text):
        return [PHRASE, "Зелёный ёж", "«Куда?» – крикнула сова."]
    middle = control.min + (control.max - control.min) // (2 * control.step) * control.step
    return [control.min, middle, control.max]


@pytest.mark.parametrize(("live", "name"), CONTROLS, indirect=["live"])
def test_every_value_of_every_control_has_a_picture_of_its_own(live, name):
    control, pictures = live.controls[name], []
    for value in values_of(control):
        control.value = value
        assert live.message.value == ""
        pictures.append(live.picture.value)
    assert len(set(pictures)) == len(pictures) > 1


@pytest.mark.parametrize(("live", "name"), CONTROLS, indirect=["live"])
def test_the_picture_depends_on_nothing_but_the_values(live, name):
    control, before = live.controls[name], (live.controls[name].value, live.picture.value)
    for value in [*values_of(control), before[0]]:
        control.value = value
    assert live.picture.value == before[1]


@pytest.mark.parametrize(
    ("live", "name", "value", "told"),
    [
        ("live_unrolled", "T", 13, "T = 13"),
        ("live_unrolled", "T", 0, "T = 0"),
        ("live_gates", "i", 1.5, "Вентиль i = 1.5"),
        ("live_gates", "f", -0.5, "Вентиль f = -0.5"),
        ("live_gates", "o", 2.0, "Вентиль o = 2.0"),
        ("live_forgetting", "b_f", 7.0, "b_f = 7.0"),
        ("live_forgetting", "b_f", -9.0, "b_f = -9.0"),
        ("live_letters", "cell", 80, "Нейрона 80 нет.*от 0 до 79"),
        ("live_letters", "cell", -1, "Нейрона -1 нет"),
        ("live_letters", "text", "а", "от 2 до 80"),
        ("live_letters", "text", "а" * 81, "81"),
        (
            "live_letters",
            "text",
            "Hamlet и вода, what?",
            "«H», «a», «m», «l», «e», «t», «w», «h»;",
        ),
        ("live_choice", "temperature", -1.0, "Температура"),
        ("live_choice", "top_k", -2, "top_k"),
        ("live_choice", "top_p", 0.0, "top_p"),
        ("live_choice", "top_p", 1.5, "top_p"),
    ],
    indirect=["live"],
)
def test_a_value_out_of_range_is_told_in_a_sentence_and_the_old_picture_stays(
    live, name, value, told
):
    control, right, picture = live.controls[name], live.controls[name].value, live.picture.value
    if not isinstance(value, str):
        control.min, control.max = -100, 100  # the control itself would not let it through
    control.value = value
    assert re.search(told, live.message.value) and re.search("[а-яё]{3}", live.message.value)
    assert re.fullmatch(r"<b>[^<>\n]+[.]</b>", live.message.value)
    assert live.picture.value == picture
    control.value = right
    assert live.message.value == "" and live.picture.value == picture


def test_what_a_student_typed_is_not_read_as_html():
    live = MAKERS["live_letters"]()
    live.controls["text"].value = "<i>вода</i>"
    assert "«&lt;»" in live.message.value


@every_widget
def test_a_reader_without_a_kernel_is_told_what_the_widget_shows(live, request):
    again = MAKERS[request.node.callspec.params["live"]]()
    assert repr(live) == repr(again)  # nbval compares it
    assert repr(live).startswith("Живой рисунок") and "0x" not in repr(live)
    assert live.alt in repr(live) and live.alt in html.unescape(live.picture.value)


@every_widget
def test_every_control_is_named(live):
    assert all(control.description for control in live.controls.values())


MODEL = probes.load_letters()


@pytest.mark.parametrize(
    "figure",
    [
        diagrams.unrolled(4, backward=True),
        plots.gates(probes.lstm_by_hand(1, 0.5, 1, [1.0, 0.0, -1.0])),
        plots.forgetting(probes.memory_left(-1, 3)),
        widgets.over_letters(*MODEL, PHRASE, "f", 3, "zero"),
        widgets.choice(LN_P, SYMBOLS, 0.5, 3, 0.9, True),
        plots.bars({"HAR": 0.14, "LSTM": 0.13}, x_label="ошибка", digits=4),
        plots.heat_map(np.eye(2), "аб", "вг", x_label="x", y_label="y", numbers=np.eye(2)),
    ],
    ids=MAKERS,
)
def test_what_a_widget_draws_is_a_figure_with_an_alternative_text(figure):
    assert isinstance(figure, Figure)
    assert re.search("[а-яё]{3}", figure.get_label())


# The quiz


def played(guesses):
    """A quiz of six names, each guess by a click: 0 «настоящее», 1 «придуманное»."""
    quiz = widgets.NameQuiz(["анна", "ольга", "<i>"], ["ваюна", "мельта", "зоряда"])
    for guess in guesses:
        quiz.buttons[guess].click()
    return quiz


def test_each_name_is_asked_once_in_an_order_that_follows_the_seed():
    assert played([]).cards == played([0, 1]).cards
    assert sorted(played([]).cards) == sorted(
        [[name, "настоящее"] for name in ("анна", "ольга", "<i>")]
        + [[name, "придуманное"] for name in ("ваюна", "мельта", "зоряда")]
    )
    orders = [widgets.NameQuiz("абвг", "дежз", seed).cards for seed in (0, 1)]
    assert orders[0] != orders[1]


def test_a_guess_is_judged_and_the_next_name_comes():
    quiz = played([])
    for place, (name, truth) in enumerate(quiz.cards):
        assert f"{place + 1} из 6: " in quiz.card.value
        assert html.escape(name) in quiz.card.value
        guess = place % 2  # in turn, right or wrong
        quiz.buttons[guess].click()
        is_right = quiz.buttons[guess].description == truth
        told = f"{'Верно' if is_right else 'Нет'}: «{html.escape(name)}» — {truth}. Угадано:"
        assert told in quiz.message.value


@pytest.mark.parametrize(("wrong", "share"), [(0, "100 %"), (3, "50 %"), (6, "0 %")])
def test_at_the_end_the_share_of_right_guesses_stands_beside_that_of_a_coin(wrong, share):
    truths = [truth == "придуманное" for _, truth in played([]).cards]
    quiz = played([truth ^ (place < wrong) for place, truth in enumerate(truths)])
    assert f"угадали {share}, " in quiz.card.value and "50 %" in quiz.card.value
    assert all(button.disabled for button in quiz.buttons)
    assert f"Угадано: {6 - wrong} из 6" in quiz.message.value


def test_a_reader_without_a_kernel_is_told_the_names_of_the_quiz_but_not_the_answers():
    assert repr(played([])) == repr(played([1]))
    assert "мельта" in repr(played([])) and "0x" not in repr(played([]))


@pytest.mark.parametrize(("real", "invented"), [([], ["ваюна"]), (["анна"], [])])
def test_a_quiz_needs_names_of_both_kinds(real, invented):
    with pytest.raises(ValueError, match="и настоящие имена, и придуманные"):
        widgets.NameQuiz(real, invented)


# The inventor

REAL = ["Нижний Тагил", "Тверь", "Томск", "Орёл", "Тула"]


@pytest.fixture(scope="module")
def learnt():
    """A network that knows five entries by heart, and its alphabet."""
    letters = Vocabulary.build("".join(REAL), specials=LIST_SPECIALS)
    torch.manual_seed(0)
    net = LetterModel(len(letters), 32, "gru")
    batches = NameBatches([letters.encode_name(entry) for entry in REAL], 5)
    train(net, batches, torch.optim.Adam(net.parameters(), lr=0.02), Plan(150))
    return net, letters


@pytest.fixture
def inventor(learnt):
    return widgets.Inventor(*learnt, REAL)


def shown(inventor):
    """The rows of the table as a reader sees them, its heading left out."""
    rows = re.findall("<tr>(.*?)</tr>", inventor.table.value)
    return [[html.unescape(c) for c in re.findall("<td.*?>(.*?)</td>", row)] for row in rows][1:]


def test_twenty_inventions_stand_beside_the_nearest_entry_copies_and_repeats_marked(inventor):
    inventor.temperature.value = 1.3
    rows, seen = shown(inventor), set()
    assert len(rows) == 20 and {row[3] for row in rows} == {"", "копия", "повтор"}
    for name, real, edits, note in rows:
        assert (real, int(edits)) == nearest(name, REAL)
        assert note == ("повтор" if name in seen else "копия" if name in REAL else "")
        seen.add(name)
    assert f"Новых и разных: {sum(row[3] == '' for row in rows)} из 20." in inventor.message.value


def test_the_button_invents_others_the_slider_and_the_start_change_them(inventor):
    tables = [inventor.table.value]
    inventor.more.click()
    tables.append(inventor.table.value)
    inventor.temperature.value = 2.0
    tables.append(inventor.table.value)
    inventor.start.value = " Нижний Т"
    tables.append(inventor.table.value)
    assert len(set(tables)) == 4
    assert all(name.startswith("Нижний Т") for name, *_ in shown(inventor))


def test_an_unknown_letter_of_the_start_is_told_and_the_table_stays(inventor):
    table = inventor.table.value
    inventor.start.value = "<Q"
    assert "«&lt;», «Q»; пишите её буквами" in inventor.message.value
    assert inventor.table.value == table
    inventor.start.value = ""
    assert inventor.table.value == table and "Новых и разных" in inventor.message.value


def test_what_a_list_holds_is_not_read_as_html(learnt):
    inventor = widgets.Inventor(*learnt, ["<b>Тула</b>", "Орёл & K"])
    assert "<b>Тула" not in inventor.table.value and "&lt;b&gt;Тула" in inventor.table.value


def test_a_reader_without_a_kernel_is_told_the_inventions(inventor, learnt):
    assert repr(inventor) == repr(widgets.Inventor(*learnt, REAL))
    assert all(name in repr(inventor) for name, *_ in shown(inventor))


# The writer

TALE_NET, TALE_LETTERS = MODEL
WORDS = Vocabulary([UNK, *"кот пёс лиса ёж спал ел . , и –".split()])


def words_net():
    torch.manual_seed(0)
    return WordModel(len(WORDS), 8, 16)


def writer(kind="words", start="кот и", length=12):
    """A writer of a few words or letters; made and told nothing yet."""
    net = (words_net(), WORDS) if kind == "words" else (TALE_NET, TALE_LETTERS)
    made = widgets.LiveWriter(*net, start)
    made.controls["length"].min = 1
    made.controls["length"].value = length
    return made


def press(made, name, wait=True):
    made.buttons[name].click()
    if wait:
        with made._writing:  # held while a thread writes
            pass


@pytest.mark.parametrize(("kind", "start"), [("words", "кот и"), ("letters", "Старик спал ")])
def test_it_writes_as_much_as_it_is_told_and_colours_it(kind, start):
    made = writer(kind, start)
    press(made, "дальше")
    begun = len(start) if kind == "letters" else 2
    assert len(made.tokens) == len(made.ids) == begun + 12
    assert "⟨" not in "".join(made.tokens) and made.message.value.endswith("></p>")
    assert start in html.unescape(made.text.value)
    (alt,) = re.findall('alt="(.*?)"', made.picture.value, re.DOTALL)
    assert "неожиданность, биты" in alt and "Больше всего" in alt


def test_it_goes_on_from_where_it_stands_as_if_it_had_never_stopped():
    whole, parts = writer(length=24), writer(length=12)
    press(whole, "дальше")
    press(parts, "дальше"), press(parts, "дальше")
    assert parts.tokens == whole.tokens


def test_from_the_beginning_it_writes_another_text():
    made = writer()
    press(made, "дальше")
    first = made.tokens
    press(made, "сначала")
    assert made.tokens[:2] == first[:2] and made.tokens != first and len(made.tokens) == 14


def test_a_new_beginning_is_read():
    made = writer()
    press(made, "дальше")
    made.controls["start"].value = "лиса ела ."
    press(made, "дальше")
    assert made.tokens[:3] == ["лиса", "ела", "."]
    assert "не знает и читает их как ⟨unk⟩: ела." in made.message.value
    assert made.ids[:3] == WORDS.encode(["лиса", "ела", "."])


def test_stop_is_heard_while_it_writes():
    made = writer(length=300)
    press(made, "дальше", wait=False)
    assert [button.disabled for button in made.buttons.values()] == [True, False, True]
    press(made, "дальше", wait=False)  # a second click while it writes changes nothing
    press(made, "стоп")
    assert 0 < len(made.tokens) < 100 and made.picture.value
    assert [button.disabled for button in made.buttons.values()] == [False, True, False]
    written = made.tokens
    made.controls["length"].value = 5
    press(made, "дальше")
    assert made.tokens[: len(written)] == written and len(made.tokens) == len(written) + 5


@pytest.mark.parametrize(
    ("kind", "start", "told"),
    [
        ("words", "  ", "Начало пусто"),
        ("letters", "", "Начало пусто"),
        ("letters", "Hello", "Сеть не знает таких символов: «H»"),
    ],
)
def test_a_beginning_that_cannot_be_read_is_told_and_the_text_stays(kind, start, told):
    made = writer(kind, "кот", length=3)
    press(made, "дальше")
    before = made.text.value
    made.controls["start"].value = start
    press(made, "дальше")
    assert told in html.unescape(made.message.value) and made.text.value == before
    made.controls["start"].value = "кот"
    press(made, "дальше")
    assert made.message.value.endswith("></p>") and len(made.tokens) > 3


def test_the_controls_are_looked_at_before_each_symbol():
    made = writer()
    made.controls["temperature"].value = 0
    press(made, "дальше")
    log_probs, _ = words_net().eval()(torch.tensor([made.ids]))
    log_probs[..., 0] = -torch.inf  # ⟨unk⟩ is never written
    assert log_probs[0, 1:-1].argmax(-1).tolist() == made.ids[2:]


def test_two_writers_and_a_training_do_not_disturb_each_other():
    net = words_net()
    made = [widgets.LiveWriter(net, WORDS, "кот") for _ in range(2)]
    for one in made:
        one.controls["length"].value = 20
        press(one, "дальше", wait=False)
    net.train()
    for parameter in net.parameters():
        parameter.data.mul_(0)
    for one in made:
        with one._writing:
            assert len(one.tokens) == 21
    assert made[0].tokens == made[1].tokens  # of one seed


def test_what_a_net_writes_is_not_read_as_html():
    vocabulary = Vocabulary([UNK, "<b>", "&", "кот"])
    torch.manual_seed(0)
    made = widgets.LiveWriter(WordModel(4, 4, 4), vocabulary, "кот")
    made.controls["length"].value = 20
    press(made, "дальше")
    assert "<b>" in made.tokens and "<b>" not in made.text.value


def test_a_reader_without_a_kernel_is_told_what_would_be_written():
    assert repr(writer()) == repr(writer()) and "Начало: кот и" in repr(writer())


# What the pictures say


def test_the_half_life_is_marked_where_the_curve_passes_one_half():
    axes = plots.forgetting(probes.memory_left(2)).axes[0]
    curve, mark = axes.lines[0], axes.lines[-1]
    k, left = mark.get_xdata()[0], mark.get_ydata()[0]
    assert left == 0.5 and k == pytest.approx(5.46, abs=0.01)
    before, after = curve.get_ydata()[[5, 6]]
    assert before > 0.5 > after
    assert "половина через 5,5 шага" in curve.get_label()


def test_a_change_is_priced_in_nats_for_each_letter():
    def drawn(change):
        figure = widgets.over_letters(*MODEL, PHRASE, "c", 5, change)
        return [
            [patch.get_data().values for patch in axes.patches] for axes in figure.axes
        ], figure.axes[1].get_title()

    ((changed, plain), (new_price, old_price)), title = drawn("")
    assert (changed == plain).all() and (new_price[1:] == old_price[1:]).all()
    assert title.split()[2] == title.split()[4]
    ((changed, plain), (new_price, old_price)), title = drawn("zero")
    assert (changed == 0).all() and plain.any() and (new_price[1:] != old_price[1:]).any()
    means = f"{old_price[1:].mean():.2f} → {new_price[1:].mean():.2f}"
    assert means.replace(".", ",") in title
    ((changed, plain), (new_price, old_price)), title = drawn("hold_f")
    assert new_price[1:].mean() > old_price[1:].mean() + 1


def test_the_sampler_shows_the_rule_beside_the_distribution_with_both_entropies():
    figure = widgets.choice(LN_P, SYMBOLS, top_k=4, uniform=True)
    before, after = ([bar.get_height() for bar in axes.patches[:10]] for axes in figure.axes)
    assert before == pytest.approx(LN_P[:10].exp().tolist())
    assert after == pytest.approx([0.25] * 4 + [0] * 6)
    assert "символов 30" in figure.axes[0].get_title()
    assert figure.axes[1].get_title() == "правило: символов 4, H = 1,39 ната"  # ln 4


@pytest.mark.parametrize("T", [8, 64, 512, 4096])
def test_a_scan_with_one_worker_is_slower_than_the_loop_and_with_enough_takes_log_rounds(T):
    loop, scan = (line.get_ydata() for line in widgets.live_rounds().draw(T).axes[0].lines)
    assert set(loop) == {T}
    assert scan[0] == sum(T - 2**k for k in range(T.bit_length() - 1)) > T
    assert scan[-1] == T.bit_length() - 1  # ⌈log₂ T⌉: T is a power of two


def test_a_map_is_told_row_by_row():
    figure = plots.heat_map(np.eye(2), ["один", "два"], ["а", "б"])
    assert "один: а; два: б" in figure.get_label()


def test_the_numbers_of_a_table_are_written_and_told_whatever_its_colours_say():
    numbers = np.array([[0.5, 0.0], [0.25, 1.0]])
    figure = plots.heat_map(np.eye(2), ["один", "два"], ["а", "б"], numbers=numbers)
    assert [t.get_text() for t in figure.axes[0].texts] == ["0,50", "0,00", "0,25", "1,00"]
    assert [t.get_color() for t in figure.axes[0].texts] == ["white", "black", "black", "white"]
    assert "столбцы: а, б; строки — один: 0,50, 0,00; два: 0,25, 1,00." in figure.get_label()
