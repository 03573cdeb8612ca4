"""What a student sees while a network trains: a moving picture and a stop that is heard."""

import pytest

TRAINING = """
import torch
from IPython.display import display
from lecture_utils import training
from lecture_utils.figures import widgets
from lecture_utils.batching import StreamBatches
from lecture_utils.models import WordModel

torch.set_num_threads(1)
torch.manual_seed(0)
model = WordModel(50, 16, 16)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
monitor = widgets.LossMonitor({"предел": 3.0})
display(monitor)
batches = StreamBatches(torch.randint(50, (5000,)), 4, 10)
history = training.train(
    model, batches, optimizer, training.Plan(1_000_000), callbacks=[monitor]
)
"""
RESULT = "print('ended:', history.stopped, len(history.loss) > 0)"
IDLE = '.jp-Notebook-ExecutionIndicator[data-status="idle"]'


# Lab restores widgets when a notebook opens; only then may a long cell keep the kernel busy.
READY = "import ipywidgets\nipywidgets.Label('widgets are ready')"


@pytest.fixture
def training_page(open_notebook, request):
    page = open_notebook([READY, TRAINING, RESULT], request.node.name)
    run = "void jupyterapp.commands.execute('notebook:run-cell-and-select-next')"
    page.evaluate(run)
    page.wait_for_selector("text=widgets are ready", timeout=60_000)
    page.evaluate(run)
    page.evaluate(run)
    page.wait_for_selector(".widget-image", timeout=60_000)
    return page


def picture(page):
    return page.evaluate(
        "async () => [...new Uint8Array(await (await fetch("
        "document.querySelector('.widget-image').src)).arrayBuffer())].join()"
    )


def wait_for_a_new_picture(page):
    before = picture(page)
    for _ in range(100):
        page.wait_for_timeout(100)
        if picture(page) != before:
            return
    raise AssertionError("the picture stands still")


def test_the_picture_moves_while_the_network_trains(training_page):
    wait_for_a_new_picture(training_page)


def test_the_stop_button_is_heard_and_what_was_learned_stays(training_page):
    training_page.get_by_text("Остановить обучение").click()
    training_page.wait_for_selector("text=ended: interrupted True", timeout=30_000)


def test_interrupting_the_kernel_ends_the_training_without_an_error(training_page):
    training_page.evaluate("void jupyterapp.commands.execute('notebook:interrupt-kernel')")
    training_page.wait_for_selector(IDLE, timeout=30_000)
    assert training_page.locator(".jp-OutputArea-output[data-mime-type*='error']").count() == 0
